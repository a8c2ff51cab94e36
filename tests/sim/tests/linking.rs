//! What a recording of many visits tells about who they were.
//!
//! A node is followed by what stays the same at a place of its messages and differs from node to node. So two worlds are
//! compared that differ in nothing but which node roams: whatever repeats there at one place is the protocol's, the
//! agents' or the clock's, and names nobody. What routing needs is not looked at: the link address in the header of a
//! frame, and the addresses and ports between the agents.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use sim::{Action, Inform, Offer, Place, Plan, Policies, Recorded, Way, Weather};

const REGISTRATIONS: usize = 10_000;
const AGENTS: usize = 20;

/// One of three nodes walks over all agents again and again, the others stay at home. The third one names itself by a
/// static index.
fn roaming(node: usize) -> Vec<Recorded> {
    let step = Duration::from_millis(900);
    let at = |n: usize| Duration::from_secs(10) + step * u32::try_from(n).unwrap();
    let to = |n| Action::Move(node, Place::Visited(n % AGENTS));
    let plan = Plan {
        mobile_nodes: 3,
        foreign_agents: AGENTS,
        home_agents: 1,
        home: Offer::default(),
        offers: vec![],
        wishes: vec![],
        policies: Policies::default(),
        lifetime: 600,
        simultaneous: 0,
        unnumbered: 0,
        weather: Weather { loss: 0, duplicates: 0, delay: Duration::from_millis(2) },
        inform: Inform::Always,
        actions: (0..REGISTRATIONS).map(|n| (at(n), to(n))).collect(),
        calm: at(REGISTRATIONS),
        end: at(REGISTRATIONS) + Duration::from_secs(5),
    };
    let (recorded, broken) = sim::record(plan, 7);
    assert_eq!(broken, None);
    recorded
}

static FIRST: LazyLock<Vec<Recorded>> = LazyLock::new(|| roaming(0));

/// How often each string of four bytes stands at each place of the messages that go one way.
type Strings = HashMap<(usize, [u8; 4]), usize>;

fn strings(recorded: &[Recorded], way: Way) -> Strings {
    let mut strings = Strings::new();
    for message in recorded.iter().filter(|message| message.way == way) {
        for (place, four) in message.bytes.windows(4).enumerate() {
            *strings.entry((place, four.try_into().unwrap())).or_default() += 1;
        }
    }
    strings
}

/// Strings that repeat for one node more than chance allows, and not for the other: way, place, bytes, how often.
fn naming(one: &[Recorded], other: &[Recorded]) -> Vec<(Way, usize, [u8; 4], usize)> {
    let mut found = Vec::new();
    for way in [Way::FromMobileNode, Way::ToMobileNode, Way::ToHomeAgent, Way::FromHomeAgent] {
        let (mine, theirs) = (strings(one, way), strings(other, way));
        for ((place, four), count) in mine {
            let others = theirs.get(&(place, four)).copied().unwrap_or_default();
            // Two random bytes among four make strings that come up to five times in ten thousand by chance, one random
            // byte some that come forty times, for this node as for that. An index that is shown at two places only is
            // found by the model of the simulator.
            let most = 12 + 4 * others;
            if count > most {
                found.push((way, place, four, count));
            }
        }
    }
    found
}

#[test]
fn ten_thousand_registrations_over_twenty_agents_name_nobody() {
    let (one, other) = (&*FIRST, &roaming(1));
    for way in [Way::FromMobileNode, Way::ToMobileNode, Way::ToHomeAgent, Way::FromHomeAgent] {
        let count = one.iter().filter(|message| message.way == way).count();
        assert!(count >= REGISTRATIONS, "{way:?}: {count} messages are too few to tell");
    }
    assert_eq!(naming(one, other), []);
    assert_eq!(naming(other, one), []);
}

/// The instrument works: a static index is found where it stands.
#[test]
fn a_static_index_names_its_node() {
    let found = naming(&roaming(2), &FIRST);
    // The agents' names have two lengths, so an index behind them has two places.
    for way in [Way::FromMobileNode, Way::ToMobileNode, Way::ToHomeAgent, Way::FromHomeAgent] {
        assert!(found.iter().any(|(of, _, _, count)| *of == way && *count >= REGISTRATIONS / 3), "{way:?}");
    }
}
