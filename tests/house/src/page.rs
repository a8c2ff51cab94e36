//! Pages of tables that name the tests which show what they say.
//!
//! A test is named as *file*`::`*test* between backticks, the file by a short name; a table `name | file` says which file
//! each short name means.

use std::collections::{BTreeMap, BTreeSet};

use crate::text;

/// A table of a Markdown page.
pub struct Table {
    /// The cells of its first line, joined by ` | `.
    pub header: String,
    /// The cells of all lines below.
    pub rows: Vec<Vec<String>>,
}

/// The tables of a page, in order.
#[must_use]
pub fn tables(page: &str) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        let under_a_header = cells.iter().all(|cell| cell.chars().all(|c| c == '-'));
        match found.last_mut().filter(|_| inside) {
            None => found.push(Table { header: cells.join(" | "), rows: Vec::new() }),
            Some(_) if under_a_header => {}
            Some(table) => table.rows.push(cells),
        }
        inside = true;
    }
    found
}

/// The cells of a line of a table.
#[must_use]
pub fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// What stands between backticks.
pub fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Short name of the file and name of the test of every test that a cell names.
pub fn tests_named(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    code_spans(cell).filter_map(|span| span.split_once("::"))
}

/// The names of the functions with an attribute `#[test]` or `#[tokio::test…]` in a Rust file.
#[must_use]
pub fn tests_in(source: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            if marked {
                found.extend(rest.split(['(', '<']).next());
            }
            marked = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            marked = false;
        }
    }
    found
}

/// Files by short name.
#[derive(Default)]
pub struct Files(BTreeMap<String, String>);

impl Files {
    /// The header of the table that lists them.
    pub const HEADER: &str = "name | file";

    /// Takes a row of that table.
    ///
    /// # Panics
    /// If a name names two files.
    pub fn take(&mut self, cells: &[String]) {
        let plain = |cell: &String| cell.trim_matches('`').to_owned();
        let [name, file] = [plain(&cells[0]), plain(&cells[1])];
        assert!(self.0.insert(name.clone(), file).is_none(), "{name} names two files");
    }

    /// Whatever is wrong: names of tests that are in no such file, of files that are not listed, and files that no cell
    /// names. `cells` are those that name tests, each with the row it belongs to.
    #[must_use]
    pub fn faults<'a>(&self, cells: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let sources: BTreeMap<&str, String> =
            self.0.iter().map(|(name, file)| (name.as_str(), text(file.as_ref()))).collect();
        let tests: BTreeMap<&str, BTreeSet<&str>> =
            sources.iter().map(|(name, source)| (*name, tests_in(source))).collect();
        let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
        for (row, cell) in cells {
            for (file, test) in tests_named(cell) {
                used.insert(file);
                match tests.get(file) {
                    None => wrong.push(format!("{row}: {file} names no file")),
                    Some(there) if !there.contains(test) => {
                        wrong.push(format!("{row}: no test {test} in {}", self.0[file]));
                    }
                    Some(_) => {}
                }
            }
        }
        let unused = self.0.keys().filter(|file| !used.contains(file.as_str()));
        wrong.extend(unused.map(|file| format!("{file}: never used")));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found() {
        let source = "#[test]\nfn a() {}\n\nfn b() {}\n    #[tokio::test(flavor = \"x\")]\n    // why\n    async fn c() {}\n";
        assert_eq!(tests_in(source), BTreeSet::from(["a", "c"]));
    }

    #[test]
    fn tables_are_found() {
        let page = "| a | b |\n| --- | --- |\n| `x::y` | 1 |\n\n| name | file |\n| - | - |\ntext\n";
        let found = tables(page);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].header.as_str(), found[0].rows.len()), ("a | b", 1));
        assert_eq!(tests_named(&found[0].rows[0][0]).collect::<Vec<_>>(), [("x", "y")]);
        assert_eq!((found[1].header.as_str(), found[1].rows.len()), (Files::HEADER, 0));
    }

    #[test]
    fn a_test_that_is_not_there_is_a_fault() {
        let mut files = Files::default();
        files.take(&["`page`".to_owned(), "`tests/house/src/page.rs`".to_owned()]);
        files.take(&["`idle`".to_owned(), "`tests/house/src/lib.rs`".to_owned()]);
        let cells = [("1", "`page::tests_are_found`"), ("2", "`page::gone`, `none::x`")];
        let faults = files.faults(cells.into_iter());
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
