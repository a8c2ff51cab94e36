//! The trace file: what mobile nodes do and when, one line an event.
//!
//! `TIME NODE WHAT [WHERE]`; [`FORMAT`] explains it to people.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail};
use crypto::Rng;

/// The format, for `--help`.
pub(crate) const FORMAT: &str = "\
A trace has one event a line: TIME NODE WHAT [WHERE]. # begins a comment.

  TIME   seconds from the start, with a fraction if wanted; lines need not be in order
  NODE   number of the mobile node, from 0
  WHAT   register    begin to be registered at WHERE
         move        register at another place, WHERE
         renew       register again where it is
         deregister  give the registration up where it is
         home        tell the home agent that it is at home again
  WHERE  number of a foreign agent from 0 (2 or fa2), or `own` for a care-of address of its own behind a NAT

Example:
  # two nodes; node 1 moves to an address of its own and goes home
  0.0   0 register 0
  0.0   1 register fa1
  2.5   1 move     own
  4     0 renew
  6.25  1 home
  7     0 deregister";

/// The longest trace in seconds: a day.
const LONGEST: f64 = 86_400.0;
/// The highest number of a node.
const HIGHEST_NODE: u32 = 999_999;
/// The highest number of a foreign agent.
const HIGHEST_AGENT: u16 = 199;

/// A place away from home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// At the foreign agent of this number.
    Agent(u16),
    /// With a care-of address of its own.
    Own,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Register(Place),
    Move(Place),
    Renew,
    Deregister,
    Home,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Event {
    /// Seconds from the start.
    pub(crate) at: f64,
    pub(crate) node: u32,
    pub(crate) what: What,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&path.display().to_string(), &text)
}

/// Reads a text, in the order of times; `name` stands in errors.
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let event = parse_line(line).with_context(|| format!("{name}, line {}", number + 1))?;
        events.extend(event);
    }
    if events.is_empty() {
        bail!("{name} has no events: one a line, TIME NODE WHAT [WHERE]");
    }
    // Events of one time keep the order of their lines.
    events.sort_by(|a, b| a.at.total_cmp(&b.at));
    check_story(name, &events)?;
    Ok(events)
}

fn parse_line(line: &str) -> Result<Option<Event>> {
    let line = line.split_once('#').map_or(line, |(before, _)| before);
    let mut words = line.split_whitespace();
    let Some(time) = words.next() else {
        return Ok(None);
    };
    let at = time.parse::<f64>().ok().filter(|at| (0.0..=LONGEST).contains(at));
    let at = at.with_context(|| {
        format!("{time:?} is no time: seconds from the start, 0 to {LONGEST}, as in 12.5")
    })?;
    let node = words.next().context("no node: TIME NODE WHAT [WHERE]")?;
    let node = node
        .parse::<u32>()
        .ok()
        .filter(|node| *node <= HIGHEST_NODE)
        .with_context(|| format!("{node:?} is no node: a number from 0 to {HIGHEST_NODE}"))?;
    let what = words.next().context("no event: register, move, renew, deregister or home")?;
    let mut place = || {
        let place = words
            .next()
            .with_context(|| format!("{what} needs a place: the number of a foreign agent from 0, or own"))?;
        parse_place(place)
    };
    let what = match what {
        "register" => What::Register(place()?),
        "move" => What::Move(place()?),
        "renew" => What::Renew,
        "deregister" => What::Deregister,
        "home" => What::Home,
        _ => bail!("{what:?} is no event: register, move, renew, deregister or home"),
    };
    if let Some(more) = words.next() {
        bail!("{more:?} is too much here: TIME NODE WHAT [WHERE], and WHERE only with register and move");
    }
    Ok(Some(Event { at, node, what }))
}

fn parse_place(text: &str) -> Result<Place> {
    if text == "own" {
        return Ok(Place::Own);
    }
    let number = text.strip_prefix("fa").unwrap_or(text).parse::<u16>();
    number.ok().filter(|number| *number <= HIGHEST_AGENT).map(Place::Agent).with_context(|| {
        format!("{text:?} is no place: a foreign agent from 0 to {HIGHEST_AGENT}, as in 2 or fa2, or own")
    })
}

/// A node that is nowhere cannot renew or leave.
fn check_story(name: &str, events: &[Event]) -> Result<()> {
    let mut away = BTreeMap::new();
    for Event { at, node, what } in events {
        let is_away = away.get(node).copied().unwrap_or(false);
        let (word, needs) = match what {
            What::Register(_) => ("register", false),
            What::Move(_) => ("move", true),
            What::Renew => ("renew", true),
            What::Deregister => ("deregister", true),
            What::Home => ("home", false),
        };
        if needs && !is_away {
            bail!("{name}: node {node} cannot {word} at {at} s: it is not registered then");
        }
        away.insert(*node, matches!(what, What::Register(_) | What::Move(_) | What::Renew));
    }
    Ok(())
}

/// What a random trace is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random {
    pub(crate) nodes: u32,
    pub(crate) agents: u16,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    /// Events a second after everybody is registered.
    pub(crate) rate: f64,
}

impl Random {
    /// The text of a trace: all register within the first tenth, then random ones move, renew, leave or go home and
    /// come back. A node keeps two seconds between its events. The same numbers give the same text.
    pub(crate) fn write(&self) -> String {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        let mut rng = Rng::from_seed(seed);
        let Self { nodes, seconds, rate, .. } = *self;
        let mut text = format!(
            "# {nodes} mobile nodes, {} foreign agents, {seconds} s, seed {}\n",
            self.agents, self.seed
        );
        let mut away: Vec<Option<Place>> = Vec::new();
        let mut free: Vec<f64> = Vec::new();
        for node in 0..nodes {
            let at = seconds * 0.1 * f64::from(node) / f64::from(nodes);
            let place = self.place(&mut rng, None);
            let _ = writeln!(text, "{at:.3} {node} register {}", word(place));
            away.push(Some(place));
            free.push(at + 2.0);
        }
        let mut at = seconds * 0.1;
        loop {
            at += 1.0 / rate;
            if at > seconds {
                return text;
            }
            let chosen = rng.below(u64::from(nodes)) as usize;
            if free[chosen] > at {
                continue;
            }
            free[chosen] = at + 2.0;
            let event = match (away[chosen], rng.below(100)) {
                (Some(place), 0..70) => {
                    let to = self.place(&mut rng, Some(place));
                    away[chosen] = Some(to);
                    format!("move {}", word(to))
                }
                (Some(_), 70..90) => "renew".to_owned(),
                (Some(_), 90..95) => {
                    away[chosen] = None;
                    "deregister".to_owned()
                }
                (Some(_), _) => {
                    away[chosen] = None;
                    "home".to_owned()
                }
                (None, _) => {
                    let to = self.place(&mut rng, None);
                    away[chosen] = Some(to);
                    format!("register {}", word(to))
                }
            };
            let _ = writeln!(text, "{at:.3} {chosen} {event}");
        }
    }

    /// Another place than `not`: nine of ten times a foreign agent.
    fn place(&self, rng: &mut Rng, not: Option<Place>) -> Place {
        loop {
            let own = rng.below(10) == 0;
            let place = if own { Place::Own } else { Place::Agent(rng.below(u64::from(self.agents)) as u16) };
            if Some(place) != not {
                return place;
            }
        }
    }
}

fn word(place: Place) -> String {
    match place {
        Place::Agent(number) => format!("fa{number}"),
        Place::Own => "own".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        format!("{:#}", parse("x.trace", text).unwrap_err())
    }

    #[test]
    fn the_example_of_the_help_is_a_trace() {
        let (_, example) = FORMAT.split_once("Example:\n").unwrap();
        let events = parse("help", example).unwrap();
        assert_eq!(events.len(), 6);
        assert_eq!(events[1], Event { at: 0.0, node: 1, what: What::Register(Place::Agent(1)) });
        assert_eq!(events[2].what, What::Move(Place::Own));
        assert_eq!(events[5], Event { at: 7.0, node: 0, what: What::Deregister });
    }

    #[test]
    fn times_need_no_order_and_equal_ones_keep_theirs() {
        let events = parse("x", "2 0 renew\n1 0 register 1 # first\n\n2 0 move 2\n").unwrap();
        let whats: Vec<What> = events.iter().map(|event| event.what).collect();
        assert_eq!(whats, [What::Register(Place::Agent(1)), What::Renew, What::Move(Place::Agent(2))]);
    }

    #[test]
    fn every_bad_line_is_named_with_what_is_allowed() {
        for (line, named) in [
            ("x 0 register 0", "is no time"),
            ("-1 0 register 0", "is no time"),
            ("nan 0 register 0", "is no time"),
            ("inf 0 register 0", "is no time"),
            ("86401 0 register 0", "0 to 86400"),
            ("1", "no node"),
            ("1 a register 0", "is no node"),
            ("1 -1 register 0", "is no node"),
            ("1 1000000 register 0", "0 to 999999"),
            ("1 0", "no event"),
            ("1 0 roam 0", "register, move, renew, deregister or home"),
            ("1 0 register", "needs a place"),
            ("1 0 move # to nowhere", "needs a place"),
            ("1 0 register 200", "0 to 199"),
            ("1 0 register fa", "is no place"),
            ("1 0 register home", "is no place"),
            ("1 0 register 0 0", "too much"),
            ("1 0 renew 0", "too much"),
        ] {
            let said = refusal(&format!("# a comment\n0 5 register 0\n{line}\n"));
            assert!(said.contains("x.trace, line 3") && said.contains(named), "{line}: {said}");
        }
    }

    #[test]
    fn a_node_that_is_nowhere_cannot_leave_or_renew() {
        for story in ["1 3 renew", "1 3 move 0", "1 3 deregister", "0 3 register 0\n1 3 home\n2 3 renew"] {
            let said = refusal(story);
            assert!(said.contains("node 3 cannot"), "{said}");
        }
        assert!(refusal("# nothing\n").contains("no events"));
    }

    #[test]
    fn a_random_trace_is_a_trace_and_the_same_for_the_same_seed() {
        let random = Random { nodes: 20, agents: 3, seed: 7, seconds: 60.0, rate: 10.0 };
        let text = random.write();
        let events = parse("random", &text).unwrap();
        assert!(events.len() > 100, "{}", events.len());
        assert_eq!(text, random.write());
        assert_ne!(text, Random { seed: 8, ..random }.write());
        for wanted in ["move own", "renew", "deregister", "home"] {
            assert!(text.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let mut rng = Rng::from_seed([9; 32]);
        let good = Random { nodes: 5, agents: 2, seed: 1, seconds: 20.0, rate: 5.0 }.write();
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..3000 {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.array::<1>()[0],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"0 \n#fa.own-e\xff\xc3"[rng.below(13) as usize]),
                }
            }
            match parse("x", &String::from_utf8_lossy(&bytes)) {
                Ok(events) => {
                    accepted += 1;
                    assert!(events.iter().all(|it| (0.0..=LONGEST).contains(&it.at)));
                    assert!(events.is_sorted_by(|a, b| a.at <= b.at));
                }
                Err(_) => refused += 1,
            }
        }
        assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
    }
}
