//! The registries of docs/wire.md against those of the code: whoever reads the page knows every number, and every number
//! there is one that the code knows.

use std::{collections::BTreeSet, fs, path::Path};

use sa::Label;
use wire::{
    Error,
    mip::{
        code::{Code, DetailCode},
        extension,
        ours::Subtype,
    },
};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire.md");
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows of the table whose heading begins so, by cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = page.lines().skip_while(|line| !line.starts_with(heading));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table {heading}");
    rows
}

/// Numbers with commas, ranges among them.
fn numbers(text: &str) -> BTreeSet<u8> {
    let number = |text: &str| text.trim().parse::<u8>().unwrap_or_else(|e| panic!("{text}: {e}"));
    let range = |text: &str| match text.split_once('–') {
        Some((from, to)) => number(from)..=number(to),
        None => number(text)..=number(text),
    };
    text.split(',').flat_map(range).collect()
}

fn first_two(rows: Vec<Vec<String>>) -> Vec<(String, String)> {
    rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

fn named<T: Copy>(all: &[T], say: impl Fn(T) -> (String, &'static str)) -> Vec<(String, String)> {
    all.iter().map(|value| say(*value)).map(|(number, words)| (number, words.to_owned())).collect()
}

#[test]
fn reply_codes() {
    let ours = named(Code::NAMED, |code| (code.0.to_string(), code.meaning()));
    assert_eq!(first_two(table(&page(), "| code | means |")), ours);
}

#[test]
fn detail_codes() {
    let ours = named(DetailCode::NAMED, |code| (code.0.to_string(), code.meaning()));
    assert_eq!(first_two(table(&page(), "| detail | means |")), ours);
}

#[test]
fn sub_types() {
    let ours = named(Subtype::NAMED, |subtype| (subtype.0.to_string(), subtype.meaning()));
    assert_eq!(first_two(table(&page(), "| sub-type | name | body |")), ours);
}

#[test]
fn extension_types() {
    let page = page();
    let listed = |before: &str| {
        let (_, list) = page.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        list.split_once('.').expect("a sentence").0.to_owned()
    };
    let known: BTreeSet<u8> = (0..=u8::MAX).filter(|kind| extension::known(*kind)).collect();
    assert_eq!(numbers(&listed("**Known** in registration messages:")), known);
    let long: BTreeSet<u8> = (1..=u8::MAX).filter(|kind| is_long(*kind)).collect();
    let rows = table(&page, "| form | bytes | types |");
    let row = rows.iter().find(|row| row[0] == "long").expect("a row for the long form");
    assert_eq!(numbers(&row[2]), long);
}

/// Labels of the table of keys. A row for a and b stands for the direction of every association, both ways.
#[test]
fn labels() {
    let page = page();
    let rows = table(&page, "| from | label | context | bytes | use |");
    let unused = |row: &&Vec<String>| row[4] != "not in use yet";
    let named = rows.iter().filter(unused).map(|row| row[1].trim_matches('`'));
    let both_ways = ["mn>ha", "ha>mn", "fa>ha", "ha>fa", "mn>fa", "fa>mn"];
    let listed: BTreeSet<String> = named
        .flat_map(|name| match name.strip_suffix(" a>b") {
            Some(what) => both_ways.iter().map(|way| format!("{what} {way}")).collect(),
            None => vec![name.to_owned()],
        })
        .collect();
    let ours: BTreeSet<String> = Label::ALL.iter().map(|label| label.name().to_owned()).collect();
    assert_eq!(listed, ours);
}

/// True if the length of this type has 16 bits: then three bytes are missing here, else an unknown type stands behind.
fn is_long(kind: u8) -> bool {
    extension::walk(&[kind, 0, 0, 3, 0, 0], 0) == Err(Error::Truncated)
}
