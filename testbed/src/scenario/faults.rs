//! What goes wrong on purpose, and when.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Scenario, Values,
    check::{Check, fault},
};
use crate::emulation::Impairment;

/// One entry of `[[faults]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Seconds since the schedule began.
    pub(crate) at_s: Spanned<f64>,
    pub(crate) what: Spanned<What>,
    pub(crate) link: Option<Spanned<String>>,
    pub(crate) node: Option<Spanned<String>>,
    /// For `impair`.
    pub(crate) values: Option<Spanned<Values>>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Cut,
    Restore,
    Impair,
    Kill,
    Start,
    Stop,
    Continue,
}

impl What {
    /// The word of files and reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Restore => "restore",
            Self::Impair => "impair",
            Self::Kill => "kill",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Continue => "continue",
        }
    }

    /// Whether it is done to a link, and not to a node.
    pub(crate) fn is_of_link(self) -> bool {
        matches!(self, Self::Cut | Self::Restore | Self::Impair)
    }

    /// What puts an end to it, if something has to.
    pub(crate) fn end(self) -> Option<Self> {
        match self {
            Self::Cut => Some(Self::Restore),
            Self::Kill => Some(Self::Start),
            Self::Stop => Some(Self::Continue),
            Self::Restore | Self::Impair | Self::Start | Self::Continue => None,
        }
    }

    /// What must have happened to the same link or node just before; nothing: it must be well.
    fn before(self) -> Option<Self> {
        [Self::Cut, Self::Kill, Self::Stop].into_iter().find(|begin| begin.end() == Some(self))
    }
}

impl Fault {
    /// Time since the schedule began.
    pub(crate) fn at(&self) -> Duration {
        Duration::from_secs_f64(*self.at_s.get_ref())
    }

    /// The link or node that it happens to; empty in a file that has not been checked.
    pub(crate) fn target(&self) -> &str {
        self.link.as_ref().or(self.node.as_ref()).map_or("", |name| name.get_ref())
    }
}

impl Scenario {
    /// What goes wrong, in order of time.
    pub(crate) fn faults_in_time(&self) -> Vec<&Fault> {
        let mut faults: Vec<&Fault> = self.faults.iter().collect();
        faults.sort_by_key(|fault| fault.at());
        faults
    }
}

/// Checks every entry, and that each can happen after those before it.
pub(super) fn check(scenario: &Scenario, longest: Duration) -> Check {
    for entry in &scenario.faults {
        time(entry, longest)?;
        target(scenario, entry)?;
    }
    let mut ill: BTreeMap<&str, What> = BTreeMap::new();
    let mut links: BTreeMap<&str, Impairment> = BTreeMap::new();
    for entry in scenario.faults_in_time() {
        let (what, name) = (*entry.what.get_ref(), entry.target());
        if what == What::Impair {
            impair(entry, links.entry(name).or_insert_with(|| scenario.impairment(name)))?;
            continue;
        }
        let state = ill.get(name).copied();
        if state != what.before() {
            let now = match state {
                Some(What::Cut) => "cut",
                Some(What::Kill) => "killed",
                Some(_) => "stopped",
                None if what.is_of_link() => "whole",
                None => "running",
            };
            return fault(&entry.what, format!("{} {name}: at that time it is {now}", what.word()));
        }
        match what.end() {
            Some(_) => ill.insert(name, what),
            None => ill.remove(name),
        };
    }
    Ok(())
}

fn time(entry: &Fault, longest: Duration) -> Check {
    let (at, last) = (*entry.at_s.get_ref(), longest.as_secs_f64());
    if (0.0..=last).contains(&at) {
        return Ok(());
    }
    fault(&entry.at_s, format!("at_s = {at}: 0 to {last:.1}, when the last node has finished its schedule"))
}

fn target(scenario: &Scenario, entry: &Fault) -> Check {
    let what = *entry.what.get_ref();
    let (wanted, other) = if what.is_of_link() {
        (entry.link.as_ref().ok_or("link"), entry.node.as_ref())
    } else {
        (entry.node.as_ref().ok_or("node"), entry.link.as_ref())
    };
    let name = match (wanted, other) {
        (Err(key), _) => return fault(&entry.what, format!("{} needs a `{key}`", what.word())),
        (_, Some(other)) => {
            let key = if what.is_of_link() { "link" } else { "node" };
            return fault(other, format!("{} takes a `{key}` and nothing else", what.word()));
        }
        (Ok(name), None) => name,
    };
    match (&entry.values, what) {
        (None, What::Impair) => {
            return fault(&entry.what, "impair needs `values`, such as { loss_percent = 10 }".into());
        }
        (Some(values), _) if what != What::Impair => {
            return fault(values, format!("{} takes no `values`", what.word()));
        }
        _ => {}
    }
    let known =
        if what.is_of_link() { scenario.link_names() } else { scenario.daemon_names().collect::<Vec<_>>() };
    if known.contains(name.get_ref()) {
        return Ok(());
    }
    let kind = if what.is_of_link() { "link" } else { "node with a daemon" };
    fault(name, format!("`{}` is no {kind}; there are: {}", name.get_ref(), known.join(", ")))
}

fn impair(entry: &Fault, link: &mut Impairment) -> Check {
    if let Some(values) = &entry.values {
        if values.get_ref().is_empty() {
            return fault(values, "`values` is empty: nothing would change".into());
        }
        values.get_ref().check(link)?;
        *link = values.get_ref().over(link);
    }
    Ok(())
}
