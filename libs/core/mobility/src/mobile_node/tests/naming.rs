//! One-time indices, what of them is on disk, and the way back by the realm's public key.

use wire::mip::{
    Spi,
    code::Code,
    registration::{Identification, ntp_seconds},
};

use super::{super::*, world::*};

const NEW: MobileNodeState = MobileNodeState {
    last_seconds: 0,
    clock_offset: 0,
    registrations: 0,
    index: 0,
    confirmed: 0,
    lost: false,
    home_address: None,
};

fn new() -> World {
    World::with(one_time(), NEW, T)
}

/// Numbers of the one-time indices of all requests; 0 where the realm's key was used.
fn numbers(world: &World) -> Vec<u64> {
    world.asked.iter().map(|a| if a.spi().names_realm_key() { 0 } else { opened(a).index }).collect()
}

/// A home agent's answer, with its count where it belongs.
fn accepted(asked: &Asked, agent: Option<&Agent>, counts_from: u64) -> Answer {
    let counts_from = asked.spi().names_realm_key().then_some(counts_from);
    Answer { counts_from, ..Answer::accept(asked, agent) }
}

/// The same agent at another place.
fn agent(n: u8) -> Agent {
    Agent { address: Ipv4Addr::new(10, 30, n, 1), link_address: [2, 0, 0, 1, 0, n], ..fa_a() }
}

/// The link flaps and another agent is heard.
fn move_to(world: &mut World, agent: &Agent) {
    world.link_up();
    world.hear(agent);
}

#[test]
fn the_first_is_one_and_stands_everywhere() {
    let mut world = new();
    move_to(&mut world, &fa_a());
    let asked = world.last();
    // Sealed parts, 32 and the index inside the NAI are compared there.
    assert_eq!(opened(&asked).index, 1);
    assert_eq!(asked.spi(), association().one_time_spi(1));
    world.accept(Some(&fa_a()));
    assert_eq!(world.state(), State::Registered);
    let kept = world.kept.unwrap();
    assert_eq!((kept.index, kept.confirmed), (2, 1));
}

#[test]
fn it_rises_with_an_authenticated_answer_or_a_move_and_else_not() {
    let mut world = new();
    let mut a = fa_a();
    move_to(&mut world, &a);
    world.seconds_hearing(4, &mut a);
    assert_eq!(numbers(&world), [1, 1, 1], "again, it is the same");
    let asked = world.last();
    // What nobody vouches for changes nothing.
    world.reply(&asked, &hint(&asked, Code::FA_STALE_CHALLENGE, 0));
    world.seconds_hearing(5, &mut a);
    assert_eq!(numbers(&world), [1, 1, 1, 1]);
    // A denial of the home agent is an answer.
    let asked = world.last();
    world.reply(&asked, &Answer::deny(&asked, Code::HA_RESOURCES).bytes(&asked));
    world.seconds_hearing(16, &mut a);
    assert_eq!(numbers(&world).last(), Some(&2));
    // So is one about the time, which is asked again at once.
    let asked = world.last();
    let time = Identification::new(ntp_seconds(T), asked.fixed.identification.low());
    let answer = Answer { identification: time, ..Answer::deny(&asked, Code::HA_IDENTIFICATION) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(numbers(&world).last(), Some(&3));
    // Another agent, the same again, and another address of our own.
    move_to(&mut world, &fa_b());
    assert_eq!(numbers(&world).last(), Some(&4));
    move_to(&mut world, &fa_b());
    assert_eq!(numbers(&world).last(), Some(&4));
    world.request(Request::LinkUp { link: LINK, address: [2, 0, 0, 0, 0, 0x51] });
    world.hear(&fa_b());
    assert_eq!(numbers(&world).last(), Some(&5));
    assert_eq!(world.kept.unwrap().confirmed, 2);
    // And an agent that only looks the same.
    let mut world = new();
    move_to(&mut world, &fa_b());
    move_to(&mut world, &Agent { link_address: [2, 9, 9, 9, 9, 9], ..fa_b() });
    assert_eq!(numbers(&world), [1, 2]);
}

#[test]
fn every_registration_has_another() {
    let mut world = new();
    let mut a = fa_a();
    move_to(&mut world, &a);
    world.accept(Some(&a));
    for round in 2..30 {
        while world.asked.len() < round {
            world.seconds_hearing(1, &mut a);
        }
        world.accept(Some(&a));
        assert_eq!(world.last().spi(), association().one_time_spi(round as u64));
    }
    assert_eq!(world.node.status().registrations, 29);
}

#[test]
fn a_reply_under_another_index_is_not_ours() {
    let mut world = new();
    move_to(&mut world, &fa_a());
    let first = world.last();
    move_to(&mut world, &fa_b());
    let second = world.last();
    assert_ne!(first.spi(), second.spi());
    // Right in itself, but under an index that is not the request's.
    let mut reply = Answer::accept(&second, Some(&fa_b())).bytes(&second);
    let at = reply.windows(4).position(|w| w == second.spi().0.to_be_bytes()).unwrap();
    reply[at..at + 4].copy_from_slice(&first.spi().0.to_be_bytes());
    world.reply(&second, &reply);
    assert_eq!(world.state(), State::Registering);
    world.accept(Some(&fa_b()));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_move_never_waits_for_the_disk() {
    let mut world = new();
    for n in 0..40_u8 {
        // Nothing is written while the node moves, asks and is answered.
        world.disk = Disk::Slow;
        move_to(&mut world, &agent(n));
        assert_eq!(world.asked.len(), usize::from(n) + 1, "asked at once");
        world.accept(Some(&agent(n)));
        assert_eq!(world.state(), State::Registered);
        world.disk_works();
    }
    assert_eq!(numbers(&world), (1..=40).collect::<Vec<_>>());
}

#[test]
fn what_is_not_on_disk_is_not_used() {
    let mut world = new();
    move_to(&mut world, &agent(1));
    world.disk = Disk::Slow;
    move_to(&mut world, &agent(2));
    assert_eq!(numbers(&world), [1, 2], "that one was put aside before");
    move_to(&mut world, &agent(3));
    world.seconds_hearing(5, &mut agent(3));
    assert_eq!(numbers(&world), [1, 2], "this one was not");
    world.disk_works();
    assert_eq!(numbers(&world), [1, 2, 3]);
    world.accept(Some(&agent(3)));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_state_that_was_dropped_with_a_route_is_kept_after_all() {
    let mut world = World::with(one_time(), MobileNodeState { lost: true, ..NEW }, T);
    move_to(&mut world, &agent(1));
    world.disk = Disk::Slow;
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&agent(1)), 9).bytes(&asked));
    world.routes_fail();
    world.disk_works();
    world.seconds_hearing(2, &mut agent(1));
    assert_eq!(numbers(&world)[..2], [0, 10]);
}

#[test]
fn after_a_crash_nothing_that_was_shown_is_shown_again() {
    for disk in [Disk::Works, Disk::Slow, Disk::Fails] {
        for answered in [false, true] {
            let mut world = new();
            move_to(&mut world, &agent(1));
            world.disk = disk;
            if answered {
                world.accept(Some(&agent(1)));
            }
            move_to(&mut world, &agent(2));
            let before = numbers(&world);
            let mut world = world.crash(one_time());
            move_to(&mut world, &agent(3));
            let last = *numbers(&world).last().unwrap();
            assert!(!before.contains(&last) && last <= 4, "{disk:?} {answered}: {last} after {before:?}");
        }
    }
}

#[test]
fn a_thousand_crashes_never_show_one_twice_at_two_places() {
    let mut rng = Rng::from_seed([8; 32]);
    let mut world = new();
    let mut shown = BTreeMap::new();
    let mut counts_from = 0;
    for _ in 0..1000 {
        world.disk = [Disk::Works, Disk::Slow, Disk::Fails][rng.below(3) as usize];
        let agent = agent(rng.below(4) as u8);
        let before = world.asked.len();
        move_to(&mut world, &agent);
        for asked in &world.asked[before..] {
            let Opened { index, .. } = opened(asked);
            if asked.spi().names_realm_key() {
                counts_from = index.max(counts_from) + 1;
            } else {
                counts_from = index.max(counts_from);
                let place = shown.insert(index, asked.fixed.care_of).unwrap_or(asked.fixed.care_of);
                assert_eq!(place, asked.fixed.care_of, "{index}");
            }
        }
        if rng.below(3) > 0 && world.asked.len() > before {
            let asked = world.last();
            world.reply(&asked, &accepted(&asked, Some(&agent), counts_from).bytes(&asked));
        }
        match rng.below(4) {
            0 => world = world.crash(one_time()),
            1 => world.disk_works(),
            _ => {}
        }
    }
    assert!(shown.len() > 100, "{}", shown.len());
}

#[test]
fn a_disk_that_takes_nothing_leaves_the_realms_key() {
    let mut world = new();
    world.disk = Disk::Fails;
    move_to(&mut world, &agent(1));
    world.accept(Some(&agent(1)));
    move_to(&mut world, &agent(2));
    assert_eq!(numbers(&world), [1, 0]);
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&agent(2)), 7).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
    assert!(world.counter("state not kept") > 0);
    // It is not asked all the time.
    let before = world.counter("state not kept");
    world.seconds(10);
    assert!(world.counter("state not kept") <= before + 11);
    move_to(&mut world, &agent(3));
    assert_eq!(world.last().spi(), REALM_SECRETS[0].0);
    world.seconds(1);
    world.disk_works();
    world.seconds(1);
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&agent(3)), 8).bytes(&asked));
    move_to(&mut world, &agent(4));
    assert_eq!(numbers(&world).last(), Some(&9));
}

#[test]
fn a_lost_state_file_is_no_more_than_one_request_by_the_realms_key() {
    for way in ["through an agent", "co-located", "at home"] {
        let mut world = World::with(one_time(), MobileNodeState { lost: true, ..NEW }, T);
        world.link_up();
        let agent = match way {
            "co-located" => {
                world.address();
                None
            }
            "at home" => {
                world.hear(&home_agent());
                None
            }
            _ => {
                world.hear(&fa_a());
                Some(fa_a())
            }
        };
        let asked = world.last();
        assert_eq!(asked.spi(), Spi(301), "the newest, {way}");
        assert_eq!(opened(&asked), Opened { user: "traveller-one".into(), index: 0, address: HOME });
        assert!(asked.parts().mobile.key_share.is_some());
        assert!(world.kept.unwrap().lost, "still, until it is known better");
        world.reply(&asked, &accepted(&asked, agent.as_ref(), 41).bytes(&asked));
        assert!(matches!(world.state(), State::Registered | State::AtHome), "{way}");
        let kept = world.on_disk;
        assert_eq!((kept.index, kept.confirmed, kept.lost), (42, 41, false));
        move_to(&mut world, &fa_b());
        assert_eq!(opened(&world.asked[1]).index, 42, "not the one that may have been shown");
    }
}

#[test]
fn a_lost_state_and_a_wrong_clock_cost_two_requests() {
    for off in [-86_400_i64, 86_400] {
        let unix = T.checked_add_signed(off).unwrap();
        let mut world = World::with(one_time(), MobileNodeState { lost: true, ..NEW }, unix);
        move_to(&mut world, &fa_a());
        let asked = world.last();
        let identification = Identification::new(ntp_seconds(T), asked.fixed.identification.low());
        let denial = Answer::deny(&asked, Code::HA_IDENTIFICATION);
        let answer = Answer { identification, counts_from: Some(20), ..denial };
        world.reply(&asked, &answer.bytes(&asked));
        assert_eq!(numbers(&world), [0, 21], "at once, and never the one that was told");
        world.accept(Some(&fa_a()));
        assert_eq!((world.state(), world.node.status().clock_offset), (State::Registered, -off));
        // A clock that jumps now changes nothing.
        world.now.unix += Duration::from_secs(86_400);
        move_to(&mut world, &fa_b());
        let ahead = world.last().fixed.identification.seconds().wrapping_sub(ntp_seconds(T));
        assert!(ahead < 10, "{ahead}");
    }
}

#[test]
fn numbers_that_may_have_been_shown_are_passed_over() {
    // Code 133 tells what the home agent counts from, and does not raise it above what the request carried.
    let time = |asked: &Asked, counts_from| {
        let identification = Identification::new(ntp_seconds(T), asked.fixed.identification.low());
        let answer = Answer::deny(asked, Code::HA_IDENTIFICATION);
        Answer { identification, counts_from: Some(counts_from), ..answer }.bytes(asked)
    };
    let moved = |times: u8| {
        let mut world = new();
        (0..times).for_each(|n| move_to(&mut world, &agent(n)));
        assert_eq!(numbers(&world).last(), Some(&0));
        let asked = world.last();
        (world, asked)
    };
    let (mut world, asked) = moved(5);
    assert_eq!(numbers(&world), [1, 2, 3, 4, 0]);
    world.reply(&asked, &time(&asked, 2));
    assert_eq!(numbers(&world).last(), Some(&6), "5 is on disk, and may have been shown");
    // Out of the window the realm's key goes on until an answer that raised it.
    let (mut world, asked) = moved(24);
    world.reply(&asked, &time(&asked, 0));
    assert_eq!(numbers(&world).last(), Some(&0), "0 is no number");
    let asked = world.last();
    world.seconds(1);
    world.reply(&asked, &accepted(&asked, Some(&agent(23)), 13).bytes(&asked));
    move_to(&mut world, &agent(24));
    assert_eq!(numbers(&world).last(), Some(&14));
}

#[test]
fn a_count_out_of_reach_is_waited_for() {
    let state = MobileNodeState { index: 40, confirmed: 20, ..NEW };
    let mut world = World::with(one_time(), state, T);
    move_to(&mut world, &fa_a());
    let asked = world.last();
    assert_eq!((numbers(&world), opened(&asked).index), (vec![0], 40));
    let identification = Identification::new(ntp_seconds(T), asked.fixed.identification.low());
    let answer = Answer::deny(&asked, Code::HA_IDENTIFICATION);
    let answer = Answer { identification, counts_from: Some(21), ..answer };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!(numbers(&world), [0, 0], "22 to 40 may have been shown");
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&fa_a()), 41).bytes(&asked));
    move_to(&mut world, &fa_b());
    assert_eq!(numbers(&world), [0, 0, 42]);
    // A home agent that believes none of our numbers is followed all the same.
    let state = MobileNodeState { index: 1 << 30, confirmed: 20, ..NEW };
    let mut world = World::with(one_time(), state, T);
    move_to(&mut world, &fa_a());
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&fa_a()), 21).bytes(&asked));
    move_to(&mut world, &fa_b());
    assert_eq!(numbers(&world), [0, 22]);
}

#[test]
fn an_agent_that_asks_for_identity_in_clear_does_not_get_it() {
    let mut world = new();
    let mut a = fa_a();
    move_to(&mut world, &a);
    let asked = world.last();
    for code in [Code::FA_MISSING_NAI, Code::FA_MISSING_HOME_AGENT, Code::FA_MISSING_HOME_ADDRESS] {
        world.reply(&world.last(), &hint(&world.last(), code, 0));
        world.seconds_hearing(40, &mut a);
        let again = world.last();
        assert_eq!(again.bytes.len(), asked.bytes.len(), "{code}");
        let sealed = again.parts().mobile.nai.unwrap().protected.sealed;
        assert!(sealed && again.fixed.home_address.is_unspecified());
        assert_eq!(again.parts().mobile.clear_nai, Some(&b"@home.example"[..]));
        assert!(!again.bytes.windows(9).any(|w| w == b"traveller"));
    }
}

#[test]
fn the_realms_key_serves_without_forward_secrecy_too() {
    let mut world =
        World::with(Config { no_fs: true, ..one_time() }, MobileNodeState { lost: true, ..NEW }, T);
    move_to(&mut world, &fa_a());
    let asked = world.last();
    assert!(asked.parts().mobile.key_share.is_some(), "nothing could be sealed without");
    world.reply(&asked, &Answer { share: Share::None, ..accepted(&asked, Some(&fa_a()), 3) }.bytes(&asked));
    assert_eq!(world.state(), State::Registered);
}

#[test]
fn a_cipher_by_enrolment_does_not_change_the_realms() {
    // What is sealed by the realm's key is AES-256-GCM: `opened` opens nothing else.
    let config = Config { cipher: Cipher::ChaCha20Poly1305, ..one_time() };
    let mut world = World::with(config, MobileNodeState { lost: true, ..NEW }, T);
    move_to(&mut world, &fa_a());
    assert_eq!(opened(&world.last()).user, "traveller-one");
}

#[test]
fn an_answer_by_the_realms_key_tells_where_to_count_from() {
    let lost = || {
        let state = MobileNodeState { index: 20, confirmed: 20, lost: true, ..NEW };
        let mut world = World::with(one_time(), state, T);
        move_to(&mut world, &fa_a());
        let asked = world.last();
        (world, asked)
    };
    for wrong in [None, Some(0), Some(1), Some(19)] {
        let (mut world, asked) = lost();
        let answer = Answer { counts_from: wrong, ..Answer::accept(&asked, Some(&fa_a())) };
        world.reply(&asked, &answer.bytes(&asked));
        assert_eq!((world.state(), world.counter("reply refused")), (State::Registering, 1), "{wrong:?}");
        assert!(world.on_disk.lost);
        world.reply(&asked, &accepted(&asked, Some(&fa_a()), 20).bytes(&asked));
        assert_eq!((world.state(), world.on_disk.confirmed), (State::Registered, 20));
    }
    // A denial tells it too.
    let (mut world, asked) = lost();
    let answer = Answer { counts_from: Some(33), ..Answer::deny(&asked, Code::HA_RESOURCES) };
    world.reply(&asked, &answer.bytes(&asked));
    assert_eq!((world.on_disk.index, world.on_disk.confirmed, world.on_disk.lost), (34, 33, false));
    world.seconds(2);
    assert_eq!(numbers(&world), [0, 34]);
    // One that does not is a denial all the same.
    let (mut world, asked) = lost();
    world.reply(&asked, &Answer::deny(&asked, Code::HA_RESOURCES).bytes(&asked));
    assert_eq!(world.saw(EventKind::Denied), 1);
    world.seconds(2);
    assert_eq!(numbers(&world), [0, 0]);
}

#[test]
fn what_the_home_agent_counts_from_is_on_disk_before_it_is_used() {
    let mut world = World::with(one_time(), MobileNodeState { lost: true, ..NEW }, T);
    move_to(&mut world, &agent(1));
    world.disk = Disk::Slow;
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&agent(1)), 9).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
    move_to(&mut world, &agent(2));
    world.seconds(1);
    assert_eq!(world.asked.len(), 1);
    world.disk_works();
    assert_eq!(numbers(&world), [0, 10]);
}

#[test]
fn silence_is_answered_by_both_ways_in_turn() {
    let mut world = new();
    let mut a = fa_a();
    move_to(&mut world, &a);
    while world.asked.len() < 20 {
        world.seconds_hearing(1, &mut a);
    }
    assert_eq!(numbers(&world), [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
    let realm: Vec<_> = [4, 12].map(|i| world.asked[i].spi().0).to_vec();
    assert_eq!(realm, [301, 300], "the newest key first, then the other");
    assert!(world.asked[4..8].iter().all(|a| opened(a).index == 2), "the highest that may have been used");
}

#[test]
fn ten_thousand_lost_replies_and_then_one() {
    let mut world = new();
    let mut a = fa_a();
    move_to(&mut world, &a);
    let mut n = 1_u8;
    while world.asked.len() < 10_000 {
        // Half of them on the way: another agent after every thousand.
        world.seconds_hearing(20, &mut a);
        if world.asked.len() / 1000 >= usize::from(n) {
            n += 1;
            a = agent(n);
            move_to(&mut world, &a);
        }
    }
    assert!(numbers(&world).iter().all(|n| *n <= 12), "never beyond what the home agent knows");
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&a), 500).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
    move_to(&mut world, &agent(200));
    assert!(!world.last().spi().names_realm_key());
}

#[test]
fn beyond_the_window_only_the_realms_key_is_left_and_no_index_is_shown_twice() {
    let mut world = new();
    for n in 0..30 {
        move_to(&mut world, &agent(n));
    }
    let expected: Vec<_> = (1..=4).chain([0; 4]).chain(5..=8).chain([0; 4]).chain(9..=12).collect();
    assert_eq!(numbers(&world)[..20], expected);
    assert!(numbers(&world)[20..].iter().all(|n| *n == 0));
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&agent(29)), 13).bytes(&asked));
    move_to(&mut world, &agent(30));
    assert_eq!(numbers(&world).last(), Some(&14));
}

#[test]
fn restarts_without_an_answer_end_at_the_realms_key_too() {
    let mut world = new();
    for _ in 0..20 {
        move_to(&mut world, &fa_a());
        world = world.crash(one_time());
    }
    let shown = numbers(&world);
    let one_time: Vec<_> = shown.iter().copied().take_while(|n| *n > 0).collect();
    assert!(one_time.is_sorted_by(|a, b| a < b) && one_time.len() >= 6, "{shown:?}");
    assert!(shown.iter().all(|n| *n <= 12) && shown.last() == Some(&0));
}

#[test]
fn a_state_rolled_back_by_a_day_is_healed_by_the_realms_key() {
    let mut world = new();
    let mut a = fa_a();
    move_to(&mut world, &a);
    world.accept(Some(&a));
    let yesterday = world.on_disk;
    for n in 0..60 {
        a = agent(n);
        move_to(&mut world, &a);
        world.accept(Some(&a));
    }
    let counts_from = world.on_disk.confirmed;
    assert!(counts_from > 50);
    let now = T + 86_400;
    let mut world = World::with(one_time(), yesterday, now);
    move_to(&mut world, &a);
    while world.asked.len() < 5 {
        // The home agent does not know these any more, and is silent.
        world.seconds_hearing(1, &mut a);
    }
    assert_eq!(numbers(&world)[4], 0);
    let asked = world.last();
    world.reply(&asked, &accepted(&asked, Some(&a), counts_from + 1).bytes(&asked));
    assert_eq!(world.state(), State::Registered);
    move_to(&mut world, &fa_b());
    assert_eq!(numbers(&world).last(), Some(&(counts_from + 2)));
}

#[test]
fn without_realm_keys_the_last_known_index_is_all_there_is() {
    let bare = || Config { realm_keys: Vec::new(), ..one_time() };
    let mut world = World::with(bare(), NEW, T);
    for n in 0..20 {
        move_to(&mut world, &agent(n));
    }
    assert_eq!(numbers(&world)[..12], (1..=12).collect::<Vec<_>>());
    assert!(numbers(&world)[12..].iter().all(|n| *n == 12));
    world.accept(Some(&agent(19)));
    assert_eq!(world.state(), State::Registered);
    let mut lost = World::with(bare(), MobileNodeState { lost: true, ..NEW }, T);
    move_to(&mut lost, &fa_a());
    assert_eq!(numbers(&lost), [1]);
    lost.accept(Some(&fa_a()));
    assert!(!lost.on_disk.lost && lost.on_disk.confirmed == 1);
}

#[test]
fn realm_keys_of_low_order_are_passed_over() {
    let mut keys = vec![(Spi(400), [0; 32])];
    keys.extend(realm_keys());
    let mut world =
        World::with(Config { realm_keys: keys, ..one_time() }, MobileNodeState { lost: true, ..NEW }, T);
    move_to(&mut world, &fa_a());
    assert_eq!(world.last().spi(), Spi(301));
}

#[test]
fn numbers_at_their_end_do_no_harm() {
    let end = MobileNodeState { index: u64::MAX, confirmed: u64::MAX - 1, ..NEW };
    let mut world = World::with(one_time(), end, T);
    move_to(&mut world, &fa_a());
    world.accept(Some(&fa_a()));
    move_to(&mut world, &fa_b());
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn a_static_index_knows_nothing_of_all_this() {
    let mut world = World::with(Config { one_time: false, ..one_time() }, MobileNodeState::default(), T);
    let mut a = fa_a();
    move_to(&mut world, &a);
    world.seconds_hearing(200, &mut a);
    assert!(world.asked.len() > 10 && world.asked.iter().all(|a| a.spi() == Spi(1234)));
    assert_eq!(world.kept.unwrap().index, 0);
}

#[test]
fn nothing_in_two_visits_is_the_same_but_what_routing_needs() {
    let mut world = new();
    move_to(&mut world, &fa_a());
    world.accept(Some(&fa_a()));
    move_to(&mut world, &Agent { care_of: fa_b().care_of, ..fa_b() });
    let (first, second) = (&world.asked[0], &world.asked[1]);
    let windows: std::collections::BTreeSet<_> = first.bytes.windows(8).map(<[u8]>::to_vec).collect();
    let same: Vec<_> = second.bytes.windows(8).filter(|w| windows.contains(*w)).collect();
    // The realm, the framing and agents' names with their common words; nothing sealed, no share, no index.
    let parts = second.parts();
    for secret in [
        parts.mobile.nai.unwrap().protected.info,
        parts.mobile.ip.unwrap().protected.info,
        parts.mobile.layer_2.unwrap().protected.info,
        parts.mobile.key_share.unwrap().value,
        parts.mobile_home.authenticator,
    ] {
        assert!(secret.windows(8).all(|w| !same.contains(&w)));
    }
    assert_ne!(first.spi(), second.spi());
}
