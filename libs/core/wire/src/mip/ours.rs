//! Our own extensions (docs/wire.md): sub-types inside the critical vendor extension 38 (RFC 3115) or
//! the experimental one 127 (RFC 4064), and the contents that are sealed in them.

use std::net::Ipv4Addr;

use super::{
    Spi,
    code::{DetailCode, registry},
    extension::{CRITICAL_VENDOR, EXPERIMENTAL, Extension},
};
use crate::{Error, Reader, Writer};

/// The enterprise number for documentation (RFC 5612), allowed in testbeds only.
pub const DOCUMENTATION_VENDOR: u32 = 32473;

/// Which numbers carry our extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// Type 38 with this enterprise number.
    Vendor(u32),
    /// Type 127.
    Experimental,
}

impl Numbers {
    /// Bytes from the type through the SPI of a protected extension; all of them are additional data when
    /// it is sealed.
    #[must_use]
    pub const fn protected_header(self) -> usize {
        match self {
            Self::Vendor(_) => 16,
            Self::Experimental => 10,
        }
    }
}

/// Our sub-types. Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subtype(pub u16);

registry! {
    Subtype, "unknown sub-type";
    /// Network access identifier.
    NAI = 1, "NAI";
    /// IP address.
    IP = 2, "IP";
    /// Layer 2 address.
    LAYER_2 = 3, "layer 2";
    /// Security association.
    ASSOCIATION = 4, "security association";
    /// Negotiation.
    NEGOTIATION = 5, "negotiation";
    /// Agent heard.
    AGENT_HEARD = 6, "agent heard";
    /// Error detail.
    ERROR_DETAIL = 7, "error detail";
    /// Handle.
    HANDLE = 8, "handle";
    /// Key share.
    KEY_SHARE = 9, "key share";
    /// Cookie.
    COOKIE = 10, "cookie";
}

/// One of our extensions: its sub-type and body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ours<'a> {
    /// The numbering it came in.
    pub numbers: Numbers,
    /// Sub-type.
    pub subtype: Subtype,
    /// Body.
    pub body: &'a [u8],
}

/// Reads a vendor or experimental extension; `None` for any other type.
///
/// # Errors
/// [`Error::Truncated`] if the vendor header is cut, [`Error::Value`] if its reserved byte is set.
pub fn parse<'a>(extension: &Extension<'a>) -> Result<Option<Ours<'a>>, Error> {
    match extension.kind {
        CRITICAL_VENDOR => {
            if extension.subtype != 0 {
                return Err(Error::Value("reserved byte of a vendor extension"));
            }
            let mut r = Reader::new(extension.data);
            let numbers = Numbers::Vendor(r.u32()?);
            Ok(Some(Ours { numbers, subtype: Subtype(r.u16()?), body: r.rest() }))
        }
        EXPERIMENTAL => Ok(Some(Ours {
            numbers: Numbers::Experimental,
            subtype: Subtype(u16::from(extension.subtype)),
            body: extension.data,
        })),
        _ => Ok(None),
    }
}

/// Appends one of our extensions.
///
/// # Errors
/// [`Error::Length`] if the body does not fit, or the sub-type not into the experimental form.
pub fn put(w: &mut Writer, numbers: Numbers, subtype: Subtype, body: &[u8]) -> Result<(), Error> {
    open(w, numbers, subtype, body.len())?;
    w.put(body);
    Ok(())
}

fn open(w: &mut Writer, numbers: Numbers, subtype: Subtype, body: usize) -> Result<(), Error> {
    let length = |n: usize| u16::try_from(n).map_err(|_| Error::Length("extension body"));
    match numbers {
        Numbers::Vendor(vendor) => {
            w.u8(CRITICAL_VENDOR).u8(0).u16(length(body + 6)?).u32(vendor).u16(subtype.0);
        }
        Numbers::Experimental => {
            let subtype = u8::try_from(subtype.0).map_err(|_| Error::Length("sub-type"))?;
            w.u8(EXPERIMENTAL).u8(subtype).u16(length(body)?);
        }
    }
    Ok(())
}

/// The common head of NAI, IP, layer 2, security association and error detail: content-type, flag E, SPI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protected<'a> {
    /// Content-type, with a meaning of its own in each sub-type.
    pub content: u8,
    /// E: the information is sealed under the association that the SPI names.
    pub sealed: bool,
    /// Security parameter index; 0 when not sealed.
    pub spi: Spi,
    /// The information, plain or as nonce, ciphertext and tag.
    pub info: &'a [u8],
}

/// Bit E of the flags byte.
pub const FLAG_E: u8 = 0x80;

impl<'a> Protected<'a> {
    /// Reads the body of a protected extension.
    ///
    /// # Errors
    /// [`Error::Truncated`], or [`Error::Value`] for other flags than E, or an SPI without E.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        let (content, flags, spi) = (r.u8()?, r.u8()?, Spi(r.u32()?));
        if flags & !FLAG_E != 0 {
            return Err(Error::Value("flags of a protected extension"));
        }
        let sealed = flags & FLAG_E != 0;
        if !sealed && spi.0 != 0 {
            return Err(Error::Value("security parameter index without flag E"));
        }
        Ok(Self { content, sealed, spi, info: r.rest() })
    }

    /// Appends the whole extension.
    ///
    /// # Errors
    /// [`Error::Length`] if the information does not fit.
    pub fn emit(&self, w: &mut Writer, numbers: Numbers, subtype: Subtype) -> Result<(), Error> {
        open_protected(w, numbers, subtype, self.content, self.sealed.then_some(self.spi), self.info.len())?;
        w.put(self.info);
        Ok(())
    }
}

/// Appends everything of a protected extension but its information of `info` bytes; `spi` sets flag E.
///
/// # Errors
/// [`Error::Length`] if the information does not fit.
pub fn open_protected(
    w: &mut Writer,
    numbers: Numbers,
    subtype: Subtype,
    content: u8,
    spi: Option<Spi>,
    info: usize,
) -> Result<(), Error> {
    open(w, numbers, subtype, info + 6)?;
    w.u8(content).u8(if spi.is_some() { FLAG_E } else { 0 }).u32(spi.map_or(0, |s| s.0));
    Ok(())
}

/// Content-types of the NAI extension: whose name it is.
pub mod nai_owner {
    /// The mobile node's.
    pub const MOBILE_NODE: u8 = 0;
    /// The foreign agent's.
    pub const FOREIGN_AGENT: u8 = 1;
    /// The home agent's.
    pub const HOME_AGENT: u8 = 2;
}

/// Content-types of the IP extension.
pub mod ip_owner {
    /// Mobile node or home agent.
    pub const HOST: u8 = 0;
    /// A router: here the foreign agent.
    pub const ROUTER: u8 = 1;
}

/// Content-types of the security association extension: between whom.
pub mod association_between {
    /// Mobile node and foreign agent: KEY 3.
    pub const MN_FA: u8 = 0;
    /// Foreign agent and home agent: KEY 2.
    pub const FA_HA: u8 = 1;
    /// Mobile node and home agent: KEY 1.
    pub const MN_HA: u8 = 2;
}

/// What is sealed as a mobile node's NAI: an index, the user part, zeros (72 or 264 bytes).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedNai {
    /// Index of the one-time security parameter index; 0 with a static one.
    pub index: u64,
    /// User part, without realm.
    pub user: String,
}

impl SealedNai {
    const SHORT: usize = 72;
    const LONG: usize = 264;

    /// Reads the opened information.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Value`]; padding that is not zero is malformed.
    pub fn parse(info: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(info);
        let index = r.u64()?;
        let length = usize::from(r.u8()?);
        let expected = if length > 63 { Self::LONG } else { Self::SHORT };
        if info.len() != expected || length > 253 {
            return Err(Error::Length("sealed NAI"));
        }
        let user = r.take(length)?;
        let user = std::str::from_utf8(user).map_err(|_| Error::Value("sealed NAI"))?.to_owned();
        if user.is_empty() || r.rest().iter().any(|b| *b != 0) {
            return Err(Error::Value("sealed NAI"));
        }
        Ok(Self { index, user })
    }

    /// The information to seal.
    ///
    /// # Errors
    /// [`Error::Length`] if the user part is empty or exceeds 253 bytes.
    pub fn emit(&self) -> Result<Vec<u8>, Error> {
        let length = u8::try_from(self.user.len()).map_err(|_| Error::Length("user part"))?;
        if length == 0 || length > 253 {
            return Err(Error::Length("user part"));
        }
        let mut w = Writer::with_capacity(Self::LONG);
        w.u64(self.index).u8(length).put(self.user.as_bytes());
        let mut bytes = w.into_bytes();
        bytes.resize(if length > 63 { Self::LONG } else { Self::SHORT }, 0);
        Ok(bytes)
    }
}

/// Real content-types of a sealed layer 2 address.
pub mod layer_2 {
    /// 48-bit Ethernet address.
    pub const ETHERNET: u8 = 0;
    /// International mobile subscriber identity.
    pub const IMSI: u8 = 1;
    /// Mobile identification number.
    pub const MIN: u8 = 2;
}

/// What is sealed as a layer 2 address: kind, bytes, zeros (16 bytes).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedLayer2 {
    /// Kind, one of [`layer_2`].
    pub kind: u8,
    /// The address, at most 14 bytes.
    pub address: Vec<u8>,
}

impl SealedLayer2 {
    const LEN: usize = 16;

    /// Reads the opened information.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Value`]; padding that is not zero is malformed.
    pub fn parse(info: &[u8]) -> Result<Self, Error> {
        if info.len() != Self::LEN {
            return Err(Error::Length("sealed layer 2 address"));
        }
        let mut r = Reader::new(info);
        let kind = r.u8()?;
        let length = usize::from(r.u8()?);
        let address = r.take(length).map_err(|_| Error::Length("sealed layer 2 address"))?.to_vec();
        if kind > layer_2::MIN || r.rest().iter().any(|b| *b != 0) {
            return Err(Error::Value("sealed layer 2 address"));
        }
        Ok(Self { kind, address })
    }

    /// The information to seal.
    ///
    /// # Errors
    /// [`Error::Length`] if the address exceeds 14 bytes.
    pub fn emit(&self) -> Result<Vec<u8>, Error> {
        let length = u8::try_from(self.address.len()).map_err(|_| Error::Length("layer 2 address"))?;
        if self.address.len() > Self::LEN - 2 {
            return Err(Error::Length("layer 2 address"));
        }
        let mut w = Writer::with_capacity(Self::LEN);
        w.u8(self.kind).u8(length).put(&self.address);
        let mut bytes = w.into_bytes();
        bytes.resize(Self::LEN, 0);
        Ok(bytes)
    }
}

/// Reads the information of an IP extension: 4 bytes (16, an IPv6 address, is refused by these agents).
///
/// # Errors
/// [`Error::Length`].
pub fn parse_ip(info: &[u8]) -> Result<Ipv4Addr, Error> {
    let octets: [u8; 4] = info.try_into().map_err(|_| Error::Length("IP extension"))?;
    Ok(octets.into())
}

/// Agent heard (sub-type 6): which advertisement the mobile node answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgentHeard<'a> {
    /// The latest challenge from that agent, 4 to 32 bytes.
    pub challenge: &'a [u8],
    /// NAI of the agent from its advertisement, 1 to 64 bytes.
    pub agent: &'a str,
}

impl<'a> AgentHeard<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Length`] or [`Error::Value`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        let length = usize::from(r.u8()?);
        if !(4..=32).contains(&length) {
            return Err(Error::Length("challenge"));
        }
        let challenge = r.take(length)?;
        let agent = name(r.rest())?;
        Ok(Self { challenge, agent })
    }

    /// Appends the extension.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn emit(&self, w: &mut Writer, numbers: Numbers) -> Result<(), Error> {
        let length = u8::try_from(self.challenge.len()).map_err(|_| Error::Length("challenge"))?;
        let mut body = Writer::with_capacity(1 + self.challenge.len() + self.agent.len());
        body.u8(length).put(self.challenge).put(self.agent.as_bytes());
        AgentHeard::parse(body.bytes())?;
        put(w, numbers, Subtype::AGENT_HEARD, body.bytes())
    }
}

fn name(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.is_empty() || bytes.len() > MAX_AGENT_NAME {
        return Err(Error::Length("agent name"));
    }
    std::str::from_utf8(bytes).map_err(|_| Error::Value("agent name"))
}

/// The longest name of an agent, in bytes.
pub const MAX_AGENT_NAME: usize = 64;

/// Handle (sub-type 8): how a foreign agent finds its pending request again, and the indices that it
/// chose for traffic towards itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle {
    /// 64 random bits.
    pub handle: u64,
    /// Inbound index of KEY 2 at the foreign agent.
    pub key2: Spi,
    /// Inbound index of KEY 3 at the foreign agent.
    pub key3: Spi,
}

impl Handle {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Trailing`], or [`Error::Value`] for a reserved index.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        let handle = Self { handle: r.u64()?, key2: Spi(r.u32()?), key3: Spi(r.u32()?) };
        r.finish()?;
        if handle.key2 < Spi::FIRST || handle.key3 < Spi::FIRST {
            return Err(Error::Value("index in a handle"));
        }
        Ok(handle)
    }

    /// Appends the extension.
    ///
    /// # Errors
    /// Never in practice: the body always fits.
    pub fn emit(&self, w: &mut Writer, numbers: Numbers) -> Result<(), Error> {
        let mut body = Writer::with_capacity(16);
        body.u64(self.handle).u32(self.key2.0).u32(self.key3.0);
        put(w, numbers, Subtype::HANDLE, body.bytes())
    }
}

/// What is sealed as error detail: a code and a sentence of at most 200 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorDetail {
    /// Detail code.
    pub code: DetailCode,
    /// A sentence for a person.
    pub text: String,
}

impl ErrorDetail {
    /// Reads the opened information.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Length`] or [`Error::Value`].
    pub fn parse(info: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(info);
        let code = DetailCode(r.u16()?);
        let text = r.rest();
        if text.len() > 200 {
            return Err(Error::Length("error detail"));
        }
        let text = std::str::from_utf8(text).map_err(|_| Error::Value("error detail"))?.to_owned();
        Ok(Self { code, text })
    }

    /// The information to seal; text past 200 bytes is cut at a character.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut end = self.text.len().min(200);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let mut w = Writer::with_capacity(2 + end);
        w.u16(self.code.0).put(&self.text.as_bytes()[..end]);
        w.into_bytes()
    }
}

/// How the key of an [`AssociationInfo`] was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode(pub u8);

impl Mode {
    /// A key made by the key distribution centre (stateful).
    pub const KEY: Self = Self(1);
    /// A pair seed (semi-stateful); reserved.
    pub const SEED: Self = Self(2);
    /// Public values only (stateless); reserved.
    pub const PUBLIC: Self = Self(3);
}

/// One entry of a security association extension, as the receiver sees it.
///
/// The key is bytes here: whoever parses it moves it into a type that is wiped.
#[derive(PartialEq, Eq)]
pub struct AssociationInfo<'a> {
    /// How the key was made.
    pub mode: Mode,
    /// Index of what the receiver receives.
    pub inbound: Spi,
    /// Index of what the receiver sends.
    pub outbound: Spi,
    /// 1 authentication, 2 encryption, 3 prf.
    pub protocol: u8,
    /// IANA's IKEv2 number of that kind.
    pub transform: u16,
    /// Key bits of the transform.
    pub key_bits: u16,
    /// Lifetime in seconds.
    pub lifetime: u32,
    /// The key.
    pub key: &'a [u8],
    /// The receiver's name.
    pub own: &'a str,
    /// The peer's name.
    pub peer: &'a str,
}

impl<'a> AssociationInfo<'a> {
    /// Bytes of the fields before the key.
    const HEAD: usize = 20;

    /// Reads the next entry.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Length`] or [`Error::Value`].
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, Error> {
        let mode = Mode(r.u8()?);
        let (inbound, outbound) = (Spi(r.u32()?), Spi(r.u32()?));
        let protocol = r.u8()?;
        let (transform, key_bits, lifetime) = (r.u16()?, r.u16()?, r.u32()?);
        let length = usize::from(r.u16()?);
        let key = r.take(length)?;
        let own = counted_name(r)?;
        let peer = counted_name(r)?;
        if inbound < Spi::FIRST || outbound < Spi::FIRST {
            return Err(Error::Value("index in a security association"));
        }
        Ok(Self { mode, inbound, outbound, protocol, transform, key_bits, lifetime, key, own, peer })
    }

    /// Bytes that [`emit`](Self::emit) appends.
    #[must_use]
    pub const fn len(&self) -> usize {
        Self::HEAD + self.key.len() + 2 + self.own.len() + self.peer.len()
    }

    /// Always false: an entry has a head.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Appends the entry.
    ///
    /// # Errors
    /// [`Error::Length`] if key or names do not fit.
    pub fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        let key = u16::try_from(self.key.len()).map_err(|_| Error::Length("key"))?;
        w.u8(self.mode.0).u32(self.inbound.0).u32(self.outbound.0).u8(self.protocol);
        w.u16(self.transform).u16(self.key_bits).u32(self.lifetime).u16(key).put(self.key);
        for name in [self.own, self.peer] {
            let length = u8::try_from(name.len()).map_err(|_| Error::Length("name"))?;
            w.u8(length).put(name.as_bytes());
        }
        Ok(())
    }
}

fn counted_name<'a>(r: &mut Reader<'a>) -> Result<&'a str, Error> {
    let length = usize::from(r.u8()?);
    if length == 0 || length > 253 {
        return Err(Error::Length("name"));
    }
    std::str::from_utf8(r.take(length)?).map_err(|_| Error::Value("name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mip::extension::walk;

    const NUMBERS: [Numbers; 2] = [Numbers::Vendor(DOCUMENTATION_VENDOR), Numbers::Experimental];

    #[test]
    fn protected_round_trip_in_both_numberings() {
        for numbers in NUMBERS {
            let sealed = Protected { content: 2, sealed: true, spi: Spi(4711), info: b"information" };
            let mut w = Writer::default();
            sealed.emit(&mut w, numbers, Subtype::ASSOCIATION).unwrap();
            let found = walk(w.bytes(), 0).unwrap();
            let ours = parse(&found[0]).unwrap().unwrap();
            assert_eq!((ours.numbers, ours.subtype), (numbers, Subtype::ASSOCIATION));
            assert_eq!(Protected::parse(ours.body), Ok(sealed));
            assert_eq!(w.len(), numbers.protected_header() + 11);
        }
    }

    #[test]
    fn flags_other_than_e_and_an_index_without_e_are_refused() {
        assert!(Protected::parse(&[0, 0x40, 0, 0, 0, 0]).is_err());
        assert!(Protected::parse(&[0, 0, 0, 0, 0, 9]).is_err());
        assert!(Protected::parse(&[0, 0x80, 0, 0, 0]).is_err());
    }

    #[test]
    fn sealed_nai_has_one_of_two_lengths_and_zero_padding() {
        let nai = |n: usize| SealedNai { index: 7, user: "u".repeat(n) };
        assert_eq!(nai(8).emit().unwrap().len(), 72);
        assert_eq!(nai(63).emit().unwrap().len(), 72);
        assert_eq!(nai(64).emit().unwrap().len(), 264);
        for n in [1, 63, 64, 253] {
            assert_eq!(SealedNai::parse(&nai(n).emit().unwrap()), Ok(nai(n)));
        }
        assert!(nai(0).emit().is_err() && nai(254).emit().is_err());
        let mut padded = nai(8).emit().unwrap();
        padded[71] = 1;
        assert_eq!(SealedNai::parse(&padded), Err(Error::Value("sealed NAI")));
        assert!(SealedNai::parse(&padded[..71]).is_err());
    }

    #[test]
    fn sealed_layer_2_round_trip() {
        let address = SealedLayer2 { kind: layer_2::ETHERNET, address: vec![2, 0, 0, 0, 0, 1] };
        let info = address.emit().unwrap();
        assert_eq!(info.len(), 16);
        assert_eq!(SealedLayer2::parse(&info), Ok(address));
        assert!(SealedLayer2::parse(&[0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn agent_heard_and_handle_round_trip() {
        for numbers in NUMBERS {
            let heard = AgentHeard { challenge: &[1; 8], agent: "fa@visited.example" };
            let handle = Handle { handle: 1 << 63, key2: Spi(256), key3: Spi(u32::MAX) };
            let mut w = Writer::default();
            heard.emit(&mut w, numbers).unwrap();
            handle.emit(&mut w, numbers).unwrap();
            let found = walk(w.bytes(), 0).unwrap();
            assert_eq!(AgentHeard::parse(parse(&found[0]).unwrap().unwrap().body), Ok(heard));
            assert_eq!(Handle::parse(parse(&found[1]).unwrap().unwrap().body), Ok(handle));
        }
        assert!(
            AgentHeard { challenge: &[1; 3], agent: "fa" }.emit(&mut Writer::default(), NUMBERS[0]).is_err()
        );
    }

    #[test]
    fn association_entry_round_trip() {
        let info = AssociationInfo {
            mode: Mode::KEY,
            inbound: Spi(300),
            outbound: Spi(301),
            protocol: 2,
            transform: 20,
            key_bits: 256,
            lifetime: 600,
            key: &[9; 32],
            own: "fa@visited.example",
            peer: "ha@home.example",
        };
        let mut w = Writer::default();
        info.emit(&mut w).unwrap();
        assert_eq!(w.len(), info.len());
        let mut r = Reader::new(w.bytes());
        assert!(AssociationInfo::parse(&mut r).unwrap() == info);
        assert!(r.is_empty());
        for n in 0..w.len() {
            assert!(AssociationInfo::parse(&mut Reader::new(&w.bytes()[..n])).is_err());
        }
    }

    #[test]
    fn error_detail_is_cut_at_a_character() {
        let detail = ErrorDetail { code: DetailCode::KDC_UNAVAILABLE, text: "ä".repeat(150) };
        let info = detail.emit();
        assert!(info.len() <= 202);
        assert_eq!(ErrorDetail::parse(&info).unwrap().text, "ä".repeat(100));
    }
}
