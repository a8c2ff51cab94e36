//! Messages taken apart and put together otherwise (rows 12, 17, 19 and 20, and lies in what nobody signs).

use std::net::Ipv4Addr;

use sim::{
    Action,
    rogue::{self, Pieces},
};
use wire::mip::registration::Flags;

use super::*;

#[test]
fn row_12_every_message_sent_back_to_its_sender_changes_nothing() {
    let mut scene = Scene::new(1, 2);
    // A registration, a handover, a renewal on the same link and a farewell, each message of them back at once.
    scene.on_the_way(|message, _| {
        vec![
            (Duration::ZERO, message.clone()),
            (millis(1), rogue::reflected(message)),
            (seconds(1), rogue::reflected(message)),
        ]
    });
    for place in [VISIT, Place::Visited(1), VISIT] {
        scene.move_to(0, place);
        scene.pass(seconds(4));
        assert_registered(&scene, 0);
        assert_eq!(
            scene.registrations(0),
            codes(&scene, Way::ToMobileNode).iter().filter(|c| **c == 0).count() as u64
        );
    }
    scene.pass(seconds(520));
    assert_registered(&scene, 0);
    scene.deregister(0);
    scene.pass(seconds(4));
    assert!(scene.binding(0).is_none() && !scene.visits(0, 0));
    assert_eq!(scene.broken(), None);
}

#[test]
fn row_12_a_message_sent_back_instead_of_its_answer_answers_nothing() {
    for way in WAYS {
        let mut scene = scene(1);
        scene.on_the_way(move |message, _| match message.way() {
            Some(of) if of == way => replaced(rogue::reflected(message)),
            _ => passed(message),
        });
        scene.move_to(0, VISIT);
        scene.pass(seconds(30));
        assert_unbelieved(&scene, way, "reflected");
        assert_heals(&mut scene);
    }
}

/// What contradicts itself, is too long, nests or never ends, made of a good message.
fn nonsense(good: &[u8]) -> Vec<Vec<u8>> {
    let pieces = Pieces::of(good).unwrap();
    let repeated = |piece: &rogue::Piece, times: usize| {
        let mut many = pieces.clone();
        many.extensions.splice(0..0, vec![piece.clone(); times]);
        many.bytes()
    };
    let first = &pieces.extensions[0];
    let skipped = rogue::Piece { kind: 250, subtype: 0, bytes: vec![250, 0] };
    let long = rogue::Piece { kind: 250, subtype: 0, bytes: [vec![250, 255], vec![7; 255]].concat() };
    let mut all = vec![
        Vec::new(),
        vec![good[0]],
        repeated(first, 1),
        repeated(first, 70),
        repeated(&skipped, 65),
        repeated(&long, 16),
        [good, &[0; 4096]].concat(),
        [good, &[38, 0, 0xff, 0xff]].concat(),
    ];
    for at in 0..pieces.extensions.len() {
        // A length that lies by one, either way, and one that reaches beyond the message.
        for lie in [1, 255, 200] {
            let mut wrong = pieces.clone();
            let piece = &mut wrong.extensions[at];
            let length = if matches!(piece.kind, 38 | 127) { 3 } else { 1 };
            piece.bytes[length] = piece.bytes[length].wrapping_add(lie);
            all.push(wrong.bytes());
        }
        // The same inside itself.
        if pieces.extensions[at].subtype > 0 {
            let inner = pieces.extensions[at].bytes.clone();
            all.push(pieces.clone().with_body(at, &inner).bytes());
        }
    }
    all
}

#[test]
fn row_17_nonsense_made_of_good_messages_changes_nothing_at_anybody() {
    let mut scene = Scene::new(1, 2);
    scene.move_to(0, VISIT);
    scene.pass(seconds(3));
    let stand = (scene.registrations(0), scene.binding(0).unwrap().associations[0].key.fingerprint_hex());
    let sent = scene.seen().len();
    let seen: Vec<Message> = WAYS.iter().map(|way| last(&scene, *way)).collect();
    let mut count = 0;
    for message in &seen {
        for bytes in nonsense(message.payload()) {
            scene.send(message.carrying(bytes));
            count += 1;
        }
    }
    assert!(count > 100, "{count} messages");
    scene.pass(millis(500));
    assert_registered(&scene, 0);
    let now = (scene.registrations(0), scene.binding(0).unwrap().associations[0].key.fingerprint_hex());
    assert_eq!(now, stand);
    // A foreign agent tells a station once a second that its request was bad; nobody else says anything.
    let answered: Vec<_> = scene.seen()[sent..].iter().filter_map(|(_, m)| m.way()).collect();
    assert!(answered.iter().all(|way| *way == Way::ToMobileNode) && answered.len() <= 1, "{answered:?}");
    scene.move_to(0, Place::Visited(1));
    scene.pass(seconds(3));
    assert_registered(&scene, 0);
}

/// An authenticator of another length: cut, as of HMAC-MD5, and longer; and one that is not there.
#[test]
fn row_19_no_shorter_or_older_authenticator_is_accepted() {
    let kinds = |way| match way {
        Way::FromMobileNode => vec![32],
        Way::ToHomeAgent | Way::FromHomeAgent => vec![32, 34],
        Way::ToMobileNode => vec![32, 33],
    };
    for way in WAYS {
        for kind in kinds(way) {
            for length in [0, 12, 16, 20, 31, 33] {
                let scene = changed_once(way, move |bytes| {
                    let mut pieces = Pieces::of(bytes).unwrap();
                    let at = pieces.extensions.iter().position(|piece| piece.kind == kind).unwrap();
                    let piece = &mut pieces.extensions[at];
                    piece.bytes.resize(6 + length, 0);
                    piece.bytes[1] = 4 + length as u8;
                    pieces.bytes()
                });
                assert_unbelieved(&scene, way, &format!("{kind} of {length} bytes"));
            }
        }
    }
}

#[test]
fn row_20_dropped_doubled_and_moved_extensions_register_nobody() {
    let control = registered(1);
    for way in WAYS {
        let pieces = Pieces::of(went(&control, way)[0].payload()).unwrap();
        let count = pieces.extensions.len();
        // Behind 32 of a request on a link nothing is covered: what stands there repeats or is checked by itself.
        let covered = match way {
            Way::FromMobileNode => rogue::place_of_32(&pieces).unwrap() + 1,
            _ => count,
        };
        for at in 0..covered {
            let dropped = changed_once(way, move |bytes| {
                let mut pieces = Pieces::of(bytes).unwrap();
                pieces.extensions.remove(at);
                pieces.bytes()
            });
            assert_unbelieved(&dropped, way, &format!("{at} dropped"));
            let doubled = changed_once(way, move |bytes| {
                let mut pieces = Pieces::of(bytes).unwrap();
                let piece = pieces.extensions[at].clone();
                pieces.extensions.insert(at, piece);
                pieces.bytes()
            });
            assert_unbelieved(&doubled, way, &format!("{at} doubled"));
            for other in at + 1..covered {
                let moved = changed_once(way, move |bytes| {
                    let mut pieces = Pieces::of(bytes).unwrap();
                    pieces.extensions.swap(at, other);
                    pieces.bytes()
                });
                assert_unbelieved(&moved, way, &format!("{at} and {other} swapped"));
            }
        }
    }
}

/// Fields of the fixed part: lifetime, addresses, flags, home agent, on each way.
#[test]
fn lies_about_lifetime_addresses_and_flags_are_not_believed() {
    let request: [(usize, &[u8]); 6] = [
        (1, &[0]),
        (1, &[Flags::REVERSE_TUNNEL | Flags::DECAPSULATION]),
        (2, &[0xff, 0xff]),
        (4, &[10, 11, 1, 50]),
        (8, &[10, 99, 1, 2]),
        (12, &[10, 52, 1, 2]),
    ];
    let reply: [(usize, &[u8]); 5] =
        [(1, &[1]), (2, &[0xff, 0xff]), (2, &[0, 1]), (4, &[10, 11, 1, 50]), (8, &[10, 99, 1, 2])];
    for way in WAYS {
        let lies: &[(usize, &[u8])] =
            if matches!(way, Way::FromMobileNode | Way::ToHomeAgent) { &request } else { &reply };
        for (at, lie) in lies.iter().copied() {
            let lie = lie.to_vec();
            let scene = changed_once(way, move |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[at..at + lie.len()].copy_from_slice(&lie);
                bytes
            });
            assert_unbelieved(&scene, way, &format!("another field at {at}"));
        }
    }
}

/// An insider can sign 34 anew, but what the mobile node asked for stands under 32.
#[test]
fn an_agent_that_signs_its_lies_about_the_request_gets_nobody_registered() {
    for (at, lie) in [(1, vec![0]), (2, vec![0xff, 0xff]), (12, vec![10, 52, 1, 2])] {
        let scene = changed_once(Way::ToHomeAgent, move |bytes| {
            let mut bytes = bytes.to_vec();
            bytes[at..at + lie.len()].copy_from_slice(&lie);
            rogue::signed_by_agent(0, bytes)
        });
        assert_unbelieved(&scene, Way::ToHomeAgent, "signed by the agent");
        assert!(codes(&scene, Way::FromHomeAgent).is_empty(), "32 failed: silence");
    }
    // Its own part signed anew as it was is as good as the original.
    assert_registered(&changed_once(Way::ToHomeAgent, |bytes| rogue::signed_by_agent(0, bytes.to_vec())), 0);
}

/// A care-of address in the advertisement that is not the agent's own.
#[test]
fn an_advertised_care_of_address_that_is_not_the_agents_is_denied() {
    let mut scene = scene(1);
    scene.on_the_way(|message, _| {
        let lie = rogue::advertisement_with(
            message,
            &sim::care_of(0).octets(),
            &Ipv4Addr::new(10, 99, 9, 9).octets(),
        );
        replaced(lie.unwrap_or_else(|| message.clone()))
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(30));
    // The honest machine behind it would say 77; a rogue one relays, and the home agent says 129.
    assert_nothing(&scene, 0, "another care-of address");
    let asked = last(&scene, Way::FromMobileNode);
    scene.send(rogue::Relay::of(0, 1).message(rogue::mobile_part(asked.payload())));
    scene.pass(millis(100));
    let codes = codes(&scene, Way::FromHomeAgent);
    assert!(codes.iter().all(|code| *code == 129 || *code == 133) && !codes.is_empty(), "{codes:?}");
    assert_nothing(&scene, 0, "another care-of address, relayed");
    assert_heals(&mut scene);
}

/// Both agents crash between any two messages and start again: nothing said to them before is believed anew.
#[test]
fn what_was_said_before_a_restart_is_not_believed_after_it() {
    let mut scene = registered(1);
    let seen: Vec<Message> = WAYS.iter().map(|way| last(&scene, *way)).collect();
    scene.move_to(0, Place::Nowhere);
    scene.act(Action::CrashHomeAgent(0, millis(100)));
    scene.act(Action::CrashForeignAgent(0, millis(100), true));
    scene.pass(millis(200));
    let before = scene.binding(0).unwrap().associations[0].key.fingerprint_hex();
    for message in seen {
        scene.send(message);
        scene.pass(millis(50));
    }
    assert_eq!(scene.binding(0).unwrap().associations[0].key.fingerprint_hex(), before);
    assert!(!scene.visits(0, 0), "a visitor without a registration");
    assert_eq!(codes(&scene, Way::ToMobileNode), [0, 104]);
    assert_eq!(codes(&scene, Way::FromHomeAgent), [0, 133]);
    scene.move_to(0, VISIT);
    scene.pass(seconds(5));
    assert_registered(&scene, 0);
}
