//! Diffie–Hellman on P-256 and P-384, as IKEv2 has it (RFC 5903): a value is x and y without an octet before them, and
//! the secret is the x of the point.

use p256::elliptic_curve::{
    CurveArithmetic, PublicKey, SecretKey, ecdh,
    sec1::{FromSec1Point, ModulusSize, ToSec1Point},
};
use zeroize::{Zeroize, Zeroizing};

use super::shared::{Bytes, Refused};
use crate::Rng;

/// The octet before x and y that says there are both (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// What this needs of a curve.
pub(super) trait Curve:
    CurveArithmetic<AffinePoint: FromSec1Point<Self> + ToSec1Point<Self>, FieldBytesSize: ModulusSize>
{
    /// Bytes of one coordinate, and of the secret.
    const COORDINATE: usize;
}

impl Curve for p256::NistP256 {
    const COORDINATE: usize = 32;
}

impl Curve for p384::NistP384 {
    const COORDINATE: usize = 48;
}

/// A value of a peer, if it has its length and is a point of the curve. Infinity has no coordinates and cannot come.
pub(super) fn value<C: Curve>(theirs: &[u8]) -> Result<PublicKey<C>, Refused> {
    if theirs.len() != 2 * C::COORDINATE {
        return Err(Refused::Length { is: theirs.len(), must_be: 2 * C::COORDINATE });
    }
    let mut point = Vec::with_capacity(1 + theirs.len());
    point.push(UNCOMPRESSED);
    point.extend_from_slice(theirs);
    PublicKey::from_sec1_bytes(&point).map_err(|_| Refused::Curve)
}

/// A private value, wiped on drop.
pub(super) struct Private<C: Curve>(SecretKey<C>);

impl<C: Curve> Private<C> {
    /// Draws one, again as long as it is 0 or not below the order: of P-256 that is one in 2^32.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut bytes = Zeroizing::new(vec![0; C::COORDINATE]);
        loop {
            rng.fill(&mut bytes);
            if let Some(private) = Self::from_bytes(&bytes) {
                return private;
            }
        }
    }

    /// Of as many bytes as a coordinate has, `None` if they are 0 or not below the order.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        SecretKey::from_slice(bytes).ok().map(Self)
    }

    /// A second copy, on purpose and by name.
    pub(super) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// x and y of the public point.
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.public_key().to_sec1_point(false).as_bytes()[1..].to_vec()
    }

    /// The x of the shared point, of full length.
    pub(super) fn agree(&self, theirs: &[u8]) -> Result<Bytes, Refused> {
        let theirs = value::<C>(theirs)?;
        let mut scalar = self.0.to_nonzero_scalar();
        let shared = ecdh::diffie_hellman(scalar, theirs.as_affine());
        scalar.zeroize();
        Ok(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use p256::NistP256;
    use p384::NistP384;

    use super::*;
    use crate::group::{Group, Offer, Unfinished};

    fn hex(digits: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    /// Private value, x and y of the public one.
    fn party<C: Curve>(private: &str, x: &str, y: &str) -> (Private<C>, Vec<u8>) {
        let (private, public) = (Private::from_bytes(&hex(private)).unwrap(), hex(&[x, y].concat()));
        assert_eq!(private.public(), public);
        (private, public)
    }

    #[test]
    fn known_answers_of_p_256() {
        // RFC 5903 section 8.1.
        let (i, public_i) = party::<NistP256>(
            "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
            "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
        );
        let (r, public_r) = party::<NistP256>(
            "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63",
            "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
        );
        let shared = hex("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de");
        assert_eq!(*i.agree(&public_r).unwrap(), shared);
        assert_eq!(*r.agree(&public_i).unwrap(), shared);
    }

    #[test]
    fn known_answers_of_p_384() {
        // RFC 5903 section 8.2.
        let (i, public_i) = party::<NistP384>(
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
            "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa",
            "9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
        );
        let (r, public_r) = party::<NistP384>(
            "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
            "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571",
            "dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c",
        );
        let shared = hex(
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746",
        );
        assert_eq!(*i.agree(&public_r).unwrap(), shared);
        assert_eq!(*r.agree(&public_i).unwrap(), shared);
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused_on_both_sides() {
        let mut rng = Rng::from_seed([1; 32]);
        for group in [Group::P256, Group::P384] {
            let offer = Offer::new(&mut rng, group);
            let (length, half) = (group.offer_length(), group.offer_length() / 2);
            let flipped = |at: usize| {
                let mut value = offer.value().to_vec();
                value[at] ^= 1;
                value
            };
            let swapped = [&offer.value()[half..], &offer.value()[..half]].concat();
            let mut above = offer.value().to_vec();
            above[..half].fill(0xff);
            for bad in
                [vec![0; length], vec![0xff; length], flipped(half - 1), flipped(length - 1), swapped, above]
            {
                assert_eq!(Unfinished::begin(&mut rng, group, &bad).err(), Some(Refused::Curve), "{group}");
                assert_eq!(offer.complete(&bad).err(), Some(Refused::Curve), "{group}");
            }
        }
    }

    #[test]
    fn other_spellings_of_points_are_refused() {
        let mut rng = Rng::from_seed([2; 32]);
        let offer = Offer::new(&mut rng, Group::P256);
        let with_octet = [&[UNCOMPRESSED], offer.value()].concat();
        let compressed = [&[2], &offer.value()[..32]].concat();
        // Infinity is the octet 0 alone (SEC 1 section 2.3.3).
        for bad in [with_octet, compressed, vec![0]] {
            let refused = Some(Refused::Length { is: bad.len(), must_be: 64 });
            assert_eq!(Unfinished::begin(&mut rng, Group::P256, &bad).err(), refused);
            assert_eq!(offer.complete(&bad).err(), refused);
        }
    }

    #[test]
    fn private_values_are_below_the_order_and_not_0() {
        let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
        let below = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
        for (bytes, serves) in
            [(vec![0; 32], false), (hex(order), false), (hex(below), true), (vec![0xff; 32], false)]
        {
            assert_eq!(Private::<NistP256>::from_bytes(&bytes).is_some(), serves, "{bytes:02x?}");
        }
    }
}
