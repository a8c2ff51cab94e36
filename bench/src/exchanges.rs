//! What the key exchanges of negotiated associations cost on one core, by group.

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crypto::{
    Rng,
    group::{Group, Offer, Unfinished},
};

use crate::outcome::{Outcome, median};

/// How long one run of one group goes on, at least.
const LEAST: Duration = Duration::from_millis(100);

/// The group that every peer of another make has (RFC 8247 section 2.4).
const OURS: Group = Group::Modp2048;

/// Runs of one side by group.
type Runs = BTreeMap<Group, Vec<f64>>;

pub(crate) fn run(runs: u32) -> anyhow::Result<Outcome> {
    let mut rng = Rng::from_seed([1; 32]);
    let (mut responder, mut initiator) = (Runs::new(), Runs::new());
    for _ in 0..runs {
        for group in Group::ALL {
            let offer = Offer::new(&mut rng, group);
            let begun = Unfinished::begin(&mut rng, group, offer.value())?;
            let answer = begun.finish()?;
            let answered = microseconds(|| drop(black_box(begun.finish())));
            responder.entry(group).or_default().push(answered);
            let offered = microseconds(|| {
                let offer = Offer::new(&mut rng, group);
                drop(black_box(offer.complete(answer.value())));
            });
            initiator.entry(group).or_default().push(offered);
        }
    }
    let of = |group| responder.get(&group).cloned().context("a group without runs");
    Ok(Outcome::new("exchanges", "µs of a responder in modp-2048", of(OURS)?)
        .against("x25519", of(Group::X25519)?)
        .with("responder_us", medians(&responder))
        .with("initiator_us", medians(&initiator)))
}

fn medians(runs: &Runs) -> BTreeMap<&'static str, f64> {
    runs.iter().map(|(group, runs)| (group.name(), median(runs))).collect()
}

fn microseconds(mut turn: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut turns = 0_u32;
    while turns == 0 || start.elapsed() < LEAST {
        turn();
        turns += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(turns)
}
