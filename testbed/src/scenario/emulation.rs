//! How bad a link is, as a scenario file or a command line says it.

use clap::Args;
use serde::Deserialize;
use toml::Spanned;

use super::check::{Check, fault};
use crate::emulation::Impairment;

const LONGEST_DELAY_MS: f64 = 10_000.0;
const FASTEST_MBIT: f64 = 10_000.0;
const LONGEST_QUEUE: u32 = 100_000;
const NANOSECONDS: f64 = 1e6;

/// What is absent stays as it is, and is perfect to begin with. Every value counts once for each direction.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Values {
    pub(crate) delay_ms: Option<Spanned<f64>>,
    pub(crate) jitter_ms: Option<Spanned<f64>>,
    pub(crate) loss_percent: Option<Spanned<f64>>,
    pub(crate) duplicate_percent: Option<Spanned<f64>>,
    pub(crate) reorder_percent: Option<Spanned<f64>>,
    pub(crate) damage_percent: Option<Spanned<f64>>,
    pub(crate) rate_mbit: Option<Spanned<f64>>,
    pub(crate) queue_packets: Option<Spanned<u32>>,
}

/// Options that make every link of a scenario worse.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Worse links (every link, in each direction; the file's own values otherwise)")]
pub(crate) struct EveryLink {
    /// Time that a frame is on its way over one link
    #[arg(long, value_name = "MS")]
    delay_ms: Option<f64>,
    /// The delay varies by up to so much, to both sides
    #[arg(long, value_name = "MS")]
    jitter_ms: Option<f64>,
    /// Of 100 frames so many are lost
    #[arg(long, value_name = "PERCENT")]
    loss_percent: Option<f64>,
    /// Megabits per second
    #[arg(long, value_name = "MBIT")]
    rate_mbit: Option<f64>,
    /// Other dice: one seed gives every frame of a link the same fate again
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Daemons exchange packets with the kernel one by one: offload = false
    #[arg(long, help_heading = "Options")]
    pub(super) no_offload: bool,
}

impl EveryLink {
    /// The same options for another process.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let values = [
            ("--delay-ms", self.delay_ms),
            ("--jitter-ms", self.jitter_ms),
            ("--loss-percent", self.loss_percent),
            ("--rate-mbit", self.rate_mbit),
        ];
        let given = values.into_iter().filter_map(|(option, value)| Some(format!("{option}={}", value?)));
        let given = given.chain(self.seed.map(|seed| format!("--seed={seed}")));
        given.chain(self.no_offload.then(|| "--no-offload".to_owned())).collect()
    }

    /// The values without a place in a file.
    pub(super) fn values(&self) -> Values {
        let spanned = |value: Option<f64>| value.map(|value| Spanned::new(0..0, value));
        Values {
            delay_ms: spanned(self.delay_ms),
            jitter_ms: spanned(self.jitter_ms),
            loss_percent: spanned(self.loss_percent),
            rate_mbit: spanned(self.rate_mbit),
            ..Values::default()
        }
    }
}

impl Values {
    /// Whether nothing is said at all.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { delay_ms, jitter_ms, loss_percent, duplicate_percent, reorder_percent, .. } = self;
        [delay_ms, jitter_ms, loss_percent, duplicate_percent, reorder_percent]
            .into_iter()
            .chain([&self.damage_percent, &self.rate_mbit])
            .all(Option::is_none)
            && self.queue_packets.is_none()
    }

    /// These values, where there are any, in place of those.
    pub(crate) fn over(&self, impairment: &Impairment) -> Impairment {
        let value = |spanned: &Option<Spanned<f64>>| spanned.as_ref().map(|value| *value.get_ref());
        let time = |spanned| value(spanned).map(|ms| (ms * NANOSECONDS).round() as u64);
        let was = impairment;
        Impairment {
            delay: time(&self.delay_ms).unwrap_or(was.delay),
            jitter: time(&self.jitter_ms).unwrap_or(was.jitter),
            loss_percent: value(&self.loss_percent).unwrap_or(was.loss_percent),
            duplicate_percent: value(&self.duplicate_percent).unwrap_or(was.duplicate_percent),
            reorder_percent: value(&self.reorder_percent).unwrap_or(was.reorder_percent),
            damage_percent: value(&self.damage_percent).unwrap_or(was.damage_percent),
            rate: value(&self.rate_mbit).map(|mbit| (mbit * 1e6).round() as u64).or(was.rate),
            queue: self.queue_packets.as_ref().map_or(was.queue, |packets| *packets.get_ref() as usize),
        }
    }

    /// Takes over what another says.
    pub(super) fn replace(&mut self, other: Self) {
        let take = |to: &mut Option<Spanned<f64>>, from: Option<Spanned<f64>>| *to = from.or(to.take());
        take(&mut self.delay_ms, other.delay_ms);
        take(&mut self.jitter_ms, other.jitter_ms);
        take(&mut self.loss_percent, other.loss_percent);
        take(&mut self.duplicate_percent, other.duplicate_percent);
        take(&mut self.reorder_percent, other.reorder_percent);
        take(&mut self.damage_percent, other.damage_percent);
        take(&mut self.rate_mbit, other.rate_mbit);
        self.queue_packets = other.queue_packets.or(self.queue_packets.take());
    }

    /// Whether the values make sense on a link that was like that before.
    pub(super) fn check(&self, before: &Impairment) -> Check {
        range("delay_ms", &self.delay_ms, 0.0, LONGEST_DELAY_MS)?;
        range("jitter_ms", &self.jitter_ms, 0.0, LONGEST_DELAY_MS)?;
        range("loss_percent", &self.loss_percent, 0.0, 100.0)?;
        range("duplicate_percent", &self.duplicate_percent, 0.0, 100.0)?;
        range("reorder_percent", &self.reorder_percent, 0.0, 100.0)?;
        range("damage_percent", &self.damage_percent, 0.0, 100.0)?;
        range("rate_mbit", &self.rate_mbit, 0.001, FASTEST_MBIT)?;
        let after = self.over(before);
        let delay_ms = after.delay as f64 / NANOSECONDS;
        if let Some(at) = self.jitter_ms.as_ref().or(self.delay_ms.as_ref())
            && after.jitter > after.delay
        {
            let jitter_ms = after.jitter as f64 / NANOSECONDS;
            return fault(at, format!("jitter_ms = {jitter_ms}: at most delay_ms, which is {delay_ms}"));
        }
        if let Some(at) = self.reorder_percent.as_ref().or(self.delay_ms.as_ref())
            && after.reorder_percent > 0.0
            && after.delay == 0
        {
            return fault(at, "reorder_percent needs a delay_ms: there is nothing to overtake".into());
        }
        let Some(queue) = &self.queue_packets else { return Ok(()) };
        if !(1..=LONGEST_QUEUE).contains(queue.get_ref()) {
            return fault(queue, format!("queue_packets = {}: 1 to {LONGEST_QUEUE}", queue.get_ref()));
        }
        if after.rate.is_none() {
            return fault(queue, "queue_packets needs a rate_mbit: without one nothing waits".into());
        }
        Ok(())
    }
}

fn range(key: &str, value: &Option<Spanned<f64>>, least: f64, most: f64) -> Check {
    match value {
        // Not a number is in no range.
        Some(value) if !(least..=most).contains(value.get_ref()) => {
            fault(value, format!("{key} = {}: {least} to {most}", value.get_ref()))
        }
        _ => Ok(()),
    }
}
