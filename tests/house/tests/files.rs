//! Order of the files: their length, what they may not name, what documents must list.

use std::collections::BTreeSet;

use house::{rust_files, text, tracked_files, workspace};

/// No file of source code is longer. Most are far shorter: half of them have less than about 200 lines.
const LONGEST: usize = 900;

/// Lock files are cargo's own and have to name where packages come from.
const LOCK: &str = "Cargo.lock";

#[test]
fn no_source_file_is_too_long() {
    let mut long = Vec::new();
    for package in workspace().packages {
        let folder = package.manifest_path.parent().map_or(String::new(), |it| format!("{it}/src"));
        for file in rust_files(&folder) {
            let lines = text(&file).lines().count();
            if lines > LONGEST {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(
        long.is_empty(),
        "longer than {LONGEST} lines, so they hold more than one thing:\n  {}",
        long.join("\n  ")
    );
}

#[test]
fn no_file_names_the_host_of_a_package_registry() {
    // In pieces, so that this file does not name one either.
    let hosts = [
        ["crates", "io"].join("."),
        ["pypi", "org"].join("."),
        ["pythonhosted", "org"].join("."),
        ["npmjs", "org"].join("."),
        ["npmjs", "com"].join("."),
        ["proxy.golang", "org"].join("."),
        ["rubygems", "org"].join("."),
        ["deb.debian", "org"].join("."),
        ["archive.ubuntu", "com"].join("."),
    ];
    let mut named = Vec::new();
    for file in tracked_files() {
        if file.ends_with(LOCK) {
            continue;
        }
        let text = text(&file);
        for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
            named.push(format!("{} names {host}", file.display()));
        }
    }
    assert!(
        named.is_empty(),
        "where packages come from is the machine's business:\n  {}",
        named.join("\n  ")
    );
}

/// Names in `[workspace.dependencies]` that are not our own packages.
fn dependencies() -> BTreeSet<String> {
    let table: toml::Table = match text("Cargo.toml".as_ref()).parse() {
        Ok(table) => table,
        Err(error) => panic!("Cargo.toml: {error}"),
    };
    let list = table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let entries = list.and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let others = entries.iter().filter(|(_, value)| value.get("path").is_none());
    others.map(|(name, _)| name.clone()).collect()
}

/// Names that begin the lines of the section "Dependencies" of docs/decisions.md.
fn explained() -> BTreeSet<String> {
    let page = text("docs/decisions.md".as_ref());
    let section =
        page.split("\n## ").find(|section| section.starts_with("Dependencies\n")).unwrap_or_default();
    let lines = section.lines().filter_map(|line| line.strip_prefix("- `"));
    lines.filter_map(|line| line.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_dependency_has_its_reason_in_the_decisions() {
    let (there, explained) = (dependencies(), explained());
    assert!(!there.is_empty());
    let missing: Vec<&String> = there.difference(&explained).collect();
    assert!(
        missing.is_empty(),
        "docs/decisions.md, section Dependencies, needs a line \"- `name`: why\" for {missing:?}"
    );
    let stale: Vec<&String> = explained.difference(&there).collect();
    assert!(stale.is_empty(), "docs/decisions.md explains what is no dependency any more: {stale:?}");
}

#[test]
fn every_dependency_is_used_by_somebody() {
    let used: BTreeSet<String> = workspace()
        .packages
        .iter()
        .flat_map(|package| package.dependencies.iter().map(|dependency| dependency.name.clone()))
        .collect();
    let unused: Vec<String> = dependencies().difference(&used).cloned().collect();
    assert!(unused.is_empty(), "in [workspace.dependencies] but used by no package: {unused:?}");
}
