//! Keepalives of UDP tunnels (RFC 3519 section 4.9).

use wire::{ip::Icmp, mip::tunnel_data::TunnelData};

use super::{
    script::{HomeAgentScript, Mobile, Piece},
    *,
};

pub(super) fn udp() -> Config {
    Config { encapsulation: Encapsulation::Udp, ..config() }
}

/// A visitor whose home agent answered 144 so, with a wish for keepalives.
pub(super) fn visitor(world: &mut World, code: u8, keepalive: u16) {
    use Piece::{Handle, Ip, Key2, Key3, Raw, Share};
    let mut mobile = Mobile::new();
    // A challenge that nobody has used.
    world.pass(Duration::from_secs(1));
    let request = mobile.request(&world.challenge(LINK));
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    let mut script = HomeAgentScript::of(to);
    let mut w = wire::Writer::default();
    wire::mip::extension::UdpTunnelReply { code, forced: false, keepalive }.emit(&mut w);
    script.pieces = Some(vec![Handle, Key2, Key3, Ip, Share, Raw(w.into_bytes())]);
    world.reply(to, &script.reply(&relayed));
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
    world.did();
}

/// The keepalives within that time, by their sequence numbers, and after how many seconds each came.
pub(super) fn kept_alive(world: &mut World, seconds: u64) -> Vec<(u16, u64)> {
    let begun = world.now.mono;
    let mut heard = Vec::new();
    for _ in 0..seconds {
        world.pass(Duration::from_secs(1));
        for (to, payload) in world.relayed() {
            assert_eq!(to, HOME_AGENT);
            let data = TunnelData::parse(&payload).unwrap();
            assert_eq!(data.next_header, ip::Protocol::IP_IN_IP);
            let icmp = ip::parse_icmp(data.packet).unwrap();
            assert_eq!((icmp.source, icmp.destination), (HOME_ADDRESS, HOME_AGENT));
            let Ok(Icmp::EchoRequest { sequence, .. }) = Icmp::parse(icmp.message) else {
                panic!("no echo request");
            };
            heard.push((sequence, (world.now.mono - begun).as_secs()));
        }
    }
    heard
}

#[test]
fn a_udp_tunnel_is_kept_alive_at_the_shorter_interval_and_never_sillily() {
    for (own, wanted, every) in [(110, 0, 110), (110, 50, 50), (30, 50, 30), (110, 1, 10)] {
        let mut world = World::with(Config { keepalive: Duration::from_secs(own), ..udp() });
        visitor(&mut world, 0, wanted);
        let expected: Vec<_> = (1..=3).map(|n| (n, u64::from(n) * every)).collect();
        assert_eq!(kept_alive(&mut world, 3 * every), expected, "{own} {wanted}");
        assert_eq!(world.counter("keepalives"), 3);
    }
}

#[test]
fn without_a_udp_tunnel_nothing_is_kept_alive() {
    let mut world = World::with(udp());
    assert_eq!(kept_alive(&mut world, 200), [], "no visitor");
    visitor(&mut world, 64, 20);
    assert_eq!(kept_alive(&mut world, 200), [], "declined");
    let mut world = World::new();
    world.register(&mut Mobile::new());
    world.did();
    assert_eq!(kept_alive(&mut world, 200), [], "IP in IP");
}

#[test]
fn it_ends_with_the_last_visitor() {
    let mut world = World::with(udp());
    visitor(&mut world, 0, 40);
    // The lifetime is 600 s.
    let heard = kept_alive(&mut world, 1000);
    assert_eq!(heard.last(), Some(&(14, 560)));
    assert!(world.visitors().is_empty());
    visitor(&mut world, 0, 40);
    assert_eq!(kept_alive(&mut world, 40).len(), 1, "and begins with the next");
}

#[test]
fn two_visitors_need_no_more_than_one() {
    let mut world = World::with(udp());
    visitor(&mut world, 0, 60);
    kept_alive(&mut world, 30);
    visitor(&mut world, 0, 60);
    assert_eq!(kept_alive(&mut world, 60), [(1, 29)], "each within the interval of the other");
    // One that wants them sooner has its way.
    visitor(&mut world, 0, 20);
    assert_eq!(kept_alive(&mut world, 20), [(2, 20)]);
}

#[test]
fn a_new_process_does_not_wait_for_the_next_registration() {
    let mut world = World::with(udp());
    visitor(&mut world, 0, 40);
    let mut world = world.restarted(udp(), 3);
    assert_eq!(world.counter("keepalives"), 1, "nobody knows how long the NAT heard nothing");
    world.did();
    assert_eq!(kept_alive(&mut world, 110), [(2, 110)], "what the home agent wanted is not known either");
}
