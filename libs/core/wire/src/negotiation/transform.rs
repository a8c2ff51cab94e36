//! Transforms (figure 20 of the seed).

use super::{Payload, open_plain, put};
use crate::{Error, Reader, Writer};

/// One algorithm, in IANA's IKEv2 numbers of the kind that the proposal names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transform<'a> {
    /// Number within the proposal, from 1.
    pub number: u8,
    /// How many keys it takes.
    pub keys: u8,
    /// The algorithm.
    pub id: u16,
    /// What else belongs to it, each type at most once.
    pub attributes: Vec<Attribute<'a>>,
}

/// Something that belongs to a transform, as type, length and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute<'a> {
    /// 14: bits of its key (RFC 7296 section 3.3.5).
    KeyBits(u16),
    /// Any other: nobody may choose a transform that has one he does not know.
    Unknown {
        /// Type.
        kind: u16,
        /// Value.
        value: &'a [u8],
    },
}

impl Attribute<'_> {
    const KEY_BITS: u16 = 14;

    const fn kind(&self) -> u16 {
        match self {
            Self::KeyBits(_) => Self::KEY_BITS,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}

impl<'a> Transform<'a> {
    /// Reads the next transform.
    ///
    /// # Errors
    /// [`Error`] for what is cut, counted wrongly or repeated.
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, Error> {
        let mut data = open_plain(r, Payload::TRANSFORM)?;
        let (number, keys, id) = (data.u8()?, data.u8()?, data.u16()?);
        let mut attributes: Vec<Attribute<'a>> = Vec::new();
        while !data.is_empty() {
            let (kind, length) = (data.u16()?, usize::from(data.u16()?));
            let value = data.take(length).map_err(|_| Error::Length("attribute"))?;
            let attribute = match (kind, value) {
                (Attribute::KEY_BITS, [high, low]) => Attribute::KeyBits(u16::from_be_bytes([*high, *low])),
                (Attribute::KEY_BITS, _) => return Err(Error::Length("attribute")),
                _ => Attribute::Unknown { kind, value },
            };
            if attributes.iter().any(|other| other.kind() == kind) {
                return Err(Error::Value("repeated attribute"));
            }
            attributes.push(attribute);
        }
        Ok(Self { number, keys, id, attributes })
    }

    /// Appends the payload.
    ///
    /// # Errors
    /// [`Error::Length`] if it does not fit its length field.
    pub fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        put(w, Payload::TRANSFORM, 0, |w| {
            w.u8(self.number).u8(self.keys).u16(self.id);
            for attribute in &self.attributes {
                let bits: [u8; 2];
                let value = match attribute {
                    Attribute::KeyBits(of) => {
                        bits = of.to_be_bytes();
                        &bits[..]
                    }
                    Attribute::Unknown { value, .. } => value,
                };
                let length = u16::try_from(value.len()).map_err(|_| Error::Length("attribute"))?;
                w.u16(attribute.kind()).u16(length).put(value);
            }
            Ok(())
        })
    }

    /// Bits of its key, if they are told and nothing else is.
    ///
    /// # Errors
    /// [`Error::Value`] if it has an attribute that is not known here.
    pub fn key_bits(&self) -> Result<Option<u16>, Error> {
        match self.attributes.as_slice() {
            [] => Ok(None),
            [Attribute::KeyBits(bits)] => Ok(Some(*bits)),
            _ => Err(Error::Value("attribute of a transform")),
        }
    }
}
