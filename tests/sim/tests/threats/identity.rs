//! Who somebody is, before and after anybody asks (rows 1 to 5).

use std::collections::BTreeSet;

use sim::rogue::{self, Pieces};
use wire::mip::registration::Flags;

use super::*;

#[test]
fn row_1_no_changed_byte_of_a_registration_is_believed() {
    let control = registered(1);
    for way in WAYS {
        let whole = went(&control, way)[0].payload().to_vec();
        // Behind 32 of a request on a link stands what repeats, or is checked by itself: see row 20.
        let covered = if way == Way::FromMobileNode { rogue::mobile_part(&whole).len() } else { whole.len() };
        for at in 0..covered {
            let scene = changed_once(way, move |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << (at % 8);
                bytes
            });
            assert_unbelieved(&scene, way, &format!("byte {at}"));
        }
        assert_registered(&changed_once(way, <[u8]>::to_vec), 0);
    }
}

/// With an address of its own behind a NAT: 144 and 44 in the messages, no agent between.
#[test]
fn row_1_no_changed_byte_of_a_co_located_registration_is_believed() {
    for way in [Way::ToHomeAgent, Way::FromHomeAgent] {
        let control = changed_once_at(Place::Translated, way, <[u8]>::to_vec);
        assert_registered(&control, 0);
        let whole = went(&control, way)[0].payload().to_vec();
        for at in 0..whole.len() {
            let flipped = move |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << (at % 8);
                bytes
            };
            let scene = changed_once_at(Place::Translated, way, flipped);
            assert_unbelieved(&scene, way, &format!("byte {at}"));
        }
        for at in 0..Pieces::of(&whole).unwrap().extensions.len() {
            let stripped = move |bytes: &[u8]| {
                let mut pieces = Pieces::of(bytes).unwrap();
                pieces.extensions.remove(at);
                pieces.bytes()
            };
            let scene = changed_once_at(Place::Translated, way, stripped);
            assert_unbelieved(&scene, way, &format!("without extension {at}"));
        }
    }
}

#[test]
fn row_1_after_a_changed_byte_the_next_request_registers() {
    for way in WAYS {
        for at in [1, 8, 60, 130, 200, 330] {
            let mut scene = changed_once(way, move |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 0x10;
                bytes
            });
            assert_heals(&mut scene);
        }
    }
}

/// Of three nodes, the third with a static index and no share: only that tells it apart.
#[test]
fn row_2_what_is_sealed_has_one_length_and_never_repeats() {
    let mut scene = Scene::new(2, 2);
    for round in 0..40 {
        for node in 0..2 {
            scene.move_to(node, Place::Visited((round + node) % 2));
        }
        scene.pass(seconds(2));
    }
    let requests = went(&scene, Way::FromMobileNode);
    assert!(requests.len() >= 80, "{} requests", requests.len());
    let mut sealed = BTreeSet::new();
    let mut lengths = BTreeSet::new();
    for request in &requests {
        let part = rogue::mobile_part(request.payload());
        let pieces = Pieces::of(&part).unwrap();
        lengths.insert(part.len());
        for piece in pieces.extensions.iter().filter(|piece| (1..=3).contains(&piece.subtype)) {
            let new = sealed.insert(piece.body()[6..].to_vec());
            assert!(new, "the same sealed bytes twice");
        }
    }
    assert_eq!(lengths.len(), 1, "requests of {lengths:?} bytes");
    assert_eq!(scene.broken(), None);
}

#[test]
fn row_3_a_proxy_that_strips_or_bares_what_protects_gets_nobody_registered() {
    let control = registered(1);
    for way in WAYS {
        let count = Pieces::of(went(&control, way)[0].payload()).unwrap().extensions.len();
        for at in 0..count {
            let kind = Pieces::of(went(&control, way)[0].payload()).unwrap().extensions[at].kind;
            let stripped = changed_once(way, move |bytes| {
                let mut pieces = Pieces::of(bytes).unwrap();
                pieces.extensions.remove(at);
                pieces.bytes()
            });
            // 132 only repeats what 32 covers.
            if way != Way::FromMobileNode || kind != 132 {
                assert_unbelieved(&stripped, way, &format!("without extension {at}, type {kind}"));
            }
            let bared = changed_once(way, move |bytes| {
                let pieces = Pieces::of(bytes).unwrap();
                let mut bare = vec![0; 6];
                bare.extend_from_slice(b"nobody-at-all");
                let ours = pieces.extensions[at].subtype > 0;
                if ours { pieces.with_body(at, &bare).bytes() } else { bytes[..bytes.len() - 1].to_vec() }
            });
            assert_unbelieved(&bared, way, &format!("extension {at} in clear"));
        }
    }
}

/// A rogue foreign agent that answers every request with one code, for ten minutes.
fn asked_again(code: u8) -> Scene {
    let mut scene = scene(1);
    scene.on_the_way(move |message, _| match message.way() {
        Some(Way::FromMobileNode) => {
            let hint = rogue::hint(message.payload(), code);
            rogue::answered_on_link(message, &hint).map_or_else(Vec::new, replaced)
        }
        _ => passed(message),
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(600));
    scene
}

#[test]
fn row_4_no_code_brings_out_an_identity_or_a_weaker_request() {
    let control = registered(1);
    let first = last(&control, Way::FromMobileNode);
    let expected = Pieces::of(first.payload()).unwrap().form();
    for code in 0..=255 {
        let mut scene = asked_again(code);
        assert_nothing(&scene, 0, &format!("code {code}"));
        let sent = went(&scene, Way::FromMobileNode);
        // At most one for each advertisement of the agent, which brings a new challenge.
        assert!((4..=330).contains(&sent.len()), "code {code}: {} requests in ten minutes", sent.len());
        for (message, request) in sent.iter().zip(requests(&scene)) {
            assert_eq!(Pieces::of(message.payload()).unwrap().form(), expected, "code {code}");
            assert!(request.home_address.is_unspecified(), "code {code}");
            assert!(request.flags.has(Flags::REVERSE_TUNNEL), "code {code}");
            let named = message.payload().windows(9).any(|window| window == b"traveller");
            assert!(!named, "code {code} brought out a name");
        }
        assert_heals(&mut scene);
    }
}

#[test]
fn row_4_two_requests_stand_a_second_apart_whatever_is_answered() {
    for code in [66, 69, 78, 97, 99, 104, 133] {
        let scene = asked_again(code);
        let times: Vec<Duration> = scene
            .seen()
            .iter()
            .filter(|(_, m)| m.way() == Some(Way::FromMobileNode))
            .map(|(at, _)| *at)
            .collect();
        let least = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
        assert!(least >= seconds(1), "code {code}: {least:?} apart");
    }
}
