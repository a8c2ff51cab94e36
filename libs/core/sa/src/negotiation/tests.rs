//! The engine against a reference that looks at every combination.

use std::collections::BTreeSet;

use crypto::{
    Cipher, Integrity, Key, Rng,
    group::{UserGroup, Verdicts},
};
use record::{AssociationKind, Mode, Suite};
use wire::{
    Reader, Writer,
    mip::{Spi, share::Group},
    negotiation::{Attribute, Between, KeyExchange, Negotiation, Proposal, Transform, Tree},
};

use super::*;

const METHODS: [Group; 4] = [Group::X25519, Group(19), Group(14), Group(20)];

/// Some of a list in some order, at least `least`.
fn some<T: Clone>(rng: &mut Rng, all: &[T], least: usize) -> Vec<T> {
    loop {
        let mut rest = all.to_vec();
        let mut list = Vec::new();
        while !rest.is_empty() {
            let at = usize::try_from(rng.below(rest.len() as u64)).unwrap();
            let one = rest.remove(at);
            if rng.below(3) > 0 {
                list.push(one);
            }
        }
        if list.len() >= least {
            return list;
        }
    }
}

fn policy(rng: &mut Rng) -> Policy {
    Policy {
        modes: some(rng, &Mode::ALL.map(|(mode, _)| mode), 1),
        encryption: some(rng, &Cipher::ALL.map(|(cipher, _)| cipher), 1),
        integrity: some(rng, &Integrity::ALL.map(|(integrity, _)| integrity), 1),
        methods: some(rng, &METHODS.map(Method::Known), 1),
        own: vec![],
        others_groups: false,
        legacy_groups: false,
        lifetime: 1 + rng.u32() % 100_000,
    }
}

fn value(method: &Method) -> Vec<u8> {
    vec![u8::try_from(method.group().0).unwrap(); 8]
}

fn values(of: &[Method]) -> Vec<(Method, Vec<u8>)> {
    of.iter().map(|method| (method.clone(), value(method))).collect()
}

/// What two policies agree on: the first mode, then the first of each list of the first, that the second has too.
fn reference(first: &Policy, second: &Policy) -> Option<Suite> {
    fn common<T: Copy + PartialEq>(first: &[T], second: &[T]) -> Option<T> {
        first.iter().copied().find(|of| second.contains(of))
    }
    let encryption = common(&first.encryption, &second.encryption)?;
    let integrity = common(&first.integrity, &second.integrity)?;
    let groups = |policy: &Policy| policy.methods.iter().map(Method::group).collect::<Vec<_>>();
    let group = common(&groups(first), &groups(second));
    first.modes.iter().filter(|mode| second.modes.contains(mode)).find_map(|mode| {
        let group = if *mode == Mode::Stateless { group? } else { Group(0) };
        Some(Suite { encryption, integrity, mode: *mode, group })
    })
}

fn suite_of(choice: &Choice<'_>) -> Option<Suite> {
    match choice {
        Choice::Chosen(chosen) | Choice::NeedsValue(chosen) => Some(chosen.suite),
        Choice::Nothing => None,
    }
}

/// Through bytes and back.
fn sent(tree: &Tree<'_>) -> Vec<u8> {
    let mut w = Writer::default();
    tree.emit(&mut w).unwrap();
    w.into_bytes()
}

fn received(bytes: &[u8]) -> Tree<'_> {
    Tree::parse(&mut Reader::new(bytes)).unwrap()
}

#[test]
fn what_is_agreed_is_what_the_reference_says_and_in_both_policies() {
    let mut rng = Rng::from_seed([1; 32]);
    let mut agreed = 0;
    for _ in 0..5000 {
        let (first, second) = (policy(&mut rng), policy(&mut rng));
        let values = values(&first.methods);
        let bytes = sent(&first.offer(Between::MN_HA, &values));
        let offer = received(&bytes);
        let choice = choose(&offer, &[&Terms::from(&second)]);
        assert_eq!(suite_of(&choice), reference(&first, &second), "{first:?} {second:?}");
        let Choice::Chosen(chosen) = choice else {
            assert_eq!(choice, Choice::Nothing);
            continue;
        };
        agreed += 1;
        assert!(first.allows(&chosen.suite) && second.allows(&chosen.suite));
        assert_eq!(chosen.lifetime, first.lifetime.min(second.lifetime));
        let theirs = [9; 8];
        let answer = sent(&chosen.answer(&offer, &theirs));
        let accepted = accept(&offer, &received(&answer)).unwrap();
        assert_eq!((accepted.suite, accepted.lifetime), (chosen.suite, chosen.lifetime));
        match (&accepted.exchange, &chosen.exchange) {
            (Some((ours, answered)), Some((method, offered))) => {
                assert_eq!((ours, *answered), (method, &theirs[..]));
                assert_eq!(*offered, value(method));
            }
            (None, None) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(agreed > 1000, "{agreed}");
}

#[test]
fn however_an_offer_is_spelt_the_same_is_chosen() {
    let mut rng = Rng::from_seed([2; 32]);
    for _ in 0..2000 {
        let (first, second) = (policy(&mut rng), policy(&mut rng));
        let values = values(&first.methods);
        let plain = first.offer(Between::MN_FA, &values);
        let mut spelt = plain.clone();
        let mut proposals = Vec::new();
        let mut number = 0;
        for group in plain.alternatives() {
            // Protocols in another order, with gaps between the numbers, transforms nobody knows, exchanges elsewhere.
            number += 1 + u8::try_from(rng.below(5)).unwrap();
            let mut group = group.to_vec();
            let exchanges: Vec<_> = group.iter_mut().flat_map(|p| std::mem::take(&mut p.exchanges)).collect();
            let turn = usize::try_from(rng.below(group.len() as u64)).unwrap();
            group.rotate_left(turn);
            let at = usize::try_from(rng.below(group.len() as u64)).unwrap();
            group[at].exchanges = exchanges;
            for (proposal, protocol_number) in group.iter_mut().zip(1..) {
                (proposal.number, proposal.protocol_number) = (number, protocol_number);
                let strange = [
                    Transform { number: 0, keys: 1, id: 999, attributes: vec![] },
                    Transform {
                        number: 0,
                        keys: 1,
                        id: proposal.transforms[0].id,
                        attributes: vec![Attribute::Unknown { kind: 99, value: &[1] }],
                    },
                ];
                for one in strange {
                    let at = usize::try_from(rng.below(proposal.transforms.len() as u64 + 1)).unwrap();
                    proposal.transforms.insert(at, one);
                }
                for (transform, n) in proposal.transforms.iter_mut().zip(1..) {
                    transform.number = n * 3;
                }
            }
            proposals.extend(group);
        }
        spelt.proposals = proposals;
        let bytes = sent(&spelt);
        let spelt = received(&bytes);
        let terms = Terms::from(&second);
        assert_eq!(suite_of(&choose(&spelt, &[&terms])), suite_of(&choose(&plain, &[&terms])), "{spelt:#?}");
    }
}

#[test]
fn three_agree_on_what_all_of_them_allow() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut agreed = 0;
    for _ in 0..3000 {
        let all = [policy(&mut rng), policy(&mut rng), policy(&mut rng)];
        let values = values(&all[0].methods);
        let offer = all[0].offer(Between::MN_FA, &values);
        let other = all[1].offer(Between::MN_FA, &[]);
        let (second, third) = (Terms::from(&other), Terms::from(&all[2]));
        let choice = choose(&offer, &[&second, &third]);
        if let Some(suite) = suite_of(&choice) {
            agreed += 1;
            assert!(all.iter().all(|policy| policy.allows(&suite)), "{suite:?}");
        }
        let whole = choose(&offer, &[&second.within(&third)]);
        assert_eq!(suite_of(&whole), suite_of(&choice), "what two allow in common is one policy");
        // The other's own tree has an answer too, of the same.
        if let Choice::Chosen(chosen) = &choice {
            let again = choose(&other, &[&Terms::exactly(chosen)]);
            assert_eq!(suite_of(&again), Some(chosen.suite));
        }
    }
    assert!(agreed > 300, "{agreed}");
}

#[test]
fn a_group_without_a_value_takes_one_more_round_and_then_is_agreed_on() {
    let mut rng = Rng::from_seed([4; 32]);
    let mut more = 0;
    for _ in 0..3000 {
        let (mut first, second) = (policy(&mut rng), policy(&mut rng));
        first.modes = vec![Mode::Stateless];
        let made = values(&first.methods[..1]);
        let offer = first.offer(Between::MN_HA, &made);
        let Choice::NeedsValue(chosen) = choose(&offer, &[&Terms::from(&second)]) else { continue };
        more += 1;
        let bytes = sent(&chosen.answer(&offer, &[]));
        let counter = received(&bytes);
        assert_eq!(accept(&offer, &counter), Err(NotAnAnswer::Exchange), "a counter-proposal is no answer");
        let narrowed = first.narrowed(&Terms::from(&counter)).unwrap();
        let made = values(&narrowed.methods[..1]);
        let offer = narrowed.offer(Between::MN_HA, &made);
        let Choice::Chosen(again) = choose(&offer, &[&Terms::from(&second)]) else { panic!("{offer:?}") };
        assert_eq!(again.suite, chosen.suite);
        assert_eq!(Some(again.suite), reference(&first, &second), "no weaker for having been asked back");
    }
    assert!(more > 100, "{more}");
}

#[test]
fn a_counter_proposal_leads_to_what_is_common_or_to_an_end() {
    let mut rng = Rng::from_seed([5; 32]);
    for _ in 0..3000 {
        let (first, second) = (policy(&mut rng), policy(&mut rng));
        let counter = second.offer(Between::MN_HA, &[]);
        let agreed = first.narrowed(&Terms::from(&counter)).and_then(|narrowed| {
            let values = values(&narrowed.methods);
            suite_of(&choose(&narrowed.offer(Between::MN_HA, &values), &[&Terms::from(&second)]))
        });
        assert_eq!(agreed, reference(&first, &second));
    }
}

#[test]
fn an_answer_that_was_changed_anywhere_is_none_or_another_one_that_was_offered() {
    let mut rng = Rng::from_seed([6; 32]);
    let first = Policy { methods: METHODS.map(Method::Known).to_vec(), ..Policy::default() };
    for modes in Mode::ALL.map(|(mode, _)| vec![mode]) {
        let first = Policy { modes, lifetime: 600, ..first.clone() };
        let made = values(&first.methods[..2]);
        let offer = first.offer(Between::MN_HA, &made);
        let Choice::Chosen(chosen) = choose(&offer, &[&Terms::from(&first)]) else { panic!() };
        let right = sent(&chosen.answer(&offer, &[9; 8]));
        assert!(accept(&offer, &received(&right)).is_ok());
        for _ in 0..20_000 {
            let mut wrong = right.clone();
            for _ in 0..=rng.below(2) {
                let at = usize::try_from(rng.below(wrong.len() as u64)).unwrap();
                wrong[at] = u8::try_from(rng.below(256)).unwrap();
            }
            let mut r = Reader::new(&wrong);
            let Ok(tree) = Tree::parse(&mut r) else { continue };
            if !r.is_empty() || wrong == right {
                continue;
            }
            if let Ok(accepted) = accept(&offer, &tree) {
                assert!(first.allows(&accepted.suite), "{accepted:?}");
                assert!(accepted.lifetime <= 600);
                if let Some((method, _)) = accepted.exchange {
                    assert!(made.iter().any(|(of, _)| *of == method), "only where we made a value");
                }
            }
        }
    }
}

#[test]
fn what_was_not_offered_is_no_answer() {
    let policy = Policy { lifetime: 600, ..Policy::default() };
    let made = values(&policy.methods);
    let offer = policy.offer(Between::MN_HA, &made);
    let Choice::Chosen(chosen) = choose(&offer, &[&Terms::from(&policy)]) else { panic!() };
    let right = chosen.answer(&offer, &[]);
    assert!(accept(&offer, &right).is_ok());
    let changed = |change: &dyn Fn(&mut Tree<'_>)| {
        let mut tree = right.clone();
        change(&mut tree);
        accept(&offer, &tree).err()
    };
    type Edit = fn(&mut Tree<'_>);
    let edits: [(Edit, NotAnAnswer); 12] = [
        (|t| t.proposals.clear(), NotAnAnswer::Refusal),
        (|t| t.between = Between::MN_FA, NotAnAnswer::Alternative),
        (|t| drop(t.proposals.pop()), NotAnAnswer::Alternative),
        (|t| t.proposals.iter_mut().for_each(|p| p.number = 9), NotAnAnswer::Alternative),
        (|t| t.proposals[0].number = 2, NotAnAnswer::Alternative),
        (|t| t.proposals[1].spi = Spi(1000), NotAnAnswer::Alternative),
        (|t| t.proposals[1].transforms[0].id = 12, NotAnAnswer::Transform),
        (|t| t.proposals[1].transforms[0].attributes.clear(), NotAnAnswer::Transform),
        (|t| t.proposals[1].transforms[0].keys = 7, NotAnAnswer::Transform),
        (
            |t| {
                let again = Transform { number: 9, ..t.proposals[1].transforms[0].clone() };
                t.proposals[1].transforms.push(again);
            },
            NotAnAnswer::Transform,
        ),
        (|t| t.proposals.iter_mut().for_each(|p| p.lifetime = 601), NotAnAnswer::Lifetime),
        (|t| t.proposals[0].lifetime = 599, NotAnAnswer::Lifetime),
    ];
    for (n, (edit, why)) in edits.iter().enumerate() {
        assert_eq!(changed(edit), Some(*why), "{n}");
    }
    let exchange = KeyExchange::Group { group: Group::X25519, value: &[1] };
    assert_eq!(
        changed(&|t| t.proposals[0].exchanges.push(exchange)),
        Some(NotAnAnswer::Exchange),
        "an exchange where none was offered"
    );
    let stateless = Policy { modes: vec![Mode::Stateless], ..policy };
    let offer = stateless.offer(Between::MN_HA, &made);
    let Choice::Chosen(chosen) = choose(&offer, &[&Terms::from(&stateless)]) else { panic!() };
    let right = chosen.answer(&offer, &[1]);
    for exchanges in [
        vec![],
        vec![KeyExchange::Group { group: Group::X25519, value: &[] }],
        vec![KeyExchange::Group { group: Group(1), value: &[1] }],
        vec![exchange, exchange],
        vec![KeyExchange::Secret { group: Group::X25519, secret: &[1; 32] }],
    ] {
        let mut tree = right.clone();
        tree.proposals[0].exchanges.clone_from(&exchanges);
        assert!(accept(&offer, &tree).is_err(), "{exchanges:?}");
    }
}

#[test]
fn alternatives_that_say_two_things_are_passed_over() {
    let policy = Policy::default();
    let made = values(&policy.methods);
    let whole = policy.offer(Between::MN_HA, &made);
    let groups: Vec<Vec<Proposal<'_>>> = whole.alternatives().map(<[_]>::to_vec).collect();
    let [stateful, semi, stateless] = groups.as_slice() else { panic!() };
    let chosen = |proposals: Vec<Proposal<'_>>| {
        let offer = Tree { between: Between::MN_HA, proposals };
        suite_of(&choose(&offer, &[&Terms::from(&policy)])).map(|suite| suite.mode)
    };
    assert_eq!(chosen(stateful.clone()), Some(Mode::Stateful));
    assert_eq!(chosen(semi.clone()), Some(Mode::SemiStateful));
    assert_eq!(chosen(stateless.clone()), Some(Mode::Stateless));
    type Edit = fn(&mut Vec<Proposal<'_>>);
    let edits: [Edit; 5] = [
        |p| drop(p.remove(0)),
        |p| drop(p.remove(1)),
        |p| {
            let again = Proposal { protocol_number: 4, ..p[1].clone() };
            p.push(again);
        },
        |p| p[0].spi = Spi(1000),
        |p| p[0].exchanges.push(KeyExchange::Secret { group: Group(0), secret: &[1; 32] }),
    ];
    for edit in edits {
        for group in &groups {
            let mut group = group.clone();
            edit(&mut group);
            assert_eq!(chosen(group), None);
        }
    }
    let mut both = semi.clone();
    both[0].exchanges.clone_from(&stateless[0].exchanges);
    assert_eq!(chosen(both), None, "two ways to one key");
}

#[test]
fn who_negotiates_nothing_allows_the_default() {
    let mut rng = Rng::from_seed([7; 32]);
    for _ in 0..1000 {
        let policy = policy(&mut rng);
        let values = values(&policy.methods);
        let offer = policy.offer(Between::HA_FA, &values);
        let suite = suite_of(&choose(&offer, &[&Terms::default()]));
        assert_eq!(suite.is_some(), policy.allows(&Suite::default()));
        assert!(suite.is_none_or(|suite| suite == Suite::default()));
    }
}

#[test]
fn rounds_hold_on_to_what_was_said() {
    let body = |rounds: &Rounds| {
        let (round, digest) = rounds.next();
        Negotiation::emit(round, &digest, &[Policy::default().offer(Between::MN_HA, &[])]).unwrap()
    };
    let reply = |rounds: &Rounds, request: &[u8]| {
        let (round, _) = rounds.next();
        let tree = Tree { between: Between::MN_HA, proposals: vec![] };
        Negotiation::emit(round, &rounds.digest_after(request), &[tree]).unwrap()
    };
    let mut rounds = Rounds::default();
    let mut seen = BTreeSet::new();
    for round in 1..=MAX_ROUNDS {
        let request = body(&rounds);
        let parsed = Negotiation::parse(&request).unwrap();
        assert_eq!(parsed.round, round);
        assert_eq!(parsed.digest == [0; 32], round == 1, "zeros only in the first request");
        assert!(rounds.continued_by(&parsed));
        let reply = reply(&rounds, &request);
        let answer = Negotiation::parse(&reply).unwrap();
        assert!(rounds.answered_by(&request, &answer));
        assert!(seen.insert(parsed.digest) && seen.insert(answer.digest));
        // Whatever of it is changed, the next digest is another.
        let next = rounds.after(&request, &reply);
        for at in 0..request.len() {
            let mut other = request.clone();
            other[at] ^= 1;
            assert_ne!(rounds.after(&other, &reply).next(), next.next());
            assert!(!rounds.answered_by(&other, &answer));
        }
        assert!(!next.continued_by(&parsed) && !next.answered_by(&request, &answer));
        rounds = next;
    }
    assert_eq!(rounds.over(), MAX_ROUNDS);
}

#[test]
fn keys_of_a_seed_depend_on_the_pair_and_on_what_it_believes() {
    let seed = Key::new([7; 32]);
    let kinds = [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3];
    let pairs = kinds.map(|kind| pair_seed(&seed, kind));
    assert!(pairs[0] != pairs[1] && pairs[1] != pairs[2] && pairs[0] != pairs[2]);
    let ends = Ends {
        initiator: "mn@home.example",
        responder: "ha@home.example",
        initiator_address: [10, 11, 1, 50].into(),
        responder_address: [10, 11, 1, 1].into(),
    };
    let key = prf_key(&pairs[0], &ends);
    assert!(key == prf_key(&pairs[0], &ends));
    for other in [
        Ends { initiator: "mn@home.exampl", ..ends },
        Ends { responder: "ha@home.exampl", ..ends },
        Ends { initiator: ends.responder, responder: ends.initiator, ..ends },
        Ends { initiator_address: [10, 11, 1, 51].into(), ..ends },
        Ends { responder_address: [10, 11, 1, 2].into(), ..ends },
    ] {
        assert!(prf_key(&pairs[0], &other) != key, "{other:?}");
    }
    assert!(prf_key(&pairs[1], &ends) != key);
}

#[test]
fn key_3_of_an_exchange_depends_on_names_and_values() {
    let shared = Key::new([7; 32]);
    let key = stateless_key3(&shared, "fa@a.example", "x@home.example", [&[1; 32], &[2; 32]]);
    for (agent, visit, values) in [
        ("fa@b.example", "x@home.example", [&[1; 32], &[2; 32]]),
        ("fa@a.example", "y@home.example", [&[1; 32], &[2; 32]]),
        ("fa@a.example", "x@home.example", [&[2; 32], &[1; 32]]),
        ("fa@a.examplex", "@home.example", [&[1; 32], &[2; 32]]),
    ] {
        assert!(stateless_key3(&shared, agent, visit, [values[0], values[1]]) != key);
    }
    assert!(
        stateless_key3(&Key::new([8; 32]), "fa@a.example", "x@home.example", [&[1; 32], &[2; 32]]) != key
    );
}

/// A safe prime of 771 bits (openssl prime -generate -safe -bits 771): short, so that its tests are.
const SHORT: &str = "06ef300c2d3e81ae3fe1d672e797929fc4a3467a9e4cc2e86c2a0d9f8f43030244a522283f88c5ab9e8175e887d2\
                     85dfbff1e2dadd799422df798b977eb655ebc239807e996d426690138c651e674c7a1d53b94a75771232f1e673b5\
                     1c620c5ff3";

fn short() -> Vec<u8> {
    (0..SHORT.len()).step_by(2).map(|at| u8::from_str_radix(&SHORT[at..at + 2], 16).unwrap()).collect()
}

fn named<'a>(groups: &'a [&'a str], own_group: Option<(&'a [u8], &'a [u8])>) -> Named<'a> {
    Named {
        modes: &["stateless"],
        encryption: &["aes-256-gcm"],
        authentication: &["hmac-sha-256"],
        groups,
        own_group,
        others_groups: false,
        legacy_groups: true,
        lifetime: 0,
    }
}

#[test]
fn a_group_of_ones_own_stands_where_it_is_preferred_and_is_offered_with_a_value() {
    let prime = short();
    let own = Some((prime.as_slice(), &[2_u8][..]));
    let policy = Policy::named(&named(&["x25519", OWN, "p-256"], own)).unwrap();
    let method = Method::own(&policy.own[0]);
    assert_eq!(policy.methods, [Method::Known(Group::X25519), method.clone(), Method::Known(Group(19))]);
    assert!(method.is_legacy() && policy.group(&method).is_some());
    let other = Method::Own { prime: prime.as_slice().into(), generator: [3].into() };
    assert!(policy.group(&other).is_none(), "another generator is another group");
    assert!(Policy::named(&named(&["x25519", OWN], None)).is_none());
    let first = Policy::named(&named(&[OWN], own)).unwrap();
    let offered =
        Talk::new(vec![(Between::MN_HA, first.clone())]).offer(&mut Rng::from_seed([1; 32])).unwrap();
    let trees = Negotiation::parse(offered.body()).unwrap().trees().unwrap();
    let exchanges: Vec<_> = trees[0].proposals.iter().flat_map(|p| &p.exchanges).collect();
    assert!(matches!(exchanges[..], [KeyExchange::Own { value, .. }] if value.len() == prime.len()));
    // Whoever was told of it, or takes what comes, agrees on it; nobody else does.
    let agrees = |policy: &Policy| matches!(choose(&trees[0], &[&Terms::from(policy)]), Choice::Chosen(_));
    let stateless = Policy { modes: vec![Mode::Stateless], ..Policy::default() };
    assert!(agrees(&first) && !agrees(&stateless));
    let taking = Policy { others_groups: true, ..stateless };
    assert!(
        agrees(&taking) && taking.allows(&suite_of(&choose(&trees[0], &[&Terms::from(&taking)])).unwrap())
    );
}

#[test]
fn an_untested_group_is_begun_cheaply_finishes_alike_and_is_tested_once() {
    let mut rng = Rng::from_seed([2; 32]);
    let policy = Policy { others_groups: true, legacy_groups: true, ..Policy::default() };
    let prime = short();
    let method =
        |generator: u8| Method::Own { prime: prime.as_slice().into(), generator: [generator].into() };
    let checked = UserGroup::new(&prime, &[2], true).unwrap().check(&mut rng).unwrap();
    let half = Half::new(checked, &mut rng);
    let mut found = Verdicts::new(4);
    let begun = begin(&method(2), &half.value(), &policy, &found, &mut rng).unwrap();
    assert!(begun.tests_a_group() && begun.is_heavy());
    let (first, second) = (begun.finish(), begun.duplicate().finish());
    let (shared, value) = first.answer.unwrap().into_parts();
    assert!(half.complete(&value).unwrap() == *shared.key());
    assert!(second.answer.unwrap().value() == value, "the same comes of it each time");
    let (group, verdict) = first.found.unwrap();
    found.remember(&group, &verdict);
    for generator in [2, 3] {
        let begun = begin(&method(generator), &half.value(), &policy, &found, &mut rng).unwrap();
        assert!(!begun.tests_a_group() && begun.is_heavy());
    }
    // What failed once fails at once.
    let mut product = prime.clone();
    *product.last_mut().unwrap() += 4;
    let product = Method::Own { prime: product.into(), generator: [2].into() };
    let finished = begin(&product, &half.value(), &policy, &found, &mut rng).unwrap().finish();
    assert!(finished.answer.is_none());
    let (group, verdict) = finished.found.unwrap();
    found.remember(&group, &verdict);
    assert!(begin(&product, &half.value(), &policy, &found, &mut rng).is_err());
    // And what has a wrong size is not begun.
    let strict = Policy { legacy_groups: false, ..policy };
    assert!(begin(&method(2), &half.value(), &strict, &found, &mut rng).is_err());
    assert!(begin(&method(2), &vec![0; prime.len()], &strict, &found, &mut rng).is_err());
}

#[test]
fn the_test_of_a_group_names_what_is_wrong() {
    let prime = short();
    let told = |prime: &[u8], generator: &[u8], legacy| test_group(prime, generator, legacy, [1; 32]);
    assert_eq!(told(&prime, &[2], true), Ok(()));
    let (key, message) = told(&prime, &[2], false).unwrap_err();
    assert!(key == "prime" && message.contains("2048 to 8192") && message.contains("allow_legacy_groups"));
    for (number, generator, of) in [
        (&prime[..], &[1][..], "generator"),
        (&prime, &prime, "generator"),
        (&prime, &[], "generator"),
        (&prime[..95], &[2], "prime"),
        (&[], &[2], "prime"),
    ] {
        assert_eq!(told(number, generator, true).unwrap_err().0, of);
    }
    let mut product = prime.clone();
    *product.last_mut().unwrap() += 4;
    assert_eq!(told(&product, &[2], true).unwrap_err().0, "prime");
}
