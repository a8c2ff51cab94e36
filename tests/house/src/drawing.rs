//! Who may depend on whom, read from the drawing in ARCHITECTURE.md.
//!
//! The drawing has one layer a line: its number, a word and a colon, then its packages apart by dots, each with
//! its arrows: `mobility -> sa, forward`. A package may use what an arrow leads to, also over several arrows;
//! `-> 4` leads to every package on layers 0 to 4. Arrows lead down only.

use std::collections::{BTreeMap, BTreeSet};

/// The heading that the drawing follows.
const HEADING: &str = "\n## Who may depend on whom\n";

/// The highest layer of cores.
pub const CORES: u8 = 3;

/// One package of the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The storey it is on.
    pub layer: u8,
    /// The packages that its arrows lead to, directly.
    pub arrows: BTreeSet<String>,
}

/// The drawing of the workspace.
#[must_use]
pub fn drawing() -> BTreeMap<String, Place> {
    let page = crate::text("ARCHITECTURE.md".as_ref());
    read(page.split_once(HEADING).map_or("", |(_, section)| section))
}

/// The packages by name in the first code block of `section`.
///
/// # Panics
/// If a line of the block is not of the form described above.
#[must_use]
pub fn read(section: &str) -> BTreeMap<String, Place> {
    let block = section.split("```\n").nth(1).unwrap_or_default();
    let mut written = BTreeMap::new();
    for line in block.lines() {
        let parts = line.split_once(':').and_then(|(start, packages)| {
            let layer: u8 = start.split(' ').next()?.parse().ok()?;
            Some((layer, packages))
        });
        let Some((layer, packages)) = parts else { panic!("a line of the drawing has no layer: {line}") };
        for package in packages.split('·').map(str::trim) {
            let (name, arrows) = package.split_once(" -> ").unwrap_or((package, ""));
            written.insert(name.to_owned(), (layer, arrows.to_owned()));
        }
    }
    let layers: Vec<(String, u8)> = written.iter().map(|(name, (layer, _))| (name.clone(), *layer)).collect();
    let up_to =
        |highest: u8| layers.iter().filter(move |(_, layer)| *layer <= highest).map(|(name, _)| name.clone());
    let place = |layer: u8, arrows: &str| {
        let ends = arrows.split(',').map(str::trim).filter(|end| !end.is_empty());
        let arrows = ends.flat_map(|end| match end.parse() {
            Ok(highest) => up_to(highest).collect(),
            Err(_) => vec![end.to_owned()],
        });
        Place { layer, arrows: arrows.collect() }
    };
    written.iter().map(|(name, (layer, arrows))| (name.clone(), place(*layer, arrows))).collect()
}

/// Every package that `name` may use: over one arrow or several.
#[must_use]
pub fn reachable(places: &BTreeMap<String, Place>, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        for end in places.get(&next).into_iter().flat_map(|place| &place.arrows) {
            if found.insert(end.clone()) {
                open.push(end.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "Text.\n```\n2 top: a -> 1\n1 mid: b -> d, e · c\n0 low: d · e\n```\nMore.\n";

    #[test]
    fn arrows_are_read_and_followed() {
        let places = read(SMALL);
        assert_eq!(places["b"], Place { layer: 1, arrows: ["d", "e"].map(str::to_owned).into() });
        assert_eq!(reachable(&places, "a"), ["b", "c", "d", "e"].map(str::to_owned).into());
        assert_eq!(reachable(&places, "c"), BTreeSet::new());
    }

    #[test]
    fn every_arrow_leads_down_to_a_drawn_package() {
        let places = drawing();
        for (name, place) in &places {
            for end in &place.arrows {
                let below = places.get(end).unwrap_or_else(|| panic!("{name} -> {end}, which is not drawn"));
                let schema = end == "proto" && place.layer == below.layer;
                assert!(below.layer < place.layer || schema, "{name} -> {end} does not lead down");
            }
        }
    }
}
