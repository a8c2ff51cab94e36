//! Standard output: tables with aligned columns for people, JSON for programs.

use std::{
    io::{self, Write as _},
    process,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Writes one line. A reader that closed the pipe has seen enough, and the command ends without complaint.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        process::exit(0);
    }
}

/// Writes a line to standard error, for a person to think about.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "sojourn: warning: {text}");
}

/// Shows how far a long transfer is, on standard error if that is a terminal. `length` in octets, if known.
pub(crate) fn progress(length: Option<u64>) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = match length {
        Some(_) => "{bar:30} {binary_bytes}/{binary_total_bytes} {eta}",
        None => "{spinner} {human_pos} entries",
    };
    // A template that cannot be read leaves the plain bar.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Shows how many of a number of things are done, on standard error if that is a terminal.
pub(crate) fn counting(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Writes a JSON value over several lines.
pub(crate) fn json_value(value: &Value) {
    line(&format!("{value:#}"));
}

/// Rows under headings, each column as wide as its widest cell.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell a heading; an empty cell shows as `-`.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.headings.len());
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// Writes it, or the sentence `if_empty` when there is no row.
    pub(crate) fn print(&self, if_empty: &str) {
        if self.rows.is_empty() {
            line(if_empty);
        } else {
            line(&self.render());
        }
    }

    fn render(&self) -> String {
        let headings: Vec<String> = self.headings.iter().map(|&heading| heading.to_owned()).collect();
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let cells = self.rows.iter().chain([&headings]).filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let lines: Vec<String> =
            [&headings].into_iter().chain(&self.rows).map(|row| aligned(row, &widths)).collect();
        lines.join("\n")
    }
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

/// Writes names and values below each other, the values aligned.
pub(crate) fn facts(facts: &[(&str, String)]) {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in facts {
        line(&format!("{name:<width$}  {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "LEFT"]);
        table.row(vec!["a".to_owned(), "9m 41s".to_owned()]);
        table.row(vec!["longer name".to_owned(), String::new()]);
        assert_eq!(table.render(), "NAME         LEFT\na            9m 41s\nlonger name  -");
    }
}
