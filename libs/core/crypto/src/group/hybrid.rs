//! X25519 and ML-KEM-768 (FIPS 203) in one exchange.
//!
//! The initiator's value is that of X25519 and then an encapsulation key, the responder's that of X25519 and then a
//! ciphertext; the secret is that of X25519 and then that of ML-KEM-768. IKEv2 has the two in exchanges of their own and
//! mixes each secret into the keys (RFC 9370 section 2.2.2); here both must stand in one payload. What binds the secret
//! to the values is the extraction of [`super::Shared::key`].

use ml_kem::{
    B32, DecapsulationKey768, EncapsulationKey768, Seed,
    kem::{Decapsulate, KeyExport},
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    private::{x25519, x25519_value},
    shared::{Bytes, Refused},
};
use crate::{
    Rng,
    exchange::{PUBLIC, Secret},
};

/// Bytes of an encapsulation key (FIPS 203 table 3).
const ENCAPSULATION_KEY: usize = 1184;

/// Bytes of a ciphertext.
const CIPHERTEXT: usize = 1088;

/// Bytes of the initiator's value.
pub(super) const OFFER: usize = PUBLIC + ENCAPSULATION_KEY;

/// Bytes of the responder's value.
pub(super) const ANSWER: usize = PUBLIC + CIPHERTEXT;

/// Bytes of the secret.
pub(super) const SECRET: usize = 2 * 32;

/// A private value, wiped on drop: that of X25519, and 64 random bytes. They are the seed of the initiator's key
/// (d and z of FIPS 203 section 6.1); to a responder the first 32 are what it encapsulates (m of section 6.2).
pub(super) struct Private {
    x25519: Secret,
    random: Zeroizing<[u8; 64]>,
}

/// The two parts of an offered value.
fn offered(value: &[u8]) -> Result<(&[u8], EncapsulationKey768), Refused> {
    let (x25519, key) = parts(value, OFFER)?;
    let key = key.try_into().map_err(|_| Refused::EncapsulationKey)?;
    Ok((x25519, EncapsulationKey768::new(&key).map_err(|_| Refused::EncapsulationKey)?))
}

fn parts(value: &[u8], must_be: usize) -> Result<(&[u8], &[u8]), Refused> {
    if value.len() != must_be {
        return Err(Refused::Length { is: value.len(), must_be });
    }
    Ok(value.split_at(PUBLIC))
}

/// Refuses an offered value by its form.
pub(super) fn check(value: &[u8]) -> Result<(), Refused> {
    let (x25519, _) = offered(value)?;
    x25519_value(x25519).map(drop)
}

impl Private {
    /// Draws one.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut random = Zeroizing::new([0; 64]);
        rng.fill(&mut *random);
        Self { x25519: Secret::new(rng), random }
    }

    /// A second copy, on purpose and by name.
    pub(super) fn duplicate(&self) -> Self {
        Self { x25519: self.x25519.duplicate(), random: self.random.clone() }
    }

    fn decapsulation_key(&self) -> DecapsulationKey768 {
        let mut seed = Seed::from(*self.random);
        let key = DecapsulationKey768::from_seed(seed);
        seed.zeroize();
        key
    }

    /// The initiator's value.
    pub(super) fn offer(&self) -> Vec<u8> {
        let mut value = self.x25519.public().to_vec();
        value.extend_from_slice(&self.decapsulation_key().encapsulation_key().to_bytes());
        value
    }

    /// The responder's value and the secret.
    pub(super) fn answer(&self, value: &[u8]) -> Result<(Vec<u8>, Bytes), Refused> {
        let (theirs, key) = offered(value)?;
        let first = x25519(&self.x25519, theirs)?;
        let mut message = B32::default();
        message.copy_from_slice(&self.random[..32]);
        let (ciphertext, mut second) = key.encapsulate_deterministic(&message);
        message.zeroize();
        let secret = concatenated(&first, &second);
        second.zeroize();
        let mut answer = self.x25519.public().to_vec();
        answer.extend_from_slice(&ciphertext);
        Ok((answer, secret))
    }

    /// The secret, with the responder's value.
    pub(super) fn complete(&self, answer: &[u8]) -> Result<Bytes, Refused> {
        let (theirs, ciphertext) = parts(answer, ANSWER)?;
        let ciphertext =
            ciphertext.try_into().map_err(|_| Refused::Length { is: answer.len(), must_be: ANSWER })?;
        let first = x25519(&self.x25519, theirs)?;
        let mut second = self.decapsulation_key().decapsulate(&ciphertext);
        let secret = concatenated(&first, &second);
        second.zeroize();
        Ok(secret)
    }
}

fn concatenated(first: &[u8], second: &[u8]) -> Bytes {
    // Of full length at once: a buffer that grew would leave its first half behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET));
    secret.extend_from_slice(first);
    secret.extend_from_slice(second);
    secret
}

#[cfg(test)]
mod tests {
    use shake::{
        Shake128,
        digest::{ExtendableOutput, Update, XofReader},
    };

    use super::*;
    use crate::group::{Group, Offer, Unfinished};

    const GROUP: Group = Group::X25519MlKem768;

    fn rng(seed: u8) -> Rng {
        Rng::from_seed([seed; 32])
    }

    /// One side with chosen random bytes, and any value of X25519.
    fn side(random: [u8; 64]) -> Private {
        Private { x25519: Secret::new(&mut rng(1)), random: Zeroizing::new(random) }
    }

    /// Known answer of 100 keys, encapsulations and refused ciphertexts in one: that of the test "accumulated" of Go's
    /// crypto/mlkem, which follows FIPS 203.
    #[test]
    fn known_answers_of_ml_kem_768() {
        let (mut random, mut all) = (Shake128::default().finalize_xof(), Shake128::default());
        let (mut seed, mut message, mut foreign) = ([0; 64], [0; 64], [0; CIPHERTEXT]);
        for _ in 0..100 {
            random.read(&mut seed);
            random.read(&mut message[..32]);
            let (initiator, responder) = (side(seed), side(message));
            let offer = initiator.offer();
            let (answer, secret) = responder.answer(&offer).unwrap();
            assert_eq!(initiator.complete(&answer).unwrap(), secret);
            random.read(&mut foreign);
            let refused = initiator.complete(&[&answer[..PUBLIC], &foreign].concat()).unwrap();
            for part in [&offer[PUBLIC..], &answer[PUBLIC..], &secret[32..], &refused[32..]] {
                all.update(part);
            }
        }
        let mut hash = [0; 32];
        all.finalize_xof().read(&mut hash);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415");
    }

    #[test]
    fn a_changed_ciphertext_gives_a_secret_of_nobody() {
        let offer = Offer::new(&mut rng(2), GROUP);
        let answer = Unfinished::begin(&mut rng(3), GROUP, offer.value()).unwrap().finish().unwrap();
        let mut changed = answer.value().to_vec();
        changed[PUBLIC + 7] ^= 1;
        let shared = offer.complete(&changed).unwrap();
        assert!(shared.secret()[..32] == answer.shared().secret()[..32]);
        assert!(shared.secret()[32..] != answer.shared().secret()[32..]);
        assert!(shared.key() != answer.shared().key());
        // And the same one each time, so that nothing is learnt from trying again.
        assert!(offer.complete(&changed).unwrap().secret() == shared.secret());
    }

    #[test]
    fn both_parts_count() {
        let offer = Offer::new(&mut rng(2), GROUP);
        let answer = Unfinished::begin(&mut rng(3), GROUP, offer.value()).unwrap().finish().unwrap();
        let mut other = Secret::new(&mut rng(4)).public().to_vec();
        other.extend_from_slice(&answer.value()[PUBLIC..]);
        let shared = offer.complete(&other).unwrap();
        assert!(shared.secret()[..32] != answer.shared().secret()[..32]);
        assert!(shared.secret()[32..] == answer.shared().secret()[32..]);
        assert!(shared.key() != answer.shared().key());
    }

    #[test]
    fn malformed_encapsulation_keys_are_refused() {
        let offer = Offer::new(&mut rng(2), GROUP);
        let begin = |value: &[u8]| Unfinished::begin(&mut rng(3), GROUP, value).err();
        // Its numbers have 12 bits each, little end first; the last 32 octets are no numbers.
        for (at, number) in [(0, 3328_u16), (0, 3329), (0, 4095), (380, 3329), (767, 3328), (767, 3329)] {
            let mut value = offer.value().to_vec();
            let place = PUBLIC + 3 * (at / 2);
            let [low, high] = number.to_le_bytes();
            if at % 2 == 0 {
                value[place] = low;
                value[place + 1] = value[place + 1] & 0xf0 | high;
            } else {
                value[place + 1] = value[place + 1] & 0x0f | low << 4;
                value[place + 2] = low >> 4 | high << 4;
            }
            let refused = (number >= 3329).then_some(Refused::EncapsulationKey);
            assert_eq!(begin(&value), refused, "number {at} is {number}");
        }
    }

    #[test]
    fn values_of_low_order_and_wrong_lengths_are_refused_in_either_part() {
        let offer = Offer::new(&mut rng(2), GROUP);
        let answer = Unfinished::begin(&mut rng(3), GROUP, offer.value()).unwrap().finish().unwrap();
        let low = |value: &[u8]| [&[0; PUBLIC], &value[PUBLIC..]].concat();
        let begin = |value: &[u8]| Unfinished::begin(&mut rng(3), GROUP, value).err();
        assert_eq!(begin(&low(offer.value())), Some(Refused::LowOrder));
        assert_eq!(offer.complete(&low(answer.value())).err(), Some(Refused::LowOrder));
        // Each side's value where the other's must be, and the value of X25519 alone.
        for wrong in [answer.value(), &offer.value()[..PUBLIC]] {
            assert_eq!(begin(wrong), Some(Refused::Length { is: wrong.len(), must_be: OFFER }));
        }
        for wrong in [offer.value(), &answer.value()[..PUBLIC]] {
            let refused = Some(Refused::Length { is: wrong.len(), must_be: ANSWER });
            assert_eq!(offer.complete(wrong).err(), refused);
        }
    }
}
