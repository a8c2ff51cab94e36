//! The Diffie–Hellman methods of negotiated associations: which there are, and an exchange over any of them.
//!
//! An initiator draws an [`Offer`], sends its value and completes it with the value that answers. A responder begins an
//! [`Unfinished`] with the value offered, which checks its form and costs next to nothing, and finishes it where there
//! is time: on a thread of its own for whatever [`Group::is_heavy`]. Both end with the same [`Shared`].
//!
//! Every value of a peer is checked before anything secret touches it: its length, its range, that it lies in the
//! subgroup or on the curve, that it is of no low order (RFC 6989, RFC 7748 section 6.1, FIPS 203 section 7.2). A group
//! that the peer names by prime and generator is tested first: [`UserGroup`].

use std::{fmt, str::FromStr, sync::Arc};

mod curve;
mod hybrid;
mod known;
mod modp;
mod prime;
mod private;
mod shared;
mod sides;
mod symbol;
mod user;
mod verdicts;

#[cfg(test)]
mod tests;

use modp::Modp;
pub use shared::{Refused, Shared};
pub use sides::{Answer, Offer, Unfinished};
pub use user::{CheckedGroup, UserGroup, WhyNot};
pub use verdicts::Verdicts;

/// A method with a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// Integers modulo a prime of 768 bits (RFC 2409 section 6.1). Breakable: for peers of another make only.
    Modp768,
    /// 1,024 bits (RFC 2409 section 6.2). Breakable by whoever can afford it: for peers of another make only.
    Modp1024,
    /// 2,048 bits (RFC 3526 section 3).
    Modp2048,
    /// 3,072 bits (RFC 3526 section 4).
    Modp3072,
    /// 4,096 bits (RFC 3526 section 5).
    Modp4096,
    /// 6,144 bits (RFC 3526 section 6).
    Modp6144,
    /// 8,192 bits (RFC 3526 section 7).
    Modp8192,
    /// The curve P-256 (RFC 5903 section 3.1).
    P256,
    /// The curve P-384 (RFC 5903 section 3.2).
    P384,
    /// X25519 (RFC 7748, RFC 8031).
    X25519,
    /// X25519 and ML-KEM-768 (FIPS 203) in one: as long as either holds, the secret does.
    X25519MlKem768,
}

/// What there is to know of a group.
struct Row {
    number: u16,
    name: &'static str,
    /// Bytes of the initiator's value, of the responder's, of the secret.
    lengths: [usize; 3],
}

impl Row {
    const fn even(number: u16, name: &'static str, value: usize, secret: usize) -> Self {
        Self { number, name, lengths: [value, value, secret] }
    }

    const fn modp(number: u16, name: &'static str, bits: usize) -> Self {
        Self::even(number, name, bits / 8, bits / 8)
    }
}

impl Group {
    /// All of them, the weakest first within their kind.
    pub const ALL: [Self; 11] = [
        Self::Modp768,
        Self::Modp1024,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Modp6144,
        Self::Modp8192,
        Self::P256,
        Self::P384,
        Self::X25519,
        Self::X25519MlKem768,
    ];

    const fn row(self) -> Row {
        match self {
            Self::Modp768 => Row::modp(1, "modp-768", 768),
            Self::Modp1024 => Row::modp(2, "modp-1024", 1024),
            Self::Modp2048 => Row::modp(14, "modp-2048", 2048),
            Self::Modp3072 => Row::modp(15, "modp-3072", 3072),
            Self::Modp4096 => Row::modp(16, "modp-4096", 4096),
            Self::Modp6144 => Row::modp(17, "modp-6144", 6144),
            Self::Modp8192 => Row::modp(18, "modp-8192", 8192),
            Self::P256 => Row::even(19, "p-256", 64, 32),
            Self::P384 => Row::even(20, "p-384", 96, 48),
            Self::X25519 => Row::even(31, "x25519", 32, 32),
            Self::X25519MlKem768 => Row {
                number: 1055,
                name: "x25519-ml-kem-768",
                lengths: [hybrid::OFFER, hybrid::ANSWER, hybrid::SECRET],
            },
        }
    }

    /// IANA's number of it among the key exchange methods of IKEv2.
    ///
    /// X25519 with ML-KEM-768 has none there: IKEv2 runs ML-KEM-768 (36) as a second exchange after another (RFC 9370),
    /// and what is here has both in one value. Its number, 1055, is of the private range, 1024 and 31.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.row().number
    }

    /// The group of a number, `None` if there is none here.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.number() == number)
    }

    /// Its name in configuration files, such as "modp-2048" or "x25519".
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Bytes of an initiator's public value.
    #[must_use]
    pub const fn offer_length(self) -> usize {
        self.row().lengths[0]
    }

    /// Bytes of a responder's public value.
    #[must_use]
    pub const fn answer_length(self) -> usize {
        self.row().lengths[1]
    }

    /// Bytes of the shared secret.
    #[must_use]
    pub const fn secret_length(self) -> usize {
        self.row().lengths[2]
    }

    /// True for what nobody should use any more (RFC 8247 section 2.4), and nobody does who was not told to.
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Modp768 | Self::Modp1024)
    }

    /// True if an exchange takes so long, from 0.2 ms to 0.1 s, that an event loop should leave it to a thread beside.
    #[must_use]
    pub const fn is_heavy(self) -> bool {
        self.bits().is_some() || matches!(self, Self::P384)
    }

    /// True if it withstands a quantum computer too, as far as is known.
    #[must_use]
    pub const fn is_hybrid(self) -> bool {
        matches!(self, Self::X25519MlKem768)
    }

    /// Bits of the prime where numbers are multiplied modulo one.
    const fn bits(self) -> Option<u32> {
        match self {
            Self::Modp768 => Some(768),
            Self::Modp1024 => Some(1024),
            Self::Modp2048 => Some(2048),
            Self::Modp3072 => Some(3072),
            Self::Modp4096 => Some(4096),
            Self::Modp6144 => Some(6144),
            Self::Modp8192 => Some(8192),
            Self::P256 | Self::P384 | Self::X25519 | Self::X25519MlKem768 => None,
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no group has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownGroup(String);

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Group::ALL.map(Group::name).join(", ");
        write!(f, "no group is called {:?}: there are {names}", self.0)
    }
}

impl std::error::Error for UnknownGroup {}

impl FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(name: &str) -> Result<Self, UnknownGroup> {
        Self::ALL.into_iter().find(|group| group.name() == name).ok_or_else(|| UnknownGroup(name.to_owned()))
    }
}

/// What an exchange is made with: a group that has a number, or one of prime and generator that was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Method {
    /// One with a number.
    Known(Group),
    /// One that a peer defined.
    User(CheckedGroup),
}

impl Method {
    /// Bytes of an initiator's public value.
    #[must_use]
    pub fn offer_length(&self) -> usize {
        match self {
            Self::Known(group) => group.offer_length(),
            Self::User(group) => group.length(),
        }
    }

    /// Bytes of a responder's public value.
    #[must_use]
    pub fn answer_length(&self) -> usize {
        match self {
            Self::Known(group) => group.answer_length(),
            Self::User(group) => group.length(),
        }
    }

    /// True for what needs `allow_legacy_groups`: groups 1 and 2, and primes below 2,048 bits.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        match self {
            Self::Known(group) => group.is_legacy(),
            Self::User(group) => group.is_legacy(),
        }
    }

    /// As [`Group::is_heavy`].
    #[must_use]
    pub const fn is_heavy(&self) -> bool {
        match self {
            Self::Known(group) => group.is_heavy(),
            Self::User(_) => true,
        }
    }

    /// The arithmetic modulo its prime, if it has one.
    fn modp(&self) -> Option<Arc<Modp>> {
        match self {
            Self::Known(group) => modp::known(group.bits()?),
            Self::User(group) => Some(group.modp()),
        }
    }
}

impl From<Group> for Method {
    fn from(group: Group) -> Self {
        Self::Known(group)
    }
}

impl From<CheckedGroup> for Method {
    fn from(group: CheckedGroup) -> Self {
        Self::User(group)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(group) => group.fmt(f),
            Self::User(group) => group.fmt(f),
        }
    }
}
