//! Minimal encapsulation, GRE, broadcasts and encapsulating delivery: offered or not, granted, kept, and told to the
//! data path.

use wire::mip::{
    extension::{DELIVERY_STYLE, MN_FA_CHALLENGE, put},
    part::Parts,
    registration::{Flags, Request as Fixed},
};

use super::{
    requests::{codes, codes_with},
    script::{HomeAgentScript, Mobile, Piece},
    *,
};

/// 130, and whatever stands beside it.
fn style(data: &[u8]) -> Vec<u8> {
    let mut w = wire::Writer::default();
    put(&mut w, DELIVERY_STYLE, data).unwrap();
    w.into_bytes()
}

/// 130 behind 32, where it belongs.
fn encapsulating(mobile: &mut Mobile) {
    mobile.tail = Some(style(&[]));
}

fn asks(flags: u8) -> impl FnOnce(&mut Mobile) {
    move |mobile| mobile.fixed.flags.0 |= flags
}

/// What is recorded of a visitor that asked for these flags, with 130 or without.
fn granted(config: Config, flags: u8, with_130: bool, pieces: Option<Vec<Piece>>) -> World {
    let mut world = World::with(config);
    let mut mobile = Mobile::new();
    mobile.fixed.flags.0 |= flags;
    if with_130 {
        encapsulating(&mut mobile);
    }
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().expect("relayed");
    let mut script = HomeAgentScript::of(to);
    script.pieces = pieces;
    world.reply(to, &script.reply(&relayed));
    world
}

#[test]
fn an_encapsulation_that_is_not_offered_is_denied_with_72() {
    let both = Flags::MINIMAL | Flags::GRE;
    let with = |minimal, gre| Config { minimal, gre, ..config() };
    for (minimal, gre) in [(true, true), (true, false), (false, true), (false, false)] {
        let expected = |offered| if offered { 0 } else { 72 };
        assert_eq!(codes_with(with(minimal, gre), asks(Flags::MINIMAL)), [expected(minimal)]);
        assert_eq!(codes_with(with(minimal, gre), asks(Flags::GRE)), [expected(gre)]);
        assert_eq!(codes_with(with(minimal, gre), asks(both)), [72], "no reply says which of both was taken");
        assert_eq!(codes_with(with(minimal, gre), |_| {}), [0]);
    }
    for flag in [Flags::MINIMAL, Flags::GRE] {
        let config = Config { encapsulation: Encapsulation::Udp, ..config() };
        assert_eq!(codes_with(config, asks(flag)), [72], "over UDP there is IP in IP only");
        // The tunnel is not ours, or there is none any more.
        let own = |m: &mut Mobile| {
            m.fixed.flags.0 |= flag | Flags::DECAPSULATION;
            m.fixed.care_of = Ipv4Addr::new(10, 21, 1, 77);
        };
        assert_eq!(codes_with(with(false, false), own), [0]);
        let leaving = |m: &mut Mobile| {
            m.fixed.flags.0 |= flag;
            m.fixed.lifetime = 0;
        };
        assert_eq!(codes_with(with(false, false), leaving), [0]);
    }
}

#[test]
fn a_delivery_style_that_is_not_offered_is_denied_with_79() {
    let without = || Config { encapsulating_delivery: false, ..config() };
    assert_eq!(codes(encapsulating), [0]);
    assert_eq!(codes_with(without(), encapsulating), [79]);
    assert_eq!(codes_with(without(), |_| {}), [0]);
    let udp = Config { encapsulation: Encapsulation::Udp, ..config() };
    assert_eq!(codes_with(udp, encapsulating), [0]);
    let own = |m: &mut Mobile| {
        encapsulating(m);
        m.fixed.flags.0 |= Flags::DECAPSULATION;
        m.fixed.care_of = Ipv4Addr::new(10, 21, 1, 77);
    };
    assert_eq!(codes(own), [79], "who has the tunnel himself hands nothing over");
    let leaving = |m: &mut Mobile| {
        encapsulating(m);
        m.fixed.lifetime = 0;
    };
    assert_eq!(codes_with(without(), leaving), [0]);
}

#[test]
fn encapsulating_delivery_is_for_reverse_tunnels() {
    let plain = |m: &mut Mobile| {
        encapsulating(m);
        m.fixed.flags.0 &= !Flags::REVERSE_TUNNEL;
    };
    assert_eq!(codes(plain), [70]);
    let off = Config { reverse_tunnel: ReverseTunnel::Off, ..config() };
    assert_eq!(codes_with(off, encapsulating), [74]);
}

#[test]
fn a_130_in_the_wrong_part_repeated_or_filled_is_refused() {
    assert_eq!(codes(|m| m.head = style(&[])), [70], "32 covers it: the home agent would get it");
    assert_eq!(codes(|m| m.tail = Some(style(&[]).repeat(2))), [70]);
    assert_eq!(codes(|m| m.tail = Some(style(&[0]))), [70]);
    assert_eq!(codes(|m| m.tail = Some(vec![DELIVERY_STYLE])), [70], "cut");
    let behind = |m: &mut Mobile| m.tail = Some([&style(&[])[..], &[34, 4, 0, 0, 4, 0]].concat());
    assert_eq!(codes(behind), [70]);
}

#[test]
fn the_home_agent_never_sees_130() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let challenge = world.challenge(LINK);
    let mut tail = wire::Writer::default();
    put(&mut tail, DELIVERY_STYLE, &[]).unwrap();
    put(&mut tail, MN_FA_CHALLENGE, &challenge).unwrap();
    mobile.tail = Some(tail.into_bytes());
    mobile.fixed.flags.0 |= Flags::BROADCAST | Flags::GRE;
    let request = mobile.request(&challenge);
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    let own = Parts::parse(&request, Fixed::LEN, VENDOR).unwrap();
    let parts = Parts::parse(&relayed, Fixed::LEN, VENDOR).unwrap();
    assert!(own.foreign.delivery_style && !parts.foreign.delivery_style && !parts.mobile.delivery_style);
    assert_eq!(parts.mobile_bytes(), own.mobile_bytes(), "flags B and G as they were");
    // Nor the mobile node in the reply.
    world.reply(to, &HomeAgentScript::of(to).reply(&relayed));
    let told = world.replies().pop().unwrap().3;
    assert!(!Parts::parse(&told, Reply::LEN, VENDOR).unwrap().foreign.delivery_style);
    assert!(world.agent.tunnels().next().unwrap().encapsulating_delivery);
}

#[test]
fn what_was_asked_for_is_granted_recorded_and_told_to_the_data_path() {
    for (flags, tunnel) in [
        (0, Tunnel::IpInIp(HOME_AGENT)),
        (Flags::MINIMAL, Tunnel::Minimal(HOME_AGENT)),
        (Flags::GRE, Tunnel::Gre(HOME_AGENT)),
    ] {
        for broadcasts in [false, true] {
            for delivery in [false, true] {
                let flags = flags | if broadcasts { Flags::BROADCAST } else { 0 };
                let mut world = granted(config(), flags, delivery, None);
                let record = &world.store.visitors[0];
                assert_eq!((record.tunnel, record.broadcasts), (tunnel, broadcasts));
                assert_eq!((record.encapsulating_delivery, record.reverse_tunnel), (delivery, true));
                let listed = world.agent.tunnels().next().unwrap();
                assert_eq!((listed.tunnel, listed.encapsulating_delivery), (tunnel, delivery));
                assert!(world.did().contains(&Did::Tunnel(TunnelChange::VisitorAdded(listed))));
            }
        }
    }
}

/// RFC 3519 section 4.1: over UDP it is IP in IP, and without UDP that is what was asked for.
#[test]
fn an_agent_that_asks_for_udp_never_ends_with_minimal_or_gre() {
    use Piece::{Handle, Ip, Key2, Key3, Share, Udp};
    let config = || Config { encapsulation: Encapsulation::Udp, ..config() };
    let udp = Tunnel::Udp(SocketAddrV4::new(HOME_AGENT, PORT));
    for (last, tunnel) in [(Udp(0), udp), (Udp(64), Tunnel::IpInIp(HOME_AGENT))] {
        let pieces = vec![Handle, Key2, Key3, Ip, Share, last];
        let world = granted(config(), Flags::BROADCAST, true, Some(pieces));
        let record = &world.store.visitors[0];
        assert_eq!((record.tunnel, record.broadcasts, record.encapsulating_delivery), (tunnel, true, true));
    }
}

#[test]
fn a_renewal_may_ask_for_something_else() {
    let mut world = granted(config(), Flags::MINIMAL | Flags::BROADCAST, true, None);
    world.pass(Duration::from_secs(1));
    let mut mobile = Mobile::new();
    mobile.fixed.identification.0 += 1 << 40;
    world.register(&mut mobile);
    let record = &world.store.visitors[0];
    assert_eq!(record.tunnel, Tunnel::IpInIp(HOME_AGENT));
    assert!(!record.broadcasts && !record.encapsulating_delivery);
    assert!(!world.agent.tunnels().next().unwrap().encapsulating_delivery);
}

/// 32 does not cover 130: whoever repeats the bytes through it changes nothing of what was asked for first.
#[test]
fn a_repeat_with_or_without_130_changes_nothing() {
    for first in [false, true] {
        let mut world = World::new();
        let mut mobile = Mobile::new();
        let request = mobile.request(&world.challenge(LINK));
        let end = Parts::parse(&request, Fixed::LEN, VENDOR).unwrap().mobile_bytes().len();
        let forms = [request[..end].to_vec(), [&request[..end], &style(&[])].concat()];
        world.did();
        for form in [first, !first] {
            world.packet(LINK, mobile.station, &mobile.packet(&forms[usize::from(form)]));
        }
        let relayed = world.relayed();
        assert_eq!(relayed.len(), 2);
        assert_eq!(relayed[0], relayed[1], "relayed again");
        world.accept(HOME_AGENT, &relayed[0].1);
        assert_eq!(world.store.visitors[0].encapsulating_delivery, first);
    }
}

/// At the first contact nothing covers 130; from then on 33 does.
#[test]
fn under_33_nobody_adds_or_takes_away_130() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    mobile.key3 = Some(world.accept(to, &relayed).1);
    for asked in [false, true] {
        world.pass(Duration::from_secs(1));
        let challenge = world.challenge(LINK);
        let mut tail = if asked { style(&[]) } else { Vec::new() };
        let mut w = wire::Writer::default();
        put(&mut w, MN_FA_CHALLENGE, &challenge).unwrap();
        tail.extend(w.into_bytes());
        mobile.tail = Some(tail);
        let good = mobile.request(&challenge);
        let end = Parts::parse(&good, Fixed::LEN, VENDOR).unwrap().mobile_bytes().len();
        let mut changed = good.clone();
        let there = if asked { end + 2 } else { end };
        changed.splice(end..there, if asked { Vec::new() } else { style(&[]) });
        world.did();
        world.packet(LINK, mobile.station, &mobile.packet(&changed));
        assert_eq!(world.codes(), [Code::FA_MN_AUTHENTICATION]);
        world.packet(LINK, mobile.station, &mobile.packet(&good));
        let (to, relayed) = world.relayed().pop().expect("relayed");
        mobile.key3 = Some(world.accept(to, &relayed).1);
        assert_eq!(world.store.visitors[0].encapsulating_delivery, asked);
    }
}

#[test]
fn a_new_process_grants_what_the_old_one_granted_if_it_is_still_offered() {
    let old = || granted(config(), Flags::GRE | Flags::BROADCAST, true, None);
    let world = old();
    let before = world.agent.tunnels().collect::<Vec<_>>();
    assert_eq!(before[0].tunnel, Tunnel::Gre(HOME_AGENT));
    let world = world.restarted(config(), 3);
    assert_eq!(world.agent.tunnels().collect::<Vec<_>>(), before);
    assert!(world.did.contains(&Did::Tunnel(TunnelChange::VisitorAdded(before[0]))));
    assert!(world.agent.visitors().all(|visit| visit.record.broadcasts));
    let changes: [fn(&mut Config); 3] =
        [|c| c.gre = false, |c| c.encapsulating_delivery = false, |c| c.encapsulation = Encapsulation::Udp];
    for change in changes {
        let mut config = config();
        change(&mut config);
        let world = old().restarted(config, 3);
        assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    }
    let minimal = granted(config(), Flags::MINIMAL, false, None);
    let world = minimal.restarted(Config { minimal: false, ..config() }, 3);
    assert!(world.visitors().is_empty());
}
