//! Advertisements and answers to solicitations.

use wire::mip::advertisement::{ALL_ROUTERS, AgentFlags, CODE_MOBILE_ONLY, Solicitation};

use super::{
    script::{HomeAgentScript, Mobile},
    *,
};

const ALL_SYSTEMS_LINK: LinkAddress = [1, 0, 0x5e, 0, 0, 1];

fn solicitation() -> Vec<u8> {
    ip::icmp_packet(Ipv4Addr::UNSPECIFIED, ALL_ROUTERS, 1, &Solicitation.to_vec()).unwrap()
}

#[test]
fn an_advertisement_says_what_is_offered() {
    let world = World::new();
    for (link, address) in [(LINK, ON_LINK), (LINK_B, ON_LINK_B)] {
        let (heard, to) = world.advertised(link).pop().unwrap();
        assert_eq!(to, ALL_SYSTEMS_LINK);
        assert_eq!((heard.code, heard.lifetime), (CODE_MOBILE_ONLY, 3));
        assert_eq!(heard.routers[0].address, address);
        assert_eq!(heard.prefix_lengths(), [24]);
        assert_eq!(heard.agent_nai(), Some(NAI));
        assert!(heard.challenge().unwrap().len() >= 8);
        let agent = heard.agent().unwrap();
        assert_eq!((agent.sequence, agent.lifetime), (0, 600));
        assert_eq!(agent.care_of, [CARE_OF]);
        let tunnels = AgentFlags::REVERSE_TUNNEL | AgentFlags::MINIMAL | AgentFlags::GRE;
        assert_eq!(agent.flags.0, AgentFlags::FOREIGN_AGENT | AgentFlags::REVOCATION | tunnels);
    }
}

#[test]
fn flags_follow_the_configuration() {
    let mut config = config();
    config.registration_required = true;
    config.encapsulation = Encapsulation::Udp;
    config.reverse_tunnel = ReverseTunnel::Off;
    let world = World::with(config);
    let flags = world.advertised(LINK)[0].0.agent().unwrap().flags.0;
    let chosen = AgentFlags::REGISTRATION_REQUIRED | AgentFlags::UDP_TUNNEL;
    assert_eq!(flags, AgentFlags::FOREIGN_AGENT | AgentFlags::REVOCATION | chosen, "over UDP no M and G");
}

#[test]
fn flags_m_and_g_say_what_is_granted() {
    for (minimal, gre) in [(false, false), (true, false), (false, true)] {
        let world = World::with(Config { minimal, gre, ..config() });
        let flags = world.advertised(LINK)[0].0.agent().unwrap().flags;
        assert_eq!((flags.has(AgentFlags::MINIMAL), flags.has(AgentFlags::GRE)), (minimal, gre));
    }
}

#[test]
fn they_come_in_jittered_intervals_with_rising_numbers_and_fresh_challenges() {
    let mut world = World::new();
    let mut times = vec![world.now.mono];
    while times.len() < 50 {
        let at = world.wait.unwrap();
        world.pass(at - world.now.mono);
        if world.advertised(LINK).len() > times.len() {
            times.push(world.now.mono);
        }
    }
    let gaps: Vec<Duration> = times.windows(2).map(|w| w[1] - w[0]).collect();
    let second = Duration::from_secs(1);
    assert!(gaps.iter().all(|gap| *gap > second * 9 / 10 && *gap <= second));
    assert!(gaps.iter().any(|gap| *gap != gaps[0]));
    let heard = world.advertised(LINK);
    let numbers: Vec<u16> = heard.iter().map(|(a, _)| a.agent().unwrap().sequence).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<u16>>());
    let challenges: std::collections::BTreeSet<_> = heard.iter().map(|(a, _)| a.challenge()).collect();
    assert_eq!(challenges.len(), 50);
}

#[test]
fn a_solicitation_is_answered_at_once_to_whoever_sent_it() {
    let mut world = World::new();
    let challenge = world.challenge(LINK);
    world.did();
    world.packet(LINK, STATION, &solicitation());
    let (heard, to) = world.advertised(LINK).pop().unwrap();
    assert_eq!((world.advertised(LINK).len(), to), (1, STATION));
    assert_eq!(heard.agent().unwrap().sequence, 1, "it counts as one");
    assert_eq!(heard.challenge(), Some(&challenge[..]), "the latest one");
    assert!(world.advertised(LINK_B).is_empty());
}

#[test]
fn who_spent_the_latest_challenge_is_answered_with_another() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let challenge = world.challenge(LINK);
    let request = mobile.request(&challenge);
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    world.reply(to, &HomeAgentScript::of(to).reply(&relayed));
    world.did();
    world.packet(LINK, mobile.station, &solicitation());
    let fresh = world.challenge(LINK);
    assert_ne!(fresh, challenge);
    let request = mobile.request(&fresh);
    world.did();
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    assert_eq!(world.relayed().len(), 1);
}

#[test]
fn solicitations_are_answered_at_a_limited_rate() {
    let mut world = World::new();
    world.did();
    for n in 0..1000_u16 {
        let [high, low] = n.to_be_bytes();
        world.packet(LINK, [2, 0, 0, 0, high, low], &solicitation());
    }
    assert_eq!(world.advertised(LINK).len(), 20);
    world.did();
    world.pass(Duration::from_millis(500));
    world.packet(LINK, STATION, &solicitation());
    assert!(world.advertised(LINK).iter().any(|(_, to)| *to == STATION));
}

#[test]
fn what_is_no_solicitation_is_not_answered() {
    let mut world = World::new();
    world.did();
    let mut broken = solicitation();
    *broken.last_mut().unwrap() ^= 1;
    world.packet(LINK, STATION, &broken);
    world.packet(LINK, [0xff; 6], &solicitation());
    world.packet(LINK, ALL_SYSTEMS_LINK, &solicitation());
    let good = solicitation();
    for end in 0..good.len() {
        world.packet(LINK, STATION, &good[..end]);
    }
    let echo = ip::icmp_packet(Ipv4Addr::UNSPECIFIED, ON_LINK, 1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    world.packet(LINK, STATION, &echo.unwrap());
    assert_eq!(world.did(), []);
}

#[test]
fn none_goes_out_before_its_number_is_reserved() {
    let mut world = World::start(config(), State::default(), StoreMode::Holds);
    assert!(world.advertised(LINK).is_empty());
    world.packet(LINK, STATION, &solicitation());
    world.pass(Duration::from_secs(3));
    assert!(world.advertised(LINK).is_empty());
    world.release();
    assert_eq!(world.advertised(LINK).len(), 1, "at once when it is");
    assert_eq!(world.store.sequences, [(0, 256), (1, 256)]);
}

#[test]
fn a_store_that_fails_does_not_silence_an_agent_that_began() {
    let mut world = World::new();
    world.mode = StoreMode::Fails;
    world.did();
    world.pass(Duration::from_secs(400));
    let heard = world.advertised(LINK);
    assert!(heard.len() >= 400);
    let numbers: Vec<u16> = heard.iter().map(|(a, _)| a.agent().unwrap().sequence).collect();
    assert!(numbers.is_sorted() && *numbers.last().unwrap() == 255);
    world.mode = StoreMode::Works;
    world.did();
    world.pass(Duration::from_secs(3));
    let (heard, _) = world.advertised(LINK).pop().unwrap();
    assert!(heard.agent().unwrap().sequence > 255);
}
