//! Jacobi's symbol of public values: whether a number is a square modulo a prime.
//!
//! The one piece of arithmetic that this crate does itself. crypto-bigint's takes as long as the exponentiation that it
//! precedes, because it works on all words to the end; this lets numbers shrink as they do. No secret comes near it, and a
//! wrong answer could at most refuse an honest value: of a safe prime the range of a value alone keeps it out of small
//! subgroups (RFC 6989 section 2.1).

use std::cmp::Ordering;

use crypto_bigint::{BoxedUint, Odd};

/// True if the number, which must not be 0, is a square modulo the prime.
///
/// Binary: (2/n) is −1 for n of 3 and 5 modulo 8, (a/n) = (n/a) unless both are 3 modulo 4, and (a/n) = (a − n/n).
pub(super) fn is_square(number: &BoxedUint, prime: &Odd<BoxedUint>) -> bool {
    let words = |number: &BoxedUint| Words(number.as_words().to_vec()).trimmed();
    let (mut a, mut n) = (words(number), words(prime.as_ref()));
    let mut negative = false;
    while !a.0.is_empty() {
        if a.halve() % 2 == 1 && matches!(n.low() % 8, 3 | 5) {
            negative = !negative;
        }
        if a.compare(&n) == Ordering::Less {
            std::mem::swap(&mut a, &mut n);
            if a.low() % 4 == 3 && n.low() % 4 == 3 {
                negative = !negative;
            }
        }
        a.subtract(&n);
    }
    // What is left is the greatest common divisor, 1 for every number that is no multiple of the prime.
    n.0 == [1] && !negative
}

/// A number, its lowest word first, without zeros at the end.
struct Words(Vec<u64>);

impl Words {
    fn trimmed(mut self) -> Self {
        self.trim();
        self
    }

    fn trim(&mut self) {
        let used = self.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        self.0.truncate(used);
    }

    fn low(&self) -> u64 {
        self.0.first().copied().unwrap_or_default()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Divides by 2 until it is odd; how many times.
    fn halve(&mut self) -> u32 {
        let words = self.0.iter().take_while(|word| **word == 0).count();
        self.0.drain(..words);
        let bits = self.low().trailing_zeros();
        if bits > 0 {
            let mut above = 0;
            for word in self.0.iter_mut().rev() {
                let shifted = *word >> bits | above;
                above = *word << (64 - bits);
                *word = shifted;
            }
            self.trim();
        }
        u32::try_from(words * 64).unwrap_or_default() + bits
    }

    /// Takes away a number that is no larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        for (word, other) in self.0.iter_mut().zip(others) {
            let (less, first) = word.overflowing_sub(other);
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            (*word, borrow) = (less, first || second);
        }
        self.trim();
    }
}

#[cfg(test)]
mod tests {
    use crypto_bigint::{JacobiSymbol, U2048};
    use num_bigint::BigUint;

    use super::*;
    use crate::{
        Rng,
        group::{known, modp::number},
    };

    fn odd(bytes: &[u8]) -> Odd<BoxedUint> {
        Option::from(Odd::new(number(bytes, bytes.len()).unwrap())).unwrap()
    }

    #[test]
    fn squares_are_what_the_power_of_half_the_order_says() {
        let prime = known::prime(768).unwrap();
        let p = BigUint::from_bytes_be(&prime);
        let half = (&p - 1_u8) >> 1_u32;
        let mut rng = Rng::from_seed([9; 32]);
        let mut squares = 0;
        for _ in 0..200 {
            let value = BigUint::from_bytes_be(&rng.array::<96>()) % &p;
            let square = value.modpow(&half, &p) == BigUint::from(1_u8);
            assert_eq!(is_square(&number(&value.to_bytes_be(), 96).unwrap(), &odd(&prime)), square);
            squares += u32::from(square);
        }
        assert!((50..150).contains(&squares));
    }

    #[test]
    fn small_primes_have_the_squares_that_counting_finds() {
        for prime in [3_u8, 5, 7, 11, 13, 17, 19, 23, 97, 241, 251] {
            for number in 1..prime {
                let square =
                    (1..prime).any(|root| u16::from(root).pow(2) % u16::from(prime) == u16::from(number));
                assert_eq!(
                    is_square(&BoxedUint::from(number), &odd(&[prime])),
                    square,
                    "{number} of {prime}"
                );
            }
        }
    }

    #[test]
    fn it_agrees_with_the_library() {
        let prime = known::prime(2048).unwrap();
        let p = Option::<Odd<_>>::from(Odd::new(U2048::from_be_slice(&prime))).unwrap();
        let mut rng = Rng::from_seed([10; 32]);
        for n in 0..100_usize {
            // Of every length, with zeros at either end.
            let mut bytes = rng.array::<256>();
            bytes[..n * 5 / 2].fill(0);
            bytes[256 - n / 4..].fill(0);
            let library = U2048::from_be_slice(&bytes).jacobi_symbol_vartime(&p) == JacobiSymbol::One;
            assert_eq!(is_square(&number(&bytes, 256).unwrap(), &odd(&prime)), library);
        }
    }
}
