//! A mobile node that shares nothing with ours, written in Python from docs/wire.md, roams through our agents.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use netns_tests::{Testbed, text};
use serde_json::Value;

/// The Python of the interoperability tests, if it is there and can run the node.
fn python() -> Option<PathBuf> {
    let own = env::current_exe().unwrap();
    let python = own.ancestors().nth(3)?.join("interop-venv/bin/python");
    let needed = "import tomllib, cryptography.hazmat.primitives.asymmetric.x25519";
    Command::new(&python)
        .args(["-c", needed])
        .output()
        .is_ok_and(|out| out.status.success())
        .then_some(python)
}

/// One run of the node in the place of ours.
struct Node<'a> {
    testbed: &'a Testbed,
    python: PathBuf,
}

impl Node<'_> {
    /// Puts its cable elsewhere. Our daemon is stopped, so nobody says that it is registered.
    fn move_to(&self, link: &str) {
        self.testbed.attempt(&["move", "mn", "--to", link]).unwrap();
        assert_eq!(self.testbed.node("mn").unwrap()["link"], link);
    }

    fn run(&self, what: &str) -> Value {
        let folder = self.testbed.runtime().join("sojourn-testbed/default/nodes/mn");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/mobile_node.py");
        let (enrolment, state) = (folder.join("mn.enrolment.toml"), folder.join("python.json"));
        let words = ["exec", "mn", "--"].map(PathBuf::from);
        let program = [self.python.clone(), script, enrolment, state, "eth0".into(), what.into()];
        let said = self.testbed.run(&[&words[..], &program[..]].concat()).unwrap();
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("no answer: {said}"))
    }

    /// What `sojourn` lists, each row by one of its fields.
    fn listed(&self, agent: &str, words: [&str; 2], field: &str) -> Vec<String> {
        let said = [&["exec", agent, "--", "sojourn", "--json"][..], &words].concat();
        let said = self.testbed.run(&said).unwrap();
        let values = serde_json::Deserializer::from_str(&said).into_iter::<Value>().map(Result::unwrap);
        let rows = values.flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value]));
        rows.map(|row| text(&row[field]).to_owned()).collect()
    }
}

#[test]
fn a_node_of_another_make_registers_roams_and_leaves() {
    let Some(python) = python() else {
        eprintln!(
            "SKIPPED: a mobile node in Python (no Python 3.11 with cryptography: see tests/interop/install-peers.sh)"
        );
        return;
    };
    let testbed = Testbed::new().unwrap();
    testbed.run(&["up".as_ref(), Testbed::scenarios().join("10-walk.toml").as_os_str()]).unwrap();
    testbed.run(&["kill", "mn"]).unwrap();
    let node = Node { testbed: &testbed, python };

    // It knows none of the numbers that our daemon used before it: the realm's key leads back.
    node.move_to("visited-a");
    let first = node.run("register");
    assert_eq!((&first["by_realm_key"], &first["agent"]), (&true.into(), &"fa-a@visited-a.example".into()));
    assert_eq!(first["home_address"], "10.11.1.50");
    assert_eq!(node.listed("ha", ["ha", "bindings"], "care_of"), ["10.51.1.2"]);
    assert_eq!(node.listed("fa-a", ["fa", "visitors"], "home_address"), ["10.11.1.50"]);

    // It roams, under one-time indices from here on.
    node.move_to("visited-b");
    let second = node.run("register");
    assert_eq!((&second["by_realm_key"], &second["care_of"]), (&false.into(), &"10.52.1.2".into()));
    assert_ne!(second["visit_name"], first["visit_name"]);
    assert_eq!(node.listed("ha", ["ha", "bindings"], "care_of"), ["10.52.1.2"]);

    // It renews with the proof of the KEY 3 that it has, and leaves by it.
    let renewed = node.run("register");
    assert_ne!(renewed["visit_name"], second["visit_name"]);
    assert_eq!(node.listed("fa-b", ["fa", "visitors"], "home_address"), ["10.11.1.50"]);
    let left = node.run("deregister");
    assert_eq!((&left["code"], &left["lifetime"]), (&0.into(), &0.into()));
    assert!(node.listed("ha", ["ha", "bindings"], "care_of").is_empty());
    assert!(node.listed("fa-b", ["fa", "visitors"], "home_address").is_empty());
}
