use std::net::SocketAddrV4;

use record::AssociationKind::{Key1, Key2, Key3};
use wire::mip::{
    code::{Code, DetailCode},
    extension::UdpTunnelReply,
    ours::ErrorDetail,
    registration::{Identification, ntp_seconds},
};

use super::{super::*, world::*};

fn asking() -> (World, Asked) {
    let mut world = World::new();
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    (world, asked)
}

/// The reply must be ignored: no route, no key, nothing counted as accepted.
fn refused(change: impl FnOnce(&mut Answer)) {
    let (mut world, asked) = asking();
    let mut answer = Answer::accept(&asked, Some(&fa_a()));
    change(&mut answer);
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registering);
    assert!(world.routes.is_empty() && world.node.associations().count() == 0);
    assert_eq!(world.saw(EventKind::Discarded), 1);
    // The right one is still taken.
    world.accept(Some(&fa_a()));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn every_changed_byte_of_a_reply_is_noticed() {
    let (mut world, asked) = asking();
    let right = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    for at in 0..right.len() {
        for bit in [0x01, 0x80] {
            let mut wrong = right.clone();
            wrong[at] ^= bit;
            world.reply(&asked, &wrong);
            assert_eq!(world.state(), State::Registering, "byte {at}");
            assert!(world.routes.is_empty());
        }
    }
    world.reply(&asked, &right);
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn cut_and_lengthened_replies_are_ignored() {
    let (mut world, asked) = asking();
    let right = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    for n in 0..right.len() {
        world.reply(&asked, &right[..n]);
    }
    world.reply(&asked, &[&right[..], &right[20..]].concat());
    world.reply(&asked, &[&right[..], &[99, 0]].concat());
    world.reply(&asked, &[&right[..], &[0xff; 4096]].concat());
    assert_eq!(world.state(), State::Registering);
    world.reply(&asked, &right);
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_reply_counts_once() {
    let (mut world, asked) = asking();
    let reply = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    world.reply(&asked, &reply);
    let (ends, registrations) = (world.node.status().ends, world.node.status().registrations);
    world.seconds(1);
    world.reply(&asked, &reply);
    assert_eq!((world.node.status().ends, world.node.status().registrations), (ends, registrations));
    assert_eq!(world.counter("reply to no request"), 1);
}

#[test]
fn late_replies_to_the_last_three_requests_are_taken() {
    for (which, taken) in [(0, false), (1, true), (2, true), (3, true)] {
        let mut agent = fa_a();
        let mut world = World::new();
        world.link_up();
        world.hear(&agent);
        world.seconds_hearing(7, &mut agent);
        assert_eq!(world.asked.len(), 4);
        let asked = world.asked[which].clone();
        world.reply(&asked, &Answer::accept(&asked, Some(&agent)).bytes(&asked));
        assert_eq!(world.state() == State::Registered, taken, "request {which}");
        if taken {
            // A later one that was accepted too is what the home agent holds now; an earlier one is not.
            for (other, count) in [(which.saturating_sub(1), 1), (3, if which == 3 { 1 } else { 2 })] {
                let asked = world.asked[other].clone();
                world.reply(&asked, &Answer::accept(&asked, Some(&agent)).bytes(&asked));
                assert_eq!(world.node.status().registrations, count);
            }
        }
    }
}

#[test]
fn a_reply_elsewhere_is_not_ours() {
    let (mut world, asked) = asking();
    let reply = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    let port = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, asked.source.port() ^ 1);
    world.reply(&Asked { source: port, ..asked.clone() }, &reply);
    world.reply(&Asked { link: None, ..asked.clone() }, &reply);
    assert_eq!(world.state(), State::Registering);
}

#[test]
fn somebody_elses_reply_is_refused() {
    let (mut world, asked) = asking();
    // Another mobile node's reply, right in itself, with our identification written into its fixed part.
    let (mut other_world, _) = asking();
    other_world.seconds(1);
    let other = other_world.last();
    let mut reply = Answer::accept(&other, Some(&fa_a())).bytes(&other);
    reply[12..20].copy_from_slice(&asked.fixed.identification.0.to_be_bytes());
    world.reply(&asked, &reply);
    assert_eq!(world.counter("reply authenticator"), 1);
    assert_eq!(world.state(), State::Registering);
}

#[test]
fn a_key_for_another_agent_is_refused() {
    refused(|a| a.keys[0].peer = "fa-b@visited-b.example".into());
    refused(|a| a.keys[0].peer = "FA-A@visited-a.example".into());
    refused(|a| a.keys[0].own = NAI.into());
    refused(|a| a.keys[0].own = "abcdefghijklm@elsewhere.example".into());
    refused(|a| a.keys[1].own = "traveller-two@home.example".into());
    refused(|a| a.keys[1].peer = NAI.into());
    refused(|a| a.keys[1].peer = "fa-a@visited-a.example".into());
}

#[test]
fn exactly_the_keys_that_belong_to_it() {
    refused(|a| drop(a.keys.remove(0)));
    refused(|a| drop(a.keys.remove(1)));
    refused(|a| a.keys.clear());
    refused(|a| a.keys.push(key(Key1, NAI, HOME_NAI)));
    refused(|a| a.keys.push(key(Key3, VISIT, fa_a().nai.unwrap())));
    refused(|a| a.keys.push(key(Key2, fa_a().nai.unwrap(), HOME_NAI)));
    refused(|a| a.keys[0].lifetime = 599);
}

#[test]
fn the_rest_of_an_acceptance() {
    refused(|a| a.ip = None);
    refused(|a| a.ip = Some(Ipv4Addr::new(10, 11, 1, 51)));
    refused(|a| a.home_address = HOME);
    refused(|a| a.lifetime = 601);
    refused(|a| a.lifetime = 0);
    refused(|a| a.realm = "@elsewhere.example".into());
    refused(|a| a.identification.0 ^= 1 << 40);
    refused(|a| {
        a.udp = Some(UdpTunnelReply { code: 0, forced: false, keepalive: 0 });
    });
}

#[test]
fn a_key_3_without_an_agent_is_refused() {
    let mut world = World::new();
    world.link_up();
    world.address();
    let asked = world.last();
    let mut answer = Answer::accept(&asked, None);
    answer.keys.push(key(Key3, VISIT, fa_a().nai.unwrap()));
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registering);
}

#[test]
fn a_clock_a_day_off_costs_one_more_request() {
    for off in [-86_400_i64, 86_400, 9] {
        let mut world = World::with(config(), MobileNodeState::default(), T.checked_add_signed(off).unwrap());
        world.link_up();
        world.hear(&fa_a());
        let asked = world.last();
        let home = Identification::new(ntp_seconds(T), asked.fixed.identification.low());
        let answer = Answer { identification: home, ..Answer::deny(&asked, Code::HA_IDENTIFICATION) };
        world.reply(&asked, &answer.bytes(&asked));
        let again = world.last();
        assert_eq!(world.asked.len(), 2, "at once");
        assert!(again.fixed.identification.seconds().wrapping_sub(ntp_seconds(T)) <= 1);
        assert_eq!(world.node.status().clock_offset, -off);
        world.accept(Some(&fa_a()));
        assert_eq!(world.state(), State::Registered);
        assert_eq!(world.kept.unwrap().clock_offset, -off);
    }
}

#[test]
fn a_second_mismatch_in_one_attempt_waits() {
    let (mut world, mut asked) = asking();
    for count in [2, 2] {
        let answer = Answer {
            identification: Identification::new(ntp_seconds(T) + 40, asked.fixed.identification.low()),
            ..Answer::deny(&asked, Code::HA_IDENTIFICATION)
        };
        world.reply(&asked, &answer.bytes(&asked));
        assert_eq!(world.asked.len(), count);
        asked = world.last();
    }
}

#[test]
fn nobody_but_the_home_agent_teaches_the_time() {
    let (mut world, asked) = asking();
    let answer = Answer {
        identification: Identification::new(5, asked.fixed.identification.low()),
        ..Answer::deny(&asked, Code::HA_IDENTIFICATION)
    };
    let mut reply = answer.bytes(&asked);
    let last = reply.len() - 1;
    reply[last] ^= 1;
    world.reply(&asked, &reply);
    // And in a foreign agent's name not at all.
    world.reply(&asked, &hint(&asked, Code::FA_UNSPECIFIED, 0));
    assert_eq!(world.node.status().clock_offset, 0);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn a_clock_that_jumps_after_an_acceptance_changes_nothing() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    world.now.unix += Duration::from_secs(86_400);
    world.seconds_hearing(480, &mut agent);
    let off = world.last().fixed.identification.seconds() - ntp_seconds(T);
    assert!(world.asked.len() > 1 && off <= 481, "{off}");
}

#[test]
fn denials_of_the_home_agent_are_believed_and_slow_us_down() {
    for (code, least) in [
        (Code::HA_RESOURCES, 2),
        (Code::HA_PROHIBITED, 10),
        (Code::HA_MN_AUTHENTICATION, 10),
        (Code::HA_TOO_MANY_BINDINGS, 10),
        (Code::HA_UNKNOWN_HOME_AGENT, 10),
        (Code(200), 10),
    ] {
        let (mut world, asked) = asking();
        let mut agent = fa_a();
        let answer = Answer {
            detail: Some(ErrorDetail { code: DetailCode::ROAMING_POLICY, text: "not\nhere".into() }),
            ..Answer::deny(&asked, code)
        };
        let begun = world.now.mono;
        world.reply(&asked, &answer.bytes(&asked));
        world.seconds_hearing(60, &mut agent);
        assert_eq!((world.asked[1].at - begun).as_secs(), least, "{code}");
        let denied = world.events.iter().find(|e| e.kind == EventKind::Denied).unwrap();
        assert_eq!(denied.code, Some(code.0));
        assert!(denied.text.contains("nothere") && denied.text.contains("roaming"), "{}", denied.text);
    }
}

#[test]
fn a_key_distribution_centre_that_is_down_is_waited_for() {
    let (mut world, asked) = asking();
    let mut agent = fa_a();
    let detail = ErrorDetail { code: DetailCode::KDC_UNAVAILABLE, text: String::new() };
    let answer = Answer { detail: Some(detail), ..Answer::deny(&asked, Code::HA_UNSPECIFIED) };
    world.reply(&asked, &answer.bytes(&asked));
    world.seconds_hearing(2, &mut agent);
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn a_denied_renewal_leaves_the_registration() {
    let mut agent = fa_a();
    let mut world = World::registered_through(&agent);
    while world.asked.len() < 2 {
        world.seconds_hearing(1, &mut agent);
    }
    let asked = world.last();
    world.reply(&asked, &Answer::deny(&asked, Code::HA_PROHIBITED).bytes(&asked));
    assert_eq!((world.state(), world.routes.len()), (State::Registered, 1));
}

#[test]
fn an_unauthenticated_denial_never_weakens_anything() {
    for code in 64..128 {
        let (mut world, asked) = asking();
        let mut agent = fa_a();
        world.reply(&asked, &hint(&asked, Code(code), 0));
        world.seconds_hearing(40, &mut agent);
        assert!(world.asked.len() <= 8, "code {code}: {} requests", world.asked.len());
        let last = world.last();
        assert!(world.asked.len() > 1, "code {code} ends nothing");
        assert_eq!(last.fixed.home_address, Ipv4Addr::UNSPECIFIED);
        assert_eq!(last.fixed.flags, asked.fixed.flags);
        assert_eq!((last.fixed.lifetime, last.bytes.len()), (600, asked.bytes.len()));
        assert_eq!(verified(&last).0, "traveller-one");
        world.accept(Some(&agent));
        assert_eq!(world.state(), State::Registered);
    }
}

#[test]
fn after_a_hint_the_true_reply_still_counts_and_one_hint_is_enough() {
    let (mut world, asked) = asking();
    for _ in 0..10 {
        world.reply(&asked, &hint(&asked, Code::FA_MISSING_NAI, 0));
    }
    assert_eq!(world.saw(EventKind::Denied), 1);
    world.reply(&asked, &Answer::accept(&asked, Some(&fa_a())).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn hints_do_not_reach_a_node_without_an_agent() {
    let mut world = World::new();
    world.link_up();
    world.address();
    let asked = world.last();
    world.reply(&asked, &hint(&asked, Code::FA_PROHIBITED, 0));
    assert_eq!(world.saw(EventKind::Denied), 0);
}

#[test]
fn a_shorter_lifetime_is_asked_for_unless_it_is_silly() {
    let (mut world, asked) = asking();
    world.reply(&asked, &hint(&asked, Code::FA_LIFETIME, 300));
    world.seconds(1);
    assert_eq!(world.last().fixed.lifetime, 300);
    for silly in [0, 9, 600, 601] {
        let (mut world, asked) = asking();
        world.reply(&asked, &hint(&asked, Code::FA_LIFETIME, silly));
        world.seconds_hearing(10, &mut fa_a());
        assert_eq!((world.asked.len(), world.last().fixed.lifetime), (2, 600));
    }
}

#[test]
fn a_stale_challenge_waits_for_a_new_one() {
    for code in [Code::FA_UNKNOWN_CHALLENGE, Code::FA_STALE_CHALLENGE] {
        let (mut world, asked) = asking();
        world.pass(Duration::from_millis(100));
        world.reply(&asked, &hint(&asked, code, 0));
        world.pass(Duration::from_millis(950));
        assert_eq!(world.solicited.len(), 2, "asked for one");
        world.hear(&Agent { challenge: Some(vec![6; 8]), ..fa_a() });
        let again = world.last();
        assert_eq!(world.asked.len(), 2);
        assert_eq!(again.bytes[again.bytes.len() - 8..], [6; 8]);
    }
}

#[test]
fn a_reverse_tunnel_that_the_agent_insists_on_is_asked_for() {
    let mut world = World::with(Config { reverse_tunnel: false, ..config() }, MobileNodeState::default(), T);
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    assert_eq!(asked.fixed.flags.0, 0);
    world.reply(&asked, &hint(&asked, Code::FA_REVERSE_MANDATORY, 0));
    world.seconds(1);
    assert_eq!(world.last().fixed.flags.0, 2);
}

#[test]
fn refused_here_registers_through_another_agent() {
    let (mut world, asked) = asking();
    world.hear(&Agent { prefix: None, ..fa_b() });
    world.reply(&asked, &hint(&asked, Code::FA_PROHIBITED, 0));
    world.seconds(1);
    assert_eq!(world.last().fixed.care_of, fa_b().care_of[0]);
}

#[test]
fn events_name_the_keys_and_the_time_it_took() {
    let (mut world, asked) = asking();
    world.pass(Duration::from_micros(3100));
    world.reply(&asked, &Answer::accept(&asked, Some(&fa_a())).bytes(&asked));
    let event = world.events.iter().find(|e| e.kind == EventKind::Registered).unwrap();
    assert_eq!(
        event.text,
        "registered through fa-a@visited-a.example, care-of 10.51.1.2, 600 s, 3.1 ms after link up"
    );
    assert_eq!(event.keys.len(), 2);
    assert_eq!(world.events.last().unwrap().kind, EventKind::RouteInstalled);
}
