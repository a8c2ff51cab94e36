//! What was drawn so far, and how much of it is malformed.

use std::{fmt, mem};

use crate::failure::Failure;

/// Columns for the place of a field in its message.
const PLACE: usize = 6;

/// Lines that wait to be written, and the count of messages.
pub(super) struct Page {
    /// Enterprise number of our extensions.
    pub(super) vendor: u32,
    lines: Vec<String>,
    messages: usize,
    malformed: usize,
    /// Whether the last message was found malformed already.
    faulty: bool,
}

impl Page {
    pub(super) const fn new(vendor: u32) -> Self {
        Self { vendor, lines: Vec::new(), messages: 0, malformed: 0, faulty: false }
    }

    /// Begins a message.
    pub(super) fn message(&mut self, what: impl fmt::Display) {
        if self.messages > 0 {
            self.lines.push(String::new());
        }
        self.messages += 1;
        self.faulty = false;
        self.lines.push(what.to_string());
    }

    /// A field with its place in the message, in bytes.
    pub(super) fn field(&mut self, at: usize, what: impl fmt::Display) {
        self.lines.push(format!("{at:>PLACE$}  {what}"));
    }

    /// More about the field above, of one line or several.
    pub(super) fn below(&mut self, what: impl fmt::Display) {
        let what = what.to_string();
        self.lines.extend(what.lines().map(|line| format!("{:PLACE$}    {line}", "")));
    }

    /// What is wrong with the message, and with which of its bytes.
    pub(super) fn fault(&mut self, at: usize, why: impl fmt::Display) {
        self.field(at, format!("MALFORMED: {why}"));
        if !mem::replace(&mut self.faulty, true) {
            self.malformed += 1;
        }
    }

    /// True if something was wrong with the message drawn last.
    pub(super) const fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// How many messages were drawn.
    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    /// Hands over the lines drawn so far.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&str)) {
        self.lines.drain(..).for_each(|line| write(&line));
    }

    /// # Errors
    /// [`Failure::Refused`] if a message was malformed.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match (self.malformed, self.messages) {
            (0, _) => Ok(()),
            (_, 1) => Err(Failure::Refused("the message is malformed".to_owned())),
            (malformed, messages) => {
                Err(Failure::Refused(format!("{malformed} of {messages} messages malformed")))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// Text out of a message, with nothing in it that a terminal obeys.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).escape_debug().to_string()
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
