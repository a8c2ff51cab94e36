//! Many nodes from one entry, and moves that dice decide.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use crypto::Rng;
use serde::Deserialize;
use toml::Spanned;

use super::{
    MobileNode, Scenario, Step,
    check::{Check, Fault, fault},
};

/// Nodes of one entry.
const COUNT: RangeInclusive<u32> = 1..=200;
const SECONDS: RangeInclusive<u32> = 1..=86_400;
const STAY: RangeInclusive<u32> = 500..=600_000;

/// How a node moves at random.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Random {
    links: Spanned<Vec<Spanned<String>>>,
    seconds: Spanned<u32>,
    /// Shortest and longest stay.
    stay_ms: Spanned<[u32; 2]>,
    #[serde(default)]
    seed: u64,
}

/// Puts nodes with schedules of their own in place of those whose moves are random.
pub(super) fn expand(scenario: &mut Scenario) -> Check {
    let mut nodes = Vec::new();
    for node in scenario.mobile_nodes.drain(..) {
        match &node.random {
            None => {
                if let Some(count) = &node.count {
                    return fault(
                        count,
                        "`count` needs `random`: many nodes have no `roam` in common".into(),
                    );
                }
                nodes.push(node);
            }
            Some(random) => {
                random.check(&node)?;
                let count = node.count.as_ref().map_or(1, |count| *count.get_ref());
                for number in 1..=count {
                    let mut one = if node.count.is_some() { numbered(&node, number)? } else { node.clone() };
                    one.roam = random.steps(number);
                    nodes.push(one);
                }
            }
        }
    }
    scenario.mobile_nodes = nodes;
    Ok(())
}

/// The node of this number, from 1.
fn numbered(node: &MobileNode, number: u32) -> Result<MobileNode, Fault> {
    let mut one = node.clone();
    one.name = renamed(&node.name, format!("{}{number}", node.name.get_ref()));
    let nai = node.nai.get_ref();
    let nai = match nai.split_once('@') {
        Some((user, realm)) => format!("{user}{number}@{realm}"),
        None => nai.clone(),
    };
    one.nai = renamed(&node.nai, nai);
    let onward = |address: Ipv4Addr| address.to_bits().checked_add(number - 1).map(Ipv4Addr::from_bits);
    let address = onward(*node.home_address.get_ref());
    one.home_address = match address {
        Some(address) => Spanned::new(node.home_address.span(), address),
        None => {
            let at = node.home_address.span().start;
            return Err(Fault { at, message: format!("there is no {number}th address from here") });
        }
    };
    for assigned in one.assigned.values_mut() {
        assigned.address = onward(assigned.address).unwrap_or(assigned.address);
    }
    Ok(one)
}

fn renamed(old: &Spanned<String>, new: String) -> Spanned<String> {
    Spanned::new(old.span(), new)
}

impl Random {
    fn check(&self, node: &MobileNode) -> Check {
        if !node.roam.is_empty() {
            return fault(&node.name, format!("{}: either `roam` or `random`", node.name.get_ref()));
        }
        if let Some(count) = node.count.as_ref().filter(|count| !COUNT.contains(count.get_ref())) {
            return fault(
                count,
                format!("count = {}: {} to {}", count.get_ref(), COUNT.start(), COUNT.end()),
            );
        }
        let links = self.links.get_ref();
        let twice = links.iter().enumerate().find(|(at, link)| links[..*at].contains(link));
        if let Some((_, link)) = twice {
            return fault(link, format!("{} stands twice in `links`", link.get_ref()));
        }
        if links.len() < 2 {
            return fault(&self.links, "`links` needs at least two links to move between".into());
        }
        if !SECONDS.contains(self.seconds.get_ref()) {
            let message =
                format!("seconds = {}: {} to {}", self.seconds.get_ref(), SECONDS.start(), SECONDS.end());
            return fault(&self.seconds, message);
        }
        let [least, most] = *self.stay_ms.get_ref();
        if !STAY.contains(&least) || !STAY.contains(&most) || least > most {
            let message = format!(
                "stay_ms = [{least}, {most}]: shortest and longest, {} to {}",
                STAY.start(),
                STAY.end()
            );
            return fault(&self.stay_ms, message);
        }
        Ok(())
    }

    /// The schedule of the node of this number.
    fn steps(&self, number: u32) -> Vec<Step> {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..12].copy_from_slice(&number.to_be_bytes());
        let mut rng = Rng::from_seed(seed);
        let links = self.links.get_ref();
        let [least, most] = *self.stay_ms.get_ref();
        let whole = u64::from(*self.seconds.get_ref()) * 1000;
        let mut here = rng.below(links.len() as u64) as usize;
        let (mut steps, mut until) = (Vec::new(), 0);
        while let Some(link) = links.get(here).filter(|_| until < whole) {
            let stay = u64::from(least) + rng.below(u64::from(most - least) + 1);
            // Nobody moves so late that he could not be heard of at his last place.
            let last = until + stay + u64::from(least) >= whole;
            let stay = if last { whole - until } else { stay };
            steps.push(Step { link: link.clone(), stay_ms: stay as u32 });
            until += stay;
            here = (here + 1 + rng.below(links.len() as u64 - 1) as usize) % links.len();
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::DEMO;

    /// The demo's node, moving at random.
    fn crowd(random: &str, more: &str) -> anyhow::Result<Scenario> {
        let (before, _) = DEMO.1.split_once("roam = [").expect("the demo roams");
        let text =
            format!("{before}random = {{ {random} }}\n{more}\n").replace("to = \"mn\"", "to = \"mn1\"");
        Scenario::parse("x.toml", &text)
    }

    const GOOD: &str =
        "links = [\"home\", \"visited-a\", \"visited-c\"], seconds = 60, stay_ms = [2000, 9000]";

    #[test]
    fn each_has_a_name_an_address_and_a_way_of_its_own() {
        let scenario = crowd(&format!("{GOOD}, seed = 7"), "count = 12").unwrap();
        let nodes = &scenario.mobile_nodes;
        assert_eq!(nodes.len(), 12);
        let (first, last) = (&nodes[0], &nodes[11]);
        assert_eq!((first.name.get_ref().as_str(), last.name.get_ref().as_str()), ("mn1", "mn12"));
        assert_eq!(last.nai.get_ref(), "traveller-one12@home.example");
        assert_eq!(last.home_address.get_ref(), &Ipv4Addr::new(10, 11, 1, 61));
        assert_eq!(last.assigned_on("visited-c").unwrap().address, Ipv4Addr::new(192, 168, 77, 21));
        let way = |node: &MobileNode| {
            node.roam.iter().map(|step| (step.link.get_ref().clone(), step.stay_ms)).collect::<Vec<_>>()
        };
        assert_ne!(way(first), way(last));
        let again = crowd(&format!("{GOOD}, seed = 7"), "count = 12").unwrap();
        assert_eq!(way(&again.mobile_nodes[4]), way(&nodes[4]));
        let other = crowd(&format!("{GOOD}, seed = 8"), "count = 12").unwrap();
        assert_ne!(way(&other.mobile_nodes[4]), way(&nodes[4]));
    }

    #[test]
    fn stays_are_within_their_bounds_and_last_as_long_as_wanted() {
        let scenario = crowd(GOOD, "count = 30").unwrap();
        for node in &scenario.mobile_nodes {
            let stays: Vec<u32> = node.roam.iter().map(|step| step.stay_ms).collect();
            assert_eq!(stays.iter().sum::<u32>(), 60_000);
            assert!(stays.iter().all(|stay| (2000..=11_000).contains(stay)), "{stays:?}");
            assert!(node.roam.windows(2).all(|pair| pair[0].link != pair[1].link));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        let changed = |from: &str, to: &str| GOOD.replace(from, to);
        for (random, more, words) in [
            (GOOD.to_owned(), "count = 0", "count = 0: 1 to 200"),
            (GOOD.to_owned(), "count = 201", "1 to 200"),
            (
                GOOD.to_owned(),
                "count = 2\nroam = [{ link = \"home\", stay_ms = 5 }]",
                "either `roam` or `random`",
            ),
            (changed("\"visited-a\"", "\"home\""), "count = 2", "home stands twice"),
            (changed(", \"visited-a\", \"visited-c\"", ""), "count = 2", "at least two links"),
            (changed("\"visited-a\"", "\"moon\""), "count = 2", "`moon` is no link"),
            (changed("\"visited-a\"", "\"core-a\""), "count = 2", "cannot register on core-a"),
            (changed("seconds = 60", "seconds = 0"), "count = 2", "seconds = 0: 1 to 86400"),
            (changed("[2000, 9000]", "[100, 9000]"), "count = 2", "500 to 600000"),
            (changed("[2000, 9000]", "[9000, 2000]"), "count = 2", "shortest and longest"),
            (changed("seconds", "minutes"), "count = 2", "minutes"),
            (GOOD.to_owned(), "count = 45", "already has 10.11.1.90"),
            (GOOD.to_owned(), "", "`mn1` is no mobile node"),
        ] {
            let error = format!("{:#}", crowd(&random, more).unwrap_err());
            assert!(error.starts_with("x.toml:") && error.contains(words), "{random} {more}: {error}");
        }
        let text = DEMO.1.replace("home_agent = \"ha\"\n", "home_agent = \"ha\"\ncount = 3\n");
        let error = format!("{:#}", Scenario::parse("x.toml", &text).unwrap_err());
        assert!(error.contains("`count` needs `random`"), "{error}");
    }
}
