//! Security associations that are negotiated inside registrations, by the real machines: every way to a key between
//! every pair, policies that differ, losses of any message of any round, and a man in the middle.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use crypto::{Cipher, Integrity, Rng, group::UserGroup};
use mobility::{foreign_agent, home_agent, mobile_node, mobile_node::State};
use record::{AssociationKind, Mode, Suite};
use sa::negotiation::{Method, Policy};
use sim::{Action, Place, Policies, Scene, Way};
use wire::mip::{
    ours::DOCUMENTATION_VENDOR,
    part::Parts,
    registration::{Reply, Request},
    share::Group,
};

const VISIT: Place = Place::Visited(0);
const X25519: Method = Method::Known(Group::X25519);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A policy of one mode, with the first of everything else.
fn only(mode: Mode) -> Policy {
    Policy {
        modes: vec![mode],
        encryption: vec![Cipher::Aes256Gcm],
        integrity: vec![Integrity::HmacSha256],
        methods: vec![X25519],
        ..Policy::default()
    }
}

/// The same policy for all, who all offer.
fn all(policy: &Policy) -> Policies {
    Policies {
        home: home_agent::Policies { mobile_nodes: policy.clone(), foreign_agents: policy.clone() },
        foreign: foreign_agent::Policies {
            mobile_nodes: policy.clone(),
            serving_manager: false,
            home_agents: Some(policy.clone()),
        },
        mobile: mobile_node::Policies {
            home_agent: Some(policy.clone()),
            foreign_agents: Some(policy.clone()),
            serving_managers: None,
        },
    }
}

fn registered(policies: Policies, place: Place) -> Scene {
    let mut scene = Scene::negotiating(1, 2, policies);
    scene.move_to(0, place);
    scene.pass(seconds(4));
    assert_agreed(&scene);
    scene
}

#[track_caller]
fn assert_agreed(scene: &Scene) {
    assert_eq!(scene.state(0), State::Registered);
    assert_eq!(scene.agreed(0), Ok(()));
}

/// Suites of KEY 1 and KEY 3 at the mobile node, and of KEY 2 at the home agent.
fn suites(scene: &Scene) -> [Option<Suite>; 3] {
    let held = scene.held(0);
    let of = |kind| held.iter().find(|a| a.kind == kind).map(|a| a.suite);
    let binding = scene.binding(0).unwrap();
    let key2 = binding.associations.iter().rev().find(|a| a.kind == AssociationKind::Key2).map(|a| a.suite);
    [of(AssociationKind::Key1), key2, of(AssociationKind::Key3)]
}

/// How many messages went one way.
fn went(scene: &Scene, way: Way) -> usize {
    scene.seen().iter().filter(|(_, message)| message.way() == Some(way)).count()
}

const fn suite(mode: Mode) -> Suite {
    let group = if matches!(mode, Mode::Stateless) { Group::X25519 } else { Group(0) };
    Suite { encryption: Cipher::Aes256Gcm, integrity: Integrity::HmacSha256, mode, group }
}

#[test]
fn every_mode_between_every_pair_in_one_round() {
    for (mode, name) in Mode::ALL {
        let scene = registered(all(&only(mode)), VISIT);
        assert_eq!(suites(&scene), [Some(suite(mode)); 3], "{name}");
        assert_eq!((went(&scene, Way::FromMobileNode), went(&scene, Way::FromHomeAgent)), (1, 1), "{name}");
        let scene = registered(all(&only(mode)), Place::Translated);
        assert_eq!(suites(&scene), [Some(suite(mode)), None, None], "{name}");
    }
}

#[test]
fn every_group_makes_keys_between_every_pair() {
    for group in crypto::group::Group::ALL {
        let method = Method::Known(Group(group.number()));
        let mut policies = all(&Policy { methods: vec![method], ..only(Mode::Stateless) });
        // Two who both offer cannot have the hybrid one between them; and four values of the largest would not fit into
        // one message.
        let large = group.offer_length() > 512;
        if large {
            policies.foreign.mobile_nodes = only(Mode::Stateful);
            policies.mobile.foreign_agents = Some(only(Mode::Stateful));
        }
        let mut scene = Scene::negotiating(1, 1, policies);
        scene.move_to(0, VISIT);
        scene.pass(seconds(4));
        assert_eq!((scene.state(0), scene.agreed(0)), (State::Registered, Ok(())), "{group}");
        let expected = Suite { group: Group(group.number()), ..suite(Mode::Stateless) };
        let key3 = if large { suite(Mode::Stateful) } else { expected };
        assert_eq!(suites(&scene), [expected, expected, key3].map(Some), "{group}");
    }
}

#[test]
fn each_pair_may_have_a_mode_of_its_own() {
    let modes = Mode::ALL.map(|(mode, _)| mode);
    for key1 in modes {
        for key2 in modes {
            for key3 in modes {
                let mut policies = all(&only(key1));
                policies.home.foreign_agents = only(key2);
                policies.foreign.home_agents = Some(only(key2));
                policies.foreign.mobile_nodes = only(key3);
                policies.mobile.foreign_agents = Some(only(key3));
                let scene = registered(policies, VISIT);
                assert_eq!(suites(&scene), [key1, key2, key3].map(|mode| Some(suite(mode))));
            }
        }
    }
}

#[test]
fn a_serving_mobility_manager_is_one_to_who_wants_one() {
    for (mode, name) in Mode::ALL {
        for serving_manager in [true, false] {
            let mut policies = all(&only(Mode::Stateful));
            policies.foreign.mobile_nodes = Policy { modes: vec![Mode::Stateful, mode], ..only(mode) };
            policies.foreign.serving_manager = serving_manager;
            policies.mobile.serving_managers = Some(only(mode));
            let scene = registered(policies, VISIT);
            let expected = if serving_manager { suite(mode) } else { suite(Mode::Stateful) };
            assert_eq!(suites(&scene)[2], Some(expected), "{name}");
        }
    }
}

#[test]
fn who_offers_nothing_gets_what_was_always_there() {
    let scene = registered(Policies::default(), VISIT);
    assert_eq!(suites(&scene), [Some(Suite::default()); 3]);
    // And a foreign agent that knows nothing of it serves a node that would take the default too.
    let mut policies = all(&Policy::default());
    policies.foreign = foreign_agent::Policies { home_agents: None, ..foreign_agent::Policies::default() };
    let scene = registered(policies, VISIT);
    assert_eq!(suites(&scene)[1], Some(Suite::default()));
}

#[test]
fn other_algorithms_are_agreed_on_and_used() {
    for (encryption, _) in Cipher::ALL {
        for (integrity, _) in Integrity::ALL {
            let policy =
                Policy { encryption: vec![encryption], integrity: vec![integrity], ..only(Mode::Stateless) };
            let mut scene = registered(all(&policy), VISIT);
            let expected = Suite { encryption, integrity, ..suite(Mode::Stateless) };
            assert_eq!(suites(&scene), [Some(expected); 3]);
            // The next registration proves itself under KEY 3, and a move revokes under KEY 2.
            scene.move_to(0, Place::Visited(1));
            scene.pass(seconds(4));
            scene.move_to(0, VISIT);
            scene.pass(seconds(4));
            assert_agreed(&scene);
        }
    }
}

/// The initiator's order decides among what both allow.
#[test]
fn mixed_policies_agree_on_the_first_common_suite() {
    let node = Policy {
        modes: vec![Mode::Stateless, Mode::SemiStateful, Mode::Stateful],
        encryption: vec![Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm],
        integrity: vec![Integrity::HmacSha512, Integrity::HmacSha256],
        ..Policy::default()
    };
    let others = Policy {
        modes: vec![Mode::Stateful, Mode::SemiStateful],
        encryption: vec![Cipher::Aes128Gcm, Cipher::Aes256Gcm],
        integrity: vec![Integrity::HmacSha256, Integrity::HmacSha512],
        ..Policy::default()
    };
    let mut policies = all(&others);
    policies.mobile.home_agent = Some(node.clone());
    policies.mobile.foreign_agents = Some(node);
    let scene = registered(policies, VISIT);
    let expected = Suite {
        encryption: Cipher::Aes256Gcm,
        integrity: Integrity::HmacSha512,
        mode: Mode::SemiStateful,
        group: Group(0),
    };
    assert_eq!([suites(&scene)[0], suites(&scene)[2]], [Some(expected); 2]);
}

#[test]
fn nothing_in_common_registers_nobody_and_says_so() {
    let mut policies = all(&only(Mode::Stateful));
    policies.home.mobile_nodes = only(Mode::Stateless);
    let mut scene = Scene::negotiating(1, 1, policies);
    scene.move_to(0, VISIT);
    scene.pass(seconds(20));
    assert_ne!(scene.state(0), State::Registered);
    assert!(scene.binding(0).is_none() && scene.held(0).is_empty() && scene.broken().is_none());
}

/// A home agent that insists is answered with an offer, though none was made at first.
#[test]
fn a_node_that_offers_nothing_follows_a_home_agent_that_insists() {
    let mut policies = Policies::default();
    policies.home.mobile_nodes = only(Mode::SemiStateful);
    let scene = registered(policies, VISIT);
    assert_eq!(suites(&scene)[0], Some(suite(Mode::SemiStateful)));
    assert_eq!(went(&scene, Way::FromMobileNode), 2, "one round more");
}

/// The group that both want has a value only in the second round.
fn two_rounds() -> Policies {
    let mut policies = Policies::default();
    policies.home.mobile_nodes = only(Mode::Stateless);
    policies
}

/// Rounds are the agents' own affair where the node says nothing.
#[test]
fn an_agents_offer_that_takes_a_round_more_needs_no_offer_of_the_node() {
    let mut policies = Policies { foreign: all(&Policy::default()).foreign, ..Policies::default() };
    let p_256 = Group(19);
    policies.home.foreign_agents = Policy { methods: vec![Method::Known(p_256)], ..only(Mode::Stateless) };
    let scene = registered(policies, VISIT);
    assert_eq!(suites(&scene)[1], Some(Suite { group: p_256, ..suite(Mode::Stateless) }));
    assert_eq!(went(&scene, Way::FromHomeAgent), 2);
}

#[test]
fn loss_of_any_message_of_any_round_costs_only_time() {
    for lost in 0..8 {
        let mut scene = Scene::negotiating(1, 1, two_rounds());
        let mut met = 0;
        scene.on_the_way(move |message, _| {
            if message.way().is_none() {
                return vec![(Duration::ZERO, message.clone())];
            }
            met += 1;
            if met == lost + 1 { vec![] } else { vec![(Duration::ZERO, message.clone())] }
        });
        scene.move_to(0, VISIT);
        scene.pass(seconds(30));
        assert_agreed(&scene);
        assert_eq!(suites(&scene)[0], Some(suite(Mode::Stateless)), "lost {lost}");
    }
}

/// Rounds are in memory only: whoever forgets them is told all of it again.
#[test]
fn an_agent_that_starts_anew_between_two_rounds_costs_only_time() {
    let policies = Policies { foreign: all(&Policy::default()).foreign, ..two_rounds() };
    for crash in [
        Action::CrashHomeAgent(0, Duration::from_millis(100)),
        Action::CrashForeignAgent(0, Duration::from_millis(100), false),
    ] {
        let mut scene = Scene::negotiating(1, 1, policies.clone());
        scene.move_to(0, VISIT);
        scene.pass(Duration::from_millis(500));
        assert_eq!(went(&scene, Way::FromHomeAgent), 1, "the first round is over");
        assert_ne!(scene.state(0), State::Registered);
        scene.act(crash);
        scene.pass(seconds(10));
        assert_agreed(&scene);
        assert_eq!(suites(&scene)[0], Some(suite(Mode::Stateless)), "{crash:?}");
    }
}

#[test]
fn messages_of_any_round_that_come_twice_change_nothing() {
    let mut scene = Scene::negotiating(1, 1, two_rounds());
    scene.on_the_way(|message, _| [0, 3].map(|ms| (Duration::from_millis(ms), message.clone())).to_vec());
    scene.move_to(0, VISIT);
    scene.pass(seconds(10));
    assert_agreed(&scene);
}

/// Exchanges of group 14 are worked at beside, and a reply that comes again meanwhile does nothing.
#[test]
fn a_reply_that_comes_twice_while_its_exchange_is_worked_at_makes_one_visitor() {
    let modp = Policy { methods: vec![Method::Known(Group(14))], ..only(Mode::Stateless) };
    let mut scene = Scene::negotiating(1, 1, all(&modp));
    scene.on_the_way(|message, _| {
        let again = Duration::from_micros(100);
        match message.way() {
            Some(Way::FromHomeAgent) => {
                vec![(Duration::ZERO, message.clone()), (again, message.clone())]
            }
            _ => vec![(Duration::ZERO, message.clone())],
        }
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(4));
    assert_agreed(&scene);
    assert_eq!((scene.counted(0, "reply: repeated"), scene.counted(0, "visitors added")), (1, 1));
    assert_eq!(scene.counted(0, "requests that waited for a value"), 1);
    // Two renewals: values are there before they are needed.
    scene.undisturbed();
    scene.pass(seconds(1000));
    assert_agreed(&scene);
    assert!(scene.counted(0, "visitors renewed") >= 1);
    assert_eq!(scene.counted(0, "requests that waited for a value"), 1);
}

/// Whoever changes an offer, an answer or a counter-proposal on the way is found out: nobody registers under a suite
/// that he chose.
#[test]
fn whatever_is_changed_in_what_was_said_agrees_nobody_on_it() {
    let ways = [Way::FromMobileNode, Way::ToHomeAgent, Way::FromHomeAgent, Way::ToMobileNode];
    for policies in [all(&Policy::default()), two_rounds()] {
        for way in ways {
            for step in 0..12 {
                let mut scene = Scene::negotiating(1, 1, policies.clone());
                scene.on_the_way(move |message, _| {
                    if message.way() != Some(way) {
                        return vec![(Duration::ZERO, message.clone())];
                    }
                    let mut changed = message.payload().to_vec();
                    let fixed = if changed[0] == 1 { Request::LEN } else { Reply::LEN };
                    // Hints of foreign agents have no parts.
                    let Ok(parts) = Parts::parse(message.payload(), fixed, DOCUMENTATION_VENDOR) else {
                        return vec![(Duration::ZERO, message.clone())];
                    };
                    let spoken = [parts.mobile.negotiation, parts.foreign.negotiation];
                    for body in spoken.into_iter().flatten().map(|negotiation| negotiation.body()) {
                        let start = body.as_ptr() as usize - message.payload().as_ptr() as usize;
                        changed[start + body.len() * step / 12] ^= 4;
                    }
                    vec![(Duration::ZERO, message.carrying(changed))]
                });
                scene.move_to(0, VISIT);
                scene.pass(seconds(3));
                assert_eq!(scene.broken(), None, "{way:?} {step}");
                assert_ne!(
                    scene.state(0),
                    State::Registered,
                    "{way:?} {step}: {:?}",
                    scene.binding(0).is_some()
                );
            }
        }
    }
}

#[test]
fn renewals_and_moves_go_on_with_what_was_found_out() {
    let mut scene = registered(two_rounds(), VISIT);
    let asked = went(&scene, Way::FromMobileNode);
    // The lifetime is 600 s: two renewals.
    scene.pass(seconds(1000));
    assert_agreed(&scene);
    let renewals = went(&scene, Way::FromMobileNode) - asked;
    assert!((1..=2).contains(&renewals), "one request each: {renewals}");
    assert_eq!(suites(&scene)[0], Some(suite(Mode::Stateless)));
}

/// So short that a renewal has time for one more request and no more: 4.8 s at the latest, and a second between two.
const SHORT: u32 = 6;

/// Agents that allow this from now on, and offer everything for KEY 2.
fn allow(scene: &mut Scene, policy: &Policy) {
    let short = Policy { lifetime: SHORT, ..policy.clone() };
    let home = home_agent::Policies { mobile_nodes: short.clone(), foreign_agents: short.clone() };
    let foreign = foreign_agent::Policies { mobile_nodes: short, ..all(&Policy::default()).foreign };
    scene.allow(home, foreign);
}

/// Each renewal agrees on what agents allow then: other algorithms, another mode, a group that takes a round more, and
/// what the round before had ruled out. The binding stands all the time.
#[test]
fn what_agents_allow_from_now_on_is_agreed_on_at_the_next_renewal_and_nothing_lapses() {
    let p_256 = Group(19);
    let stateless = Policy { encryption: vec![Cipher::ChaCha20Poly1305], ..only(Mode::Stateless) };
    let in_two_rounds = Policy { methods: vec![Method::Known(p_256)], ..only(Mode::Stateless) };
    let steps = [
        (only(Mode::Stateful), suite(Mode::Stateful)),
        (stateless, Suite { encryption: Cipher::ChaCha20Poly1305, ..suite(Mode::Stateless) }),
        (only(Mode::SemiStateful), suite(Mode::SemiStateful)),
        (in_two_rounds, Suite { group: p_256, ..suite(Mode::Stateless) }),
        (only(Mode::Stateful), suite(Mode::Stateful)),
    ];
    for place in [VISIT, Place::Translated] {
        let mut scene = registered(all(&Policy { lifetime: SHORT, ..Policy::default() }), place);
        for (n, (policy, expected)) in steps.iter().enumerate() {
            allow(&mut scene, policy);
            for _ in 0..2 * SHORT {
                scene.pass(Duration::from_millis(500));
                assert_eq!((scene.state(0), scene.tunnelled(0)), (State::Registered, true), "{place:?} {n}");
            }
            let through_agent = (place == VISIT).then_some(*expected);
            assert_eq!(suites(&scene), [Some(*expected), through_agent, through_agent], "{place:?} {n}");
            assert_agreed(&scene);
        }
    }
}

#[test]
fn an_agreed_lifetime_bounds_the_registration() {
    let scene = registered(all(&Policy { lifetime: 100, ..only(Mode::SemiStateful) }), VISIT);
    let binding = scene.binding(0).unwrap();
    assert_eq!(binding.lifetime, 100);
    assert!(scene.held(0).iter().all(|association| association.ends - association.made <= 100));
}

/// A safe prime of 2,048 bits that stands in no document (openssl prime -generate -safe -bits 2048).
const SAFE: &str = "dd6a1452d8ca4cb5fd95f79002d6b6203133390fb1702536462f0682a3fdf22f815aae446080499a013568306ff0\
                    3819d9f7c1ef9350c6f26d151f5f1b28ac48171a12339c44382bf0801b139cc0ee83e12d88854fb00447198df9ee\
                    09f6ebb826ee649d8dafd2dc3ea5515f62c3d47d1cbff56ebac3d3a9886077c772cec48a6771d1dfdf1d82f3f0f9\
                    0711e4f99ab3a55bcfda38c95163550e6e699953de064ee50f4ae1fcc8a8c776e1ec7b91cb65f5dad3db7053ad6e\
                    3fa914b82421c3dfd7c172bfbab0be62fbd83e90aebcb0915e9158297cc7424373688192ff62fafff0ebf7a1706c\
                    97cce9dc269b6fcccae118d246a0dde5fe7a07202eb607b7759b";

/// A policy that offers a group of one's own.
fn own_group() -> Policy {
    let octet = |at: usize| u8::from_str_radix(&SAFE[at..at + 2], 16).unwrap();
    let prime: Vec<u8> = (0..SAFE.len()).step_by(2).map(octet).collect();
    let group = UserGroup::new(&prime, &[2], false).unwrap().check(&mut Rng::from_seed([1; 32])).unwrap();
    Policy { methods: vec![Method::own(&group)], own: vec![group], ..only(Mode::Stateless) }
}

const fn in_own_group() -> Suite {
    Suite { group: Suite::OWN_GROUP, ..suite(Mode::Stateless) }
}

#[test]
fn a_group_of_the_nodes_own_makes_its_key_with_a_home_agent_that_takes_it() {
    let mut policies = all(&only(Mode::Stateless));
    policies.home.mobile_nodes.others_groups = true;
    policies.mobile.home_agent = Some(own_group());
    let mut scene = registered(policies, VISIT);
    let expected = [in_own_group(), suite(Mode::Stateless), suite(Mode::Stateless)].map(Some);
    assert_eq!(suites(&scene), expected);
    assert_eq!((went(&scene, Way::FromMobileNode), went(&scene, Way::FromHomeAgent)), (1, 1));
    // Wherever it goes: its prime is tested once.
    for place in [Place::Visited(1), Place::Translated, VISIT] {
        scene.move_to(0, place);
        scene.pass(seconds(4));
        assert_agreed(&scene);
        assert_eq!(suites(&scene)[0], Some(in_own_group()));
    }
    assert_eq!(scene.counted_at_home("groups tested"), 1);
}

#[test]
fn a_group_of_the_foreign_agents_own_makes_key_2_with_a_home_agent_that_takes_it() {
    let mut policies = all(&only(Mode::Stateless));
    policies.home.foreign_agents.others_groups = true;
    policies.foreign.home_agents = Some(own_group());
    let scene = registered(policies, VISIT);
    let expected = [suite(Mode::Stateless), in_own_group(), suite(Mode::Stateless)].map(Some);
    assert_eq!(suites(&scene), expected);
    assert_eq!(scene.counted_at_home("groups tested"), 1);
}

/// Nobody has proved who asks when a foreign agent answers: it tests no prime, and takes the group that it was told too.
#[test]
fn key_3_is_made_in_a_group_of_ones_own_where_both_ends_were_told_the_same() {
    let mut policies = all(&only(Mode::Stateless));
    let node = Policy { methods: [own_group().methods, vec![X25519]].concat(), ..own_group() };
    policies.mobile.foreign_agents = Some(node);
    policies.foreign.mobile_nodes = own_group();
    let scene = registered(policies.clone(), VISIT);
    let expected = [suite(Mode::Stateless), suite(Mode::Stateless), in_own_group()].map(Some);
    assert_eq!(suites(&scene), expected);
    // Told nothing, or to take whatever comes: by another group, one round later, as its value was not there.
    for others_groups in [false, true] {
        policies.foreign.mobile_nodes = Policy { others_groups, ..only(Mode::Stateless) };
        let scene = registered(policies.clone(), VISIT);
        assert_eq!(suites(&scene), [Some(suite(Mode::Stateless)); 3], "{others_groups}");
    }
}

#[test]
fn every_pair_may_have_the_same_group_of_its_own() {
    let scene = registered(all(&own_group()), VISIT);
    assert_eq!(suites(&scene), [Some(in_own_group()); 3]);
    assert_eq!(scene.counted_at_home("groups tested"), 0, "everybody was told of it");
}

#[test]
fn a_home_agent_that_takes_no_groups_of_others_agrees_on_another_one() {
    let mut policies = all(&only(Mode::Stateless));
    let methods = [own_group().methods, vec![X25519]].concat();
    policies.mobile.home_agent = Some(Policy { methods, ..own_group() });
    let scene = registered(policies, VISIT);
    assert_eq!(suites(&scene), [Some(suite(Mode::Stateless)); 3]);
    assert_eq!(went(&scene, Way::FromMobileNode), 2, "one round more");
}
