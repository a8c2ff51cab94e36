//! What a daemon tells whoever follows its events.

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;

use crate::{Testbed, text};

/// The events of one daemon.
#[derive(Debug)]
pub struct Told {
    follower: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Told {
    /// Follows a node's daemon; `role` is the word of `sojourn`: `ha`, `fa` or `mn`.
    ///
    /// # Panics
    /// If it cannot be asked.
    #[must_use]
    pub fn by(testbed: &Testbed, node: &str, role: &str) -> Self {
        let words = ["exec", node, "--", "sojourn", "--json", role, "events", "--follow"];
        let mut command = testbed.command(&words);
        let mut follower = command.stdout(Stdio::piped()).spawn().expect("sojourn can be started");
        let lines = BufReader::new(follower.stdout.take().expect("it has an output")).lines();
        Self { follower, lines }
    }

    /// Waits for an event whose text has these words in it; those that it kept from before count as well.
    ///
    /// # Panics
    /// If the daemon ends before.
    pub fn wait_for(&mut self, words: &str) -> Value {
        self.wait_for_after(0, words)
    }

    /// Waits for such an event after the one of this number.
    ///
    /// # Panics
    /// If the daemon ends before.
    pub fn wait_for_after(&mut self, number: u64, words: &str) -> Value {
        loop {
            let line = self.lines.next().expect("the daemon runs").expect("lines of text");
            let event: Value = serde_json::from_str(&line).expect("an event");
            let new = event["number"].as_u64().expect("every event has a number") > number;
            if new && text(&event["text"]).contains(words) {
                return event;
            }
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.follower.kill();
        let _ = self.follower.wait();
    }
}
