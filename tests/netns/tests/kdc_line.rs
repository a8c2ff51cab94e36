//! A line to the key distribution centre that is refused, silent, slow, late or cut in the middle of a message: nobody is
//! bound without keys, who is bound stays so, and it mends by itself.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    thread,
};

use netns_tests::{Testbed, text, told::Told};

/// Where the key distribution centre of the scenario listens, and where the home agent looks for it in its place.
const CENTRE: &str = "10.11.1.3:7443";
const NEAR: &str = "127.0.0.1:7443";
const HOME: &str = "10.11.1.50";

/// A proxy between the home agent and the key distribution centre.
struct Line {
    proxy: Child,
    says: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Line {
    /// Puts it there; the home agent is started again.
    fn tapped(testbed: &Testbed) -> Self {
        let words = ["exec", "ha", "--", env!("CARGO_BIN_EXE_netns-proxy"), NEAR, CENTRE];
        let mut command = testbed.command(&words);
        let mut proxy = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(proxy.stdout.take().unwrap()).lines();
        let mut line = Self { says: proxy.stdin.take().unwrap(), proxy, answers };
        line.await_answer("ready");
        let file = testbed.folder("ha").join("home-agent.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(CENTRE), "{text}");
        fs::write(&file, text.replace(CENTRE, NEAR)).unwrap();
        testbed.run(&["kill", "ha"]).unwrap();
        testbed.run(&["start", "ha"]).unwrap();
        line
    }

    fn await_answer(&mut self, wanted: &str) {
        assert_eq!(self.answers.next().expect("the proxy runs").unwrap(), wanted);
    }

    fn make(&mut self, mode: &str) {
        writeln!(self.says, "{mode}").unwrap();
        self.await_answer(mode);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

fn bindings(testbed: &Testbed) -> Vec<String> {
    testbed.bindings("ha").unwrap()
}

fn last_event(testbed: &Testbed) -> u64 {
    testbed
        .sojourn("ha", &["ha", "events"])
        .unwrap()
        .iter()
        .map(|event| event["number"].as_u64().unwrap())
        .max()
        .unwrap_or(0)
}

fn denied(testbed: &Testbed) -> u64 {
    let status = testbed.sojourn("ha", &["ha", "status"]).unwrap().remove(0);
    status["counters"]["key distribution centre unavailable"].as_u64().unwrap_or(0)
}

/// Moves the node over a line that is bad until a denial has been told with these words; nothing may have changed by
/// then, and the node finds its way once the line is good again.
fn denied_until_it_is_mended(testbed: &Testbed, line: &mut Line, to: &str, bad: &str, words: &str) {
    let before = bindings(testbed);
    let mut told = Told::by(testbed, "ha", "ha");
    let last = last_event(testbed);
    line.make(bad);
    thread::scope(|scope| {
        let arrived = scope.spawn(|| testbed.run(&["move", "mn", "--to", to]));
        told.wait_for_after(last, words);
        assert_eq!(bindings(testbed), before, "{bad}: what was bound stays, and nothing else is");
        assert!(!arrived.is_finished(), "{bad}");
        line.make("pass");
        arrived.join().unwrap().unwrap();
    });
    registered(testbed, to);
}

/// Moves the node over a line that is bad in a way that nobody is denied for.
fn nobody_notices(testbed: &Testbed, line: &mut Line, to: &str, bad: &str) {
    let before = denied(testbed);
    line.make(bad);
    testbed.run(&["move", "mn", "--to", to]).unwrap();
    assert_eq!(denied(testbed), before, "{bad}");
    line.make("pass");
    registered(testbed, to);
}

fn registered(testbed: &Testbed, link: &str) {
    let node = testbed.node("mn").unwrap();
    assert_eq!((text(&node["state"]), text(&node["link"])), ("registered", link));
    assert_eq!(bindings(testbed), [text(&node["care_of"])]);
    testbed.run(&["exec", "cn", "--", env!("CARGO_BIN_EXE_netns-reach"), HOME, "10"]).unwrap();
}

#[test]
fn a_bad_line_to_the_kdc_binds_nobody_and_unbinds_nobody() {
    let testbed = Testbed::new().unwrap();
    testbed.run(&["up".as_ref(), Testbed::scenarios().join("10-walk.toml").as_os_str()]).unwrap();
    let mut line = Line::tapped(&testbed);
    testbed.run(&["move", "mn", "--to", "visited-a"]).unwrap();
    registered(&testbed, "visited-a");

    denied_until_it_is_mended(&testbed, &mut line, "visited-b", "refuse", "no keys: ");
    denied_until_it_is_mended(&testbed, &mut line, "visited-a", "hold", "no keys: no answer within 3 s");
    // What was held has gone through by now: an answer that nobody waits for any more changes nothing.
    denied_until_it_is_mended(&testbed, &mut line, "visited-b", "slow 3500", "no keys: no answer within 3 s");
    nobody_notices(&testbed, &mut line, "visited-a", "slow 300");
    // In the middle of an answer: the question is asked once more, and gets the same keys.
    nobody_notices(&testbed, &mut line, "visited-b", "cut 40");
    nobody_notices(&testbed, &mut line, "visited-a", "cut 1");

    // Who is bound needs no centre.
    line.make("refuse");
    registered(&testbed, "visited-a");
    testbed.run(&["down"]).unwrap();
}
