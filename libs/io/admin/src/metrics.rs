//! Metrics as text for whoever keeps them over time (OpenMetrics 1.0, which Prometheus reads).
//!
//! A page is made when it is asked for, out of what the daemon publishes or counts anyway: nothing is counted here, and no
//! label ever names a mobile node, an agent or an address.

pub mod agent;
mod process;
pub mod store;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

/// The form of a page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many values fell below which limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper limits, rising, with how many values lie below each and above the one before.
    pub buckets: Vec<(f64, u64)>,
    /// How many lie above all of them.
    pub above: u64,
    /// Sum of all values.
    pub sum: f64,
}

impl Histogram {
    /// Of whole numbers that are each worth `unit`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "limits are small, and a sum may be rounded")]
    pub fn of(buckets: impl IntoIterator<Item = (u64, u64)>, above: u64, sum: u64, unit: f64) -> Self {
        let buckets = buckets.into_iter().map(|(limit, count)| (limit as f64 * unit, count)).collect();
        Self { buckets, above, sum: sum as f64 * unit }
    }
}

#[derive(Debug)]
enum Value {
    Whole(u64),
    Fraction(f64),
    Histogram(Histogram),
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
struct Family {
    name: String,
    unit: Option<Unit>,
    help: &'static str,
    kind: MetricType,
    samples: Vec<Sample>,
}

/// All metrics of one moment, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Page {
    prefix: String,
    families: Vec<Family>,
}

impl Page {
    /// What every daemon tells of its process, which began at `started` (seconds since 1970).
    #[must_use]
    pub fn of_process(program: &str, started: f64) -> Self {
        let mut page = Self::default();
        page.named("sojourn");
        process::add(&mut page, program, started);
        page
    }

    /// Names that are added from now on begin with this word.
    pub fn named(&mut self, prefix: impl Into<String>) {
        self.prefix = prefix.into();
    }

    fn add(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &'static str,
        kind: MetricType,
        samples: Vec<Sample>,
    ) {
        let name = if self.prefix.is_empty() { name.to_owned() } else { format!("{}_{name}", self.prefix) };
        self.families.push(Family { name, unit, help, kind, samples });
    }

    /// Something that only rises; its name gets `_total`.
    pub fn counter(&mut self, name: &str, help: &'static str, value: u64) {
        self.add(name, None, help, MetricType::Counter, vec![Sample::of(Value::Whole(value))]);
    }

    /// The same of octets; its name gets `_bytes_total`.
    pub fn counter_of_bytes(&mut self, name: &str, help: &'static str, of: Labelled<'_>) {
        self.add(name, Some(Unit::Bytes), help, MetricType::Counter, of.samples());
    }

    /// Time that adds up; its name gets `_seconds_total`.
    pub fn counter_of_seconds(&mut self, name: &str, help: &'static str, seconds: f64) {
        let sample = Sample::of(Value::Fraction(seconds));
        self.add(name, Some(Unit::Seconds), help, MetricType::Counter, vec![sample]);
    }

    /// Things of one kind that only rise, told apart by a label.
    pub fn counters(&mut self, name: &str, help: &'static str, of: Labelled<'_>) {
        self.add(name, None, help, MetricType::Counter, of.samples());
    }

    /// Something that rises and falls.
    pub fn gauge(&mut self, name: &str, help: &'static str, value: u64) {
        self.add(name, None, help, MetricType::Gauge, vec![Sample::of(Value::Whole(value))]);
    }

    /// A time; its name gets `_seconds`.
    pub fn gauge_of_seconds(&mut self, name: &str, help: &'static str, seconds: f64) {
        let sample = Sample::of(Value::Fraction(seconds));
        self.add(name, Some(Unit::Seconds), help, MetricType::Gauge, vec![sample]);
    }

    /// A size; its name gets `_bytes`.
    pub fn gauge_of_bytes(&mut self, name: &str, help: &'static str, bytes: u64) {
        self.add(name, Some(Unit::Bytes), help, MetricType::Gauge, vec![Sample::of(Value::Whole(bytes))]);
    }

    /// Things of one kind that rise and fall, told apart by a label.
    pub fn gauges(&mut self, name: &str, help: &'static str, of: Labelled<'_>) {
        self.add(name, None, help, MetricType::Gauge, of.samples());
    }

    /// How values are spread.
    pub fn histogram(&mut self, name: &str, unit: Option<Unit>, help: &'static str, value: Histogram) {
        self.add(name, unit, help, MetricType::Histogram, vec![Sample::of(Value::Histogram(value))]);
    }

    /// Words that do not change; its name gets `_info`.
    fn info(&mut self, name: &str, help: &'static str, labels: Vec<(&'static str, String)>) {
        self.add(name, None, help, MetricType::Info, vec![Sample { labels, value: Value::Whole(1) }]);
    }

    /// The page as text.
    #[must_use]
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing into memory never fails.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

/// Values that a label tells apart.
#[derive(Debug)]
pub struct Labelled<'a> {
    label: &'static str,
    values: Vec<(&'a str, u64)>,
}

impl<'a> Labelled<'a> {
    /// The words are ours: nobody else can make a page grow.
    pub fn by(label: &'static str, values: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        Self { label, values: values.into_iter().collect() }
    }

    fn samples(self) -> Vec<Sample> {
        let Self { label, values } = self;
        let sample =
            |(word, value)| Sample { labels: vec![(label, label_of(word))], value: Value::Whole(value) };
        values.into_iter().map(sample).collect()
    }
}

impl Sample {
    const fn of(value: Value) -> Self {
        Self { labels: Vec::new(), value }
    }
}

/// The words of the log as one word: "reply: contradicts its request" is `reply_contradicts_its_request`.
fn label_of(words: &str) -> String {
    let letters = |c: char| c.is_ascii_alphanumeric();
    let words = words.split(|c| !letters(c)).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Family { name, unit, help, kind, samples } in &self.families {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
            for Sample { labels, value } in samples {
                match kind {
                    // The labels are the value.
                    MetricType::Info => family.encode_info(labels)?,
                    _ if labels.is_empty() => value.encode(*kind, &mut family)?,
                    _ => value.encode(*kind, &mut family.encode_family(labels)?)?,
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: MetricType, to: &mut MetricEncoder<'_>) -> fmt::Result {
        match (kind, self) {
            (MetricType::Counter, Self::Whole(value)) => to.encode_counter::<NoLabelSet, _, f64>(value, None),
            (MetricType::Counter, Self::Fraction(value)) => {
                to.encode_counter::<NoLabelSet, _, f64>(value, None)
            }
            (_, Self::Whole(value)) => to.encode_gauge(value),
            (_, Self::Fraction(value)) => to.encode_gauge(value),
            (_, Self::Histogram(Histogram { buckets, above, sum })) => {
                let mut all = buckets.clone();
                all.push((f64::INFINITY, *above));
                let count = all.iter().map(|(_, count)| count).sum();
                to.encode_histogram::<NoLabelSet>(*sum, count, &all, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_names_units_and_values() {
        let mut page = Page::default();
        page.named("sojourn_x");
        page.counter("things", "Things", 7);
        page.counters("refusals", "Refusals", Labelled::by("reason", [("no tunnel", 2), ("a \"b\"\n", 1)]));
        page.counters("never", "Never yet", Labelled::by("reason", []));
        page.gauge_of_seconds("longest", "Longest", 0.5);
        let buckets = vec![(0.001, 1), (0.01, 2)];
        let times = Histogram { buckets, above: 3, sum: 9.5 };
        page.histogram("commit", Some(Unit::Seconds), "Commits", times);
        let text = page.text();
        for line in [
            "# TYPE sojourn_x_things counter",
            "# HELP sojourn_x_things Things",
            "sojourn_x_things_total 7",
            "sojourn_x_refusals_total{reason=\"no_tunnel\"} 2",
            "sojourn_x_refusals_total{reason=\"a_b\"} 1",
            "# TYPE sojourn_x_never counter",
            "# UNIT sojourn_x_longest_seconds seconds",
            "sojourn_x_longest_seconds 0.5",
            "sojourn_x_commit_seconds_bucket{le=\"0.01\"} 3",
            "sojourn_x_commit_seconds_bucket{le=\"+Inf\"} 6",
            "sojourn_x_commit_seconds_count 6",
            "sojourn_x_commit_seconds_sum 9.5",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in:\n{text}");
        }
    }
}
