//! `kill -9` of every daemon at random moments: nothing that was acknowledged is lost, and traffic comes back by itself.
//!
//! `SOJOURN_KILLS=200` kills so many times, half of them under load and half in a network of real mobile nodes and
//! foreign agents; `SOJOURN_SEED=N` throws the same dice again.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::Duration,
};

use netns_tests::{
    Testbed,
    dice::{Dice, given},
    text,
};
use serde_json::{Value, json};

/// How many kills there are in all, if nothing is said.
const FEW: u64 = 24;

fn half() -> u64 {
    given("SOJOURN_KILLS", FEW).div_ceil(2)
}

#[test]
fn kills_of_home_agent_and_kdc_under_load_lose_nothing_that_was_acknowledged() {
    let testbed = Testbed::new().unwrap();
    let seed = Dice::thrown().seed.to_string();
    let (kills, file) = (half().to_string(), testbed.results().join("kills.json"));
    let place = testbed.runtime().join("load");
    let output = testbed
        .command(&[
            "load",
            "--nodes",
            "100",
            "--in-flight",
            "24",
            "--kills",
            &kills,
            "--seed",
            &seed,
            "--json",
        ])
        .arg(&file)
        .arg("--directory")
        .arg(&place)
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    let verdict: Vec<&str> = said.lines().filter(|line| !line.contains("in flight")).collect();
    println!("{}", verdict.join("\n"));
    assert!(output.status.success(), "seed {seed}: {said}");
    let figures: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}"));
    let told = &figures["kills"];
    assert_eq!(told["faults"], json!([]));
    assert!(number(told, "home_agent") + number(told, "kdc") >= half());
    assert!(number(told, "grants_compared") >= 200, "everybody registered twice at least: {told}");
    assert!(number(told, "replayed") > 0 || number(told, "home_agent") == 0, "{told}");
    assert_eq!(number(&figures, "registered"), 100);
    assert_eq!(number(&figures, "bindings"), 100);
    assert_eq!(number(&figures, "unreachable"), 0);
    let again = figures["phases"].as_array().unwrap().last().unwrap();
    assert_eq!((number(again, "accepted"), number(again, "denied")), (100, 0), "by everybody's own keys");
}

/// A network of real daemons with a few mobile nodes that can be anywhere.
struct Crowd {
    testbed: Testbed,
    nodes: Vec<String>,
}

const LINKS: [&str; 4] = ["home", "visited-a", "visited-b", "visited-c"];
const NODES: usize = 3;

impl Crowd {
    fn up() -> Self {
        let testbed = Testbed::new().unwrap();
        let whole = fs::read_to_string(Testbed::scenarios().join("90-fifty-nodes.toml")).unwrap();
        let few = whole.replace("count = 50", &format!("count = {NODES}"));
        assert_ne!(few, whole);
        let file = testbed.results().join("crowd.toml");
        fs::write(&file, few).unwrap();
        testbed.run(&["up".as_ref(), file.as_os_str()]).unwrap();
        Self { testbed, nodes: (1..=NODES).map(|number| format!("mn{number}")).collect() }
    }

    /// What `sojourn` lists at a node, by one field of each line.
    fn list(&self, node: &str, words: &[&str], key: &str) -> BTreeMap<String, Value> {
        let rows = self.testbed.sojourn(node, words).unwrap();
        let name = |row: &Value| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
        rows.into_iter().map(|row| (name(&row), row)).collect()
    }

    /// What must hold whenever nobody moves.
    fn nothing_is_lost(&self, before: &mut Kept) {
        let bindings = self.list("ha", &["ha", "bindings"], "home_address");
        let mut away = 0;
        for name in &self.nodes {
            let node = self.testbed.node(name).unwrap();
            let home = text(&node["address"]);
            let reach = ["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-reach"), home, "20"];
            self.testbed.run(&reach).unwrap_or_else(|error| panic!("{node}: {error:#}"));
            let care_of = bindings.get(home).map(|binding| text(&binding["care_of"]));
            match text(&node["state"]) {
                "at home" => assert_eq!(care_of, None, "{node}"),
                _ => {
                    away += 1;
                    assert_eq!(care_of, Some(text(&node["care_of"])), "{node}");
                }
            }
        }
        assert_eq!(bindings.len(), away);
        before.compare(self);
    }
}

/// What the key distribution centre had at the last look.
#[derive(Default)]
struct Kept {
    audit: BTreeMap<String, Value>,
    grants: BTreeSet<String>,
}

impl Kept {
    fn compare(&mut self, crowd: &Crowd) {
        let audit = crowd.list("kdc", &["kdc", "audit"], "number");
        for (number, entry) in &self.audit {
            assert_eq!(audit.get(number), Some(entry));
        }
        assert!((1..=audit.len()).all(|number| audit.contains_key(&number.to_string())), "{audit:?}");
        let grants = crowd.list("kdc", &["kdc", "associations", "--all"], "id");
        let grants: BTreeSet<String> = grants.into_keys().collect();
        assert!(self.grants.is_subset(&grants), "{:?} and {grants:?}", self.grants);
        assert!(grants.iter().all(|id| audit.contains_key(id)), "{grants:?}");
        (self.audit, self.grants) = (audit, grants);
    }
}

#[test]
fn kills_of_every_daemon_while_nodes_move_leave_everybody_reachable() {
    let mut dice = Dice::thrown();
    let seed = dice.seed;
    println!("SOJOURN_SEED={seed}");
    let crowd = Crowd::up();
    let mut kept = Kept::default();
    let mut links: BTreeMap<String, &str> = crowd.nodes.iter().map(|name| (name.clone(), "home")).collect();
    let mut killed: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0..half() {
        let mover = dice.one(&crowd.nodes).clone();
        let elsewhere: Vec<&str> = LINKS.into_iter().filter(|link| *link != links[&mover]).collect();
        let to = *dice.one(&elsewhere);
        // Each kind in turn, so that few kills meet all of them.
        let victim = match number % 4 {
            0 => "ha".to_owned(),
            1 => (*dice.one(&["fa-a", "fa-b"])).to_owned(),
            2 => dice.one(&crowd.nodes).clone(),
            _ => "kdc".to_owned(),
        };
        let moment = Duration::from_millis(dice.below(250));
        let what = format!("seed {seed}, kill {number}: {victim} {moment:?} after {mover} left for {to}");
        println!("{what}");
        thread::scope(|scope| {
            let arrived = scope.spawn(|| crowd.testbed.run(&["move", &mover, "--to", to]));
            // No synchronisation: the moment may be any.
            thread::sleep(moment);
            crowd.testbed.run(&["kill", &victim]).unwrap_or_else(|error| panic!("{what}: {error:#}"));
            crowd.testbed.run(&["start", &victim]).unwrap_or_else(|error| panic!("{what}: {error:#}"));
            let arrived = arrived.join().unwrap();
            // Of a node that is killed on its way nobody can say that it arrived; that it is there now, below.
            assert!(arrived.is_ok() || victim == mover, "{what}: {arrived:?}");
        });
        links.insert(mover.clone(), to);
        assert_eq!(crowd.testbed.node(&mover).unwrap()["link"], to, "{what}");
        crowd.nothing_is_lost(&mut kept);
        *killed.entry(victim).or_default() += 1;
    }
    println!("killed: {killed:?}; {} grants, {} audit entries", kept.grants.len(), kept.audit.len());
    crowd.testbed.run(&["down"]).unwrap();
}
