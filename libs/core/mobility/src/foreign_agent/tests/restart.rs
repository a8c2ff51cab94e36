//! What a new process makes of what the old one left in the store.

use super::{
    script::{HomeAgentScript, Mobile},
    *,
};

fn first_sequence(world: &World, link: LinkId) -> u16 {
    world.advertised(link)[0].0.agent().unwrap().sequence
}

fn with_visitor(lifetime: u16) -> (World, Mobile) {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    mobile.fixed.lifetime = lifetime;
    world.register(&mut mobile);
    (world, mobile)
}

#[test]
fn visitors_and_their_tunnels_come_back_and_the_sequence_goes_on() {
    let (world, mobile) = with_visitor(600);
    let before = world.agent.tunnels().collect::<Vec<_>>();
    let mut world = world.restarted(config(), 3);
    assert_eq!(world.agent.tunnels().collect::<Vec<_>>(), before);
    assert_eq!(world.did.first(), Some(&Did::Tunnel(TunnelChange::VisitorAdded(before[0]))));
    assert_eq!(first_sequence(&world, LINK), 256, "above what was reserved");
    assert_eq!(first_sequence(&world, LINK_B), 0, "nobody was there");
    // It ends when it would have ended: 600 s after it was granted, 4 s of them have gone.
    let left = world.agent.visitors().next().unwrap().ends.unwrap() - world.now.mono;
    assert_eq!(left, Duration::from_secs(596));
    // And it may leave, though nobody remembers under which index it came.
    let mut mobile = mobile;
    mobile.fixed.lifetime = 0;
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    world.reply(to, &HomeAgentScript::of(to).reply(&relayed));
    assert!(world.visitors().is_empty());
}

#[test]
fn twice_restarted_goes_on_higher() {
    let (world, _) = with_visitor(600);
    let world = world.restarted(config(), 1).restarted(config(), 1);
    assert_eq!(first_sequence(&world, LINK), 512);
    assert_eq!(world.store.sequences.iter().max(), Some(&(1, 256)));
    assert!(world.store.sequences.contains(&(0, 768)));
}

#[test]
fn expired_ones_are_dropped_and_the_sequence_begins_anew() {
    let (world, _) = with_visitor(30);
    let world = world.restarted(config(), 29);
    assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    assert_eq!(first_sequence(&world, LINK), 0);
    assert!(!world.did.iter().any(|did| matches!(did, Did::Tunnel(_))));
}

#[test]
fn a_lost_store_begins_at_zero_and_visitors_register_anew() {
    let (mut world, mut mobile) = with_visitor(600);
    world.store = State::default();
    let mut world = world.restarted(config(), 1);
    assert_eq!(first_sequence(&world, LINK), 0);
    assert!(world.visitors().is_empty());
    world.register(&mut mobile);
    assert_eq!(world.visitors(), [HOME_ADDRESS]);
}

#[test]
fn visitors_that_no_longer_fit_the_configuration_are_dropped() {
    type Change = fn(&mut Config);
    let changes: [Change; 3] = [
        |c| c.care_of = Ipv4Addr::new(10, 51, 1, 9),
        |c| {
            c.home_agents.remove(0);
        },
        |c| {
            c.links.remove(0);
        },
    ];
    for change in changes {
        let (world, _) = with_visitor(600);
        let mut config = config();
        change(&mut config);
        let world = world.restarted(config, 1);
        assert!(world.visitors().is_empty() && world.store.visitors.is_empty());
    }
}

#[test]
fn a_clock_set_back_does_not_lengthen_a_visit() {
    let (mut world, _) = with_visitor(30);
    world.now.unix -= Duration::from_secs(1_000_000);
    let world = world.restarted(config(), 0);
    let left = world.agent.visitors().next().unwrap().ends.unwrap() - world.now.mono;
    assert_eq!(left, Duration::from_secs(30));
}

#[test]
fn requests_that_waited_are_forgotten() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    let reply = HomeAgentScript::of(to).reply(&relayed);
    let mut world = world.restarted(config(), 1);
    world.reply(to, &reply);
    assert!(world.visitors().is_empty() && world.replies().is_empty());
}

#[test]
fn a_visitor_that_was_not_committed_is_not_there_after_a_crash() {
    let mut world = World::new();
    let mut mobile = Mobile::new();
    let request = mobile.request(&world.challenge(LINK));
    world.packet(LINK, mobile.station, &mobile.packet(&request));
    let (to, relayed) = world.relayed().pop().unwrap();
    world.mode = StoreMode::Holds;
    world.reply(to, &HomeAgentScript::of(to).reply(&relayed));
    let world = world.restarted(config(), 1);
    assert!(world.visitors().is_empty());
}
