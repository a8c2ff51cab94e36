//! One registration in the logs of everybody who takes part in it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use netns_tests::Testbed;

/// Every log below a folder, with its name.
fn logs(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| match path.is_dir() {
        true => logs(&path),
        false if path.extension().is_some_and(|end| end == "log") => {
            let text = fs::read_to_string(&path).unwrap();
            vec![(path, text)]
        }
        false => Vec::new(),
    });
    below.collect()
}

/// What is named in lines with these words.
fn traces(text: &str, words: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.contains(words));
    let named = lines.filter_map(|line| line.split_once("trace=").map(|(_, rest)| rest));
    named.map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).collect()).collect()
}

#[test]
fn one_name_follows_a_registration_through_four_logs_and_no_other_registration() {
    let testbed = Testbed::new().unwrap();
    let file = Testbed::scenarios().join("10-walk.toml");
    testbed.run(&["up", file.to_str().unwrap()]).unwrap();
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    testbed.run(&["move", "mn", "--to", "visited-b"]).unwrap();
    let logs = logs(testbed.runtime());
    let log = |node: &str, program: &str| -> String {
        let end = Path::new(node).join(program).with_extension("log");
        logs.iter().find(|(path, _)| path.ends_with(&end)).unwrap().1.clone()
    };
    let (_, kdc) = logs.iter().find(|(path, _)| path.ends_with("kdc.log")).unwrap();
    let (home_agent, node) = (log("ha", "home-agent"), log("mn", "mobile-node"));
    let mut seen = BTreeSet::new();
    for visited in ["fa-a", "fa-b"] {
        let visitors = traces(&log(visited, "foreign-agent"), "visitor_added");
        let [trace] = &visitors[..] else { panic!("{visited}: {visitors:?}") };
        assert_eq!(trace.len(), 32);
        assert!(traces(&node, "\"registered\"").contains(trace), "{node}");
        assert!(traces(&home_agent, "binding_added").contains(trace), "{home_agent}");
        assert!(traces(kdc, "keys issued").contains(trace), "{kdc}");
        assert!(seen.insert(trace.clone()), "two registrations have one name");
    }
    // At a foreign agent nothing above DEBUG tells who it was.
    let agent = log("fa-a", "foreign-agent");
    assert!(!agent.contains("10.11.1.50") && !agent.contains("traveller"), "{agent}");
    testbed.run(&["down"]).unwrap();
}
