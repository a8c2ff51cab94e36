//! The crates of others: their licences, where they come from, and which are not wanted. `cargo deny` checks
//! the same and more where it is installed; this runs everywhere.

use std::collections::BTreeSet;

use house::{licence::satisfied, root, text};

/// What `cargo metadata` knows of every package that is built for this machine.
fn packages() -> Vec<cargo_metadata::Package> {
    let host = house::cargo(&["-vV"]);
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host])
        .exec();
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => panic!("cargo metadata: {error}"),
    };
    let nodes = metadata.resolve.map(|resolve| resolve.nodes).unwrap_or_default();
    let built: BTreeSet<_> = nodes.into_iter().map(|node| node.id).collect();
    metadata.packages.into_iter().filter(|package| built.contains(&package.id)).collect()
}

fn policy() -> toml::Table {
    match text("deny.toml".as_ref()).parse() {
        Ok(table) => table,
        Err(error) => panic!("deny.toml: {error}"),
    }
}

#[test]
fn every_licence_is_allowed() {
    let policy = policy();
    let allowed = policy.get("licenses").and_then(|licences| licences.get("allow"));
    let allowed: BTreeSet<String> = allowed
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let licence = package.license.as_deref().unwrap_or_default();
        if satisfied(licence, &allowed) != Some(true) {
            wrong.push(format!("{} {}: {licence:?}", package.name, package.version));
        }
    }
    assert!(wrong.is_empty(), "not under licences that deny.toml allows:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_crate_comes_from_the_registry_or_from_here() {
    for package in packages() {
        let source = package.source.as_ref().map_or("path", |source| source.repr.as_str());
        let known = source == "path" || source.starts_with("registry+");
        assert!(known, "{} comes from {source}", package.name);
    }
}

#[test]
fn unwanted_crates_are_not_built() {
    let policy = policy();
    let denied = policy.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    let denied: Vec<&str> = denied
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("crate").and_then(toml::Value::as_str))
        .collect();
    assert!(!denied.is_empty());
    // The tree has only what enabled features bring in; cargo metadata also has what they might.
    let tree =
        house::cargo(&["tree", "--workspace", "--edges", "all", "--prefix", "none", "--format", "{p}"]);
    for name in tree.lines().filter_map(|line| line.split(' ').next()) {
        assert!(!denied.contains(&name), "{name} is built, though deny.toml bans it (cargo tree -i {name})");
    }
}
