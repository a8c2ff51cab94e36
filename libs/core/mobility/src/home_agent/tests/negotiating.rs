//! What a mobile node that knows KEY 0 may offer, and what comes of it: nothing that its home agent does not allow.

use crypto::group;
use record::{Mode, Suite};
use sa::negotiation::{Method, Policy, Talk, Terms};
use wire::{
    mip::share::Group,
    negotiation::{Between, Negotiation, Tree},
};

use super::{privacy::detail_of, *};

fn stateless(groups: &[u16]) -> Policy {
    let methods = groups.iter().map(|number| Method::Known(Group(*number))).collect();
    Policy { modes: vec![Mode::Stateless], methods, ..Policy::default() }
}

/// The first round of an offer for KEY 1.
fn offer(policy: &Policy) -> Vec<u8> {
    let talk = Talk::new(vec![(Between::MN_HA, policy.clone())]);
    talk.offer(&mut Rng::from_seed([8; 32])).unwrap().body().to_vec()
}

/// The same with these public values.
fn offer_of(policy: &Policy, values: &[(Method, Vec<u8>)]) -> Vec<u8> {
    Negotiation::emit(1, &[0; 32], &[policy.offer(Between::MN_HA, values)]).unwrap()
}

fn asking(seconds: u64, body: Vec<u8>) -> Vec<u8> {
    Ask { negotiation: Some(body), ..ask(seconds) }.bytes()
}

/// KEY 1 of the binding that was committed last.
fn suite_of_key1(bench: &Bench) -> Option<Suite> {
    bench.committed.iter().rev().find_map(|change| match change {
        Change::PutBinding(binding) => {
            let mut associations = binding.associations.iter().rev();
            associations.find(|a| a.kind == AssociationKind::Key1).map(|a| a.suite)
        }
        _ => None,
    })
}

/// The answering code, and the detail of a denial.
fn answer(bench: &mut Bench, seconds: u64, body: Vec<u8>) -> (Code, Option<DetailCode>) {
    bench.now = at(seconds);
    let mobile = asking(seconds, body);
    let reply = bench.through(0, mobile.clone(), seconds as u32 + 1).unwrap();
    let denied = code(&reply) == Code::HA_UNSPECIFIED;
    (code(&reply), denied.then(|| detail_of(&mobile, &reply)))
}

#[test]
fn what_cannot_be_read_or_does_not_belong_there_is_a_poorly_formed_request() {
    let right = offer(&Policy::default());
    let cut = right[..right.len() - 1].to_vec();
    let longer = [right.as_slice(), &[0]].concat();
    let none = right[..Negotiation::HEAD].to_vec();
    let policy = Policy::default();
    let misplaced = Negotiation::emit(1, &[0; 32], &[policy.offer(Between::HA_FA, &[])]).unwrap();
    let tree = || policy.offer(Between::MN_HA, &[]);
    let twice = Negotiation::emit(1, &[0; 32], &[tree(), tree()]).unwrap();
    for (n, body) in [cut, longer, none, misplaced, twice].into_iter().enumerate() {
        let mut bench = bench();
        assert_eq!(answer(&mut bench, 0, body), (Code::HA_BAD_REQUEST, None), "{n}");
        assert!(bench.asked.is_empty() && bench.tunnels.is_empty(), "{n}");
    }
    // The head of it is looked at before anybody is known: silence.
    for (at, value) in [(0, 0), (1, 1)] {
        let mut body = right.clone();
        body[at] = value;
        let mut bench = bench();
        assert!(bench.through(0, asking(0, body), 1).is_none() && bench.nothing_changed());
    }
}

#[test]
fn public_values_that_do_not_serve_are_refused_and_what_stood_stands() {
    let mut bench = bench();
    assert_eq!(code(&bench.through(0, ask(0).bytes(), 1).unwrap()), Code::ACCEPTED);
    let (asked, tunnels) = (bench.asked.len(), bench.tunnels.len());
    let numbers = |number: u16| Method::Known(Group(number));
    let one = |length: usize| [vec![0; length - 1], vec![1]].concat();
    let wrong = [
        (31, vec![0; 32]),
        (31, vec![9; 31]),
        (31, vec![9; 33]),
        (14, vec![0; 256]),
        (14, one(256)),
        (14, vec![0xff; 256]),
        (14, vec![2; 255]),
        (19, vec![1; 64]),
        (19, vec![0; 64]),
        (20, vec![1; 96]),
        (1055, vec![9; 1215]),
        (1055, vec![9; 1217]),
    ];
    for ((number, value), seconds) in wrong.into_iter().zip(1..) {
        bench.agent.config.negotiation.mobile_nodes = stateless(&[number]);
        let body = offer_of(&stateless(&[number]), &[(numbers(number), value.clone())]);
        let refused = (Code::HA_UNSPECIFIED, Some(DetailCode::SHARE_REFUSED));
        assert_eq!(answer(&mut bench, seconds, body), refused, "{number}: {} octets", value.len());
        assert_eq!((bench.asked.len(), bench.tunnels.len()), (asked, tunnels));
    }
    // Values of a right form outside of the subgroup show only in the work.
    let outside = (0..=9).find_map(|octet| {
        let value = vec![octet; 256];
        let mut rng = Rng::from_seed([1; 32]);
        let begun = group::Unfinished::begin(&mut rng, group::Group::Modp2048, &value).ok()?;
        begun.finish().is_err().then_some(value)
    });
    bench.agent.config.negotiation.mobile_nodes = stateless(&[14]);
    let body = offer_of(&stateless(&[14]), &[(numbers(14), outside.unwrap())]);
    assert_eq!(answer(&mut bench, 20, body).1, Some(DetailCode::SHARE_REFUSED));
    assert_eq!((bench.asked.len(), bench.tunnels.len()), (asked, tunnels));
}

#[test]
fn nobody_works_at_an_exchange_for_a_stranger() {
    let body = offer(&stateless(&[14]));
    let mut forged = asking(0, body.clone());
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut bench = bench();
    assert!(bench.through(0, forged, 1).is_none());
    assert!(!bench.order.contains(&"exchange") && bench.nothing_changed());
    // Nor for a request that came before.
    assert_eq!(answer(&mut bench, 0, body.clone()).0, Code::ACCEPTED);
    let worked = |bench: &Bench| bench.order.iter().filter(|what| **what == "exchange").count();
    assert_eq!(worked(&bench), 1);
    assert_eq!(code(&bench.through(0, asking(0, body), 1).unwrap()), Code::ACCEPTED);
    assert_eq!(worked(&bench), 1);
}

#[test]
fn groups_that_nobody_should_use_are_reached_by_nothing_but_the_operators_word() {
    let legacy = [1, 2];
    for number in legacy {
        let mut bench = bench();
        let body = offer(&stateless(&[number]));
        let countered = (Code::HA_UNSPECIFIED, Some(DetailCode::COUNTER_PROPOSAL));
        assert_eq!(answer(&mut bench, 0, body.clone()), countered);
        let (_, reply) = bench.sent.last().unwrap();
        let parts = Parts::parse(reply, registration::Reply::LEN, DOCUMENTATION_VENDOR).unwrap();
        let trees = parts.mobile.negotiation.unwrap().trees().unwrap();
        let drawn = Terms::from(&trees[0]).to_string();
        assert!(drawn.contains("x25519") && !drawn.contains("modp-768") && !drawn.contains("modp-1024"));
        // With the operator's word it serves, and he is told.
        let mut bench = Bench::with(State { subscribers: vec![subscriber()], ..State::default() }, at(0));
        bench.agent.config.negotiation.mobile_nodes.methods.push(Method::Known(Group(number)));
        assert_eq!(answer(&mut bench, 0, body), (Code::ACCEPTED, None));
        assert_eq!(suite_of_key1(&bench).unwrap().group, Group(number));
        let weak = bench.told.iter().find(|event| event.kind == EventKind::WeakAlgorithm).unwrap();
        assert!(weak.text.contains("KEY 1") && weak.text.contains("breakable"), "{}", weak.text);
    }
    // Whatever octet of an offer is changed, by who could sign it.
    let right = offer(&stateless(&[31, 14]));
    let mut accepted = 0;
    for at in 0..right.len() {
        for value in [0, 1, 2, right[at] ^ 1, right[at] ^ 2, 0xff] {
            let mut body = right.clone();
            body[at] = value;
            let mut bench = bench();
            if bench.through(0, asking(0, body), 1).is_some_and(|reply| code(&reply) == Code::ACCEPTED) {
                accepted += 1;
                let group = suite_of_key1(&bench).unwrap().group;
                assert!(!legacy.contains(&group.0), "octet {at} as {value}: {group:?}");
            }
        }
    }
    assert!(accepted > 100, "most of a public value may be another: {accepted}");
}

#[test]
fn a_round_that_nobody_knows_of_begins_nothing() {
    let policy = Policy { modes: vec![Mode::Stateful], ..Policy::default() };
    let tree = || policy.offer(Between::MN_HA, &[]);
    let body = |round, digest| Negotiation::emit(round, &digest, &[tree()]).unwrap();
    let unknown = (Code::HA_UNSPECIFIED, Some(DetailCode::NO_PROPOSAL));
    let mut bench = bench();
    assert_eq!(answer(&mut bench, 0, body(2, [0; 32])), unknown);
    assert_eq!(answer(&mut bench, 1, body(1, [7; 32])), unknown, "a digest of nothing");
    assert_eq!(answer(&mut bench, 2, body(4, [7; 32])), unknown);
    let over = (Code::HA_UNSPECIFIED, Some(DetailCode::ROUNDS_EXHAUSTED));
    assert_eq!(answer(&mut bench, 3, body(5, [7; 32])), over);
    assert_eq!(answer(&mut bench, 4, body(1, [0; 32])), (Code::ACCEPTED, None));
}

#[test]
fn offers_without_end_come_to_one() {
    let mut bench = bench();
    bench.agent.config.negotiation.mobile_nodes = stateless(&[31]);
    let wish = Policy { modes: vec![Mode::Stateful], ..Policy::default() };
    let mut said = Vec::new();
    let countered = (Code::HA_UNSPECIFIED, Some(DetailCode::COUNTER_PROPOSAL));
    for round in 1..=4_u8 {
        let digest = if said.is_empty() { [0; 32] } else { crypto::digest(&[&said]) };
        let body = Negotiation::emit(round, &digest, &[wish.offer(Between::MN_HA, &[])]).unwrap();
        let got = answer(&mut bench, u64::from(round), body.clone());
        if round == 4 {
            assert_eq!(got, (Code::HA_UNSPECIFIED, Some(DetailCode::ROUNDS_EXHAUSTED)));
            return;
        }
        assert_eq!(got, countered, "{round}");
        let (_, reply) = bench.sent.last().unwrap();
        let parts = Parts::parse(reply, registration::Reply::LEN, DOCUMENTATION_VENDOR).unwrap();
        let counter = parts.mobile.negotiation.unwrap();
        said.extend_from_slice(&body);
        assert_eq!((counter.round, counter.digest), (round, crypto::digest(&[&said])));
        said.extend_from_slice(counter.body());
    }
}

#[test]
fn a_round_is_forgotten_after_half_a_minute() {
    let mut bench = bench();
    bench.agent.config.negotiation.mobile_nodes = stateless(&[31]);
    let first = Negotiation::emit(1, &[0; 32], &[Policy::default().offer(Between::MN_HA, &[])]).unwrap();
    let countered = (Code::HA_UNSPECIFIED, Some(DetailCode::COUNTER_PROPOSAL));
    assert_eq!(answer(&mut bench, 0, first.clone()), countered);
    let (_, reply) = bench.sent.last().unwrap().clone();
    let parts = Parts::parse(&reply, registration::Reply::LEN, DOCUMENTATION_VENDOR).unwrap();
    let said = [first.as_slice(), parts.mobile.negotiation.unwrap().body()].concat();
    let mut rng = Rng::from_seed([8; 32]);
    let half = sa::negotiation::Half::new(&Method::Known(Group::X25519), &mut rng).unwrap();
    let values = [(Method::Known(Group::X25519), half.value())];
    let policy = stateless(&[31]);
    let trees: [Tree<'_>; 1] = [policy.offer(Between::MN_HA, &values)];
    let second = Negotiation::emit(2, &crypto::digest(&[&said]), &trees).unwrap();
    assert_eq!(answer(&mut bench, 30, second.clone()).1, Some(DetailCode::NO_PROPOSAL));
    assert_eq!(answer(&mut bench, 31, first), countered);
    assert_eq!(answer(&mut bench, 60, second).0, Code::ACCEPTED, "the rounds of the second begin anew");
}
