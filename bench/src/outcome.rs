//! What a program found, as one line of JSON.

use std::collections::BTreeMap;

use serde::Serialize;

/// The result of one program.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    name: &'static str,
    unit: &'static str,
    median: f64,
    /// Lowest and highest.
    range: [f64; 2],
    runs: Vec<f64>,
    against: BTreeMap<&'static str, Rival>,
    /// What else was seen, by name.
    #[serde(flatten)]
    seen: BTreeMap<&'static str, serde_json::Value>,
    /// Rivals that could not be run here, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skipped: BTreeMap<&'static str, String>,
}

/// What a rival or a limit reached in the same run.
#[derive(Debug, Serialize)]
struct Rival {
    median: f64,
    range: [f64; 2],
    runs: Vec<f64>,
    /// Our median over its median.
    ratio: f64,
}

impl Outcome {
    /// Of our own runs, in the order they were made; at least one.
    pub(crate) fn new(name: &'static str, unit: &'static str, runs: Vec<f64>) -> Self {
        Self {
            name,
            unit,
            median: median(&runs),
            range: range(&runs),
            runs,
            against: BTreeMap::new(),
            seen: BTreeMap::new(),
            skipped: BTreeMap::new(),
        }
    }

    /// With the runs of a rival, at least one.
    pub(crate) fn against(mut self, rival: &'static str, runs: Vec<f64>) -> Self {
        let of = median(&runs);
        let ratio = if of == 0.0 { 0.0 } else { self.median / of };
        self.against.insert(rival, Rival { median: of, range: range(&runs), runs, ratio });
        self
    }

    /// With something else that was seen.
    pub(crate) fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.seen.insert(name, serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Without a rival that could not be run; says so at once, too.
    pub(crate) fn without(mut self, rival: &'static str, reason: String) -> Self {
        say(&format!("SKIPPED: {rival} ({reason})"));
        self.skipped.insert(rival, reason);
        self
    }

    /// Prints it on one line.
    #[allow(clippy::print_stdout, reason = "this line is what the program is for")]
    pub(crate) fn print(&self) {
        match serde_json::to_string(self) {
            Ok(line) => println!("{line}"),
            Err(error) => say(&format!("bench: {error}")),
        }
    }
}

/// A word to whoever watches, on standard error.
#[allow(clippy::print_stderr, reason = "standard output belongs to the result")]
pub(crate) fn say(word: &str) {
    eprintln!("{word}");
}

/// The middle of the runs, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (length, middle) if length % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The smallest run that a share of all, 0 to 1, does not exceed; 0 of none.
pub(crate) fn quantile(runs: &[f64], share: f64) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

fn range(runs: &[f64]) -> [f64; 2] {
    let lowest = runs.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = runs.iter().copied().fold(0.0, f64::max);
    [if runs.is_empty() { 0.0 } else { lowest }, highest]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_what_its_readers_look_for() {
        let outcome = Outcome::new("tunnel", "Mbit/s", vec![3.0, 1.0, 2.0])
            .against("forward", vec![4.0, 5.0])
            .with("failures", 0)
            .without("wireguard-go", "not installed".to_owned());
        let line: serde_json::Value = serde_json::to_value(&outcome).unwrap();
        assert_eq!((&line["name"], &line["unit"]), (&"tunnel".into(), &"Mbit/s".into()));
        assert_eq!((&line["median"], &line["runs"]), (&2.0.into(), &[3.0, 1.0, 2.0].as_slice().into()));
        assert_eq!(line["against"]["forward"]["median"], 4.5);
        assert_eq!(line["against"]["forward"]["ratio"], 2.0 / 4.5);
        assert_eq!(
            (&line["failures"], &line["skipped"]["wireguard-go"]),
            (&0.into(), &"not installed".into())
        );
    }

    #[test]
    fn medians_are_of_the_sorted_values() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[4.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile(&[], 0.99), 0.0);
        assert_eq!(quantile(&[2.0, 1.0], 0.5), 1.0);
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.99, 1.0].map(|share| quantile(&hundred, share)), [1.0, 99.0, 100.0]);
    }
}
