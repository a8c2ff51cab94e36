//! Random lives, in which some things must always hold.

use std::time::Duration;

use crypto::Rng;
use wire::mip::{
    code::Code,
    registration::{Identification, ntp_seconds},
};

use super::{super::*, world::*};

/// One random thing happens.
fn step(world: &mut World, rng: &mut Rng, clock: &mut Vec<usize>) {
    let agents = [fa_a(), fa_b(), home_agent()];
    let mut agent = agents[rng.below(3) as usize].clone();
    agent.sequence = rng.below(600) as u16;
    if agent.challenge.is_some() {
        agent.challenge = Some(rng.array::<8>().to_vec());
    }
    match rng.below(20) {
        0 => world.link_up(),
        1 => world.link_down(),
        2 => world.address(),
        3 => world.request(Request::AddressGone { link: LINK, address: CARE_OF }),
        4 => world.routes_fail(),
        5 if rng.below(5) == 0 => world.request(Request::Deregister),
        6 => {
            let off = Duration::from_secs(rng.below(200_000));
            world.now.unix = world.now.unix + off - Duration::from_secs(100_000);
        }
        7 => {
            let mismatch = |asked: &Asked, _: &mut Rng| {
                let identification = Identification::new(ntp_seconds(T), asked.fixed.identification.low());
                let answer = Answer::deny(asked, Code::HA_IDENTIFICATION);
                Answer { identification, ..answer }.bytes(asked)
            };
            if reply(world, rng, mismatch) {
                clock.push(world.asked.len());
            }
        }
        8 => drop(reply(world, rng, |asked, rng| {
            hint(asked, Code(64 + rng.below(64) as u8), rng.below(700) as u16)
        })),
        9 => drop(reply(world, rng, |asked, rng| {
            Answer::deny(asked, Code(128 + rng.below(5) as u8)).bytes(asked)
        })),
        10..=15 => drop(reply(world, rng, |asked, _| {
            let agents = [fa_a(), fa_b()];
            let agent = agents.iter().find(|a| a.care_of[0] == asked.fixed.care_of);
            let counts_from = asked.spi().names_realm_key().then(|| opened(asked).index + 1);
            Answer { counts_from, ..Answer::accept(asked, agent) }.bytes(asked)
        })),
        16 if rng.below(2) == 0 => match world.disk {
            Disk::Works => world.disk = [Disk::Slow, Disk::Fails][rng.below(2) as usize],
            Disk::Slow | Disk::Fails => world.disk_works(),
        },
        16 => world.pass(Duration::from_millis(rng.below(700_000))),
        _ => world.pass(Duration::from_millis(rng.below(2000))),
    }
    if rng.below(4) == 0 {
        world.hear(&agent);
    }
}

/// Answers one of the last requests; false if there is none.
fn reply(world: &mut World, rng: &mut Rng, build: impl FnOnce(&Asked, &mut Rng) -> Vec<u8>) -> bool {
    let back = rng.below(4) as usize + 1;
    let Some(asked) = world.asked.len().checked_sub(back).map(|i| world.asked[i].clone()) else {
        return false;
    };
    let bytes = build(&asked, rng);
    world.reply(&asked, &bytes);
    true
}

/// One life; how often it was registered.
fn live(seed: u8, config: Config) -> u64 {
    let mut rng = Rng::from_seed([seed; 32]);
    let mut world = World::with(config, MobileNodeState::default(), T);
    let mut clock = Vec::new();
    for _ in 0..300 {
        step(&mut world, &mut rng, &mut clock);
        // Only through an agent or at home are there keys or not, as the place demands.
        let keys = world.node.associations().filter(|a| a.retires.is_none()).count();
        let status = world.node.status();
        let expected = match (status.state, status.agent) {
            (State::Registered, Some(_)) => 2,
            (State::Registered, None) => 1,
            _ => 0,
        };
        assert_eq!(keys, expected, "seed {seed}");
    }
    for (n, pair) in world.asked.windows(2).enumerate() {
        let (before, after) = (&pair[0], &pair[1]);
        let rises = after.fixed.identification > before.fixed.identification;
        // Only the home agent's own word takes a clock back that ran ahead.
        assert!(rises || clock.contains(&(n + 1)) || clock.contains(&(n + 2)), "seed {seed}, request {n}");
    }
    for asked in &world.asked {
        let (user, address) = verified(asked);
        assert_eq!((user.as_str(), address), ("traveller-one", HOME));
        let home = asked.fixed.care_of == HOME;
        assert_eq!(asked.fixed.home_address == HOME, home, "seed {seed}");
        assert_eq!(asked.link.is_some(), asked.source.ip().is_unspecified());
    }
    world.counter("registrations accepted")
}

#[test]
fn identifications_rise_and_identity_stays_sealed_whatever_happens() {
    let registrations: u64 = (0..40).map(|seed| live(seed, config()) + live(seed, one_time())).sum();
    assert!(registrations > 200, "{registrations}: these lives test little");
}
