//! What holds for every group.

use std::collections::BTreeSet;

use super::*;
use crate::{Key, Rng};

fn rng(seed: u8) -> Rng {
    Rng::from_seed([seed; 32])
}

fn answered(seed: u8, group: Group, offered: &[u8]) -> Answer {
    Unfinished::begin(&mut rng(seed), group, offered).unwrap().finish().unwrap()
}

#[test]
fn both_sides_agree_and_others_do_not() {
    for group in Group::ALL {
        let offer = Offer::new(&mut rng(1), group);
        let answer = answered(2, group, offer.value());
        let shared = offer.complete(answer.value()).unwrap();
        assert!(
            shared.secret() == answer.shared().secret() && shared.key() == answer.shared().key(),
            "{group}"
        );
        assert_eq!(
            [offer.value().len(), answer.value().len(), shared.secret().len()],
            [group.offer_length(), group.answer_length(), group.secret_length()],
            "{group}"
        );
        let other = Offer::new(&mut rng(3), group).complete(answer.value()).unwrap();
        assert!(other.secret() != shared.secret() && other.key() != shared.key(), "{group}");
        let later = answered(4, group, offer.value());
        assert!(later.value() != answer.value() && later.shared().key() != shared.key(), "{group}");
    }
}

#[test]
fn the_same_seed_gives_the_same_exchange_and_copies_end_alike() {
    for group in Group::ALL.into_iter().filter(|group| *group != Group::Modp8192) {
        let (offer, again) = (Offer::new(&mut rng(1), group), Offer::new(&mut rng(1), group));
        assert_eq!(offer.value(), again.value(), "{group}");
        let begun = Unfinished::begin(&mut rng(2), group, offer.value()).unwrap();
        let (one, other) = (begun.duplicate().finish().unwrap(), begun.finish().unwrap());
        assert_eq!(one.value(), other.value(), "{group}");
        assert!(one.shared().key() == other.shared().key(), "{group}");
        let copy = offer.duplicate().complete(one.value()).unwrap();
        assert!(copy.duplicate().key() == one.shared().key(), "{group}");
    }
}

#[test]
fn wrong_lengths_are_refused_on_both_sides() {
    for group in Group::ALL {
        let offer = Offer::new(&mut rng(1), group);
        let answer = answered(2, group, offer.value());
        let lengths = |right: usize| [0, 1, right - 1, right + 1, 2 * right, 65_535];
        for is in lengths(group.offer_length()) {
            let refused = Some(Refused::Length { is, must_be: group.offer_length() });
            let mut value = offer.value().to_vec();
            value.resize(is, 0);
            assert_eq!(Unfinished::begin(&mut rng(3), group, &value).err(), refused, "{group}");
        }
        for is in lengths(group.answer_length()) {
            let refused = Some(Refused::Length { is, must_be: group.answer_length() });
            let mut value = answer.value().to_vec();
            value.resize(is, 0);
            assert_eq!(offer.complete(&value).err(), refused, "{group}");
        }
    }
}

#[test]
fn random_values_are_taken_or_refused_and_nothing_else() {
    let mut random = rng(7);
    for group in Group::ALL.into_iter().filter(|group| group.bits().is_none_or(|bits| bits < 2048)) {
        let offer = Offer::new(&mut rng(1), group);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..64 {
            let mut offered = vec![0; group.offer_length()];
            let mut answered = vec![0; group.answer_length()];
            random.fill(&mut offered);
            random.fill(&mut answered);
            let answer = Unfinished::begin(&mut rng(2), group, &offered).and_then(|begun| begun.finish());
            for serves in [answer.is_ok(), offer.complete(&answered).is_ok()] {
                if serves { taken += 1 } else { refused += 1 }
            }
        }
        // Half of all numbers are squares, hardly any are points, every number is one of X25519's.
        let expected = match group {
            Group::P256 | Group::P384 => taken == 0,
            Group::X25519 => refused == 0,
            _ => taken > 0 && refused > 0,
        };
        assert!(expected, "{group}: {taken} taken, {refused} refused");
    }
}

#[test]
fn values_of_low_order_are_refused_of_x25519() {
    let low = [0; 32];
    let refused = Some(Refused::LowOrder);
    assert_eq!(Unfinished::begin(&mut rng(1), Group::X25519, &low).err(), refused);
    assert_eq!(Offer::new(&mut rng(1), Group::X25519).complete(&low).err(), refused);
}

#[test]
fn the_key_is_of_the_values_too() {
    let offer = Offer::new(&mut rng(1), Group::X25519);
    let answer = answered(2, Group::X25519, offer.value());
    // X25519 itself does not look at this bit (RFC 7748 section 5).
    let mut changed = answer.value().to_vec();
    changed[31] ^= 0x80;
    let shared = offer.complete(&changed).unwrap();
    assert!(shared.secret() == answer.shared().secret());
    assert!(shared.key() != answer.shared().key());
}

#[test]
fn the_key_follows_from_its_description() {
    let offer = Offer::new(&mut rng(1), Group::P256);
    let answer = answered(2, Group::P256, offer.value());
    let extracted = crate::hmac(&Key::new([0; 32]), &[answer.shared().secret()]);
    let lengths = [64_u16.to_be_bytes(), (2 + 2 * 66_u16).to_be_bytes()];
    let parts: [&[u8]; 9] = [
        b"sojourn-1\0\x05group",
        &lengths[1],
        &19_u16.to_be_bytes(),
        &lengths[0],
        offer.value(),
        &lengths[0],
        answer.value(),
        &[1],
        &[],
    ];
    assert!(crate::hmac(&Key::new(extracted), &parts) == *answer.shared().key().expose());
}

#[test]
fn numbers_and_names_are_of_one_group_each() {
    let numbers = Group::ALL.map(Group::number);
    assert_eq!(numbers, [1, 2, 14, 15, 16, 17, 18, 19, 20, 31, 1055]);
    let names: BTreeSet<&str> = Group::ALL.map(Group::name).into();
    assert_eq!(names.len(), Group::ALL.len());
    for group in Group::ALL {
        assert_eq!(Group::from_number(group.number()), Some(group));
        assert_eq!(group.name().parse(), Ok(group));
        assert_eq!(Method::from(group).to_string(), group.name());
    }
    for number in [0, 3, 4, 5, 13, 21, 22, 23, 24, 30, 32, 36, 1054, 1056, u16::MAX] {
        assert_eq!(Group::from_number(number), None, "{number}");
    }
    let unknown = "modp-1536".parse::<Group>().unwrap_err().to_string();
    assert!(
        unknown.contains("\"modp-1536\"")
            && unknown.contains("modp-2048, ")
            && unknown.ends_with("ml-kem-768")
    );
}

#[test]
fn only_the_first_two_groups_are_legacy() {
    let legacy: Vec<Group> = Group::ALL.into_iter().filter(|group| group.is_legacy()).collect();
    assert_eq!(legacy, [Group::Modp768, Group::Modp1024]);
}

#[test]
fn work_can_be_done_on_another_thread() {
    fn can_be_sent<T: Send>() {}
    can_be_sent::<Offer>();
    can_be_sent::<Unfinished>();
    can_be_sent::<Answer>();
    can_be_sent::<UserGroup>();
    can_be_sent::<CheckedGroup>();
}
