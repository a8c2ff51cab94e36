//! What the tests of the workspace itself share: its folder, its files, its packages and its drawing.
//!
//! These tests read the repository, never the code's behaviour: who depends on whom, what a core reaches,
//! what stands in which file.

pub mod drawing;
pub mod imports;
pub mod licence;
pub mod page;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{Metadata, MetadataCommand};

/// Folders whose content nobody wrote.
const NOT_OURS: [&str; 2] = ["target", ".git"];

/// The folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What cargo knows of the workspace's own packages.
///
/// # Panics
/// If cargo cannot read the workspace.
#[must_use]
pub fn workspace() -> Metadata {
    match MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec() {
        Ok(metadata) => metadata,
        Err(error) => panic!("cargo metadata: {error}"),
    }
}

/// What a command of `cargo` writes, run in the workspace.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn cargo(arguments: &[&str]) -> String {
    output(Command::new(env!("CARGO")).args(arguments))
        .unwrap_or_else(|complaint| panic!("cargo {arguments:?}: {complaint}"))
}

/// The files under version control, relative to the root; every file if there is no version control, as in a
/// source archive.
#[must_use]
pub fn tracked_files() -> Vec<PathBuf> {
    match output(Command::new("git").args(["ls-files", "-z"])) {
        Ok(list) => list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect(),
        Err(_) => files_below(Path::new("")),
    }
}

/// The Rust files below `folder`, which is relative to the root; the result is too.
#[must_use]
pub fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = files_below(Path::new(folder));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// The text of a file, empty if it is none or is gone.
#[must_use]
pub fn text(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_default()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if !NOT_OURS.iter().any(|name| path.ends_with(name)) {
                    found.extend(files_below(&path));
                }
            }
            _ => found.push(path),
        }
    }
    found.sort();
    found
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.current_dir(root()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
