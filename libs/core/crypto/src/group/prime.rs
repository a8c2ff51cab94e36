//! Whether a number is a safe prime.

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use crypto_primes::{Flavor, hazmat::MillerRabin, is_prime};

use super::WhyNot;
use crate::Rng;

/// Tests of (p − 1) / 2 by Miller and Rabin with random bases, besides those of Baillie, Pomerance, Selfridge and
/// Wagstaff. Of those no composite is known that passes; should one be found, each of these lets it pass once in four
/// times at most, and nobody can know the bases before.
const RANDOM_BASES: usize = 8;

/// Tells if p and q = (p − 1) / 2 are prime.
///
/// Only q is tested at length: once q is prime, 2^(p−1) = 1 modulo p and p is not divisible by 3 = 2^2 − 1, p is prime as
/// well (Pocklington 1914).
pub(super) fn check_safe(prime: &[u8], rng: &mut Rng) -> Result<(), WhyNot> {
    divisors(prime)?;
    let bits = u32::try_from(8 * prime.len()).map_err(|_| WhyNot::Composite)?.next_multiple_of(64);
    let p = BoxedUint::from_be_slice(prime, bits).map_err(|_| WhyNot::Composite)?;
    let one = BoxedUint::one_with_precision(bits);
    let q = p.shr_vartime(1).ok_or(WhyNot::Composite)?;
    let params =
        BoxedMontyParams::new_vartime(Option::<Odd<_>>::from(Odd::new(p.clone())).ok_or(WhyNot::Even)?);
    let root = BoxedMontyForm::new(one.wrapping_add(&one), &params).pow(&q).retrieve();
    if root != one && root != p.wrapping_sub(&one) {
        return Err(WhyNot::Composite);
    }
    if !is_prime(Flavor::Any, &q) {
        return Err(WhyNot::NotSafe);
    }
    let test = MillerRabin::new(Option::<Odd<_>>::from(Odd::new(q)).ok_or(WhyNot::NotSafe)?);
    for _ in 0..RANDOM_BASES {
        if !test.test_random_base(rng.source()).is_probably_prime() {
            return Err(WhyNot::NotSafe);
        }
    }
    Ok(())
}

/// Finds small divisors of p and of p − 1, without any exponentiation.
fn divisors(prime: &[u8]) -> Result<(), WhyNot> {
    let rest = |divisor: u32| prime.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % divisor);
    match rest(4) {
        1 => return Err(WhyNot::NotSafe),
        3 => {}
        _ => return Err(WhyNot::Even),
    }
    for divisor in (3..1000).step_by(2) {
        match rest(divisor) {
            0 => return Err(WhyNot::Composite),
            1 => return Err(WhyNot::NotSafe),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;
    use crate::group::known;

    fn check(number: &BigUint) -> Result<(), WhyNot> {
        check_safe(&number.to_bytes_be(), &mut Rng::from_seed([9; 32]))
    }

    fn known(bits: u32) -> BigUint {
        BigUint::from_bytes_be(&known::prime(bits).unwrap())
    }

    /// The numbers above 2^768 of which small divisors tell nothing.
    fn candidates() -> impl Iterator<Item = BigUint> {
        let first = (BigUint::from(1_u8) << 768_u32) + 3_u8;
        let numbers = std::iter::successors(Some(first), |number| Some(number + 4_u8));
        numbers.filter(|number| divisors(&number.to_bytes_be()).is_ok())
    }

    /// Fermat's test, of another library.
    fn looks_prime(number: &BigUint) -> bool {
        BigUint::from(3_u8).modpow(&(number - 1_u8), number) == BigUint::from(1_u8)
    }

    #[test]
    fn known_safe_primes_are_found_to_be_safe() {
        for bits in [768, 1024, 1536, 2048, 3072] {
            assert_eq!(check(&known(bits)), Ok(()), "{bits}");
        }
    }

    #[test]
    fn a_prime_that_is_not_safe_is_refused() {
        let primes = candidates().filter(looks_prime).filter(|prime| !looks_prime(&(prime >> 1_u32)));
        for prime in primes.take(3) {
            assert_eq!(check(&prime), Err(WhyNot::NotSafe));
        }
    }

    #[test]
    fn a_product_without_small_divisors_is_refused() {
        for product in candidates().filter(|number| !looks_prime(number)).take(20) {
            assert_eq!(check(&product), Err(WhyNot::Composite));
        }
    }

    #[test]
    fn a_product_of_two_large_primes_is_refused() {
        // One of them must be 1 modulo 4, or the product would be.
        let first = (BigUint::from(1_u8) << 1300_u32) + 1_u8;
        let products = std::iter::successors(Some(first), |number| Some(number + 4_u8))
            .map(|number| (number.clone() * known(768), number))
            .filter(|(product, number)| divisors(&product.to_bytes_be()).is_ok() && looks_prime(number));
        for (product, _) in products.take(2) {
            assert_eq!(check(&product), Err(WhyNot::Composite));
        }
    }

    #[test]
    fn small_divisors_are_found_without_an_exponentiation() {
        let prime = known(2048);
        for (number, verdict) in [
            (prime.clone(), Ok(())),
            (&prime - 1_u8, Err(WhyNot::Even)),
            // p is 7 modulo 8, so (p + 1) / 2 is even; and 2 modulo 3.
            (&prime + 2_u8, Err(WhyNot::NotSafe)),
            (&prime + 4_u8, Err(WhyNot::Composite)),
        ] {
            assert_eq!(divisors(&number.to_bytes_be()), verdict);
        }
    }
}
