//! Proposals (figure 19 of the seed).

use super::{KeyExchange, MAX_EXCHANGES, MAX_TRANSFORMS, Payload, Protocol, Transform, open_plain, put};
use crate::{Error, Reader, Writer, mip::Spi};

/// One protocol of an alternative, with its transforms in order of preference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal<'a> {
    /// Number of the alternative that it belongs to, from 1.
    pub number: u8,
    /// Number of this protocol within the alternative, from 1.
    pub protocol_number: u8,
    /// What kind of algorithm it is for.
    pub protocol: Protocol,
    /// Seconds that the association is to live, at least 1.
    pub lifetime: u32,
    /// Index of the association, where it is told here; else 0.
    pub spi: Spi,
    /// Alternatives, at least one, numbered from 1 and rising.
    pub transforms: Vec<Transform<'a>>,
    /// Ways to a key, in order of preference.
    pub exchanges: Vec<KeyExchange<'a>>,
}

impl<'a> Proposal<'a> {
    /// Reads the next proposal.
    ///
    /// # Errors
    /// [`Error`] for what is cut, counted wrongly, repeated or unknown.
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, Error> {
        let mut data = open_plain(r, Payload::PROPOSAL)?;
        let (number, protocol_number) = (data.u8()?, data.u8()?);
        let (protocol, count) = (Protocol(data.u8()?), usize::from(data.u8()?));
        let (lifetime, spi) = (data.u32()?, Spi(data.u32()?));
        if !Protocol::NAMED.contains(&protocol) {
            return Err(Error::Value("protocol of a proposal"));
        }
        if lifetime == 0 {
            return Err(Error::Value("lifetime of a proposal"));
        }
        if !(1..=MAX_TRANSFORMS).contains(&count) {
            return Err(Error::Length("number of transforms"));
        }
        let mut transforms: Vec<Transform<'a>> = Vec::with_capacity(count);
        for _ in 0..count {
            let transform = Transform::parse(&mut data)?;
            if transform.number <= transforms.last().map_or(0, |last| last.number) {
                return Err(Error::Value("order of transforms"));
            }
            transforms.push(transform);
        }
        let mut exchanges = Vec::new();
        while !data.is_empty() {
            if exchanges.len() == MAX_EXCHANGES {
                return Err(Error::Length("number of key exchanges"));
            }
            exchanges.push(KeyExchange::parse(&mut data)?);
        }
        Ok(Self { number, protocol_number, protocol, lifetime, spi, transforms, exchanges })
    }

    /// Appends the payload.
    ///
    /// # Errors
    /// [`Error::Length`] if there are too many transforms, or it does not fit its length field.
    pub fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        let count = u8::try_from(self.transforms.len()).map_err(|_| Error::Length("number of transforms"))?;
        put(w, Payload::PROPOSAL, 0, |w| {
            w.u8(self.number).u8(self.protocol_number).u8(self.protocol.0).u8(count);
            w.u32(self.lifetime).u32(self.spi.0);
            self.transforms.iter().try_for_each(|transform| transform.emit(w))?;
            self.exchanges.iter().try_for_each(|exchange| exchange.emit(w))
        })
    }
}
