//! docs/threats.md against the tree: every attack with a test that is there, and every test of an attack on the page.

use std::collections::BTreeSet;

use house::{
    page::{Files, tables, tests_in, tests_named},
    rust_files, text,
};

const PAGE: &str = "docs/threats.md";
/// Where attacks are tried.
const TESTS: &str = "tests/sim/tests/threats";
/// Numbered attacks.
const NUMBERED: u32 = 20;

struct Row {
    number: String,
    cells: Vec<String>,
}

fn page() -> (Vec<Row>, Files) {
    let (mut rows, mut files) = (Vec::new(), Files::default());
    for table in tables(&text(PAGE.as_ref())) {
        for cells in table.rows {
            match table.header.as_str() {
                "# | attack | what we do | shown by" => rows.push(Row { number: cells[0].clone(), cells }),
                Files::HEADER => files.take(&cells),
                other => panic!("{PAGE} has a table of another kind: {other}"),
            }
        }
    }
    (rows, files)
}

#[test]
fn every_attack_has_a_test_or_a_reason() {
    let (rows, _) = page();
    for row in &rows {
        assert!(row.cells.len() == 4 && row.cells.iter().all(|cell| !cell.is_empty()), "{}", row.number);
        let shown = &row.cells[3];
        let reason = shown.strip_prefix("n/a: ").is_some_and(|why| !why.is_empty());
        assert!(reason || tests_named(shown).count() > 0, "{} is shown by nothing: {shown}", row.number);
    }
    let numbers: Vec<u32> = rows.iter().filter_map(|row| row.number.parse().ok()).collect();
    assert_eq!(numbers, (1..=NUMBERED).collect::<Vec<_>>(), "each number once, in order");
}

#[test]
fn every_named_test_is_there() {
    let (rows, files) = page();
    let wrong = files.faults(rows.iter().map(|row| (row.number.as_str(), row.cells[3].as_str())));
    assert!(wrong.is_empty(), "{PAGE}:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_tried_attack_stands_on_the_page() {
    let (rows, _) = page();
    let named: BTreeSet<&str> =
        rows.iter().flat_map(|row| tests_named(&row.cells[3]).map(|(_, test)| test)).collect();
    let mut missing = Vec::new();
    for file in rust_files(TESTS) {
        let source = text(&file);
        missing
            .extend(tests_in(&source).difference(&named).map(|test| format!("{}: {test}", file.display())));
    }
    assert!(missing.is_empty(), "not in {PAGE}:\n  {}", missing.join("\n  "));
}
