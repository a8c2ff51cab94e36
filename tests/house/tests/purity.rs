//! Cores take no clock, socket, file, environment or randomness of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use house::{
    cargo,
    drawing::{CORES, drawing},
    imports::{code, has_word, standard_paths},
    rust_files, text,
};

/// Every package of others that a core may reach, with what it is for. All of them compute and do nothing else.
const ALLOWED: &[(&str, &[&str])] = &[
    ("errors", &["thiserror"]),
    ("wiping of secrets", &["zeroize"]),
    ("comparison in constant time", &["subtle", "ctutils", "cmov"]),
    (
        "hashes",
        &["sha2", "md-5", "digest", "block-buffer", "crypto-common", "hybrid-array", "typenum", "const-oid"],
    ),
    ("message authentication and key derivation", &["hmac", "hkdf"]),
    (
        "sealing",
        &[
            "aead",
            "aes",
            "aes-gcm",
            "chacha20",
            "chacha20poly1305",
            "cipher",
            "cpubits",
            "ctr",
            "ghash",
            "inout",
            "poly1305",
            "polyval",
            "universal-hash",
        ],
    ),
    ("key exchange", &["curve25519-dalek", "x25519-dalek"]),
    ("powers modulo a prime, and whether it is one", &["crypto-bigint", "crypto-primes", "num-traits"]),
    (
        "the curves P-256 and P-384",
        &[
            "base16ct",
            "der",
            "elliptic-curve",
            "ff",
            "group",
            "p256",
            "p384",
            "primefield",
            "primeorder",
            "sec1",
            "wnaf",
        ],
    ),
    ("ML-KEM-768", &["keccak", "kem", "ml-kem", "module-lattice", "sha3", "shake", "sponge-cursor"]),
    ("seeded random numbers", &["rand_core"]),
    ("lists with a bound", &["arrayvec"]),
    ("the processor's instructions, found by asking it", &["cpufeatures", "cfg-if"]),
];

/// What a core names of the standard library only by mistake.
const BANNED_PATHS: &[(&str, &str)] = &[
    ("time::Instant", "take time from sansio::Now"),
    ("time::SystemTime", "take time from sansio::Now"),
    ("time::UNIX_EPOCH", "take time from sansio::Now"),
    ("time::*", "name what is used"),
    ("fs", "emit an effect"),
    ("env", "configuration comes in by value"),
    ("process", "emit an effect"),
    ("thread", "cores are driven from outside"),
    ("net::TcpStream", "emit a Transmit"),
    ("net::TcpListener", "emit a Transmit"),
    ("net::UdpSocket", "emit a Transmit"),
    ("net::ToSocketAddrs", "names are resolved outside"),
    ("net::*", "name what is used"),
    ("os", "nothing of the operating system"),
    ("collections::HashMap", "its order differs from run to run: BTreeMap"),
    ("collections::HashSet", "its order differs from run to run: BTreeSet"),
    ("collections::hash_map", "its order differs from run to run: BTreeMap"),
    ("collections::*", "name what is used"),
    ("hash::RandomState", "randomness comes in as a seed"),
];

fn cores() -> Vec<String> {
    drawing().into_iter().filter(|(_, place)| place.layer <= CORES).map(|(name, _)| name).collect()
}

#[test]
fn cores_reach_only_crates_that_compute() {
    let known: BTreeSet<&str> = ALLOWED.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let ours: BTreeSet<String> = cores().into_iter().collect();
    let mut strangers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for core in &ours {
        // Procedural macros run in the compiler, not in the core.
        let tree = cargo(&["tree", "--package", core, "--edges", "normal,no-proc-macro", "--prefix", "none"]);
        for name in tree.lines().filter_map(|line| line.split(' ').next()) {
            if !name.is_empty() && !ours.contains(name) && !known.contains(name) {
                strangers.entry(name.to_owned()).or_default().push(core.clone());
            }
        }
    }
    let lines: Vec<String> = strangers
        .iter()
        .map(|(name, by)| format!("{name}, reached by {} (see: cargo tree -i {name})", by.join(", ")))
        .collect();
    assert!(
        lines.is_empty(),
        "cores reach crates that are not on the list in tests/house/tests/purity.rs:\n  {}\nA crate may be added to \
         it if it only computes: no clock, socket, file, environment, thread or randomness of the operating system.",
        lines.join("\n  ")
    );
}

#[test]
fn cores_name_nothing_of_the_outside_world() {
    let mut wrong = Vec::new();
    for file in rust_files("libs/core") {
        for path in standard_paths(&code(&text(&file))) {
            let (_, inside) = path.split_once("::").unwrap_or_default();
            let inside = inside.strip_suffix("::self").unwrap_or(inside);
            for (banned, instead) in BANNED_PATHS {
                if inside == *banned || inside.strip_prefix(banned).is_some_and(|rest| rest.starts_with("::"))
                {
                    wrong.push(format!("{}: {path}: {instead}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "in the cores:\n  {}", wrong.join("\n  "));
}

#[test]
fn cores_forbid_unsafe_code() {
    for core in cores() {
        let lib = Path::new("libs/core").join(&core).join("src/lib.rs");
        assert!(
            text(&lib).contains("#![forbid(unsafe_code)]"),
            "{} lacks #![forbid(unsafe_code)]",
            lib.display()
        );
    }
}

#[test]
fn unsafe_code_stands_only_where_the_kernel_is_called() {
    let allowed = ["libs/io/net", "testbed"];
    for folder in
        ["libs", "home-agent", "foreign-agent", "mobile-node", "kdc", "ctl", "testbed", "proto", "tests"]
    {
        for file in rust_files(folder) {
            if allowed.iter().any(|place| file.starts_with(place)) {
                continue;
            }
            assert!(!has_word(&code(&text(&file)), "unsafe"), "{}: unsafe code", file.display());
        }
    }
}

#[test]
fn clippy_bans_the_same_in_the_cores() {
    let table: toml::Table = match text("libs/core/clippy.toml".as_ref()).parse() {
        Ok(table) => table,
        Err(error) => panic!("libs/core/clippy.toml: {error}"),
    };
    let banned = |key: &str| -> BTreeSet<String> {
        let list = table.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let paths = list.iter().filter_map(|entry| entry.get("path").and_then(toml::Value::as_str));
        paths.map(str::to_owned).collect()
    };
    for (key, paths) in [
        (
            "disallowed-types",
            &[
                "std::time::Instant",
                "std::time::SystemTime",
                "std::net::UdpSocket",
                "std::net::TcpStream",
                "std::net::TcpListener",
                "std::fs::File",
                "std::collections::HashMap",
                "std::collections::HashSet",
            ][..],
        ),
        (
            "disallowed-methods",
            &["std::env::var", "std::fs::read", "std::fs::write", "std::thread::spawn", "std::thread::sleep"],
        ),
    ] {
        let there = banned(key);
        for path in paths {
            assert!(there.contains(*path), "libs/core/clippy.toml: {path} is missing from {key}");
        }
    }
}
