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
        share::Group,
    },
    negotiation::{
        Between, Drawing, Negotiation, Payload, Protocol,
        algorithm::{Encryption, Integrity, Prf},
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

#[test]
fn groups() {
    let ours = named(Group::NAMED, |group| (group.0.to_string(), group.meaning()));
    assert_eq!(first_two(table(&page(), "| group | name | bytes of a value |")), ours);
}

#[test]
fn algorithms() {
    let of = |protocol: Protocol, all: Vec<(String, String)>| {
        let protocol = format!("{} {}", protocol.0, protocol.meaning());
        all.into_iter().map(move |(number, name)| vec![protocol.clone(), number, name])
    };
    let integrity = named(Integrity::NAMED, |it| (it.0.to_string(), it.meaning()));
    let encryption = named(Encryption::NAMED, |it| (it.0.to_string(), it.meaning()));
    let prf = named(Prf::NAMED, |it| (it.0.to_string(), it.meaning()));
    let ours: Vec<_> = of(Protocol::AUTHENTICATION, integrity)
        .chain(of(Protocol::ENCRYPTION, encryption))
        .chain(of(Protocol::PRF, prf))
        .collect();
    let mut rows = table(&page(), "| protocol | algorithm | name | |");
    rows.iter_mut().for_each(|row| row.truncate(3));
    assert_eq!(rows, ours);
}

#[test]
fn payloads() {
    let rows = table(&page(), "| payload | type | sub-type | behind the head |");
    let listed: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| (row[1].clone(), row[0].split(':').next().unwrap_or_default().to_owned()))
        .collect();
    let ours = named(Payload::NAMED, |payload| (payload.0.to_string(), payload.meaning()));
    assert_eq!(listed, ours.into_iter().collect());
    let kinds = named(Between::NAMED, |between| (between.0.to_string(), between.meaning()));
    let kinds: Vec<String> = kinds.into_iter().map(|(number, name)| format!("{number} {name}")).collect();
    assert_eq!(rows[0][2], kinds.join(", "));
}

/// The body that the page takes apart is that of a vector, and is drawn as the page says.
#[test]
fn the_negotiation_taken_apart() {
    let page = page();
    let (_, example) = page.split_once("**One body, taken apart**").expect("an example");
    let mut blocks = example.split("\n```\n").skip(1).step_by(2);
    let (bytes, drawn) = (blocks.next().expect("bytes"), blocks.next().expect("a drawing"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/wire-negotiation/offer-stateless.hex");
    let vector = fs::read_to_string(path).expect("the vector");
    assert_eq!(bytes, vector.trim_end());
    let digits: String = bytes.lines().filter_map(|line| line.split('#').next()).collect();
    let digits: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(16)).collect();
    let body: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    let trees = Negotiation::parse(&body).and_then(|it| it.trees().map(|trees| Drawing(&trees).to_string()));
    assert_eq!(trees.as_deref(), Ok(drawn));
    let size = format!("`tests/vectors/wire-negotiation/offer-stateless`, {} bytes", body.len());
    assert!(example.contains(&size), "{size}");
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
