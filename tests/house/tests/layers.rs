//! Arrows between packages go down only, and only where they are drawn.

use std::collections::BTreeSet;

use house::{
    drawing::{drawing, reachable},
    root, workspace,
};

#[test]
fn every_dependency_inside_the_workspace_is_drawn() {
    let places = drawing();
    let metadata = workspace();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let allowed = reachable(&places, &package.name);
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if ours.contains(name) && !allowed.contains(name) {
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                wrong.push(format!("{} -> {name} (it may use: {})", package.name, allowed.join(", ")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that the drawing does not have:\n  {}\nMove what they share down a layer, pass a value, or change the \
         drawing in ARCHITECTURE.md and say why in docs/decisions.md.",
        wrong.join("\n  ")
    );
}

#[test]
fn the_drawing_and_the_workspace_have_the_same_packages() {
    let drawn: BTreeSet<String> = drawing().into_keys().collect();
    let there: BTreeSet<String> =
        workspace().packages.iter().map(|package| package.name.to_string()).collect();
    let difference: Vec<&String> = drawn.symmetric_difference(&there).collect();
    assert!(difference.is_empty(), "in the drawing or in the workspace, but not in both: {difference:?}");
}

#[test]
fn cores_stand_in_libs_core_and_nowhere_else() {
    let places = drawing();
    for package in workspace().packages {
        let core = package.manifest_path.as_str().contains("/libs/core/");
        let layer = places.get(package.name.as_str()).map(|place| place.layer);
        assert_eq!(layer.is_some_and(|layer| layer <= house::drawing::CORES), core, "{}", package.name);
    }
}

#[test]
fn members_take_versions_and_lints_from_the_workspace() {
    for package in workspace().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap_or_default();
        let table: toml::Table = match manifest.parse() {
            Ok(table) => table,
            Err(error) => panic!("{}: {error}", package.manifest_path),
        };
        let lints =
            table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(lints, Some(true), "{} has no `[lints] workspace = true`", package.name);
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherits, "{}: write `{name}.workspace = true` in [{section}]", package.name);
            }
        }
    }
    assert!(root().join("Cargo.lock").exists());
}
