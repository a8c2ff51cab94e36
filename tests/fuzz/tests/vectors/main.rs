//! Reads the vectors in tests/vectors: bytes that our parsers must read as the file beside them says, must
//! refuse with the error it names, and must write again byte for byte.
//!
//! The vectors come from a generator that shares no code with the parsers.

mod discovery;
mod negotiation;
mod packet;
mod registration;
mod revocation;
mod schedule;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// One vector.
struct Vector {
    name: String,
    bytes: Vec<u8>,
    expected: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits");
    let digit = |c: char| c.to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Vector {
    fn read(name: &str) -> Self {
        let path = folder().join(name);
        let text = fs::read_to_string(path.with_extension("hex")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let digits: String = text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
        Self { name: name.to_owned(), bytes: unhex(&digits), expected: json(&path.with_extension("json")) }
    }

    fn text(&self, key: &str) -> &str {
        self.expected[key].as_str().unwrap_or_else(|| panic!("{}: no {key}", self.name))
    }
}

/// All vectors, in the order of their names.
fn all() -> Vec<Vector> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).expect("the vectors") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            for file in fs::read_dir(&path).expect("a folder of vectors") {
                let file = file.expect("entry").path();
                if file.extension().is_some_and(|e| e == "hex") {
                    let name = file.strip_prefix(folder()).expect("a file in the folder").with_extension("");
                    names.push(name.to_string_lossy().into_owned());
                }
            }
        }
    }
    names.sort();
    names.iter().map(|name| Vector::read(name)).collect()
}

/// What our parsers make of the bytes, in the words of the expectation.
fn read(vector: &Vector) -> Result<Value, String> {
    match vector.text("message") {
        "registration request" => registration::request(vector),
        "registration reply" => registration::reply(vector),
        "advertisement" => discovery::advertisement(&vector.bytes),
        "solicitation" => discovery::solicitation(&vector.bytes),
        "negotiation" => negotiation::body(&vector.bytes),
        "tunnel data" => discovery::tunnel_data(&vector.bytes),
        "icmp" => packet::icmp(&vector.bytes),
        "ipv4" => packet::ipv4(&vector.bytes),
        "udp packet" => packet::udp_packet(&vector.bytes),
        "ip-in-ip" => packet::ipip(&vector.bytes),
        "minimal encapsulation" => packet::minimal(&vector.bytes),
        "gre" => packet::gre(&vector.bytes),
        other => panic!("{}: unknown message {other}", vector.name),
    }
}

/// The expectation without what only tells how to check.
fn meaning(vector: &Vector) -> Value {
    let mut meaning = vector.expected.clone();
    if let Some(fields) = meaning.as_object_mut() {
        for key in ["message", "keys", "answers"] {
            fields.remove(key);
        }
    }
    meaning
}

#[test]
fn every_vector_means_what_it_says() {
    let all = all();
    assert!(all.len() >= 40, "only {} vectors found", all.len());
    for vector in all {
        match (read(&vector), vector.expected.get("error")) {
            (Ok(found), None) => assert_eq!(found, meaning(&vector), "{}", vector.name),
            (Err(error), Some(expected)) => assert_eq!(error, *expected, "{}", vector.name),
            (Ok(found), Some(expected)) => panic!("{}: {expected} expected, read as {found}", vector.name),
            (Err(error), None) => panic!("{}: {error}", vector.name),
        }
    }
}
