//! The fixed parts of registration request and reply (RFC 5944 sections 3.3 and 3.4).
//!
//! What follows them are extensions: see [`super::extension`].

use std::{fmt, net::Ipv4Addr};

use super::code::Code;
use crate::{Error, Reader, Writer};

/// Message type of a registration request.
pub const REQUEST: u8 = 1;
/// Message type of a registration reply.
pub const REPLY: u8 = 3;
/// Message type of tunnel data (RFC 3519 section 3.3).
pub const TUNNEL_DATA: u8 = 4;

/// The eight flags of a request, most significant bit first: S B D M G r T x (RFC 5944 section 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// S: keep earlier bindings.
    pub const SIMULTANEOUS: u8 = 0x80;
    /// B: broadcasts wanted.
    pub const BROADCAST: u8 = 0x40;
    /// D: the mobile node itself decapsulates (co-located care-of address).
    pub const DECAPSULATION: u8 = 0x20;
    /// M: minimal encapsulation.
    pub const MINIMAL: u8 = 0x10;
    /// G: GRE encapsulation.
    pub const GRE: u8 = 0x08;
    /// T: reverse tunnel (RFC 3024).
    pub const REVERSE_TUNNEL: u8 = 0x02;
    /// r and x: sent as zero.
    pub const RESERVED: u8 = 0x05;

    /// True if every bit of `mask` is set.
    #[must_use]
    pub const fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }

    /// True if the reserved bits are zero, as a sender must leave them.
    #[must_use]
    pub const fn reserved_clear(self) -> bool {
        self.0 & Self::RESERVED == 0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in "SBDMGrTx".chars().enumerate() {
            let set = self.0 & (0x80 >> i) != 0;
            write!(f, "{}", if set { name } else { '-' })?;
        }
        Ok(())
    }
}

/// The 64-bit identification of a request: here always a timestamp, NTP seconds above random bits
/// (RFC 5944 section 5.7.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Identification(pub u64);

/// Seconds from the NTP era (1900-01-01) to the Unix one (1970-01-01).
pub const NTP_TO_UNIX: u64 = 2_208_988_800;

impl Identification {
    /// From NTP seconds and 32 low bits.
    #[must_use]
    pub fn new(ntp_seconds: u32, low: u32) -> Self {
        Self(u64::from(ntp_seconds) << 32 | u64::from(low))
    }

    /// The high 32 bits: NTP seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The low 32 bits, which a reply always echoes.
    #[must_use]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }
}

/// NTP seconds (modulo 2^32) of a time in seconds since 1970.
#[must_use]
pub const fn ntp_seconds(unix_seconds: u64) -> u32 {
    unix_seconds.wrapping_add(NTP_TO_UNIX) as u32
}

/// The fixed part of a registration request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// S B D M G r T x.
    pub flags: Flags,
    /// Lifetime asked for, in seconds; 0 deregisters, 0xffff is infinity.
    pub lifetime: u16,
    /// Home address; 0.0.0.0 when it is sealed or asked for.
    pub home_address: Ipv4Addr,
    /// Home agent.
    pub home_agent: Ipv4Addr,
    /// Care-of address.
    pub care_of: Ipv4Addr,
    /// Identification.
    pub identification: Identification,
}

impl Request {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 24;

    /// Reads the fixed part from the front of a message.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TooLong`], or [`Error::Value`] if it is no request.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let mut r = fixed(message, REQUEST)?;
        Ok(Self {
            flags: Flags(r.u8()?),
            lifetime: r.u16()?,
            home_address: r.ipv4()?,
            home_agent: r.ipv4()?,
            care_of: r.ipv4()?,
            identification: Identification(r.u64()?),
        })
    }

    /// Writes the fixed part.
    pub fn emit(&self, w: &mut Writer) {
        w.u8(REQUEST).u8(self.flags.0).u16(self.lifetime).ipv4(self.home_address);
        w.ipv4(self.home_agent).ipv4(self.care_of).u64(self.identification.0);
    }
}

/// The fixed part of a registration reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Accepted, or why not.
    pub code: Code,
    /// Lifetime granted, in seconds.
    pub lifetime: u16,
    /// Home address; 0.0.0.0 when it is sealed.
    pub home_address: Ipv4Addr,
    /// Home agent.
    pub home_agent: Ipv4Addr,
    /// Identification: the low half echoed, the high half echoed or the home agent's time (code 133).
    pub identification: Identification,
}

impl Reply {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 20;

    /// Reads the fixed part from the front of a message.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TooLong`], or [`Error::Value`] if it is no reply.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let mut r = fixed(message, REPLY)?;
        Ok(Self {
            code: Code(r.u8()?),
            lifetime: r.u16()?,
            home_address: r.ipv4()?,
            home_agent: r.ipv4()?,
            identification: Identification(r.u64()?),
        })
    }

    /// Writes the fixed part.
    pub fn emit(&self, w: &mut Writer) {
        w.u8(REPLY).u8(self.code.0).u16(self.lifetime).ipv4(self.home_address);
        w.ipv4(self.home_agent).u64(self.identification.0);
    }
}

fn fixed(message: &[u8], kind: u8) -> Result<Reader<'_>, Error> {
    if message.len() > super::MAX_MESSAGE {
        return Err(Error::TooLong);
    }
    let mut r = Reader::new(message);
    if r.u8()? != kind {
        return Err(Error::Value("message type"));
    }
    Ok(r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_round_trip() {
        let request = Request {
            flags: Flags(Flags::REVERSE_TUNNEL | Flags::DECAPSULATION),
            lifetime: 600,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: Ipv4Addr::new(10, 11, 1, 2),
            care_of: Ipv4Addr::new(10, 51, 1, 2),
            identification: Identification::new(0xeeaa_0001, 7),
        };
        let mut w = Writer::default();
        request.emit(&mut w);
        assert_eq!(w.len(), Request::LEN);
        assert_eq!(Request::parse(w.bytes()), Ok(request));
        assert_eq!(Request::parse(&w.bytes()[..23]), Err(Error::Truncated));
        assert_eq!(Reply::parse(w.bytes()), Err(Error::Value("message type")));
        assert_eq!(format!("{:?}", request.flags), "--D---T-");
    }

    #[test]
    fn ntp_time() {
        assert_eq!(ntp_seconds(0), 2_208_988_800);
        assert_eq!(Identification::new(5, 6).seconds(), 5);
        assert_eq!(Identification::new(5, 6).low(), 6);
    }
}
