//! Key exchanges (figures 21 to 23 of the seed).

use std::fmt;

use super::{Payload, open, put};
use crate::{
    Error, Reader, Writer,
    mip::{Spi, share::Group},
};

/// One way to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyExchange<'a> {
    /// Sub-type 1: a group that both know.
    Group {
        /// Which, in IANA's IKEv2 numbers.
        group: Group,
        /// The sender's public value; nothing where he would take the group but did not make a value yet.
        value: &'a [u8],
    },
    /// Sub-type 2: a secret that the path or a seal around it protects. Whoever reads it moves it into a type that is
    /// wiped.
    Secret {
        /// What it is for.
        group: Group,
        /// The secret.
        secret: &'a [u8],
    },
    /// Sub-type 3: a group of the sender's own.
    Own {
        /// The prime, without leading zeros.
        prime: &'a [u8],
        /// The generator, without leading zeros.
        generator: &'a [u8],
        /// The sender's public value, as long as the prime; nothing as above.
        value: &'a [u8],
    },
    /// Sub-type 4: a secret of the key distribution centre, sealed under an association.
    Sealed {
        /// Index of that association.
        spi: Spi,
        /// The sealed secret.
        sealed: &'a [u8],
    },
}

/// Sub-types.
mod subtype {
    pub(super) const GROUP: u8 = 1;
    pub(super) const SECRET: u8 = 2;
    pub(super) const OWN: u8 = 3;
    pub(super) const SEALED: u8 = 4;
}

impl<'a> KeyExchange<'a> {
    /// Reads the next key exchange. Values are judged by who answers.
    ///
    /// # Errors
    /// [`Error`] for what is cut, counted wrongly or unknown, and for a secret of no length.
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, Error> {
        let (kind, mut data) = open(r, Payload::KEY_EXCHANGE)?;
        match kind {
            subtype::GROUP => Ok(Self::Group { group: Group(data.u16()?), value: data.rest() }),
            subtype::SECRET => {
                let group = Group(data.u16()?);
                Ok(Self::Secret { group, secret: something(data.rest())? })
            }
            subtype::OWN => {
                let (prime, generator) = (number(&mut data)?, number(&mut data)?);
                let value = counted(&mut data)?;
                data.finish()?;
                if !value.is_empty() && value.len() != prime.len() {
                    return Err(Error::Length("value of a key exchange"));
                }
                Ok(Self::Own { prime, generator, value })
            }
            subtype::SEALED => Ok(Self::Sealed { spi: Spi(data.u32()?), sealed: something(data.rest())? }),
            _ => Err(Error::Value("sub-type of a key exchange")),
        }
    }

    /// Appends the payload.
    ///
    /// # Errors
    /// [`Error::Length`] if it does not fit its length field.
    pub fn emit(&self, w: &mut Writer) -> Result<(), Error> {
        let kind = match self {
            Self::Group { .. } => subtype::GROUP,
            Self::Secret { .. } => subtype::SECRET,
            Self::Own { .. } => subtype::OWN,
            Self::Sealed { .. } => subtype::SEALED,
        };
        put(w, Payload::KEY_EXCHANGE, kind, |w| {
            match self {
                Self::Group { group, value: data } | Self::Secret { group, secret: data } => {
                    w.u16(group.0).put(data);
                }
                Self::Own { prime, generator, value } => {
                    for part in [prime, generator, value] {
                        let length = u16::try_from(part.len()).map_err(|_| Error::Length("key exchange"))?;
                        w.u16(length).put(part);
                    }
                }
                Self::Sealed { spi, sealed } => {
                    w.u32(spi.0).put(sealed);
                }
            }
            Ok(())
        })
    }
}

/// Sizes only: some of it is secret.
impl fmt::Debug for KeyExchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { group, value } => write!(f, "group {} with {} bytes", group.0, value.len()),
            Self::Secret { secret, .. } => write!(f, "a secret of {} bytes", secret.len()),
            Self::Own { prime, value, .. } => {
                write!(f, "a group of its own of {} bytes with {} bytes", prime.len(), value.len())
            }
            Self::Sealed { spi, sealed } => write!(f, "{} bytes sealed under {spi}", sealed.len()),
        }
    }
}

fn something(data: &[u8]) -> Result<&[u8], Error> {
    if data.is_empty() { Err(Error::Length("key exchange")) } else { Ok(data) }
}

fn counted<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = usize::from(r.u16()?);
    r.take(length).map_err(|_| Error::Length("key exchange"))
}

/// A number above zero without leading zeros: one way only to write it.
fn number<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let number = counted(r)?;
    match number.first() {
        Some(0) | None => Err(Error::Value("number of a key exchange")),
        Some(_) => Ok(number),
    }
}
