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
    let hkdf = Hkdf::<Sha256>::new(Some(key.expose()), shared.unwrap_or(&[0; 32]));
    let mut info = Vec::with_capacity(13 + label.len() + context.len());
    info.extend_from_slice(b"sojourn-1");
    length_prefixed(&mut info, label.as_bytes());
    length_prefixed(&mut info, context);
    let mut out = [0; N];
    // Expand can only fail above 255 blocks of 32 bytes, and nothing here asks for more than two blocks.
    const { assert!(N <= 64) };
    let expanded = hkdf.expand(&info, &mut out);
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
    fn lengths_stand_before_bytes() {
        let mut out = Vec::new();
        length_prefixed(&mut out, b"abc");
        length_prefixed(&mut out, b"");
        assert_eq!(out, [0, 3, b'a', b'b', b'c', 0, 0]);
    }
}
