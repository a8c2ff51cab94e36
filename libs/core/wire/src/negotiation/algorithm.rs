//! Algorithms by their numbers: those of IANA's registries "IKEv2 Transform Attribute Types", of which the protocol of a
//! proposal tells the one meant. Groups are in [`crate::mip::share::Group`].

use super::Protocol;
use crate::mip::code::registry;

/// Transforms of [`Protocol::ENCRYPTION`]. Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Encryption(pub u16);

registry! {
    Encryption, "unknown encryption";
    /// AES in Galois/counter mode with a tag of 16 bytes (RFC 5282); its attribute tells 128 or 256 key bits.
    AES_GCM_16 = 20, "AES-GCM-16";
    /// ChaCha20 and Poly1305 (RFC 7634), always of 256 key bits.
    CHACHA20_POLY1305 = 28, "ChaCha20-Poly1305";
}

/// Transforms of [`Protocol::AUTHENTICATION`]. Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Integrity(pub u16);

registry! {
    Integrity, "unknown authentication";
    /// HMAC with SHA-256; here all 32 bytes of it.
    HMAC_SHA_256 = 12, "HMAC-SHA-256";
    /// HMAC with SHA-512, the first 32 bytes of it.
    HMAC_SHA_512_256 = 14, "HMAC-SHA-512-256";
}

/// Transforms of [`Protocol::PRF`]. Unknown values survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prf(pub u16);

registry! {
    Prf, "unknown prf";
    /// HMAC with SHA-256.
    HMAC_SHA_256 = 5, "HMAC-SHA-256";
    /// HMAC with SHA-512.
    HMAC_SHA_512 = 7, "HMAC-SHA-512";
}

/// The name of a transform of this protocol, if it has one here.
#[must_use]
pub fn name(protocol: Protocol, id: u16) -> Option<&'static str> {
    match protocol {
        Protocol::AUTHENTICATION => {
            Integrity::NAMED.contains(&Integrity(id)).then(|| Integrity(id).meaning())
        }
        Protocol::ENCRYPTION => Encryption::NAMED.contains(&Encryption(id)).then(|| Encryption(id).meaning()),
        Protocol::PRF => Prf::NAMED.contains(&Prf(id)).then(|| Prf(id).meaning()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_of_two_protocols_are_two_algorithms() {
        assert_eq!(name(Protocol::ENCRYPTION, 20), Some("AES-GCM-16"));
        assert_eq!(name(Protocol::AUTHENTICATION, 12), Some("HMAC-SHA-256"));
        assert_eq!(name(Protocol::PRF, 5), Some("HMAC-SHA-256"));
        for (protocol, id) in [
            (Protocol::AUTHENTICATION, 20),
            (Protocol::ENCRYPTION, 12),
            (Protocol::PRF, 12),
            (Protocol(0), 20),
            (Protocol::ENCRYPTION, 20 + 256),
        ] {
            assert_eq!(name(protocol, id), None, "{protocol:?} {id}");
        }
    }
}
