//! The Internet checksum: the complement of the ones-complement sum of 16-bit words (RFC 1071).
//!
//! Also its change when one word of the data changes (RFC 1624 §3), for headers rewritten in place. It says
//! nothing about who sent the bytes; authenticity is never its business.

/// A running ones-complement sum over data that comes in pieces.
///
/// Every piece but the last has to have an even number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes; an odd last byte counts as the upper half of a word whose lower half is zero.
    #[must_use]
    pub fn bytes(self, data: &[u8]) -> Self {
        // Ones-complement sums do not mind the order of octets in a word (RFC 1071 §2): four at a time as the
        // processor has them, turned round once at the end.
        let (words, rest) = data.as_chunks::<4>();
        let mut native: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        while native > 0xffff {
            native = (native & 0xffff) + (native >> 16);
        }
        let mut total = self.0 + u64::from(u16::from_be(native as u16));
        for word in rest.chunks(2) {
            total += match *word {
                [high, low] => u64::from(u16::from_be_bytes([high, low])),
                [last, ..] => u64::from(last) << 8,
                [] => 0,
            };
        }
        Self(total)
    }

    /// Adds one word.
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// The checksum: the complement of the folded sum.
    ///
    /// Over data that already holds its right checksum this is zero.
    #[must_use]
    pub const fn finish(self) -> u16 {
        let mut total = self.0;
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        // The loop leaves 16 bits.
        !(total as u16)
    }
}

/// The checksum of one contiguous piece of data (RFC 1071).
#[must_use]
pub fn checksum(data: &[u8]) -> u16 {
    Sum::new().bytes(data).finish()
}

/// The checksum of data in which the word `old` became `new`, from the `checksum` before (RFC 1624 §3).
#[must_use]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::new().word(!checksum).word(!old).word(new).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071 §3: the words sum to 0x2ddf0, folded 0xddf2.
    const EXAMPLE: [u8; 8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

    #[test]
    fn example_of_the_rfc() {
        assert_eq!(checksum(&EXAMPLE), !0xddf2);
    }

    #[test]
    fn nothing_sums_to_all_ones() {
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn an_odd_byte_is_the_upper_half() {
        assert_eq!(checksum(&[0x12, 0x34, 0x56]), checksum(&[0x12, 0x34, 0x56, 0x00]));
    }

    #[test]
    fn every_length_sums_as_its_words_do() {
        let data: Vec<u8> = (0..2000_u32).map(|n| (n * n / 7) as u8 | 0x80).collect();
        for length in 0..data.len() {
            let words = data[..length].chunks(2).map(|word| match *word {
                [high, low] => u64::from(u16::from_be_bytes([high, low])),
                _ => u64::from(word[0]) << 8,
            });
            let mut sum: u64 = words.sum();
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            assert_eq!(checksum(&data[..length]), !(sum as u16), "{length}");
        }
    }

    #[test]
    fn pieces_sum_as_the_whole() {
        let pieces = Sum::new().bytes(&EXAMPLE[..4]).bytes(&EXAMPLE[4..]).finish();
        assert_eq!(pieces, checksum(&EXAMPLE));
    }

    #[test]
    fn data_with_its_checksum_sums_to_zero() {
        let mut data = EXAMPLE.to_vec();
        data.extend(checksum(&EXAMPLE).to_be_bytes());
        assert_eq!(checksum(&data), 0);
    }

    /// The case of RFC 1624 §4 that the older equation gets wrong: it must give 0x0000, not 0xffff.
    #[test]
    fn update_never_makes_minus_zero_from_a_header() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn update_equals_a_new_sum() {
        let before = checksum(&EXAMPLE);
        for new in [0x0000_u16, 0x0001, 0x7fff, 0x8000, 0xfffe, 0xffff, 0xf204] {
            let mut data = EXAMPLE;
            data[2..4].copy_from_slice(&new.to_be_bytes());
            assert_eq!(update(before, 0xf203, new), checksum(&data), "{new:#06x}");
        }
    }

    #[test]
    fn the_longest_packet_does_not_overflow() {
        let data = vec![0xff; 65_535];
        assert_eq!(checksum(&data), !0xff00);
    }
}
