//! What a mobile node that knows KEY 0 may offer, and what comes of it: nothing that its home agent does not allow.

use crypto::group;
use record::{Mode, Suite};
use sa::negotiation::{Method, Policy, Talk, Terms};
use wire::{
    mip::share::Group,
    negotiation::{Between, Negotiation, Tree},
};

use super::{
    limits::{another, by},
    privacy::detail_of,
    *,
};

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
    let half = sa::negotiation::Half::new(group::Group::X25519, &mut rng);
    let values = [(Method::Known(Group::X25519), half.value())];
    let policy = stateless(&[31]);
    let trees: [Tree<'_>; 1] = [policy.offer(Between::MN_HA, &values)];
    let second = Negotiation::emit(2, &crypto::digest(&[&said]), &trees).unwrap();
    assert_eq!(answer(&mut bench, 30, second.clone()).1, Some(DetailCode::NO_PROPOSAL));
    assert_eq!(answer(&mut bench, 31, first), countered);
    assert_eq!(answer(&mut bench, 60, second).0, Code::ACCEPTED, "the rounds of the second begin anew");
}

/// A safe prime of 2,048 bits that stands in no document (openssl prime -generate -safe -bits 2048).
const SAFE: &str = "dd6a1452d8ca4cb5fd95f79002d6b6203133390fb1702536462f0682a3fdf22f815aae446080499a013568306ff0\
                    3819d9f7c1ef9350c6f26d151f5f1b28ac48171a12339c44382bf0801b139cc0ee83e12d88854fb00447198df9ee\
                    09f6ebb826ee649d8dafd2dc3ea5515f62c3d47d1cbff56ebac3d3a9886077c772cec48a6771d1dfdf1d82f3f0f9\
                    0711e4f99ab3a55bcfda38c95163550e6e699953de064ee50f4ae1fcc8a8c776e1ec7b91cb65f5dad3db7053ad6e\
                    3fa914b82421c3dfd7c172bfbab0be62fbd83e90aebcb0915e9158297cc7424373688192ff62fafff0ebf7a1706c\
                    97cce9dc269b6fcccae118d246a0dde5fe7a07202eb607b7759b";

/// The prime of group 2, 1,024 bits (RFC 2409 section 6.2).
const GROUP_2: &str = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
                       ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
                       ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";

/// One of 771 bits (openssl prime -generate -safe -bits 771).
const SHORT: &str = "06ef300c2d3e81ae3fe1d672e797929fc4a3467a9e4cc2e86c2a0d9f8f43030244a522283f88c5ab9e8175e887d2\
                     85dfbff1e2dadd799422df798b977eb655ebc239807e996d426690138c651e674c7a1d53b94a75771232f1e673b5\
                     1c620c5ff3";

/// A prime p of 2,048 bits that is not safe (openssl prime -generate -bits 2048): 3 divides p - 1.
const PLAIN: &str = "d5d3fbc4ad0fb4a6bdd78cb1378d46cbe1abea8f2deb4cf8ebe4f1a38303aaca5327d640df1422cff259a1204301\
                     e25cb6760ff89538f66c8c01adea89b7b49bdfd975a77cc3e7d3702dda8a695403a8082bcfd053ace9e17307fa9b\
                     bf427813781c0d40dc9c8ce3e18e9ed0313dc627858483ea5fb0d1a4b79712142ce902553ce61f81e5f9abc5fe91\
                     a7ac2cddabbf2486a8e7a10d0931b05bcf462b740ed98d60c2d8774d0833268fd51f98cb02829b0ca72f6ded829d\
                     b20743d1d59b7c0c4964d3d7e9609ca57e435a11ddc4f2f3959d2546e7f0e117db8886f55d54accc43c2cb22f1a9\
                     d69d02af2d3128aaad00cd14ae2e1d46871f3249c6c2de4be657";

/// A number of which the third power is 1 modulo that prime: everybody can tell its logarithms.
const ORDER_3: &str = "a9278be215e3e0eb352f31f21798f5e9e8b370d32f1967377de30029f3505869703bf52c1210acb9d33633ee868f\
                       b233bbf9f8f21bc360842ec0f771e312c3c80826c980cc65bd8b1cbf265d1d80fa56b3a28942b27e9d083520b4af\
                       b997764406d82165d25560e32dbe48e3b8450cd537c80748432da20b0a9c8b6c60c59d2d34fb60e4e8a45c2cb6fd\
                       c286017b4a1b2c97c67a156eac2269b18cb4e124523c84423c8a449dfb6d423748d6d4cfa9882e6b6aa633fd587b\
                       3376a5f7c0d9c4ff5af931941adb7622b26a542a5f8e1d46f03e05f55e449828f2f604a7e41429f1a39c0ad0906e\
                       63c025e129f652ecd774582f9ef3b7202cbdd1d98d2fd2e1a23d";

fn hex(digits: &str) -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

/// A number and a small one more, or less.
fn near(number: &[u8], more: i16) -> Vec<u8> {
    let mut near = number.to_vec();
    let mut carry = more;
    for octet in near.iter_mut().rev() {
        let sum = i16::from(*octet) + carry;
        *octet = sum.rem_euclid(256) as u8;
        carry = sum.div_euclid(256);
    }
    near
}

fn own(prime: &[u8], generator: &[u8]) -> Method {
    Method::Own { prime: prime.into(), generator: generator.into() }
}

/// An offer of one group that nobody has to have checked, with this value.
fn bring(prime: &[u8], generator: &[u8], value: &[u8]) -> Vec<u8> {
    let method = own(prime, generator);
    let policy = Policy { modes: vec![Mode::Stateless], methods: vec![method.clone()], ..Policy::default() };
    offer_of(&policy, &[(method, value.to_vec())])
}

/// An offer of one that serves, with a value that was made for it.
fn bring_right(prime: &[u8], generator: &[u8], legacy: bool) -> Vec<u8> {
    let mut rng = Rng::from_seed([8; 32]);
    let group = group::UserGroup::new(prime, generator, legacy).unwrap().check(&mut rng).unwrap();
    bring(prime, generator, &sa::negotiation::Half::new(group, &mut rng).value())
}

/// A home agent that takes groups of mobile nodes.
fn taking() -> Bench {
    let mut bench = bench();
    bench.agent.config.negotiation.mobile_nodes.others_groups = true;
    bench
}

fn counted(bench: &Bench, what: &str) -> u64 {
    bench.agent.counters().get(what).copied().unwrap_or(0)
}

const REFUSED: (Code, Option<DetailCode>) = (Code::HA_UNSPECIFIED, Some(DetailCode::SHARE_REFUSED));

#[test]
fn a_group_of_a_mobile_nodes_own_is_tested_once_and_serves_by_the_operators_word_only() {
    let prime = hex(SAFE);
    let body = bring_right(&prime, &[2], false);
    let mut bench = bench();
    let countered = (Code::HA_UNSPECIFIED, Some(DetailCode::COUNTER_PROPOSAL));
    assert_eq!(answer(&mut bench, 0, body.clone()), countered);
    assert!(!bench.order.contains(&"exchange"));
    let mut bench = taking();
    for seconds in 0..3 {
        assert_eq!(answer(&mut bench, seconds, body.clone()), (Code::ACCEPTED, None));
        assert_eq!(suite_of_key1(&bench).unwrap().group, Suite::OWN_GROUP);
    }
    // What holds for the prime holds with another generator.
    assert_eq!(answer(&mut bench, 3, bring_right(&prime, &[3], false)), (Code::ACCEPTED, None));
    assert_eq!(counted(&bench, "groups tested"), 1);
    assert!(bench.told.iter().all(|event| event.kind != EventKind::WeakAlgorithm));
}

#[test]
fn what_may_be_negotiated_changes_with_the_configuration() {
    let body = bring_right(&hex(SAFE), &[2], false);
    let mut bench = bench();
    let mut seconds = 0;
    for takes in [false, true, false] {
        let mut config = config();
        config.negotiation.mobile_nodes.others_groups = takes;
        bench.input(Input::Request(Request::Configure(Box::new(config))));
        seconds += 1;
        let told = answer(&mut bench, seconds, body.clone());
        assert_eq!(told.0 == Code::ACCEPTED, takes, "{told:?}");
    }
}

#[test]
fn neither_a_group_of_the_home_agents_own_is_tested_nor_one_that_is_known() {
    let prime = hex(SAFE);
    let mut rng = Rng::from_seed([1; 32]);
    let checked = group::UserGroup::new(&prime, &[2], false).unwrap().check(&mut rng).unwrap();
    let mut bench = bench();
    let policy = &mut bench.agent.config.negotiation.mobile_nodes;
    policy.methods = vec![Method::own(&checked)];
    policy.own = vec![checked];
    assert_eq!(answer(&mut bench, 0, bring_right(&prime, &[2], false)), (Code::ACCEPTED, None));
    let other = answer(&mut bench, 1, bring_right(&prime, &[3], false));
    assert_eq!(other.1, Some(DetailCode::COUNTER_PROPOSAL), "another generator is another group");
    assert_eq!(counted(&bench, "groups tested"), 0);
    // The prime of group 2 (RFC 2409 section 6.2), brought along by its numbers.
    let known = hex(GROUP_2);
    let mut bench = taking();
    bench.agent.config.negotiation.mobile_nodes.legacy_groups = true;
    assert_eq!(answer(&mut bench, 0, bring_right(&known, &[2], true)), (Code::ACCEPTED, None));
    assert_eq!(counted(&bench, "groups tested"), 0);
}

#[test]
fn groups_that_do_not_serve_are_refused_and_what_stood_stands() {
    let mut bench = taking();
    assert_eq!(code(&bench.through(0, ask(0).bytes(), 1).unwrap()), Code::ACCEPTED);
    let (asked, tunnels) = (bench.asked.len(), bench.tunnels.len());
    let prime = hex(SAFE);
    let two = [vec![0; 255], vec![2]].concat();
    let long = [vec![1], vec![0; 1023], vec![1]].concat();
    let just_short = [vec![0x7f], vec![0xff; 255]].concat();
    let least = |value: &[u8], length: usize| [vec![0; length - value.len()], value.to_vec()].concat();
    let (one, none) = (least(&[1], 256), vec![0; 256]);
    // Seen at once, without any work.
    let at_once = [
        ("23 is safe, and tiny", vec![23], vec![5], vec![7]),
        ("2,047 bits", just_short, vec![2], two.clone()),
        ("771 bits", hex(SHORT), vec![2], least(&[4], 97)),
        ("8,193 bits", long.clone(), vec![2], least(&[2], 1025)),
        ("even", near(&prime, 1), vec![2], two.clone()),
        ("generator 1", prime.clone(), vec![1], two.clone()),
        ("generator p - 1", prime.clone(), near(&prime, -1), two.clone()),
        ("generator p", prime.clone(), prime.clone(), two.clone()),
        ("generator p + 1", prime.clone(), near(&prime, 1), two.clone()),
        ("a generator longer than the prime", prime.clone(), vec![1; 257], two.clone()),
        ("value 0", prime.clone(), vec![2], none),
        ("value 1", prime.clone(), vec![2], one),
        ("value p - 1", prime.clone(), vec![2], near(&prime, -1)),
        ("value p", prime.clone(), vec![2], prime.clone()),
        ("value above p", prime.clone(), vec![2], vec![0xff; 256]),
    ];
    let mut seconds = 0;
    for (why, prime, generator, value) in at_once {
        seconds += 1;
        let body = bring(&prime, &generator, &value);
        assert_eq!(answer(&mut bench, seconds, body), REFUSED, "{why}");
        assert_eq!((bench.asked.len(), bench.tunnels.len()), (asked, tunnels), "{why}");
    }
    assert!(!bench.order.contains(&"exchange"), "nobody worked at it");
    // Seen in the work, and only the first time.
    let outside = (2..=9).map(|n| least(&[n], 256)).find(|value| {
        let mut rng = Rng::from_seed([1; 32]);
        let group = group::UserGroup::new(&prime, &[4], false).unwrap().check(&mut rng).unwrap();
        group::Unfinished::begin(&mut rng, group, value).unwrap().finish().is_err()
    });
    let in_the_work = [
        ("p + 2: no safe prime, whatever the order of 2 there", near(&prime, 2), vec![2], two.clone()),
        ("a product", near(&prime, 4), vec![2], two.clone()),
        ("a generator of order 3", hex(PLAIN), hex(ORDER_3), hex(ORDER_3)),
        ("a value that the generator does not make", prime.clone(), vec![4], outside.unwrap()),
    ];
    for (why, prime, generator, value) in in_the_work {
        let before = counted(&bench, "groups tested");
        for _ in 0..3 {
            seconds += 1;
            let body = bring(&prime, &generator, &value);
            assert_eq!(answer(&mut bench, seconds, body), REFUSED, "{why}");
            assert_eq!((bench.asked.len(), bench.tunnels.len()), (asked, tunnels), "{why}");
        }
        assert_eq!(counted(&bench, "groups tested") - before, 1, "{why}");
    }
    // The node is not shut out: what serves serves.
    assert_eq!(answer(&mut bench, seconds + 1, bring_right(&prime, &[2], false)), (Code::ACCEPTED, None));
}

#[test]
fn a_short_group_of_a_mobile_nodes_own_needs_the_operators_word_and_is_told_at_every_use() {
    let body = bring_right(&hex(SHORT), &[2], true);
    assert_eq!(answer(&mut taking(), 0, body.clone()), REFUSED);
    let mut bench = taking();
    bench.agent.config.negotiation.mobile_nodes.legacy_groups = true;
    for uses in 1..=3 {
        assert_eq!(answer(&mut bench, uses, body.clone()), (Code::ACCEPTED, None));
        let told = bench.told.iter().filter(|event| event.kind == EventKind::WeakAlgorithm);
        assert_eq!((told.count() as u64, counted(&bench, "legacy groups")), (uses, uses));
    }
    // Still not below 768 bits.
    let tiny = hex(SHORT)[1..96].to_vec();
    assert_eq!(answer(&mut bench, 4, bring(&tiny, &[2], &vec![1; tiny.len()])), REFUSED);
}

#[test]
fn nobody_tests_a_prime_for_a_stranger() {
    let mut forged = asking(0, bring(&near(&hex(SAFE), 4), &[2], &[9; 256]));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut bench = taking();
    assert!(bench.through(0, forged, 1).is_none());
    assert!(!bench.order.contains(&"exchange") && bench.nothing_changed());
}

/// Odd numbers of 2,048 bits that nobody looked at, with a value.
fn bring_number(n: u8) -> Vec<u8> {
    bring(&[vec![0xff, n], vec![0xff; 254]].concat(), &[2], &[9; 256])
}

#[test]
fn primes_that_wait_for_their_test_are_few_in_all_and_one_of_each_node() {
    let subscribers = (1..=6).map(another).collect();
    let mut bench = Bench::of(config(), State { subscribers, ..State::default() }, at(0));
    bench.agent.config.negotiation.mobile_nodes.others_groups = true;
    bench.held = Some(Vec::new());
    let mut relayed = 0;
    let mut asks = |bench: &mut Bench, n: u8, seconds: u64, body: Vec<u8>| {
        relayed += 1;
        bench.now = at(seconds);
        let mobile = by(n, Ask { negotiation: Some(body), ..ask(seconds) });
        bench.through(0, mobile, relayed).map(|reply| code(&reply))
    };
    assert_eq!(asks(&mut bench, 1, 0, bring_number(1)), None, "it is waited for");
    assert_eq!(asks(&mut bench, 1, 1, bring_number(2)), Some(Code::HA_RESOURCES));
    for n in 2..=4 {
        assert_eq!(asks(&mut bench, n, 1, bring_number(n)), None);
    }
    assert_eq!(asks(&mut bench, 5, 1, bring_number(5)), Some(Code::HA_RESOURCES));
    let held = bench.held.take().unwrap();
    assert!(held.len() == 4 && held.iter().all(|(_, exchanges)| exchanges.tests_a_group()));
    assert_eq!(asks(&mut bench, 6, 1, offer(&stateless(&[31]))), Some(Code::ACCEPTED), "others go on");
    for (ticket, exchanges) in held {
        bench.input(Input::Request(Request::Exchanged { ticket, results: exchanges.finish() }));
    }
    assert_eq!(counted(&bench, "groups tested"), 4);
    assert_eq!(asks(&mut bench, 5, 2, bring_number(5)), Some(Code::HA_UNSPECIFIED), "tested, and refused");
}

#[test]
fn what_was_found_out_about_primes_without_end_takes_64_places() {
    let mut bench = taking();
    for n in 0..100 {
        assert_eq!(answer(&mut bench, u64::from(n), bring_number(n)), REFUSED);
    }
    assert_eq!((counted(&bench, "groups tested"), bench.agent.footprint()["groups tested"]), (100, 64));
}
