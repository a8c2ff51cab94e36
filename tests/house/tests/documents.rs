//! The documents: what the README promises, and that their links lead somewhere.

use std::path::Path;

use house::{root, text, tracked_files};

#[test]
fn the_readme_begins_with_two_commands() {
    let readme = text("README.md".as_ref());
    let beginning = readme.split("\n## ").next().unwrap_or_default();
    let commands: Vec<&str> = beginning.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(commands, ["cargo run --release -p testbed -- demo", "./ci"]);
    assert!(text(".ci/run".as_ref()).contains("./ci"), "the gate runs something else than the README says");
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut dead = Vec::new();
    for file in tracked_files() {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for target in links(&text(&file)) {
            let folder = file.parent().unwrap_or(Path::new(""));
            if !root().join(folder).join(&target).exists() {
                dead.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n  {}", dead.join("\n  "));
}

/// Targets inside the repository of the links in a Markdown text, without the place inside the target.
fn links(text: &str) -> Vec<String> {
    let mut inside_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside_block = !inside_block;
        }
        if inside_block || line.starts_with("    ") {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

#[test]
fn links_are_found() {
    let text = "see [a](b.md), [c](https://d.example/e)\n```\n[f](g)\n```\n[h](#i) [j](k/l.md#m)";
    assert_eq!(links(text), ["b.md", "k/l.md"]);
}
