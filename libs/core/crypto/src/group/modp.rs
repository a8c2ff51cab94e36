//! Diffie–Hellman modulo a safe prime p = 2q + 1 (RFC 2631 section 2.1, RFC 3526).
//!
//! Exponentiation takes the same time for every exponent of a group; what depends on the value in time are only checks
//! of public values. Of a safe prime every value but 0, 1 and p − 1 has the order q or 2q, so no value leads into a small
//! subgroup; where the generator has the order q, values of the order 2q are refused as well.

use std::sync::{Arc, OnceLock};

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    known,
    shared::{Bytes, Refused},
    symbol::is_square,
};
use crate::Rng;

/// A safe prime and a generator.
pub(super) struct Modp {
    params: BoxedMontyParams,
    generator: BoxedUint,
    /// True if the generator has the order q: it is a square, and so is everything that it makes.
    squares: bool,
    /// Bytes of the prime, of every value, and of the secret.
    length: usize,
    exponent_bits: u32,
}

/// The group of RFC 2409 or RFC 3526 with so many bits; its generator is 2.
pub(super) fn known(bits: u32) -> Option<Arc<Modp>> {
    static KNOWN: [OnceLock<Arc<Modp>>; known::PRIMES.len()] =
        [const { OnceLock::new() }; known::PRIMES.len()];
    let at = known::PRIMES.iter().position(|(of, _)| *of == bits)?;
    if let Some(group) = KNOWN[at].get() {
        return Some(group.clone());
    }
    let group = Arc::new(Modp::new(&known::prime(bits)?, &[2])?);
    Some(KNOWN[at].get_or_init(|| group).clone())
}

/// A number of `bytes`, of the precision of a prime that has `length` bytes.
pub(super) fn number(bytes: &[u8], length: usize) -> Option<BoxedUint> {
    BoxedUint::from_be_slice(bytes, u32::try_from(length).ok()?.checked_mul(8)?.next_multiple_of(64)).ok()
}

/// Bits of a private value, at least twice the strength of the prime by the larger estimate of RFC 3526 section 8, whole
/// words of 64 bits, and never below 256. RFC 7919 section 5.2 asks for 225 to 400 for 2,048 to 8,192 bits.
const fn exponent_bits(bits: u32) -> u32 {
    match bits {
        ..=1024 => 256,
        1025..=2048 => 320,
        2049..=3072 => 448,
        3073..=4096 => 512,
        4097..=6144 => 576,
        _ => 640,
    }
}

impl Modp {
    /// From a prime that is known to be safe and has no leading zero octets, and a generator in 2 … p − 2.
    pub(super) fn new(prime: &[u8], generator: &[u8]) -> Option<Self> {
        let length = prime.len();
        let prime = number(prime, length)?;
        let bits = prime.bits_vartime();
        let prime = Option::<Odd<BoxedUint>>::from(Odd::new(prime))?;
        let generator = number(generator, length)?;
        let squares = is_square(&generator, &prime);
        let params = BoxedMontyParams::new_vartime(prime);
        Some(Self { params, generator, squares, length, exponent_bits: exponent_bits(bits) })
    }

    /// Bytes of the prime.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// A value of a peer, if it has the prime's length, with leading zeros, and lies in 2 … p − 2.
    fn value(&self, theirs: &[u8]) -> Result<BoxedUint, Refused> {
        if theirs.len() != self.length {
            return Err(Refused::Length { is: theirs.len(), must_be: self.length });
        }
        let value = number(theirs, self.length).ok_or(Refused::Range)?;
        if in_range(&value, self.params.modulus()) { Ok(value) } else { Err(Refused::Range) }
    }

    fn power(&self, base: BoxedUint, exponent: &Exponent) -> Bytes {
        let mut power =
            BoxedMontyForm::new(base, &self.params).pow_bounded_exp(&exponent.0, self.exponent_bits);
        let mut number = power.retrieve();
        power.zeroize();
        let mut octets = number.to_be_bytes();
        number.zeroize();
        let bytes = Zeroizing::new(octets[octets.len() - self.length..].to_vec());
        octets.zeroize();
        bytes
    }
}

/// True for 2 … p − 2.
pub(super) fn in_range(value: &BoxedUint, prime: &Odd<BoxedUint>) -> bool {
    let one = BoxedUint::one_with_precision(value.bits_precision());
    *value > one && *value < prime.as_ref().wrapping_sub(&one)
}

/// A private value, wiped on drop.
struct Exponent(BoxedUint);

impl Drop for Exponent {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A private value with its group.
pub(super) struct Private {
    group: Arc<Modp>,
    exponent: Exponent,
}

impl Private {
    /// Draws one. Its highest bit is set: it is as long as the group wants it, and never 0.
    pub(super) fn draw(rng: &mut Rng, group: Arc<Modp>) -> Self {
        let mut bytes = Zeroizing::new(vec![0; group.exponent_bits as usize / 8]);
        rng.fill(&mut bytes);
        bytes[0] |= 0x80;
        Self::new(&bytes, group)
    }

    fn new(bytes: &[u8], group: Arc<Modp>) -> Self {
        let exponent = BoxedUint::from_be_slice_truncated(bytes, group.exponent_bits);
        Self { group, exponent: Exponent(exponent) }
    }

    /// A second copy, on purpose and by name.
    pub(super) fn duplicate(&self) -> Self {
        Self { group: self.group.clone(), exponent: Exponent(self.exponent.0.clone()) }
    }

    /// G^x mod p: formulas 1 and 3 of the protocol.
    pub(super) fn public(&self) -> Vec<u8> {
        self.group.power(self.group.generator.clone(), &self.exponent).to_vec()
    }

    /// Refuses a value by its form.
    pub(super) fn check(&self, theirs: &[u8]) -> Result<(), Refused> {
        self.group.value(theirs).map(drop)
    }

    /// y^x mod p: formulas 2 and 4 of the protocol.
    pub(super) fn agree(&self, theirs: &[u8]) -> Result<Bytes, Refused> {
        let value = self.group.value(theirs)?;
        if self.group.squares && !is_square(&value, self.group.params.modulus()) {
            return Err(Refused::Subgroup);
        }
        Ok(self.group.power(value, &self.exponent))
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;
    use crate::group::{Group, Offer, Unfinished};

    fn primes() -> impl Iterator<Item = (Group, BigUint)> {
        Group::ALL
            .into_iter()
            .filter_map(|group| Some((group, BigUint::from_bytes_be(&known::prime(group.bits()?)?))))
    }

    fn padded(number: &BigUint, length: usize) -> Vec<u8> {
        let bytes = number.to_bytes_be();
        [vec![0; length - bytes.len()], bytes].concat()
    }

    #[test]
    fn every_group_computes_what_another_library_does() {
        let mut rng = Rng::from_seed([5; 32]);
        for (group, prime) in primes() {
            let modp = known(group.bits().unwrap()).unwrap();
            let mut random = || {
                let mut bytes = vec![0; modp.exponent_bits as usize / 8];
                rng.fill(&mut bytes);
                bytes
            };
            let mut short = random();
            short[..9].fill(0);
            for (bytes, other) in [(random(), random()), (short, random()), (vec![0xff; 3], vec![1])] {
                let (x, y) = (BigUint::from_bytes_be(&bytes), BigUint::from_bytes_be(&other));
                let two = BigUint::from(2_u8);
                let private = Private::new(&bytes, modp.clone());
                let length = modp.length;
                assert_eq!(private.public(), padded(&two.modpow(&x, &prime), length), "{group}");
                let theirs = two.modpow(&y, &prime);
                let secret = private.agree(&padded(&theirs, length)).unwrap();
                assert_eq!(*secret, padded(&theirs.modpow(&x, &prime), length), "{group}");
            }
        }
    }

    #[test]
    fn private_values_have_their_full_length() {
        for (group, _) in primes() {
            let modp = known(group.bits().unwrap()).unwrap();
            let private = Private::draw(&mut Rng::from_seed([6; 32]), modp.clone());
            assert_eq!(private.exponent.0.bits_vartime(), modp.exponent_bits);
            assert!(modp.exponent_bits >= 256 && modp.exponent_bits.is_multiple_of(64));
        }
    }

    #[test]
    fn values_out_of_range_are_refused_on_both_sides() {
        let mut rng = Rng::from_seed([7; 32]);
        for (group, prime) in primes() {
            let length = group.offer_length();
            let offer = Offer::new(&mut rng, group);
            let all_ones = (BigUint::from(1_u8) << (8 * length)) - 1_u8;
            let above = &prime + 1_u8;
            for bad in [BigUint::ZERO, BigUint::from(1_u8), &prime - 1_u8, prime.clone(), above, all_ones] {
                let bad = padded(&bad, length);
                assert_eq!(Unfinished::begin(&mut rng, group, &bad).err(), Some(Refused::Range), "{group}");
                assert_eq!(offer.complete(&bad).err(), Some(Refused::Range), "{group}");
            }
            let two = padded(&BigUint::from(2_u8), length);
            assert!(Unfinished::begin(&mut rng, group, &two).is_ok() && offer.complete(&two).is_ok());
        }
    }

    #[test]
    fn values_outside_of_the_subgroup_are_refused_on_both_sides() {
        let mut rng = Rng::from_seed([8; 32]);
        for (group, prime) in primes() {
            // −1 is no square modulo a prime that is 3 modulo 4, so neither is −4, and −2 is none because 2 is one.
            for (value, refused) in [
                (&prime - 4_u8, Some(Refused::Subgroup)),
                (&prime - 2_u8, Some(Refused::Subgroup)),
                (BigUint::from(4_u8), None),
            ] {
                let value = padded(&value, group.offer_length());
                let begun = Unfinished::begin(&mut rng, group, &value).unwrap();
                assert_eq!(begun.finish().err(), refused, "{group}");
                assert_eq!(Offer::new(&mut rng, group).complete(&value).err(), refused, "{group}");
            }
        }
    }

    #[test]
    fn secrets_keep_their_leading_zeros() {
        // One exchange in 256 has such a secret.
        let offer = Offer::new(&mut Rng::from_seed([1; 32]), Group::Modp768);
        let mut rng = Rng::from_seed([2; 32]);
        let answer = (0..10_000)
            .map(|_| Unfinished::begin(&mut rng, Group::Modp768, offer.value()).unwrap().finish().unwrap())
            .find(|answer| answer.shared().secret()[0] == 0)
            .unwrap();
        let shared = offer.complete(answer.value()).unwrap();
        assert_eq!(shared.secret().len(), 96);
        assert!(shared.secret() == answer.shared().secret() && shared.key() == answer.shared().key());
    }
}
