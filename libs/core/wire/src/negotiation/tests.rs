use super::*;
use crate::mip::{Spi, share::Group};

fn transform(number: u8, id: u16, bits: Option<u16>) -> Transform<'static> {
    Transform { number, keys: 1, id, attributes: bits.map(Attribute::KeyBits).into_iter().collect() }
}

fn proposal(number: u8, protocol_number: u8, protocol: Protocol) -> Proposal<'static> {
    let transforms = match protocol {
        Protocol::ENCRYPTION => vec![transform(1, 20, Some(256)), transform(2, 28, None)],
        Protocol::PRF => vec![transform(1, 5, None)],
        _ => vec![transform(1, 12, None), transform(3, 14, None)],
    };
    Proposal { number, protocol_number, protocol, lifetime: 600, spi: Spi(0), transforms, exchanges: vec![] }
}

/// Two protocols together, or two others with keys made in three ways.
fn tree() -> Tree<'static> {
    let mut stateless = proposal(2, 1, Protocol::AUTHENTICATION);
    stateless.exchanges = vec![
        KeyExchange::Group { group: Group::X25519, value: &[7; 32] },
        KeyExchange::Group { group: Group(14), value: &[] },
        KeyExchange::Own { prime: &[0xfb; 8], generator: &[5], value: &[9; 8] },
        KeyExchange::Own { prime: &[0xfb; 8], generator: &[5], value: &[] },
        KeyExchange::Secret { group: Group(0), secret: &[1; 32] },
        KeyExchange::Sealed { spi: Spi(1000), sealed: &[2; 60] },
    ];
    Tree {
        between: Between::MN_HA,
        proposals: vec![
            proposal(1, 1, Protocol::AUTHENTICATION),
            proposal(1, 2, Protocol::ENCRYPTION),
            stateless,
            proposal(2, 2, Protocol::ENCRYPTION),
            proposal(4, 1, Protocol::PRF),
        ],
    }
}

fn bytes(tree: &Tree<'_>) -> Vec<u8> {
    let mut w = Writer::default();
    tree.emit(&mut w).unwrap();
    w.into_bytes()
}

fn parse(bytes: &[u8]) -> Result<Tree<'_>, Error> {
    let mut r = Reader::new(bytes);
    let tree = Tree::parse(&mut r)?;
    r.finish()?;
    Ok(tree)
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let tree = tree();
    assert_eq!(parse(&bytes(&tree)), Ok(tree.clone()));
    let alternatives: Vec<usize> = tree.alternatives().map(<[_]>::len).collect();
    assert_eq!(alternatives, [2, 2, 1]);
}

#[test]
fn a_refusal_is_a_tree_without_proposals() {
    let refusal = Tree { between: Between::MN_SMM, proposals: vec![] };
    assert_eq!(bytes(&refusal), [1, 4, 0, 4]);
    assert_eq!(parse(&bytes(&refusal)), Ok(refusal));
}

#[test]
fn a_body_has_round_digest_and_trees() {
    let trees = [tree(), Tree { between: Between::MN_FA, proposals: vec![] }];
    let body = Negotiation::emit(2, &[3; 32], &trees).unwrap();
    let negotiation = Negotiation::parse(&body).unwrap();
    assert_eq!((negotiation.round, negotiation.digest, negotiation.body()), (2, [3; 32], &body[..]));
    assert_eq!(negotiation.trees().unwrap(), trees);
    let twice = Negotiation::emit(1, &[0; 32], &[tree(), tree()]).unwrap();
    assert!(Negotiation::parse(&twice).unwrap().trees().is_err(), "one tree for each kind");
    let none = Negotiation::emit(1, &[0; 32], &[]).unwrap();
    assert!(Negotiation::parse(&none).unwrap().trees().is_err(), "at least one tree");
    for (at, value) in [(0, 0), (1, 1)] {
        let mut wrong = body.clone();
        wrong[at] = value;
        assert!(Negotiation::parse(&wrong).is_err(), "{at}");
    }
    assert_eq!(Negotiation::parse(&body[..33]), Err(Error::Truncated));
}

#[test]
fn cut_anywhere_it_is_malformed() {
    let whole = bytes(&tree());
    for n in 0..whole.len() {
        assert!(parse(&whole[..n]).is_err(), "{n}");
    }
    let mut more = whole;
    more.push(0);
    assert_eq!(parse(&more), Err(Error::Trailing));
}

/// Where the lengths and counts of [`tree`] stand: of payloads, transforms in proposals, attributes, and numbers of a
/// group of one's own.
fn counts(bytes: &[u8], at: usize, found: &mut Vec<(usize, usize)>) -> usize {
    let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    found.push((at + 2, 2));
    let end = at + length;
    let nested = match (bytes[at], bytes[at + 1]) {
        (1, _) => at + 4,
        (2, _) => {
            found.push((at + 7, 1));
            at + 16
        }
        (3, _) => {
            if at + 8 < end {
                found.push((at + 10, 2));
            }
            end
        }
        (4, 3) => {
            let mut part = at + 4;
            for _ in 0..3 {
                found.push((part, 2));
                part += 2 + usize::from(u16::from_be_bytes([bytes[part], bytes[part + 1]]));
            }
            end
        }
        _ => end,
    };
    let mut next = nested;
    while next < end {
        next = counts(bytes, next, found);
    }
    assert_eq!(next, end);
    end
}

#[test]
fn every_length_and_count_that_is_wrong_by_one_is_refused() {
    let whole = bytes(&tree());
    let mut found = Vec::new();
    counts(&whole, 0, &mut found);
    assert!(found.len() > 30, "{}", found.len());
    for (at, width) in found {
        for up in [true, false] {
            let mut wrong = whole.clone();
            let last = at + width - 1;
            wrong[last] = if up { wrong[last].wrapping_add(1) } else { wrong[last].wrapping_sub(1) };
            // A key exchange that ends in data has no count but its own: what it loses, the next payload begins with.
            assert!(parse(&wrong).is_err(), "at {at}, {}", if up { "one more" } else { "one less" });
        }
    }
}

#[test]
fn numbers_must_rise_and_protocols_of_one_number_stand_together() {
    let with = |numbers: &[(u8, u8)]| {
        let of = |(number, protocol): &(u8, u8)| proposal(*number, *protocol, Protocol::ENCRYPTION);
        let tree = Tree { between: Between::MN_HA, proposals: numbers.iter().map(of).collect() };
        parse(&bytes(&tree)).map(|_| ())
    };
    for right in [&[(1, 1)][..], &[(1, 1), (1, 2), (2, 1)], &[(3, 1), (250, 1), (250, 2), (255, 1)]] {
        assert_eq!(with(right), Ok(()), "{right:?}");
    }
    let order = Err(Error::Value("order of proposals"));
    for wrong in [
        &[(0, 1)][..],
        &[(1, 0)],
        &[(1, 2)],
        &[(1, 1), (1, 1)],
        &[(1, 1), (1, 3)],
        &[(2, 1), (1, 1)],
        &[(1, 1), (2, 1), (1, 2)],
        &[(1, 1), (2, 2)],
    ] {
        assert_eq!(with(wrong), order, "{wrong:?}");
    }
    let mut repeated = proposal(1, 1, Protocol::ENCRYPTION);
    repeated.transforms[1].number = 1;
    let tree = Tree { between: Between::MN_HA, proposals: vec![repeated] };
    assert_eq!(parse(&bytes(&tree)), Err(Error::Value("order of transforms")));
}

#[test]
fn what_is_not_known_or_not_allowed_is_refused() {
    let changes: [fn(&mut Proposal<'static>); 5] = [
        |p| p.protocol = Protocol(0),
        |p| p.protocol = Protocol(4),
        |p| p.lifetime = 0,
        |p| p.transforms.clear(),
        |p| p.transforms[0].attributes = vec![Attribute::KeyBits(1); 2],
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut tree =
            Tree { between: Between::MN_HA, proposals: vec![proposal(1, 1, Protocol::ENCRYPTION)] };
        change(&mut tree.proposals[0]);
        assert!(parse(&bytes(&tree)).is_err(), "{n}");
    }
    for between in [0, 5, 255] {
        assert!(parse(&[1, between, 0, 4]).is_err());
    }
    let whole = bytes(&tree());
    // Types of the payloads, and the sub-types of those that have none.
    for at in [0, 4, 5, 20, 21] {
        let mut wrong = whole.clone();
        wrong[at] ^= 8;
        assert!(parse(&wrong).is_err(), "{at}");
    }
}

#[test]
fn numbers_of_a_group_of_ones_own_are_written_in_one_way() {
    let with = |prime: &'static [u8], generator: &'static [u8], value: &'static [u8]| {
        let mut w = Writer::default();
        KeyExchange::Own { prime, generator, value }.emit(&mut w).unwrap();
        KeyExchange::parse(&mut Reader::new(w.bytes())).map(|_| ())
    };
    assert_eq!(with(&[5, 0], &[2], &[0, 1]), Ok(()));
    assert_eq!(with(&[5, 0], &[2], &[]), Ok(()));
    for (prime, generator, value) in [
        (&[0, 5][..], &[2][..], &[0, 1][..]),
        (&[], &[2], &[]),
        (&[5, 0], &[0, 2], &[0, 1]),
        (&[5, 0], &[], &[0, 1]),
        (&[5, 0], &[2], &[1]),
        (&[5, 0], &[2], &[0, 0, 1]),
    ] {
        assert!(with(prime, generator, value).is_err(), "{prime:?} {generator:?} {value:?}");
    }
}

#[test]
fn attributes_of_both_kinds_survive_and_spoil_only_their_transform() {
    for kind in [13, 0x8000 | 14, 0xffff] {
        let mut one = proposal(1, 1, Protocol::ENCRYPTION);
        one.transforms[0].attributes.push(Attribute::Unknown { kind, value: &[1, 2, 3] });
        let tree = Tree { between: Between::MN_HA, proposals: vec![one] };
        let bytes = bytes(&tree);
        let back = parse(&bytes).unwrap();
        assert_eq!(back, tree);
        assert!(back.proposals[0].transforms[0].key_bits().is_err());
        assert_eq!(back.proposals[0].transforms[1].key_bits(), Ok(None));
    }
    let mut long = bytes(&Tree {
        between: Between::MN_HA,
        proposals: vec![Proposal {
            transforms: vec![Transform {
                attributes: vec![Attribute::Unknown { kind: 13, value: &[1, 2, 3] }],
                ..transform(1, 20, None)
            }],
            ..proposal(1, 1, Protocol::ENCRYPTION)
        }],
    });
    let at = long.len() - 6;
    assert_eq!(long[at], 13);
    long[at] = 14;
    assert_eq!(parse(&long), Err(Error::Length("attribute")));
}

#[test]
fn more_than_anybody_needs_is_refused() {
    let many = |proposals: usize, transforms: usize, exchanges: usize| {
        let of = |n: usize| Proposal {
            transforms: (1..=transforms).map(|t| transform(u8::try_from(t).unwrap(), 12, None)).collect(),
            exchanges: vec![KeyExchange::Group { group: Group(31), value: &[] }; exchanges],
            ..proposal(u8::try_from(n).unwrap(), 1, Protocol::AUTHENTICATION)
        };
        let tree = Tree { between: Between::MN_HA, proposals: (1..=proposals).map(of).collect() };
        parse(&bytes(&tree)).map(|_| ())
    };
    assert_eq!(many(MAX_PROPOSALS, 1, 0), Ok(()));
    assert_eq!(many(1, MAX_TRANSFORMS, MAX_EXCHANGES), Ok(()));
    assert!(many(MAX_PROPOSALS + 1, 1, 0).is_err());
    assert!(many(1, MAX_TRANSFORMS + 1, 0).is_err() && many(1, 1, MAX_EXCHANGES + 1).is_err());
}

#[test]
fn ten_thousand_nested_payloads_end_where_they_are_too_many() {
    // Each in the one before it, and one after the other.
    let mut nested = Vec::new();
    for n in 0..10_000_u16 {
        nested.extend([1, 1]);
        nested.extend((65_535 - n * 4).to_be_bytes());
    }
    assert!(parse(&nested).is_err());
    let mut row = vec![1, 1, 0xff, 0xff];
    row.extend([2, 0, 0, 4].repeat(16_382));
    row.resize(65_535, 0);
    assert!(parse(&row).is_err());
}

#[test]
fn debug_shows_no_secrets() {
    let shown = format!("{:?}", tree());
    assert!(shown.contains("a secret of 32 bytes") && !shown.contains("1, 1, 1, 1"), "{shown}");
}
