//! 33 and 132 between mobile nodes and us, and the change-over from one KEY 3 to the next.

use wire::{
    Writer,
    mip::{extension, part::Parts, registration::Request as Fixed},
};

use super::{
    script::{HomeAgentScript, Mobile, proof, sign},
    *,
};

/// Sends a request with a challenge that is good.
fn send(world: &mut World, mobile: &mut Mobile) {
    world.did();
    world.pass(Duration::from_secs(1));
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
}

fn relay(world: &mut World, mobile: &mut Mobile) -> Vec<u8> {
    send(world, mobile);
    world.relayed().pop().expect("relayed").1
}

/// Registers, and says what the mobile node was told and its KEY 3.
fn register(world: &mut World, mobile: &mut Mobile) -> (Vec<u8>, Association) {
    let relayed = relay(world, mobile);
    world.accept(mobile.fixed.home_agent, &relayed)
}

/// A world with a visitor, the mobile node, and its KEY 3, not in use yet.
fn visited() -> (World, Mobile, Association) {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let (_, key3) = register(&mut world, &mut mobile);
    (world, mobile, key3)
}

/// Index, confirmation and retirement of each KEY 3 that is stored, as the foreign agent counts.
fn stored(world: &World) -> Vec<(Spi, bool, bool)> {
    let associations = world.store.visitors.iter().flat_map(|v| &v.associations);
    let key3 = associations.filter(|a| a.kind == record::AssociationKind::Key3);
    key3.map(|a| (a.inbound, a.confirmed, a.retires.is_some())).collect()
}

/// The mobile node's answer with these extensions behind 32.
fn with_tail(mobile: &mut Mobile, challenge: &[u8], tail: &[u8]) -> Vec<u8> {
    mobile.tail = Some(tail.to_vec());
    let request = mobile.request(challenge);
    mobile.tail = None;
    request
}

#[test]
fn an_acceptance_carries_the_next_challenge_under_the_new_key() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let challenge = world.challenge(LINK);
    let request = mobile.request(&challenge);
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    let mut script = HomeAgentScript::of(to);
    let reply = script.reply(&relayed);
    world.reply(to, &reply);
    let told = world.replies().pop().unwrap().3;
    let key3 = script.key3.unwrap();
    let (next, index) = proof(&told, &key3);
    assert_eq!(index, Some(key3.inbound), "the one that the mobile node receives with");
    assert_ne!(next, challenge);
    let said = Parts::parse(&reply, Reply::LEN, VENDOR).unwrap();
    let kinds: Vec<u8> =
        extension::walk(&told[said.mobile_end..], 0).unwrap().iter().map(|e| e.kind).collect();
    assert!(told.starts_with(said.mobile_bytes()) && kinds == [132, 33]);
    // Each byte of it counts: nobody else could have made it.
    for i in 0..told.len() {
        let mut changed = told.clone();
        changed[i] ^= 1;
        let whole =
            Parts::parse(&changed, Reply::LEN, VENDOR).is_ok_and(|p| p.foreign.mobile_foreign.is_some());
        if whole && Parts::parse(&changed, Reply::LEN, VENDOR).unwrap().foreign.challenge.is_some() {
            assert_eq!(proof(&changed, &key3).1.filter(|spi| *spi == key3.inbound), None, "byte {i}");
        }
    }
    // A repeat of the request gets the very same answer.
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.replies().pop().unwrap().3, told);
}

#[test]
fn the_challenge_of_a_reply_is_for_its_station_and_grows_old_like_others() {
    let answer = |wait: u64, station: Option<LinkAddress>| {
        let mut world = World::new();
        let mut mobile = Mobile::new();
        let request = mobile.request(&world.challenge(LINK));
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let (to, relayed) = world.relayed().pop().unwrap();
        let mut script = HomeAgentScript::of(to);
        world.reply(to, &script.reply(&relayed));
        let told = world.replies().pop().unwrap().3;
        let (next, _) = proof(&told, &script.key3.unwrap());
        world.pass(Duration::from_millis(wait));
        world.did();
        mobile.station = station.unwrap_or(mobile.station);
        let request = mobile.request(&next);
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let relayed = world.did.iter().any(|did| matches!(did, Did::Send(Transmit::Udp { .. })));
        if relayed { vec![Code::ACCEPTED] } else { world.codes() }
    };
    assert_eq!(answer(0, None), [Code::ACCEPTED]);
    assert_eq!(answer(1000, None), [Code::ACCEPTED]);
    assert_eq!(answer(2000, None), [Code::FA_UNKNOWN_CHALLENGE]);
    assert_eq!(answer(0, Some([2, 9, 9, 9, 9, 9])), [Code::FA_UNKNOWN_CHALLENGE]);
}

#[test]
fn a_denial_carries_a_challenge_and_33_only_for_whom_we_know() {
    let (mut world, mut mobile, key3) = visited();
    let deny = |world: &mut World, mobile: &mut Mobile| {
        let relayed = relay(world, mobile);
        let mut script = HomeAgentScript::new();
        script.code = Code::HA_RESOURCES;
        world.reply(HOME_AGENT, &script.reply(&relayed));
        world.replies().pop().unwrap().3
    };
    let (next, index) = proof(&deny(&mut world, &mut mobile), &key3);
    assert_eq!((next.len(), index), (16, None), "whoever asked showed no KEY 3");
    mobile.key3 = Some(key3.duplicate());
    let told = deny(&mut world, &mut mobile);
    assert_eq!(Reply::parse(&told).unwrap().code, Code::HA_RESOURCES);
    assert_eq!(proof(&told, &key3).1, Some(key3.inbound));
    let answered = proof(&told, &key3).0;
    // The pair is not spent, yet RFC 4721 wants a challenge that it has not used.
    assert_ne!(answered, next);
}

#[test]
fn a_proof_confirms_and_a_wrong_one_is_refused() {
    let (mut world, mut mobile, key3) = visited();
    assert_eq!(stored(&world), [(key3.outbound, false, false)]);
    world.pass(Duration::from_secs(1));
    mobile.key3 = Some(key3.duplicate());
    let request = mobile.request(&world.challenge(LINK));
    let (from, whole) = {
        let parts = Parts::parse(&request, Fixed::LEN, VENDOR).unwrap();
        (parts.foreign.mobile_foreign.unwrap().covered - 6, request.len())
    };
    for i in from..whole {
        for bit in [0x01, 0x80] {
            let mut changed = request.clone();
            changed[i] ^= bit;
            world.now.mono = world.now.mono + Duration::from_millis(1);
            world.did();
            world.packet(LINK, [2, 0, 0, bit, 0, u8::try_from(i - from).unwrap()], &mobile.packet(&changed));
            let relayed = world.did.iter().any(|did| matches!(did, Did::Send(Transmit::Udp { .. })));
            let expected = match (i - from, bit) {
                // As a type that is skipped it proves nothing.
                (0, 0x80) => None,
                (0 | 1, _) => Some(Code::FA_BAD_REQUEST),
                _ => Some(Code::FA_MN_AUTHENTICATION),
            };
            assert_eq!((relayed, world.codes()), (expected.is_none(), Vec::from_iter(expected)), "byte {i}");
        }
    }
    // Cut anywhere, and from 33 on nothing is a proof.
    for end in from + 1..whole {
        world.did();
        world.packet(
            LINK,
            [2, 0, 0, 3, 0, u8::try_from(end - from).unwrap()],
            &mobile.packet(&request[..end]),
        );
        assert_eq!(world.codes(), [Code::FA_BAD_REQUEST], "cut at {end}");
    }
    assert_eq!(stored(&world), [(key3.outbound, false, false)], "nothing of this confirmed anything");
    world.did();
    world.packet(LINK, [2, 8, 8, 8, 8, 8], &mobile.packet(&request));
    assert_eq!(world.relayed().len(), 1);
    assert_eq!(stored(&world), [(key3.outbound, true, false)]);
    assert_eq!(world.counter("associations confirmed"), 1);
}

#[test]
fn a_proof_stands_once_and_last() {
    let (mut world, mut mobile, key3) = visited();
    let mut answer = |tail: &dyn Fn(&[u8]) -> Vec<u8>| {
        world.pass(Duration::from_secs(2));
        let challenge = world.challenge(LINK);
        let plain = with_tail(&mut mobile, &challenge, &[]);
        let request = [&plain[..], &tail(&plain)].concat();
        world.did();
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let relayed = world.did.iter().any(|did| matches!(did, Did::Send(Transmit::Udp { .. })));
        if relayed { vec![0] } else { world.codes().iter().map(|code| code.0).collect() }
    };
    let proved = |before: &[u8], plain: &[u8]| {
        let mut w = Writer::after([plain, before].concat());
        sign(&mut w, &key3);
        w.into_bytes().split_off(plain.len())
    };
    assert_eq!(answer(&|plain| proved(&[], plain)), [0], "132 may be left out");
    assert_eq!(answer(&|plain| proved(&[], plain).repeat(2)), [70]);
    assert_eq!(answer(&|plain| [proved(&[], plain), vec![0]].concat()), [70], "padding behind it");
    assert_eq!(answer(&|plain| [proved(&[], plain), vec![130, 0]].concat()), [70], "not covered by it");
    assert_eq!(answer(&|plain| proved(&[0, 250, 0], plain)), [0]);
    assert_eq!(answer(&|plain| proved(&[132, 4, 1, 2, 3, 4], plain)), [104], "another challenge");
}

#[test]
fn a_proof_of_another_message_or_of_somebody_else_is_refused() {
    let (mut world, mut mobile, key3) = visited();
    mobile.key3 = Some(key3.duplicate());
    let challenge = world.challenge(LINK);
    let one = mobile.request(&challenge);
    let mobile_end = |bytes: &[u8]| Parts::parse(bytes, Fixed::LEN, VENDOR).unwrap().mobile_end;
    let tail = &one[mobile_end(&one)..];
    mobile.key3 = None;
    // Its proof behind another request of it, and behind one of another mobile node.
    let request = with_tail(&mut mobile, &challenge, tail);
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
    let mut other = Mobile::numbered(1);
    let request = with_tail(&mut other, &challenge, tail);
    world.packet(LINK, other.station, &other.packet(&request));
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
    // Its association towards another home agent, which never heard of it.
    other.station[0] ^= 4;
    other.fixed.home_agent = OTHER_HOME_AGENT;
    other.key3 = Some(key3.duplicate());
    let request = other.request(&challenge);
    world.packet(LINK, other.station, &other.packet(&request));
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
    // KEY 2 is not KEY 3.
    other.fixed.home_agent = HOME_AGENT;
    other.station[0] ^= 8;
    let key2 = &world.store.visitors[0].associations[0];
    other.key3 = Some(Association { outbound: key2.inbound, ..key2.duplicate() });
    let request = other.request(&challenge);
    world.packet(LINK, other.station, &other.packet(&request));
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
    assert_eq!(world.counter("associations confirmed"), 0);
}

#[test]
fn a_replayed_proof_is_stale() {
    let (mut world, mut mobile, key3) = visited();
    mobile.key3 = Some(key3);
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let relayed = world.relayed().pop().unwrap().1;
    world.accept(HOME_AGENT, &relayed);
    for station in [mobile.station, [2, 9, 9, 9, 9, 9]] {
        world.pass(Duration::from_secs(7));
        world.did();
        world.packet(LINK, station, &mobile.packet(&request));
        assert_eq!(world.codes(), [Code::FA_UNKNOWN_CHALLENGE]);
    }
}

#[test]
fn keys_change_over_though_replies_are_lost() {
    let (mut world, mut mobile, first) = visited();
    mobile.key3 = Some(first.duplicate());
    // Two replies are lost: the mobile node goes on with what it has.
    let (_, second) = register(&mut world, &mut mobile);
    let (_, third) = register(&mut world, &mut mobile);
    let expected =
        [(first.outbound, true, false), (second.outbound, false, false), (third.outbound, false, false)];
    assert_eq!(stored(&world), expected);
    // A third one: only the last two that nobody confirmed are kept.
    let (_, fourth) = register(&mut world, &mut mobile);
    let expected =
        [(first.outbound, true, false), (third.outbound, false, false), (fourth.outbound, false, false)];
    assert_eq!(stored(&world), expected);
    mobile.key3 = Some(second);
    send(&mut world, &mut mobile);
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION], "erased");
    // It got the last one. Denials now speak under that.
    mobile.key3 = Some(fourth.duplicate());
    let relayed = relay(&mut world, &mut mobile);
    let expected =
        [(first.outbound, true, true), (third.outbound, false, true), (fourth.outbound, true, false)];
    assert_eq!(stored(&world), expected);
    let mut script = HomeAgentScript::new();
    script.code = Code::HA_RESOURCES;
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(proof(&world.replies()[0].3, &fourth).1, Some(fourth.inbound));
    // What is on its way under the first still counts for ten seconds.
    world.pass(Duration::from_millis(8_900));
    mobile.key3 = Some(first);
    relay(&mut world, &mut mobile);
    world.pass(Duration::from_millis(100));
    send(&mut world, &mut mobile);
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
    assert_eq!(stored(&world), [(fourth.outbound, true, false)], "erased in the store too");
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn a_wakeup_that_comes_late_takes_nothing_old() {
    let (mut world, mut mobile, first) = visited();
    let (_, second) = register(&mut world, &mut mobile);
    mobile.key3 = Some(second);
    relay(&mut world, &mut mobile);
    mobile.key3 = Some(first);
    world.pass(Duration::from_secs(1));
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.now.mono = world.now.mono + Duration::from_secs(11);
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.counter("code 67"), 1);
}

#[test]
fn a_confirmation_while_a_renewal_is_with_the_store_is_not_lost() {
    for fails in [false, true] {
        let (mut world, mut mobile, first) = visited();
        let relayed = relay(&mut world, &mut mobile);
        world.mode = StoreMode::Holds;
        let reply = HomeAgentScript::new().reply(&relayed);
        world.reply(HOME_AGENT, &reply);
        mobile.key3 = Some(first.duplicate());
        relay(&mut world, &mut mobile);
        assert_eq!(world.held.len(), 1, "what was asked last stands last");
        if fails {
            world.mode = StoreMode::Works;
            for (ticket, _) in std::mem::take(&mut world.held) {
                let result = Err(CommitError::Unavailable("disk full".into()));
                world.input(Input::Request(Request::Persisted { ticket, result }));
            }
        } else {
            world.release();
        }
        let stored = stored(&world);
        assert_eq!(stored[0], (first.outbound, true, false));
        assert_eq!(stored.len(), if fails { 1 } else { 2 });
    }
}

#[test]
fn two_renewals_with_the_store_at_once_both_stand() {
    let (mut world, mut mobile, first) = visited();
    let relayed = [relay(&mut world, &mut mobile), relay(&mut world, &mut mobile)];
    world.mode = StoreMode::Holds;
    for relayed in &relayed {
        world.reply(HOME_AGENT, &HomeAgentScript::new().reply(relayed));
    }
    world.release();
    let indices: Vec<Spi> = stored(&world).iter().map(|(index, ..)| *index).collect();
    let promised =
        relayed.map(|bytes| Parts::parse(&bytes, Fixed::LEN, VENDOR).unwrap().foreign.handle.unwrap().key3);
    assert!(!indices.contains(&first.outbound), "the oldest of three that nobody confirmed");
    assert_eq!(indices, promised);
}

#[test]
fn a_restart_keeps_keys_and_their_last_seconds() {
    let (mut world, mut mobile, first) = visited();
    let (_, second) = register(&mut world, &mut mobile);
    mobile.key3 = Some(second.duplicate());
    relay(&mut world, &mut mobile);
    let mut world = world.restarted(config(), 4);
    assert_eq!(stored(&world), [(first.outbound, false, true), (second.outbound, true, false)]);
    relay(&mut world, &mut mobile);
    assert_eq!(world.counter("associations confirmed"), 0, "it was, before");
    world.pass(Duration::from_secs(5));
    assert_eq!(stored(&world), [(second.outbound, true, false)]);
    mobile.key3 = Some(first);
    send(&mut world, &mut mobile);
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
}

#[test]
fn a_farewell_is_known_by_its_proof() {
    // Two mobile nodes behind one link address, whose indices are new with every request.
    let mut world = World::new();
    let (mut one, mut two) = (Mobile::numbered(1), Mobile::numbered(2));
    two.station = one.station;
    let (_, of_one) = register(&mut world, &mut one);
    let relayed = relay(&mut world, &mut two);
    let mut script = HomeAgentScript::new();
    script.home_address = Ipv4Addr::new(10, 11, 1, 51);
    world.reply(HOME_AGENT, &script.reply(&relayed));
    assert_eq!(world.visitors().len(), 2);
    let mut leave = |mobile: &mut Mobile| {
        mobile.fixed.lifetime = 0;
        mobile.spi.0 += 1000;
        let relayed = relay(&mut world, mobile);
        let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
        assert!(parts.foreign_home.is_none() && parts.foreign.key_share.is_none());
        assert!(parts.foreign.mobile_foreign.is_none() && parts.foreign.challenge.is_none());
        world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
        (world.replies().pop().unwrap().3, world.visitors())
    };
    let (told, left) = leave(&mut two);
    assert_eq!(left.len(), 2, "without proof and under another index, neither of them is meant");
    assert_eq!(proof(&told, &of_one).1, None);
    // From another link address too: the proof names it.
    one.key3 = Some(of_one.duplicate());
    one.station = [2, 9, 9, 9, 9, 9];
    let (told, left) = leave(&mut one);
    assert_eq!(left, [Ipv4Addr::new(10, 11, 1, 51)]);
    assert_eq!(proof(&told, &of_one).1, Some(of_one.inbound), "confirmed by the farewell itself");
    // With the visitor the key is gone.
    send(&mut world, &mut one);
    assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
}

#[test]
fn whoever_proves_a_visit_finds_room_from_a_new_link_address() {
    let mut config = config();
    config.max_visitors = 1;
    let mut world = World::with(config);
    let mut mobile = Mobile::new();
    let (_, key3) = register(&mut world, &mut mobile);
    mobile.station = [2, 9, 9, 9, 9, 9];
    send(&mut world, &mut mobile);
    assert_eq!(world.codes(), [Code::FA_RESOURCES]);
    mobile.key3 = Some(key3);
    register(&mut world, &mut mobile);
    assert_eq!(world.agent.visitors().next().unwrap().record.link_address, mobile.station);
}

#[test]
fn an_earlier_request_of_a_proved_visitor_is_overtaken() {
    let (mut world, mut mobile, key3) = visited();
    mobile.key3 = Some(key3);
    mobile.fixed.lifetime = 0;
    let earlier = relay(&mut world, &mut mobile);
    mobile.fixed.lifetime = 600;
    mobile.spi.0 += 1;
    let later = relay(&mut world, &mut mobile);
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&later));
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&earlier));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn under_a_realm_key_the_share_spends_the_challenge() {
    let mut world = World::new();
    let challenge = world.challenge(LINK);
    let ask = |world: &mut World, n: u8, share: [u8; 32]| {
        let mut mobile = Mobile::numbered(n);
        mobile.spi = Spi(300);
        mobile.share = Some(share);
        mobile.fixed.identification.0 += u64::from(share[0]) << 40;
        let request = mobile.request(&challenge);
        world.did();
        world.packet(LINK, mobile.station, &mobile.packet(&request));
        let sent = world.did.iter().find_map(|did| match did {
            Did::Send(Transmit::Udp { payload, .. }) => Some(payload.clone()),
            _ => None,
        });
        sent.ok_or_else(|| world.codes())
    };
    let relayed = ask(&mut world, 1, [5; 32]).unwrap();
    world.reply(HOME_AGENT, &HomeAgentScript::new().reply(&relayed));
    assert_eq!(world.visitors().len(), 1);
    // Another mobile node of that realm has the same index and another share.
    assert!(ask(&mut world, 2, [6; 32]).is_ok());
    assert_eq!(ask(&mut world, 3, [5; 32]), Err(vec![Code::FA_STALE_CHALLENGE]));
    // With an index of its own the share does not matter.
    let mut own = Mobile::numbered(4);
    own.share = Some([5; 32]);
    let request = own.request(&challenge);
    world.did();
    world.packet(LINK, own.station, &own.packet(&request));
    assert_eq!(world.relayed().len(), 1);
}
