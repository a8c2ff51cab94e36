//! The vectors, the seeds made from them and docs/registrations.md are what their generator writes, no more and no
//! less: a change of one without the others shows here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use interop_tests::python;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Contents of the files below a folder, by path from `root`.
fn files(root: &Path, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name =
                    path.strip_prefix(root).expect("a file below the root").to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn is_vector(name: &str) -> bool {
    name.starts_with("tests/vectors/") && (name.ends_with(".hex") || name.ends_with(".json"))
}

#[test]
fn the_generator_writes_what_stands_in_the_tree() {
    let Some(python) = python() else {
        return;
    };
    let there = tempfile::tempdir().unwrap();
    let generator = root().join("tests/vectors/make.py");
    let out =
        Command::new(python).arg("-B").arg(generator).arg(there.path()).output().expect("Python starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let written = files(there.path(), "");
    for (name, bytes) in &written {
        let stands = fs::read(root().join(name)).unwrap_or_default();
        assert!(
            stands == *bytes,
            "{name} is not what tests/vectors/make.py writes: run it, and look at the change"
        );
    }
    assert!(
        written.contains_key("docs/registrations.md") && written.keys().filter(|n| is_vector(n)).count() > 90
    );
    let stale: Vec<_> = files(&root(), "tests/vectors")
        .into_keys()
        .filter(|n| is_vector(n) && !written.contains_key(n))
        .collect();
    assert!(stale.is_empty(), "nothing writes {stale:?}");
}
