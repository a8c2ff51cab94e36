//! Groups that a peer defines by a prime and a generator.
//!
//! Two steps: [`UserGroup::new`] looks at sizes and costs nothing; [`UserGroup::check`] tells whether the prime is a safe
//! one, p = 2q + 1 with q prime, and takes from 0.06 s at 2,048 bits to 4 s at 8,192, so it belongs on a thread of its own
//! and its verdict into [`super::Verdicts`].
//!
//! Only safe primes are taken. What counts is that the order of the generator is large and prime or twice that, and a
//! peer that sends prime and generator alone cannot show it in another way: the order of a subgroup, as DSA has it, is
//! not in the message, and factors of p − 1 cannot be found. A prime that was chosen with a trap, so that its owner takes
//! logarithms more easily, looks like any other: whoever can do without such groups should.

use std::{fmt, sync::Arc};

use crypto_bigint::Odd;

use super::{
    Refused, known,
    modp::{self, Modp},
    prime,
};
use crate::{Rng, mac::digest};

/// Fewest bits of a prime.
const LEAST: u32 = 2048;

/// Fewest bits where legacy groups are allowed: those of group 1.
const LEAST_LEGACY: u32 = 768;

/// Most bits of a prime.
const MOST: u32 = 8192;

/// Why a group that a peer defined is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WhyNot {
    /// The prime is too short.
    #[error("a prime of {is} bits: it must have {least} to 8192")]
    Short {
        /// Bits it has.
        is: u32,
        /// Bits it must have at least.
        least: u32,
    },
    /// The prime is too long.
    #[error("a prime of {is} bits: it must have no more than 8192")]
    Long {
        /// Bits it has.
        is: u32,
    },
    /// Prime or generator begins with a zero octet, so the group could be spelt in two ways.
    #[error("prime and generator must begin with an octet that is not zero")]
    LeadingZero,
    /// The prime is even.
    #[error("the prime is an even number")]
    Even,
    /// The prime is none.
    #[error("the prime is a product")]
    Composite,
    /// (p − 1) / 2 is not prime.
    #[error("the prime p is not safe: (p - 1) / 2 must be prime too")]
    NotSafe,
    /// The generator is 0, 1, p − 1, or not below p.
    #[error("the generator is not one of 2 to p - 2")]
    Generator,
}

/// A group as it came: of the right sizes, and otherwise not looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserGroup {
    prime: Vec<u8>,
    generator: Vec<u8>,
    bits: u32,
}

impl UserGroup {
    /// Takes prime and generator, both without leading zero octets. The prime has 2,048 to 8,192 bits, with
    /// `allow_legacy` from 768 on.
    ///
    /// # Errors
    /// [`WhyNot`] except [`WhyNot::Composite`] and [`WhyNot::NotSafe`].
    pub fn new(prime: &[u8], generator: &[u8], allow_legacy: bool) -> Result<Self, WhyNot> {
        let least = if allow_legacy { LEAST_LEGACY } else { LEAST };
        if prime.first() == Some(&0) || generator.first() == Some(&0) {
            return Err(WhyNot::LeadingZero);
        }
        // Lengths have 16 bits on the wire; one that does not fit here is too long in any case.
        let bits = u32::try_from(8 * prime.len()).unwrap_or(u32::MAX)
            - prime.first().map_or(0, |first| first.leading_zeros());
        if bits > MOST {
            return Err(WhyNot::Long { is: bits });
        }
        if bits < least {
            return Err(WhyNot::Short { is: bits, least });
        }
        let number = |bytes| modp::number(bytes, prime.len());
        let odd =
            number(prime).and_then(|prime| Option::<Odd<_>>::from(Odd::new(prime))).ok_or(WhyNot::Even)?;
        if generator.len() > prime.len()
            || !number(generator).is_some_and(|generator| modp::in_range(&generator, &odd))
        {
            return Err(WhyNot::Generator);
        }
        Ok(Self { prime: prime.to_vec(), generator: generator.to_vec(), bits })
    }

    /// The prime, without leading zero octets.
    #[must_use]
    pub fn prime(&self) -> &[u8] {
        &self.prime
    }

    /// The generator, without leading zero octets.
    #[must_use]
    pub fn generator(&self) -> &[u8] {
        &self.generator
    }

    /// Bits of the prime.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Refuses a public value that serves in no group of this prime, at next to no cost and before anybody works at it.
    ///
    /// # Errors
    /// [`Refused::Length`] and [`Refused::Range`].
    pub fn check_value(&self, value: &[u8]) -> Result<(), Refused> {
        if value.len() != self.prime.len() {
            return Err(Refused::Length { is: value.len(), must_be: self.prime.len() });
        }
        let number = |bytes| modp::number(bytes, self.prime.len());
        let odd = number(&self.prime).and_then(|prime| Option::<Odd<_>>::from(Odd::new(prime)));
        let serves = number(value).zip(odd).is_some_and(|(value, prime)| modp::in_range(&value, &prime));
        if serves { Ok(()) } else { Err(Refused::Range) }
    }

    /// One that [`check`](Self::check) passed before, by the word of whoever had it checked: a configuration that was
    /// read with it. Never for what a peer sent.
    ///
    /// # Errors
    /// None that one which passed has.
    pub fn vouched(&self) -> Result<CheckedGroup, WhyNot> {
        self.checked()
    }

    /// True for a prime of RFC 2409 or RFC 3526, which is known to be safe: its check costs nothing.
    #[must_use]
    pub fn is_known(&self) -> bool {
        known::is_known(self.bits, &self.prime)
    }

    /// SHA-256 of the prime: verdicts are remembered by it.
    pub(super) fn digest(&self) -> [u8; 32] {
        digest(&[&self.prime])
    }

    /// Tells if the prime is a safe one, with bases from `rng` that nobody knew before.
    ///
    /// # Errors
    /// [`WhyNot::Composite`] and [`WhyNot::NotSafe`].
    pub fn check(&self, rng: &mut Rng) -> Result<CheckedGroup, WhyNot> {
        if !self.is_known() {
            prime::check_safe(&self.prime, rng)?;
        }
        self.checked()
    }

    /// With a prime that was found to be safe.
    pub(super) fn checked(&self) -> Result<CheckedGroup, WhyNot> {
        let known = (self.is_known() && self.generator == [2]).then(|| modp::known(self.bits)).flatten();
        let made = || Modp::new(&self.prime, &self.generator).map(Arc::new);
        // The prime is odd and the generator fits: `new` looked. The error is never given.
        let modp = known.or_else(made).ok_or(WhyNot::Even)?;
        Ok(CheckedGroup { of: Arc::new(self.clone()), modp })
    }
}

/// A group that serves: its prime is safe, and its generator makes all values or all squares. Copies share the numbers.
#[derive(Clone)]
pub struct CheckedGroup {
    of: Arc<UserGroup>,
    modp: Arc<Modp>,
}

impl CheckedGroup {
    /// The prime, without leading zero octets.
    #[must_use]
    pub fn prime(&self) -> &[u8] {
        &self.of.prime
    }

    /// The generator, without leading zero octets.
    #[must_use]
    pub fn generator(&self) -> &[u8] {
        &self.of.generator
    }

    /// Bits of the prime.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.of.bits
    }

    /// Bytes of the prime, and of every public value and secret.
    #[must_use]
    pub fn length(&self) -> usize {
        self.modp.length()
    }

    /// True below 2,048 bits.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.of.bits < LEAST
    }

    /// The group as it came.
    pub(super) fn of(&self) -> &UserGroup {
        &self.of
    }

    pub(super) fn modp(&self) -> Arc<Modp> {
        self.modp.clone()
    }
}

impl PartialEq for CheckedGroup {
    fn eq(&self, other: &Self) -> bool {
        self.of == other.of
    }
}

impl Eq for CheckedGroup {}

impl fmt::Debug for CheckedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CheckedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user-defined modp-{}", self.of.bits)
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;
    use crate::group::{Group, Offer, Refused, Unfinished};

    /// A safe prime of 771 bits, so of no whole number of octets or words (openssl prime -generate -safe).
    const ODD_LENGTH: &str = "06ef300c2d3e81ae3fe1d672e797929fc4a3467a9e4cc2e86c2a0d9f8f43030244a522283f88c5ab9e8175e887d2\
                              85dfbff1e2dadd799422df798b977eb655ebc239807e996d426690138c651e674c7a1d53b94a75771232f1e673b5\
                              1c620c5ff3";

    /// A prime of RFC 7919 appendix A: 2^n − 2^(n−64) + 2^64 · ([2^(n−130) · e] + c) − 1.
    fn ffdhe(bits: u32, c: u32) -> BigUint {
        let one = BigUint::from(1_u8);
        // The sum of 1 / n!, with 64 bits more than are needed.
        let mut term = &one << (bits - 130 + 64);
        let (mut sum, mut n) = (term.clone(), 0_u32);
        while term > BigUint::ZERO {
            n += 1;
            term /= n;
            sum += &term;
        }
        (&one << bits) - (&one << (bits - 64)) + (((sum >> 64_u32) + c) << 64_u32) - one
    }

    fn hex(digits: &str) -> Vec<u8> {
        BigUint::parse_bytes(digits.as_bytes(), 16).unwrap().to_bytes_be()
    }

    fn known(bits: u32) -> Vec<u8> {
        known::prime(bits).unwrap()
    }

    fn rng() -> Rng {
        Rng::from_seed([9; 32])
    }

    fn verdict(prime: &[u8], generator: &[u8], allow_legacy: bool) -> Result<CheckedGroup, WhyNot> {
        UserGroup::new(prime, generator, allow_legacy)?.check(&mut rng())
    }

    fn minus(prime: &[u8], n: u32) -> Vec<u8> {
        (BigUint::from_bytes_be(prime) - n).to_bytes_be()
    }

    fn plus(prime: &[u8], n: u32) -> Vec<u8> {
        (BigUint::from_bytes_be(prime) + n).to_bytes_be()
    }

    fn agree(group: &CheckedGroup) {
        let offer = Offer::new(&mut Rng::from_seed([1; 32]), group.clone());
        let answer = Unfinished::begin(&mut rng(), group.clone(), offer.value()).unwrap().finish().unwrap();
        let shared = offer.complete(answer.value()).unwrap();
        assert_eq!([offer.value().len(), answer.value().len(), shared.secret().len()], [group.length(); 3]);
        assert!(shared.secret() == answer.shared().secret() && shared.key() == answer.shared().key());
    }

    #[test]
    fn safe_primes_serve() {
        for (bits, c) in [(2048, 560_316), (3072, 2_625_351)] {
            let group = UserGroup::new(&ffdhe(bits, c).to_bytes_be(), &[2], false).unwrap();
            assert!(!group.is_known());
            let group = group.check(&mut rng()).unwrap();
            assert_eq!((group.bits(), group.length(), group.is_legacy()), (bits, bits as usize / 8, false));
            agree(&group);
        }
        let odd = verdict(&hex(ODD_LENGTH), &[2], true).unwrap();
        assert_eq!((odd.bits(), odd.length(), odd.is_legacy()), (771, 97, true));
        agree(&odd);
    }

    #[test]
    fn known_primes_serve_with_any_generator() {
        for (bits, _) in known::PRIMES {
            let prime = known(bits);
            for generator in [vec![2], vec![3], minus(&prime, 2)] {
                let group = UserGroup::new(&prime, &generator, true).unwrap();
                assert!(group.is_known());
                assert_eq!(group.check(&mut rng()).unwrap().generator(), generator);
            }
        }
        agree(&verdict(&known(2048), &[3], false).unwrap());
    }

    #[test]
    fn values_of_no_group_are_refused_before_the_prime_is_looked_at() {
        // Nobody looked at it: 2^2047 + 1.
        let prime = ((BigUint::from(1_u8) << 2047_u32) + 1_u8).to_bytes_be();
        let group = UserGroup::new(&prime, &[2], false).unwrap();
        let padded = |n: u8| [&[0; 255][..], &[n]].concat();
        let serves = [padded(2), minus(&prime, 2), vec![1; 256]];
        assert!(serves.iter().all(|value| group.check_value(value).is_ok()));
        for value in [padded(0), padded(1), minus(&prime, 1), prime.clone(), plus(&prime, 1), vec![0xff; 256]]
        {
            assert_eq!(group.check_value(&value), Err(Refused::Range));
        }
        for length in [0, 1, 255, 257] {
            let refused = Refused::Length { is: length, must_be: 256 };
            assert_eq!(group.check_value(&vec![1; length]), Err(refused));
        }
    }

    #[test]
    fn sizes_are_held_to_the_bit() {
        let of = |bits: u32| ((BigUint::from(1_u8) << (bits - 1)) + 1_u8).to_bytes_be();
        let refused = |bits, legacy| UserGroup::new(&of(bits), &[2], legacy).err();
        for (bits, legacy, why) in [
            (8193, false, Some(WhyNot::Long { is: 8193 })),
            (8193, true, Some(WhyNot::Long { is: 8193 })),
            (100_000, true, Some(WhyNot::Long { is: 100_000 })),
            (8192, false, None),
            (2048, false, None),
            (2047, false, Some(WhyNot::Short { is: 2047, least: 2048 })),
            (2047, true, None),
            (1024, false, Some(WhyNot::Short { is: 1024, least: 2048 })),
            (768, true, None),
            (767, true, Some(WhyNot::Short { is: 767, least: 768 })),
            (2, true, Some(WhyNot::Short { is: 2, least: 768 })),
        ] {
            assert_eq!(refused(bits, legacy), why, "{bits}");
        }
        for tiny in [&[][..], &[2], &[3], &[23]] {
            assert!(matches!(UserGroup::new(tiny, &[2], true), Err(WhyNot::Short { .. })), "{tiny:?}");
        }
        assert_eq!(
            WhyNot::Short { is: 1024, least: 2048 }.to_string(),
            "a prime of 1024 bits: it must have 2048 to 8192"
        );
    }

    #[test]
    fn nothing_is_spelt_in_two_ways() {
        let prime = known(2048);
        let padded = [&[0], &prime[..]].concat();
        assert_eq!(UserGroup::new(&padded, &[2], false), Err(WhyNot::LeadingZero));
        assert_eq!(UserGroup::new(&prime, &[0, 2], false), Err(WhyNot::LeadingZero));
    }

    #[test]
    fn generators_of_small_order_are_refused() {
        let prime = known(2048);
        let longer = [&[1], &prime[..]].concat();
        for generator in [vec![], vec![1], minus(&prime, 1), prime.clone(), plus(&prime, 1), longer] {
            assert_eq!(UserGroup::new(&prime, &generator, false), Err(WhyNot::Generator), "{generator:02x?}");
        }
    }

    #[test]
    fn what_is_not_a_safe_prime_is_refused() {
        let prime = known(2048);
        assert_eq!(verdict(&minus(&prime, 1), &[2], false), Err(WhyNot::Even));
        // p + 2 is 1 modulo 4, so (p + 1) / 2 is even.
        assert_eq!(verdict(&plus(&prime, 2), &[2], false), Err(WhyNot::NotSafe));
        // A multiple of 3 that is 3 modulo 4: p is 2 modulo 3.
        assert_eq!(verdict(&plus(&prime, 4), &[2], false), Err(WhyNot::Composite));
    }

    #[test]
    fn where_the_generator_makes_everything_every_value_serves() {
        let prime = known(2048);
        // −2 is no square, because −1 is none modulo a prime that is 3 modulo 4, and 2 is one.
        let group = verdict(&prime, &minus(&prime, 2), false).unwrap();
        agree(&group);
        let begin = |method: CheckedGroup, value: &[u8]| {
            Unfinished::begin(&mut rng(), method, value).and_then(|it| it.finish()).map(drop)
        };
        assert_eq!(begin(group.clone(), &minus(&prime, 4)), Ok(()));
        let squares = verdict(&prime, &[2], false).unwrap();
        assert_eq!(begin(squares, &minus(&prime, 4)), Err(Refused::Subgroup));
        for value in [minus(&prime, 1), prime.clone(), plus(&prime, 1), [&[0; 255][..], &[1]].concat()] {
            assert_eq!(begin(group.clone(), &value), Err(Refused::Range));
        }
    }

    #[test]
    fn the_same_values_in_another_group_give_another_key() {
        let prime = known(2048);
        let (two, three) = (verdict(&prime, &[2], false).unwrap(), verdict(&prime, &[3], false).unwrap());
        let offer = Offer::new(&mut rng(), Group::Modp2048);
        let answer = |method: crate::group::Method| {
            let answer = Unfinished::begin(&mut rng(), method, offer.value()).unwrap().finish().unwrap();
            *answer.shared().key().expose()
        };
        let keys = [answer(Group::Modp2048.into()), answer(two.into()), answer(three.into())];
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
    }
}
