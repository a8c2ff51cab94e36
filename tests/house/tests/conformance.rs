//! docs/conformance.md against the tree: every cell filled, every named test there, nothing counted wrongly.

use std::collections::{BTreeMap, BTreeSet};

use house::{
    page::{Files, cells, tables, tests_named},
    text,
};

const PAGE: &str = "docs/conformance.md";

/// How a last cell begins if no test does.
const REASONS: [&str; 4] = ["departure ", "n/a: ", "choice: ", OPEN];
const OPEN: &str = "OPEN: ";

/// One row of the tables of rules.
struct Row {
    id: String,
    cells: Vec<String>,
}

impl Row {
    fn shown_by(&self) -> &str {
        self.cells.last().map_or("", String::as_str)
    }

    /// Short name of the file and name of the test of every test named.
    fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        tests_named(self.shown_by())
    }
}

struct Page {
    rows: Vec<Row>,
    files: Files,
    /// Rules, of them shown by tests, open, by RFC.
    counts: BTreeMap<String, [usize; 3]>,
    /// Rows open, as the top says.
    open: Option<usize>,
}

fn page() -> Page {
    let text = text(PAGE.as_ref());
    let open = text
        .lines()
        .find_map(|line| line.strip_suffix(" rows open.").and_then(|n| n.trim_matches('*').parse().ok()));
    let mut page = Page { rows: Vec::new(), files: Files::default(), counts: BTreeMap::new(), open };
    for table in tables(&text) {
        table.rows.into_iter().for_each(|cells| page.take(&table.header, cells));
    }
    page
}

impl Page {
    fn take(&mut self, header: &str, cells: Vec<String>) {
        match header {
            "id | role | rule | shown by" => {
                self.rows.push(Row { id: cells.first().cloned().unwrap_or_default(), cells });
            }
            Files::HEADER => self.files.take(&cells),
            "RFC | rules | shown by tests | open" => {
                let number = |i: usize| cells[i].parse().unwrap_or(usize::MAX);
                self.counts.insert(cells[0].clone(), [1, 2, 3].map(number));
            }
            _ => panic!("{PAGE} has a table of another kind: {header}"),
        }
    }
}

/// The letters of the departures in section 16 of docs/wire.md.
fn departures() -> BTreeSet<String> {
    let wire = text("docs/wire.md".as_ref());
    let section = wire.split("\n## 16. Departures").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let first = |line| cells(line).and_then(|cells| cells.into_iter().next());
    section.lines().filter_map(first).filter(|cell| cell.len() == 1 && *cell != "-").collect()
}

#[test]
fn every_cell_says_something() {
    let rows = page().rows;
    assert!(rows.len() > 500, "{} rows: the page is not read as it is meant", rows.len());
    for row in &rows {
        let id = &row.id;
        assert_eq!(row.cells.len(), 4, "{id}: four cells, and no bar inside one");
        assert!(row.cells.iter().all(|cell| !cell.is_empty()), "{id}: an empty cell");
        let shown = row.shown_by();
        let reason = REASONS.iter().find_map(|reason| shown.strip_prefix(reason));
        let said = reason.map_or(shown.starts_with('`') && row.tests().count() > 0, |why| !why.is_empty());
        assert!(said, "{id} is shown by neither a test nor one of {REASONS:?}: {shown}");
    }
}

#[test]
fn ids_are_unique_and_say_where_the_rule_stands() {
    let mut seen = BTreeSet::new();
    for row in page().rows {
        let parts: Vec<&str> = row.id.split('-').collect();
        let numbers = parts.len() == 3 && parts[0].parse::<u16>().is_ok() && parts[2].parse::<u16>().is_ok();
        assert!(numbers && !parts[1].is_empty(), "{} is not RFC-section-number", row.id);
        assert!(seen.insert(row.id.clone()), "{} stands there twice", row.id);
    }
}

#[test]
fn every_named_test_is_there() {
    let page = page();
    let wrong = page.files.faults(page.rows.iter().map(|row| (row.id.as_str(), row.shown_by())));
    assert!(wrong.is_empty(), "{PAGE}:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_departure_is_one_of_those_documented() {
    let documented = departures();
    assert!(documented.len() >= 6, "{documented:?}: docs/wire.md is not read as it is meant");
    for row in page().rows {
        for said in row.shown_by().split("departure ").skip(1) {
            let letter: String = said.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(documented.contains(&letter), "{}: docs/wire.md has no departure {letter}", row.id);
        }
    }
}

#[test]
fn the_page_counts_itself_rightly() {
    let page = page();
    let open = |row: &&Row| row.shown_by().starts_with(OPEN);
    assert_eq!(page.open, Some(page.rows.iter().filter(open).count()), "rows open, at the top");
    let mut counted: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for row in &page.rows {
        let rfc = row.id.split('-').next().unwrap_or_default();
        let count = counted.entry(rfc.to_owned()).or_default();
        count[0] += 1;
        count[1] += usize::from(row.shown_by().starts_with('`'));
        count[2] += usize::from(open(&row));
    }
    let mut all = [0; 3];
    for count in counted.values() {
        all = [0, 1, 2].map(|i| all[i] + count[i]);
    }
    counted.insert("all".to_owned(), all);
    assert_eq!(page.counts, counted, "the table at the end");
}
