//! Replays every corpus file, and mutations of each, through its target.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("entry of a corpus folder").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a corpus file"))
        })
        .collect();
    files.sort();
    files
}

/// Changes that find what a parser forgets to check: each is the same on every run.
fn mutations(seed: &[u8], mut run: impl FnMut(&[u8])) {
    for n in 0..seed.len() {
        run(&seed[..n]);
        run(&seed[n..]);
    }
    let mut changed = seed.to_vec();
    for at in 0..seed.len() {
        for bit in 0..8 {
            changed[at] ^= 1 << bit;
            run(&changed);
            changed[at] = seed[at];
        }
        for value in [0, 1, 0x7f, 0xff] {
            changed[at] = value;
            run(&changed);
        }
        changed[at] = seed[at];
    }
    let mut grown = Vec::with_capacity(seed.len() * 2);
    for at in 0..=seed.len() {
        for length in [1, 4, 16, 64] {
            let end = (at + length).min(seed.len());
            grown.clear();
            grown.extend_from_slice(&seed[..end]);
            grown.extend_from_slice(&seed[at..]);
            run(&grown);
            grown.clear();
            grown.extend_from_slice(&seed[..at]);
            grown.extend_from_slice(&seed[end..]);
            run(&grown);
        }
    }
}

/// Says which input failed; the panic itself was printed already.
fn run(target: fuzz::Target, what: &str, input: &[u8]) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        let hex: String = input.iter().map(|b| format!("{b:02x}")).collect();
        panic!("{what} failed on {hex}");
    }
}

#[test]
fn every_corpus_file_and_its_mutations() {
    for (name, target) in fuzz::TARGETS {
        let files = files(&corpus().join(name));
        assert!(!files.is_empty(), "no corpus for {name}");
        for (file, bytes) in &files {
            let what = format!("{name}/{file}");
            run(*target, &what, bytes);
            mutations(bytes, |input| run(*target, &what, input));
        }
    }
}

/// Every target reads every other target's corpus too: an attacker does not keep to the right port.
#[test]
fn every_target_takes_every_corpus() {
    let all: Vec<_> = fuzz::TARGETS.iter().flat_map(|(name, _)| files(&corpus().join(name))).collect();
    for (name, target) in fuzz::TARGETS {
        for (file, bytes) in &all {
            run(*target, &format!("{name} with {file}"), bytes);
        }
    }
}

#[test]
fn every_corpus_has_a_target() {
    for entry in fs::read_dir(corpus()).expect("the corpora") {
        let name = entry.expect("entry").file_name();
        assert!(fuzz::TARGETS.iter().any(|(target, _)| *target == name), "{name:?} has no target");
    }
}
