//! 33 in requests and replies, challenges in replies, change-over, and agents that forgot.

use record::AssociationKind;
use sa::{KeyInfo, Material};
use wire::{
    Writer,
    mip::{
        code::Code,
        extension::{self, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE, open_authentication},
    },
};

use super::{super::*, world::*};

fn asking() -> (World, Asked) {
    let mut world = World::new();
    world.link_up();
    world.hear(&fa_a());
    let asked = world.last();
    (world, asked)
}

fn key3(answer: &Answer) -> KeyInfo {
    answer.keys.iter().find(|k| k.kind == AssociationKind::Key3).unwrap().duplicate()
}

/// Registered through the first agent, and under which KEY 3.
fn registered() -> (World, KeyInfo) {
    let (mut world, asked) = asking();
    let answer = Answer::accept(&asked, Some(&fa_a()));
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registered);
    (world, key3(&answer))
}

/// The next request, of a renewal.
fn renewal(world: &mut World, agent: &mut Agent) -> Asked {
    let before = world.asked.len();
    while world.asked.len() == before {
        world.seconds_hearing(1, agent);
    }
    world.last()
}

/// Where 132 and 33 begin behind 32.
fn behind_32(bytes: &[u8]) -> usize {
    let vendor = wire::mip::ours::DOCUMENTATION_VENDOR;
    wire::mip::part::Parts::parse(bytes, wire::mip::registration::Reply::LEN, vendor).unwrap().mobile_end
}

/// With `bytes` in place of the right reply nothing happens; the right one is still taken.
fn refused(bytes: impl FnOnce(&Asked, &Answer) -> Vec<u8>) {
    let (mut world, asked) = asking();
    let answer = Answer::accept(&asked, Some(&fa_a()));
    world.reply(&asked, &bytes(&asked, &answer));
    assert_eq!((world.state(), world.saw(EventKind::Discarded)), (State::Registering, 1));
    assert!(world.routes.is_empty() && world.node.associations().count() == 0);
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn every_byte_behind_32_counts() {
    let (mut world, asked) = asking();
    let right = Answer::accept(&asked, Some(&fa_a())).bytes(&asked);
    let from = behind_32(&right);
    assert_eq!(right.len() - from, 2 + 8 + 2 + 4 + 32);
    for at in from..right.len() {
        for bit in 0..8 {
            let mut wrong = right.clone();
            wrong[at] ^= 1 << bit;
            world.reply(&asked, &wrong);
            assert_eq!(world.state(), State::Registering, "bit {bit} of byte {at}");
        }
        world.reply(&asked, &right[..at]);
        assert_eq!(world.state(), State::Registering, "cut at {at}");
    }
    assert!(world.routes.is_empty());
    world.reply(&asked, &right);
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn no_33_but_the_new_key_3s() {
    refused(|asked, _| Answer { relayed_under: None, ..Answer::accept(asked, Some(&fa_a())) }.bytes(asked));
    refused(|asked, answer| {
        let other = KeyInfo { material: Material::Key(Key::new([1; 32])), ..key3(answer) };
        Answer { relayed_under: Some(other), ..Answer::accept(asked, Some(&fa_a())) }.bytes(asked)
    });
    refused(|asked, answer| {
        // An agent that believes to talk with somebody else.
        let other = KeyInfo { own: "zzzzzzzzzzzzz@home.example".into(), ..key3(answer) };
        Answer { relayed_under: Some(other), ..Answer::accept(asked, Some(&fa_a())) }.bytes(asked)
    });
    refused(|asked, answer| {
        // Our own direction, reflected.
        let key3 = key3(answer);
        let mut mirrored = key3.duplicate();
        std::mem::swap(&mut mirrored.inbound, &mut mirrored.outbound);
        std::mem::swap(&mut mirrored.own, &mut mirrored.peer);
        Answer { relayed_under: Some(mirrored), ..Answer::accept(asked, Some(&fa_a())) }.bytes(asked)
    });
    // Under KEY 1, which the agent does not have.
    refused(|asked, answer| {
        let key1 = answer.keys.iter().find(|k| k.kind == AssociationKind::Key1).unwrap().duplicate();
        Answer { relayed_under: Some(key1), ..Answer::accept(asked, Some(&fa_a())) }.bytes(asked)
    });
}

#[test]
fn repeated_followed_or_too_short() {
    refused(|asked, answer| {
        let mut w = Writer::after(answer.bytes(asked));
        put_33(&mut w, &key3(answer));
        w.into_bytes()
    });
    refused(|asked, answer| [&answer.bytes(asked)[..], &[200, 2, 1, 2]].concat());
    refused(|asked, answer| [&answer.bytes(asked)[..], &[0]].concat());
    refused(|asked, answer| {
        // A right authenticator, truncated.
        let bytes = answer.bytes(asked);
        let full = bytes.len() - 32;
        let mut w = Writer::after(bytes[..full - 6].to_vec());
        open_authentication(&mut w, MN_FA_AUTHENTICATION, key3(answer).inbound, 16);
        w.put(&bytes[full..full + 16]);
        w.into_bytes()
    });
    refused(|asked, answer| {
        // A challenge behind it is not covered.
        let mut w = Writer::after(Answer { challenge: None, ..accepted(asked) }.bytes(asked));
        extension::put(&mut w, MN_FA_CHALLENGE, &[9; 8]).unwrap();
        let _ = answer;
        w.into_bytes()
    });
}

fn accepted(asked: &Asked) -> Answer {
    Answer::accept(asked, Some(&fa_a()))
}

#[test]
fn the_33_of_another_registration_does_not_serve() {
    let (mut world, first) = registered();
    let mut agent = fa_a();
    let asked = renewal(&mut world, &mut agent);
    let answer = Answer { relayed_under: Some(first), ..accepted(&asked) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!((world.node.status().registrations, world.counter("reply refused")), (1, 1));
    // Nor does the tail of an earlier reply behind this one's bytes.
    let earlier = accepted(&world.asked[0]).bytes(&world.asked[0]);
    let right = accepted(&asked).bytes(&asked);
    let swapped = [&right[..behind_32(&right)], &earlier[behind_32(&earlier)..]].concat();
    world.reply(&asked, &swapped);
    assert_eq!(world.node.status().registrations, 1);
    world.reply(&asked, &right);
    assert_eq!(world.node.status().registrations, 2);
    world.reply(&asked, &right);
    assert_eq!(world.counter("reply to no request"), 1, "repeated, it counts once");
}

#[test]
fn co_located_there_is_no_agent_to_ask_for() {
    let world = World::co_located(None);
    assert!(world.last().parts().foreign.challenge.is_none());
    assert!(world.node.associations().all(|a| a.kind == AssociationKind::Key1));
}

#[test]
fn requests_prove_who_asks_once_there_is_a_key_3() {
    let (mut world, key3) = registered();
    assert!(world.asked[0].parts().foreign.mobile_foreign.is_none(), "nothing before");
    let mut agent = fa_a();
    let asked = renewal(&mut world, &mut agent);
    assert!(asked.proves(&key3));
    let parts = asked.parts();
    let claim = parts.foreign.mobile_foreign.unwrap();
    assert_eq!((claim.spi, claim.covered + 32), (key3.outbound, asked.bytes.len()), "behind everything");
    assert_eq!(parts.foreign.challenge, parts.mobile.agent_heard.map(|h| h.challenge));
    // An unanswered renewal is asked for again, under the same key.
    world.seconds_hearing(2, &mut agent);
    assert!(world.asked.len() == 3 && world.last().proves(&key3));
    // And the deregistration too.
    let answer = accepted(&world.last());
    let newer = answer.keys[0].duplicate();
    let asked = world.last();
    world.reply(&asked, &answer.bytes(&asked));
    world.seconds_hearing(2, &mut agent);
    world.request(Request::Deregister);
    assert!(world.last().proves(&newer) && !world.last().proves(&key3));
    assert_eq!(world.last().fixed.lifetime, 0);
}

#[test]
fn another_agent_is_not_shown_a_key_3_that_it_does_not_have() {
    let (mut world, _) = registered();
    world.seconds(5);
    world.hear(&fa_b());
    assert_eq!(world.last().fixed.care_of, fa_b().care_of[0]);
    assert!(world.last().parts().foreign.mobile_foreign.is_none());
}

#[test]
fn the_challenge_of_a_reply_is_the_next_one() {
    let (mut world, _) = registered();
    let given = Answer::accept(&world.asked[0], Some(&fa_a())).challenge.unwrap();
    world.request(Request::Deregister);
    world.seconds(1);
    let asked = world.last();
    assert_eq!(asked.parts().foreign.challenge, Some(&given[..]));
    assert_eq!(asked.parts().mobile.agent_heard.unwrap().challenge, given);
    // Until the agent advertises a newer one.
    let (mut agent, before) = (fa_a(), world.asked.len());
    world.seconds_hearing(2, &mut agent);
    let advertised = agent.challenge.clone();
    world.seconds(2);
    assert!(world.asked.len() > before);
    assert_eq!(world.last().parts().foreign.challenge, advertised.as_deref());
}

#[test]
fn an_answer_without_a_challenge_or_with_a_useless_one_changes_none() {
    for challenge in [None, Some(vec![3; 33]), Some(vec![3; 3])] {
        let (mut world, asked) = asking();
        let answer = Answer { challenge, ..accepted(&asked) };
        world.reply(&asked, &answer.bytes(&asked));
        assert_eq!(world.state(), State::Registered);
        world.request(Request::Deregister);
        world.seconds(1);
        assert_eq!(world.last().parts().foreign.challenge, fa_a().challenge.as_deref());
    }
}

#[test]
fn a_relayed_denial_is_checked_if_its_key_is_held() {
    let denial = |asked: &Asked, key3: Option<&KeyInfo>| Answer {
        relayed_under: key3.map(KeyInfo::duplicate),
        challenge: Some(vec![6; 8]),
        ..Answer::deny(asked, Code::HA_RESOURCES)
    };
    let (mut world, key3) = registered();
    let mut agent = fa_a();
    let asked = renewal(&mut world, &mut agent);
    let mut forged = denial(&asked, Some(&key3)).bytes(&asked);
    *forged.last_mut().unwrap() ^= 1;
    world.reply(&asked, &forged);
    assert_eq!((world.saw(EventKind::Denied), world.counter("agent authenticator")), (0, 1));
    world.reply(&asked, &denial(&asked, Some(&key3)).bytes(&asked));
    assert_eq!(world.saw(EventKind::Denied), 1);
    world.seconds(2);
    assert_eq!(
        world.last().parts().foreign.challenge,
        Some(&[6; 8][..]),
        "the challenge that it vouched for"
    );

    // A key that we do not hold, or none, says nothing about the denial and nothing about the challenge.
    let stranger = KeyInfo { inbound: Spi(4242), ..key3.duplicate() };
    for relayed_under in [Some(&stranger), None] {
        let (mut world, _) = registered();
        let mut agent = fa_a();
        let asked = renewal(&mut world, &mut agent);
        world.reply(&asked, &denial(&asked, relayed_under).bytes(&asked));
        assert_eq!(world.saw(EventKind::Denied), 1);
        world.seconds(2);
        assert_eq!(world.last().parts().foreign.challenge, agent.challenge.as_deref());
    }
}

#[test]
fn old_keys_are_received_with_for_ten_seconds() {
    let (mut world, first) = registered();
    let mut agent = fa_a();
    let asked = renewal(&mut world, &mut agent);
    world.reply(&asked, &accepted(&asked).bytes(&asked));
    let shown: Vec<_> = world.node.associations().map(|a| (a.kind, a.retires.is_some())).collect();
    let (k1, k3) = (AssociationKind::Key1, AssociationKind::Key3);
    assert_eq!(shown, [(k1, false), (k3, false), (k1, true), (k3, true)]);
    let retiring = world.node.associations().nth(3).unwrap();
    assert!(Some(&retiring.key) == first.key() && retiring.retires == Some(world.now.unix.as_secs() + 10));
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.node.associations().count(), 4);
    let revision = world.node.revision();
    world.pass(Duration::from_millis(1));
    assert_eq!(world.node.associations().count(), 2);
    assert!(world.node.revision() > revision, "and the operator sees it");
}

#[test]
fn the_key_3_of_the_agent_is_confirmed_by_its_33() {
    let (world, _) = registered();
    let confirmed: Vec<_> = world.node.associations().map(|a| (a.kind, a.confirmed)).collect();
    assert_eq!(confirmed, [(AssociationKind::Key1, false), (AssociationKind::Key3, true)]);
}

#[test]
fn an_agent_that_does_not_know_us_is_met_as_for_the_first_time_once_a_minute() {
    let (mut world, key3) = registered();
    let mut agent = fa_a();
    let asked = renewal(&mut world, &mut agent);
    assert!(asked.proves(&key3));
    world.reply(&asked, &hint(&asked, Code::FA_MN_AUTHENTICATION, 0));
    world.seconds_hearing(1, &mut agent);
    let bare = world.last();
    assert_eq!(world.asked.len(), 3);
    assert!(bare.parts().foreign.mobile_foreign.is_none());
    let answer = accepted(&bare);
    world.reply(&bare, &answer.bytes(&bare));
    let next = renewal(&mut world, &mut agent);
    assert!(next.proves(&answer.keys[0]), "known again");
    // The minute is over: once more.
    world.reply(&next, &hint(&next, Code::FA_MN_AUTHENTICATION, 0));
    world.seconds_hearing(1, &mut agent);
    assert!(world.last().parts().foreign.mobile_foreign.is_none());
}

#[test]
fn a_second_67_within_the_minute_changes_nothing() {
    let (mut world, _) = registered();
    let mut agent = fa_a();
    let asked = renewal(&mut world, &mut agent);
    world.reply(&asked, &hint(&asked, Code::FA_MN_AUTHENTICATION, 0));
    world.seconds_hearing(1, &mut agent);
    let bare = world.last();
    let answer = Answer { lifetime: 30, ..accepted(&bare) };
    world.reply(&bare, &answer.bytes(&bare));
    let begun = world.now.mono;
    // Renewals, each answered by somebody with 67.
    let mut without = Vec::new();
    let mut seen = world.asked.len();
    while world.now.mono < begun + Duration::from_secs(29) {
        world.seconds_hearing(1, &mut agent);
        while seen < world.asked.len() {
            let asked = world.asked[seen].clone();
            seen += 1;
            if asked.parts().foreign.mobile_foreign.is_none() {
                without.push((asked.at - begun).as_secs());
            }
            world.reply(&asked, &hint(&asked, Code::FA_MN_AUTHENTICATION, 0));
        }
    }
    assert!(seen > 4 && without.is_empty(), "{without:?}");
}

#[test]
fn a_67_that_nothing_called_for_leads_elsewhere() {
    let (mut world, asked) = asking();
    world.hear(&Agent { prefix: None, ..fa_b() });
    world.reply(&asked, &hint(&asked, Code::FA_MN_AUTHENTICATION, 0));
    world.seconds(1);
    assert_eq!(world.last().fixed.care_of, fa_b().care_of[0]);
}

#[test]
fn a_deregistration_too_goes_without_33_after_a_67() {
    let (mut world, key3) = registered();
    let mut agent = fa_a();
    world.seconds_hearing(3, &mut agent);
    world.request(Request::Deregister);
    let asked = world.last();
    assert!(asked.proves(&key3));
    world.reply(&asked, &hint(&asked, Code::FA_MN_AUTHENTICATION, 0));
    world.seconds_hearing(1, &mut agent);
    let asked = world.last();
    assert!(asked.fixed.lifetime == 0 && asked.parts().foreign.mobile_foreign.is_none());
    let answer = Answer { relayed_under: None, ..accepted(&asked) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(world.deregistered, [Ok(())]);
}

#[test]
fn after_a_sequence_reset_the_agent_is_met_as_for_the_first_time() {
    let (mut world, key3) = registered();
    let mut agent = fa_a();
    world.seconds_hearing(5, &mut agent);
    agent.sequence = 0;
    agent.challenge = Some(vec![8; 8]);
    world.hear(&agent);
    let asked = world.last();
    assert_eq!(world.asked.len(), 2);
    assert!(asked.parts().foreign.mobile_foreign.is_none());
    let answer = accepted(&asked);
    world.reply(&asked, &answer.bytes(&asked));
    let next = renewal(&mut world, &mut agent);
    assert!(next.proves(&answer.keys[0]) && !next.proves(&key3), "known again, under the new key");
}
