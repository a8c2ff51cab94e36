//! Foreign agents that lie about who they are, pass keys on and mix their visitors up (rows 9 and 10).

use std::{cell::RefCell, collections::BTreeSet, net::Ipv4Addr, rc::Rc};

use crypto::{Cipher, Key};
use record::{Association, AssociationKind};
use sa::{AgentPath, End, MobileHome, association_auth};
use sim::{
    agent_nai, care_of,
    rogue::{self, Pieces, Relay},
};
use wire::{
    Writer,
    mip::{Spi, extension, registration::Reply},
};

use super::*;

/// What a mobile node on the link of agent 0 asks for, before anybody relays it; the agent may advertise another name.
fn asked_through(name: Option<String>) -> (Scene, Vec<u8>) {
    let mut scene = Scene::new(1, 2);
    let part = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&part);
    scene.on_the_way(move |message, _| match (message.way(), &name) {
        (Some(Way::FromMobileNode), _) => {
            *kept.borrow_mut() = rogue::mobile_part(message.payload());
            vec![]
        }
        (None, Some(name)) => {
            let lie = rogue::advertisement_with(message, agent_nai(0).as_bytes(), name.as_bytes());
            replaced(lie.unwrap_or_else(|| message.clone()))
        }
        _ => passed(message),
    });
    scene.move_to(0, VISIT);
    scene.pass(millis(900));
    let part = part.borrow().clone();
    assert!(!part.is_empty(), "it asked");
    (scene, part)
}

/// Sends it and says what the home agent answered.
fn answer_to(scene: &mut Scene, relay: &Relay, part: &[u8]) -> Option<u8> {
    let before = codes(scene, Way::FromHomeAgent).len();
    scene.send(relay.message(part.to_vec()));
    scene.pass(millis(50));
    codes(scene, Way::FromHomeAgent).get(before).copied()
}

#[test]
fn row_9_an_agent_is_served_only_under_the_name_that_was_heard() {
    let honest = Relay::of(0, 1);
    let rogue = Relay::of(1, 1);
    let named = |name: usize, relay: &Relay| Relay { name: agent_nai(name), ..relay.clone() };
    let lies = [
        // Agent 1 relays for a node that heard agent 0, under either name.
        ("in its own name", rogue.clone(), Some(132)),
        ("in the name that was heard", named(0, &rogue), Some(132)),
        // It claims the other one's address too: its index does not belong there.
        ("from the other one's address", Relay { address: care_of(0), ..named(0, &rogue) }, None),
        // Without an association nobody is an agent.
        ("unsigned", Relay { signer: None, ..honest.clone() }, Some(132)),
        (
            "unsigned, from nowhere",
            Relay { signer: None, address: Ipv4Addr::new(10, 99, 9, 9), ..honest.clone() },
            None,
        ),
        // The one that was heard, which lies about itself.
        ("heard, under another name", named(1, &honest), Some(132)),
    ];
    for (what, relay, expected) in lies {
        let (mut scene, part) = asked_through(None);
        assert_eq!(answer_to(&mut scene, &relay, &part), expected, "{what}");
        assert_nothing(&scene, 0, what);
        assert_heals(&mut scene);
    }
    let (mut scene, part) = asked_through(None);
    assert_eq!(answer_to(&mut scene, &honest, &part), Some(0), "the one that was heard");
}

#[test]
fn row_9_an_agent_that_advertises_another_ones_name_is_not_served() {
    let rogue = Relay::of(0, 1);
    let lies = [
        ("its own name", rogue.clone()),
        ("the name that it advertised", Relay { name: agent_nai(1), ..rogue }),
    ];
    for (what, relay) in lies {
        let (mut scene, part) = asked_through(Some(agent_nai(1)));
        assert_eq!(answer_to(&mut scene, &relay, &part), Some(132), "{what}");
        assert_nothing(&scene, 0, what);
        assert_heals(&mut scene);
    }
}

/// 33 under this KEY 3, as the agent that holds it makes it.
fn signed_with(key3: &Association, message: &[u8]) -> Vec<u8> {
    let mut pieces = Pieces::of(message).unwrap();
    pieces.extensions.retain(|piece| piece.kind != 33);
    let mut w = Writer::after(pieces.bytes());
    extension::open_authentication(&mut w, extension::MN_FA_AUTHENTICATION, key3.outbound, 32);
    let key = association_auth(key3, End::Second, true);
    let authenticator = crypto::hmac(&key, &[w.bytes()]);
    w.put(&authenticator);
    w.into_bytes()
}

fn key3_of(scene: &Scene, agent: usize) -> Association {
    let held = scene.held_by_agent(0, agent);
    held.into_iter().rev().find(|a| a.kind == AssociationKind::Key3).unwrap()
}

#[test]
fn row_9_a_key_made_for_one_agent_serves_no_other() {
    // Agent 0 got a KEY 3 in an honest visit and hands it to agent 1, where the node goes next.
    let mut scene = registered(2);
    let lent = key3_of(&scene, 0);
    scene.on_the_way(move |message, _| match message.way() {
        Some(Way::ToMobileNode) => replaced(message.carrying(signed_with(&lent, message.payload()))),
        _ => passed(message),
    });
    scene.move_to(0, Place::Visited(1));
    scene.pass(seconds(30));
    assert_ne!(scene.state(0), State::Registered, "33 under a key made for another agent");
    assert!(scene.held(0).is_empty());
    assert_heals(&mut scene);
    // The control: what this agent signs with its own KEY 3 is byte for byte what it really said.
    let scene = registered(2);
    let reply = last(&scene, Way::ToMobileNode);
    assert_eq!(signed_with(&key3_of(&scene, 0), reply.payload()), reply.payload());
}

/// Whoever hands a reply on instead of the agent that was heard cannot make 33: he can leave it as that agent made it,
/// over another challenge, or leave it out.
#[test]
fn row_9_a_reply_is_taken_only_from_the_agent_that_can_make_33() {
    let mut scene = scene(2);
    scene.on_the_way(|message, _| match message.way() {
        Some(Way::ToMobileNode) => {
            let mut pieces = Pieces::of(message.payload()).unwrap();
            let Some(at) = pieces.extensions.iter().position(|piece| piece.kind == 132) else {
                return passed(message);
            };
            pieces.extensions[at].bytes[2] ^= 1;
            let mut bare = pieces.clone();
            bare.extensions.retain(|piece| piece.kind != 33);
            vec![
                (Duration::ZERO, message.carrying(pieces.bytes())),
                (millis(1), message.carrying(bare.bytes())),
                (millis(2), message.carrying(rogue::mobile_part(message.payload()))),
            ]
        }
        _ => passed(message),
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(20));
    assert_ne!(scene.state(0), State::Registered);
    assert!(scene.held(0).is_empty());
    assert_heals(&mut scene);
}

#[test]
fn replies_swapped_between_two_visitors_reach_neither() {
    let mut scene = Scene::new(2, 1);
    let waiting: Rc<RefCell<Vec<Message>>> = Rc::default();
    let held = Rc::clone(&waiting);
    scene.on_the_way(move |message, _| {
        if message.way() != Some(Way::ToMobileNode) {
            return passed(message);
        }
        let mut held = held.borrow_mut();
        held.push(message.clone());
        if held.len() < 2 {
            return vec![];
        }
        let (second, first) = (held.pop().unwrap(), held.pop().unwrap());
        vec![
            (Duration::ZERO, first.carrying(second.payload().to_vec())),
            (Duration::ZERO, second.carrying(first.payload().to_vec())),
        ]
    });
    scene.move_to(0, VISIT);
    scene.move_to(1, VISIT);
    scene.pass(millis(900));
    for node in 0..2 {
        assert_ne!(scene.state(node), State::Registered);
        assert!(scene.held(node).is_empty(), "keys of another visitor");
    }
    scene.undisturbed();
    scene.pass(seconds(40));
    (0..2).for_each(|node| assert_registered(&scene, node));
}

/// Between the agents too, where the rogue one signs 34 anew and gives each the other's handle.
#[test]
fn replies_under_each_others_handle_reach_neither() {
    let mut scene = Scene::new(2, 1);
    let waiting: Rc<RefCell<Vec<Message>>> = Rc::default();
    let held = Rc::clone(&waiting);
    scene.on_the_way(move |message, _| {
        if message.way() != Some(Way::FromHomeAgent) {
            return passed(message);
        }
        let mut held = held.borrow_mut();
        held.push(message.clone());
        if held.len() < 2 {
            return vec![];
        }
        let (second, first) = (held.pop().unwrap(), held.pop().unwrap());
        let under_handle_of = |reply: &Message, other: &Message| {
            let handles =
                |m: &Message| Pieces::of(m.payload()).unwrap().places(wire::mip::ours::Subtype::HANDLE)[0];
            let theirs = Pieces::of(other.payload()).unwrap().extensions[handles(other)].clone();
            let mut pieces = Pieces::of(reply.payload()).unwrap();
            pieces.extensions[handles(reply)] = theirs;
            reply.carrying(rogue::signed_by_agent(0, pieces.bytes()))
        };
        vec![
            (Duration::ZERO, under_handle_of(&first, &second)),
            (Duration::ZERO, under_handle_of(&second, &first)),
        ]
    });
    scene.move_to(0, VISIT);
    scene.move_to(1, VISIT);
    scene.pass(millis(900));
    for node in 0..2 {
        assert_ne!(scene.state(node), State::Registered);
        assert!(!scene.visits(node, 0), "a visitor by another's reply");
    }
    assert_eq!(codes(&scene, Way::ToMobileNode), [0; 0]);
    scene.undisturbed();
    scene.pass(seconds(40));
    (0..2).for_each(|node| assert_registered(&scene, node));
}

#[test]
fn yesterdays_reply_answers_no_request_of_today() {
    let mut scene = registered(1);
    let yesterday = last(&scene, Way::ToMobileNode);
    scene.move_to(0, Place::Nowhere);
    scene.pass(seconds(86_400));
    let before = scene.registrations(0);
    scene.on_the_way(move |message, _| match message.way() {
        Some(Way::FromMobileNode) => {
            // As it was, and made to fit in all that is not authenticated.
            let asked = Request::parse(message.payload()).unwrap();
            let mut fitted = yesterday.payload().to_vec();
            fitted[Reply::LEN - 8..Reply::LEN].copy_from_slice(&asked.identification.0.to_be_bytes());
            [yesterday.payload().to_vec(), fitted]
                .iter()
                .filter_map(|payload| rogue::answered_on_link(message, payload))
                .map(|reply| (Duration::ZERO, reply))
                .collect()
        }
        _ => passed(message),
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(60));
    assert_eq!((scene.state(0), scene.registrations(0)), (State::Registering, before));
    assert_heals(&mut scene);
}

fn association(change: impl FnOnce(&mut Association)) -> Association {
    let mut association = key3_of(&registered(1), 0);
    change(&mut association);
    association
}

#[test]
fn row_10_any_other_name_index_or_direction_gives_another_key() {
    // Of KEY 1 to 3, at each end, each way.
    let mut keys = BTreeSet::new();
    let mut count = 0;
    let changed: [fn(&mut Association); 6] = [
        |_| {},
        |a| a.inbound = Spi(a.inbound.0 ^ 1),
        |a| a.outbound = Spi(a.outbound.0 ^ 1),
        |a| a.own = format!("{}x", a.own).into(),
        |a| a.peer = format!("{}x", a.peer).into(),
        |a| std::mem::swap(&mut a.own, &mut a.peer),
    ];
    let base = association(|_| {});
    for change in changed {
        let mut one = base.duplicate();
        change(&mut one);
        // What a change leaves alone stays the same: an index names one direction.
        for sending in [true, false] {
            keys.insert(association_auth(&one, End::Second, sending).fingerprint_hex());
            count += 1;
        }
    }
    assert_eq!((keys.len(), count), (10, 12), "all differ but the direction whose index was left alone");
    let kinds = [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3];
    let of_kinds: BTreeSet<_> = kinds
        .iter()
        .map(|kind| {
            association_auth(&Association { kind: *kind, ..base.duplicate() }, End::Second, true)
                .fingerprint_hex()
        })
        .collect();
    assert_eq!(of_kinds.len(), 3, "the same random bytes as KEY 1, 2 and 3 make three keys");

    // Of the associations that last: every name, both directions.
    use sa::Direction::{FromHome, ToHome};
    let path = |fa: &str, ha: &str| AgentPath::new(fa, ha, Spi(600), Cipher::Aes256Gcm, Key::new([1; 32]));
    let home = |nai: &str, realm: &str| {
        MobileHome::new(
            &record::Nai::parse(nai).unwrap(),
            realm,
            Spi(1000),
            Cipher::Aes256Gcm,
            Key::new([1; 32]),
        )
    };
    let mut made = BTreeSet::new();
    for direction in [ToHome, FromHome] {
        for path in [path("a@x", "b@y"), path("a@", "xb@y"), path("b@y", "a@x"), path("a@x", "b@z")] {
            made.insert(path.authenticate(direction, b"same"));
        }
        for home in [
            home("a@x.example", "x.example"),
            home("b@x.example", "x.example"),
            home("a@x.example", "y.example"),
        ] {
            made.insert(home.authenticate(direction, b"same"));
        }
    }
    assert_eq!(made.len(), 14);
}
