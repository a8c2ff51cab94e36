//! Key shares stripped, replaced, repeated and swapped on the way (rows 6 and 7).

use crypto::{Key, exchange::Secret};
use sim::rogue::{self, Pieces};
use wire::mip::ours::Subtype;

use super::*;

/// The share in a message whose place is nearest to the end of that way: the mobile node's on its link, else both.
fn shares_of(bytes: &[u8]) -> Vec<usize> {
    Pieces::of(bytes).unwrap().places(Subtype::KEY_SHARE)
}

fn body(group: u16, value: &[u8]) -> Vec<u8> {
    [&group.to_be_bytes()[..], value].concat()
}

fn with_share(bytes: &[u8], at: usize, body: &[u8]) -> Vec<u8> {
    Pieces::of(bytes).unwrap().with_body(at, body).bytes()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Points of X25519 whose multiples are few: 0, 1, two of order 8, p - 1, p, p + 1 (RFC 7748).
fn low_order() -> Vec<Vec<u8>> {
    let p = |last: u8| {
        let mut point = vec![0xff; 32];
        point[0] = last;
        point[31] = 0x7f;
        point
    };
    let mut one = vec![0; 32];
    one[0] = 1;
    vec![
        vec![0; 32],
        one,
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        p(0xec),
        p(0xed),
        p(0xee),
    ]
}

/// Shares that no honest party sends, as bodies.
fn useless() -> Vec<(&'static str, Vec<u8>)> {
    let good = Secret::from_key(&Key::new([9; 32])).public();
    let mut all: Vec<_> = low_order().iter().map(|value| ("low order", body(31, value))).collect();
    all.extend([
        ("group 1", body(1, &[7; 96])),
        ("group 2", body(2, &[7; 128])),
        ("group 14", body(14, &[7; 256])),
        ("group 19", body(19, &good)),
        ("a byte short", body(31, &good[..31])),
        ("a byte long", body(31, &[&good[..], &[1]].concat())),
    ]);
    all
}

#[test]
fn row_6_a_proxy_that_swaps_key_shares_stops_both_sides() {
    let proxy = Secret::from_key(&Key::new([0x77; 32])).public();
    let control = registered(1);
    for way in WAYS {
        for at in shares_of(went(&control, way)[0].payload()) {
            let scene = changed_once(way, move |bytes| with_share(bytes, at, &body(31, &proxy)));
            assert_unbelieved(&scene, way, "a share of the proxy's");
        }
    }
    // All four at once, whichever way.
    let mut scene = scene(1);
    scene.on_the_way(move |message, _| {
        let mut bytes = message.payload().to_vec();
        if message.way().is_some() {
            for at in shares_of(&bytes) {
                bytes = with_share(&bytes, at, &body(31, &proxy));
            }
        }
        replaced(message.carrying(bytes))
    });
    scene.move_to(0, VISIT);
    scene.pass(seconds(60));
    assert_nothing(&scene, 0, "all shares swapped");
    assert_heals(&mut scene);
}

#[test]
fn row_6_stripped_repeated_and_swapped_shares_register_nobody() {
    let control = registered(1);
    for way in WAYS {
        let places = shares_of(went(&control, way)[0].payload());
        for at in places.clone() {
            let stripped = changed_once(way, move |bytes| {
                let mut pieces = Pieces::of(bytes).unwrap();
                pieces.extensions.remove(at);
                pieces.bytes()
            });
            assert_unbelieved(&stripped, way, "stripped");
            let twice = changed_once(way, move |bytes| {
                let mut pieces = Pieces::of(bytes).unwrap();
                let share = pieces.extensions[at].clone();
                pieces.extensions.insert(at, share);
                pieces.bytes()
            });
            assert_unbelieved(&twice, way, "twice");
        }
        if let [mobile, agent] = places[..] {
            let swapped = changed_once(way, move |bytes| {
                let mut pieces = Pieces::of(bytes).unwrap();
                pieces.extensions.swap(mobile, agent);
                pieces.bytes()
            });
            assert_unbelieved(&swapped, way, "swapped");
        }
    }
}

/// A rogue agent offers the home agent a share that gives no secret, under a 34 that is right.
#[test]
fn row_7_no_agents_share_of_low_order_or_another_group_serves() {
    for (what, share) in useless() {
        let scene = changed_once(Way::ToHomeAgent, move |bytes| {
            let at = shares_of(bytes)[1];
            rogue::signed_by_agent(0, with_share(bytes, at, &share))
        });
        assert_unbelieved(&scene, Way::ToHomeAgent, what);
        assert_eq!(codes(&scene, Way::FromHomeAgent), [128], "{what}");
    }
    let stripped = changed_once(Way::ToHomeAgent, |bytes| {
        let mut pieces = Pieces::of(bytes).unwrap();
        let at = pieces.places(Subtype::KEY_SHARE)[1];
        pieces.extensions.remove(at);
        rogue::signed_by_agent(0, pieces.bytes())
    });
    assert_unbelieved(&stripped, Way::ToHomeAgent, "none");
    assert_eq!(codes(&stripped, Way::FromHomeAgent), [128], "none");
}

/// The same by a subscriber, under a 32 that is right.
#[test]
fn row_7_no_mobile_nodes_share_of_low_order_or_another_group_serves() {
    for (what, share) in useless() {
        let scene = changed_once(Way::FromMobileNode, move |bytes| {
            let at = shares_of(bytes)[0];
            rogue::signed_by_node(0, with_share(bytes, at, &share))
        });
        assert_unbelieved(&scene, Way::FromMobileNode, what);
        assert_eq!(codes(&scene, Way::FromHomeAgent), [128], "{what}");
    }
}

/// Answers with such shares, under authenticators that are right: as if the home agent had gone astray.
#[test]
fn row_7_no_answer_of_low_order_or_another_group_serves() {
    for (what, share) in useless() {
        let body = share.clone();
        let to_agent = changed_once(Way::FromHomeAgent, move |bytes| {
            let at = shares_of(bytes)[1];
            rogue::signed_by_agent(0, with_share(bytes, at, &body))
        });
        assert_unbelieved(&to_agent, Way::FromHomeAgent, what);
        assert_eq!(codes(&to_agent, Way::ToMobileNode), [71], "{what}: a poorly formed reply");
        let to_node = changed_once(Way::FromHomeAgent, move |bytes| {
            let at = shares_of(bytes)[0];
            rogue::signed_by_agent(0, rogue::signed_by_node(0, with_share(bytes, at, &share)))
        });
        // The agent cannot read the mobile node's part: it admits the visitor, who never proves anything.
        assert_unbelieved(&to_node, Way::ToMobileNode, what);
    }
}
