//! The one key schedule (docs/wire.md): HKDF with SHA-256 (RFC 5869), a label and a context.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::Key;

/// `n` bytes derived from `key`, with a fresh shared secret or 32 zero bytes where there is none.
///
/// Extract has the key as salt and the shared secret as input; expand has "sojourn-1", the label and the
/// context, the last two with a 16-bit length before them.
#[must_use]
pub fn derive<const N: usize>(key: &Key, shared: Option<&[u8; 32]>, label: &str, context: &[u8]) -> [u8; N] {
    expand(&Hkdf::<Sha256>::new(Some(key.expose()), shared.unwrap_or(&[0; 32])), label, [context])
}

/// 32 bytes of a secret of any length: extract with 32 zero bytes as salt, and expand as [`derive()`] does.
#[must_use]
pub fn extract(secret: &[u8], label: &str, context: &[u8]) -> Key {
    Key::new(expand(&Hkdf::<Sha256>::new(Some(&[0; 32]), secret), label, [context]))
}

/// What extract gives of a key without a shared secret, kept by whoever derives from that key again and again.
pub struct Root(Key);

impl Root {
    /// Of this key.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        let (mut extracted, _) = Hkdf::<Sha256>::extract(Some(key.expose()), &[0; 32]);
        let root = Key::new(extracted.into());
        crate::wipe(&mut extracted);
        Self(root)
    }

    /// The same as [`derive()`] without a shared secret; the context is all of `context`, one after the other.
    #[must_use]
    pub fn derive<const N: usize, const C: usize>(&self, label: &str, context: [&[u8]; C]) -> [u8; N] {
        // Of the length of a hash, so that it cannot be refused; the fallback is never taken.
        let hkdf = Hkdf::<Sha256>::from_prk(self.0.expose())
            .unwrap_or_else(|_| Hkdf::<Sha256>::new(Some(self.0.expose()), &[]));
        expand(&hkdf, label, context)
    }
}

/// 32 bytes of a seed that is uniform already: HKDF's expand alone, with the label as all of its information.
#[must_use]
pub fn part_of(seed: &Key, label: &str) -> Key {
    let mut part = [0; 32];
    // Of the length of a hash, so that it cannot be refused; the fallback is never taken.
    let hkdf = Hkdf::<Sha256>::from_prk(seed.expose())
        .unwrap_or_else(|_| Hkdf::<Sha256>::new(Some(seed.expose()), &[]));
    let expanded = hkdf.expand(label.as_bytes(), &mut part);
    debug_assert!(expanded.is_ok());
    let key = Key::new(part);
    crate::wipe(&mut part);
    key
}

/// Most parts of a context.
const PARTS: usize = 4;

fn expand<const N: usize, const C: usize>(hkdf: &Hkdf<Sha256>, label: &str, context: [&[u8]; C]) -> [u8; N] {
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    let (label_length, context_length) = (length(label.len()), length(context.iter().map(|c| c.len()).sum()));
    let mut info: [&[u8]; 4 + PARTS] = [&[]; 4 + PARTS];
    info[..4].copy_from_slice(&[b"sojourn-1", &label_length, label.as_bytes(), &context_length]);
    const { assert!(C <= PARTS) };
    info[4..4 + C].copy_from_slice(&context);
    let mut out = [0; N];
    // Expand can only fail above 255 blocks of 32 bytes, and nothing here asks for more than two blocks.
    const { assert!(N <= 64) };
    let expanded = hkdf.expand_multi_info(&info, &mut out);
    debug_assert!(expanded.is_ok());
    out
}

/// Appends the 16-bit length of `bytes` and `bytes`.
pub fn length_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_changes_the_key() {
        let key = Key::new([1; 32]);
        let base: [u8; 32] = derive(&key, None, "label", b"context");
        assert_eq!(base, derive::<32>(&key, Some(&[0; 32]), "label", b"context"));
        assert_ne!(base, derive::<32>(&Key::new([2; 32]), None, "label", b"context"));
        assert_ne!(base, derive::<32>(&key, Some(&[1; 32]), "label", b"context"));
        assert_ne!(base, derive::<32>(&key, None, "labe", b"lcontext"));
        assert_ne!(base, derive::<32>(&key, None, "label", b"contex"));
    }

    #[test]
    fn a_root_gives_what_its_key_gives() {
        let key = Key::new([1; 32]);
        let whole: [u8; 32] = derive(&key, None, "label", b"first and second");
        assert_eq!(Root::of(&key).derive::<32, 3>("label", [b"first ", b"and", b" second"]), whole);
        assert_ne!(Root::of(&key).derive::<32, 2>("label", [b"first ", b"and"]), whole);
        assert_ne!(Root::of(&Key::new([2; 32])).derive::<32, 1>("label", [b"first and second"]), whole);
    }

    #[test]
    fn a_secret_of_32_bytes_gives_what_a_key_of_zeros_derives_from_it() {
        let derived: [u8; 32] = derive(&Key::new([0; 32]), Some(&[7; 32]), "label", b"context");
        assert!(*extract(&[7; 32], "label", b"context").expose() == derived);
        assert!(*extract(&[7; 33], "label", b"context").expose() != derived);
    }

    #[test]
    fn a_part_of_a_seed_is_the_first_block_of_expand() {
        // RFC 5869 appendix A.1 has the pseudo-random key; the first block is HMAC(key, label, 1).
        let seed = Key::from_hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5").unwrap();
        assert_eq!(*part_of(&seed, "mn-ha").expose(), crate::hmac(&seed, &[b"mn-ha", &[1]]));
        assert!(part_of(&seed, "mn-ha") != part_of(&seed, "fa-ha"));
    }

    #[test]
    fn lengths_stand_before_bytes() {
        let mut out = Vec::new();
        length_prefixed(&mut out, b"abc");
        length_prefixed(&mut out, b"");
        assert_eq!(out, [0, 3, b'a', b'b', b'c', 0, 0]);
    }
}
