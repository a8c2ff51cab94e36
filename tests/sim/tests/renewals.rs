//! Registrations that are renewed before their time because somebody wants it, by the real machines: whoever wants it, over
//! links that lose what is said, and with somebody who repeats and forges it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use mobility::mobile_node::State;
use record::Association;
use sim::{Action, Message, Place, Renewer, Scene};
use wire::{ip, mip::notice};

const VISIT: Place = Place::Visited(0);
const EVERYWHERE: [(Place, &[Renewer]); 2] = [
    (VISIT, &[Renewer::HomeAgent, Renewer::ForeignAgent(0), Renewer::MobileNode]),
    (Place::Translated, &[Renewer::HomeAgent, Renewer::MobileNode]),
];

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn registered(place: Place) -> Scene {
    let mut scene = Scene::new(1, 1);
    scene.move_to(0, place);
    scene.pass(seconds(4));
    assert_stands(&scene);
    assert_eq!(scene.registrations(0), 1);
    scene
}

#[track_caller]
fn assert_stands(scene: &Scene) {
    assert_eq!((scene.state(0), scene.agreed(0)), (State::Registered, Ok(())));
}

/// The associations of the registration in force at the mobile node, by index.
fn indices(scene: &Scene) -> Vec<u32> {
    scene.held(0).iter().filter(|a| a.retires.is_none()).map(|a| a.inbound.0).collect()
}

fn payload(message: &Message) -> &[u8] {
    match message {
        Message::Link { packet, .. } => ip::parse_udp(packet).map(|udp| udp.payload).unwrap_or_default(),
        Message::Udp { payload, .. } => payload,
    }
}

fn is_notice(message: &Message) -> bool {
    payload(message).first() == Some(&notice::NOTICE)
}

/// Notices that were sent, in order.
fn notices(scene: &Scene) -> Vec<Message> {
    scene
        .seen()
        .iter()
        .filter(|(_, message)| is_notice(message))
        .map(|(_, message)| message.clone())
        .collect()
}

#[test]
fn whoever_wants_it_has_all_associations_renewed_at_once_and_nothing_is_torn_down() {
    for (place, renewers) in EVERYWHERE {
        for renewer in renewers {
            let mut scene = registered(place);
            let before = indices(&scene);
            scene.act(Action::Renew(0, *renewer));
            // Long before a renewal by itself, after eight tenths of 600 s.
            let mut steps = 0;
            while scene.registrations(0) == 1 {
                scene.pass(Duration::from_millis(50));
                assert!(scene.tunnelled(0) && scene.state(0) == State::Registered, "{place:?} {renewer:?}");
                assert!(place != VISIT || scene.visits(0, 0), "{renewer:?}");
                steps += 1;
                assert!(steps < 40, "{place:?} {renewer:?}: not within two seconds");
            }
            scene.pass(seconds(1));
            assert_stands(&scene);
            assert!(indices(&scene).iter().all(|index| !before.contains(index)), "{place:?} {renewer:?}");
            assert_eq!(scene.answers(), [Ok(())], "{place:?} {renewer:?}");
            assert_eq!((scene.registrations(0), scene.broken()), (2, None));
            // The old ones still receive for a while, then they are gone everywhere.
            assert!(scene.held(0).iter().any(|a| a.retires.is_some()));
            scene.pass(seconds(15));
            let gone = |held: &[Association]| held.iter().all(|a| !before.contains(&a.inbound.0));
            assert!(gone(&scene.held(0)));
            assert_eq!((scene.registrations(0), scene.answers().len()), (2, 0), "once");
        }
    }
}

#[test]
fn any_of_the_notices_may_be_lost_but_the_last() {
    for (place, renewers) in EVERYWHERE {
        for renewer in renewers.iter().filter(|renewer| **renewer != Renewer::MobileNode) {
            for lost in 1..4 {
                let mut scene = registered(place);
                let mut left = lost;
                scene.on_the_way(move |message, _| {
                    if is_notice(message) && left > 0 {
                        left -= 1;
                        return Vec::new();
                    }
                    vec![(Duration::ZERO, message.clone())]
                });
                scene.act(Action::Renew(0, *renewer));
                scene.pass(seconds(10));
                assert_eq!(
                    (scene.registrations(0), scene.answers()),
                    (2, vec![Ok(())]),
                    "{renewer:?} {lost}"
                );
                assert_stands(&scene);
            }
        }
    }
}

#[test]
fn who_is_not_reached_keeps_what_stands_and_the_operator_is_told() {
    for (place, renewers) in EVERYWHERE {
        for renewer in renewers.iter().filter(|renewer| **renewer != Renewer::MobileNode) {
            let mut scene = registered(place);
            let before = indices(&scene);
            scene.on_the_way(|message, _| {
                if is_notice(message) { Vec::new() } else { vec![(Duration::ZERO, message.clone())] }
            });
            scene.act(Action::Renew(0, *renewer));
            scene.pass(seconds(20));
            assert!(matches!(scene.answers().as_slice(), [Err(why)] if why.contains("did not renew")));
            assert_eq!((scene.registrations(0), indices(&scene)), (1, before));
            assert_stands(&scene);
        }
    }
}

#[test]
fn a_notice_is_believed_once_whole_and_by_whom_it_is_for() {
    for (place, renewers) in EVERYWHERE {
        for renewer in renewers.iter().filter(|renewer| **renewer != Renewer::MobileNode) {
            let mut scene = registered(place);
            scene.act(Action::Renew(0, *renewer));
            scene.pass(seconds(2));
            assert_eq!(scene.registrations(0), 2, "{renewer:?}");
            let recorded = notices(&scene);
            assert!(!recorded.is_empty());
            // Again, and sent back; then with each byte changed, on a world that renewed nothing.
            for message in &recorded {
                scene.send(message.clone());
                if let Message::Udp { source, destination, payload } = message {
                    let (source, destination, payload) = (*destination, *source, payload.clone());
                    scene.send(Message::Udp { source, destination, payload });
                }
            }
            scene.pass(seconds(5));
            assert_eq!(scene.registrations(0), 2, "{renewer:?}");
            assert_stands(&scene);
        }
    }
}

#[test]
fn no_changed_byte_of_a_notice_is_believed() {
    for (place, renewers) in EVERYWHERE {
        for renewer in renewers.iter().filter(|renewer| **renewer != Renewer::MobileNode) {
            // What a notice is in this very world, for seeds are equal.
            let mut twin = registered(place);
            twin.act(Action::Renew(0, *renewer));
            twin.pass(seconds(1));
            let genuine = notices(&twin);
            let mut scene = registered(place);
            for message in &genuine {
                for at in 0..payload(message).len() {
                    scene.send(changed(message, at));
                }
            }
            scene.pass(seconds(5));
            assert_eq!(scene.registrations(0), 1, "{place:?} {renewer:?}");
            // The control: unchanged it is.
            scene.send(genuine[0].clone());
            scene.pass(seconds(5));
            assert_eq!(scene.registrations(0), 2, "{place:?} {renewer:?}");
        }
    }
}

fn changed(message: &Message, at: usize) -> Message {
    match message.clone() {
        Message::Udp { source, destination, mut payload } => {
            payload[at] ^= 1;
            Message::Udp { source, destination, payload }
        }
        Message::Link { place, from, to, packet } => {
            let udp = ip::parse_udp(&packet).unwrap();
            let mut payload = udp.payload.to_vec();
            payload[at] ^= 1;
            let packet = ip::udp_packet(udp.source, udp.destination, 1, &payload).unwrap();
            Message::Link { place, from, to, packet }
        }
    }
}

#[test]
fn octets_that_went_through_the_tunnel_renew_its_associations() {
    for (place, _) in EVERYWHERE {
        let mut scene = registered(place);
        let before = indices(&scene);
        scene.act(Action::Served(0));
        scene.pass(seconds(3));
        assert_eq!((scene.registrations(0), scene.answers().len()), (2, 0));
        assert!(indices(&scene).iter().all(|index| !before.contains(index)));
        assert_eq!(scene.counted_at_home("renewals asked for by octets"), 1);
        assert_stands(&scene);
    }
}

#[test]
fn a_thousand_wishes_are_one_renewal() {
    let mut scene = registered(VISIT);
    for _ in 0..500 {
        scene.act(Action::Renew(0, Renewer::HomeAgent));
        scene.act(Action::Renew(0, Renewer::ForeignAgent(0)));
    }
    scene.pass(seconds(5));
    assert_eq!(scene.answers().len(), 1000);
    assert_eq!(scene.registrations(0), 2);
    assert!(notices(&scene).len() <= 4, "{}", notices(&scene).len());
    assert_stands(&scene);
}

#[test]
fn one_renewal_right_after_another_is_as_quick() {
    for (place, renewers) in EVERYWHERE {
        for renewer in renewers {
            let mut scene = registered(place);
            for renewals in 1..5 {
                scene.act(Action::Renew(0, *renewer));
                let mut steps = 0;
                while scene.registrations(0) == renewals {
                    scene.pass(Duration::from_millis(50));
                    steps += 1;
                    assert!(steps < 40, "{place:?} {renewer:?}: number {renewals} not within two seconds");
                }
                scene.pass(Duration::from_millis(50));
                assert_eq!(scene.answers(), [Ok(())], "{place:?} {renewer:?}");
            }
            assert_stands(&scene);
        }
    }
}
