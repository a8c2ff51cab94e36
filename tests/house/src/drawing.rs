//! Who may depend on whom, as ARCHITECTURE.md draws it.
//!
//! A package may use what an arrow leads to, also over several arrows; `->4` leads to every package on layers
//! 0 to 4. Arrows lead down only.

use std::collections::{BTreeMap, BTreeSet};

/// The drawing: one layer a line, its packages apart by dots, arrows in parentheses.
pub const DRAWING: &str = "\
6 tests     sim(->mobility,authority) · fuzz(->mobility,authority) · interop-tests(->wire) · netns-tests · house
5 binaries  home-agent(->4) · foreign-agent(->4) · mobile-node(->4) · kdc(->4) · ctl(->4) · testbed(->4)
4 io        daemon · admin(->proto,mobility) · keystore(->record) · net(->sansio,forward,record) · proto
3 core      mobility(->sa,forward) · authority(->sa)
2 core      sa(->record,sansio)
1 core      record(->wire,crypto) · forward(->wire,crypto)
0 core      wire · crypto · sansio
";

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

/// The packages of a drawing by name.
///
/// # Panics
/// If a line is not of the form described above.
#[must_use]
pub fn read(drawing: &str) -> BTreeMap<String, Place> {
    let mut written = BTreeMap::new();
    for line in drawing.lines() {
        let mut words = line.splitn(3, ' ');
        let layer: u8 = match words.next().map(str::parse) {
            Some(Ok(layer)) => layer,
            _ => panic!("no layer number: {line}"),
        };
        let packages = words.nth(1).unwrap_or_default();
        for package in packages.split('·').map(str::trim) {
            let (name, arrows) = match package.split_once("(->") {
                None => (package, ""),
                Some((name, rest)) => (name, rest.trim_end_matches(')')),
            };
            written.insert(name.to_owned(), (layer, arrows.to_owned()));
        }
    }
    let layers: Vec<(String, u8)> = written
        .iter()
        .map(|(name, (layer, _))| (name.clone(), *layer))
        .collect();
    let up_to = |highest: u8| {
        layers
            .iter()
            .filter(move |(_, layer)| *layer <= highest)
            .map(|(name, _)| name.clone())
    };
    let place = |layer: u8, arrows: &str| {
        let ends = arrows.split(',').filter(|end| !end.is_empty());
        let arrows = ends.flat_map(|end| match end.parse() {
            Ok(highest) => up_to(highest).collect(),
            Err(_) => vec![end.to_owned()],
        });
        Place {
            layer,
            arrows: arrows.collect(),
        }
    };
    written
        .iter()
        .map(|(name, (layer, arrows))| (name.clone(), place(*layer, arrows)))
        .collect()
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

    const SMALL: &str = "2 top   a(->1)\n1 mid   b(->d) · c\n0 low   d\n";

    #[test]
    fn arrows_are_read_and_followed() {
        let places = read(SMALL);
        assert_eq!(
            places["b"],
            Place {
                layer: 1,
                arrows: ["d".to_owned()].into()
            }
        );
        assert_eq!(reachable(&places, "a"), ["b", "c", "d"].map(str::to_owned).into());
        assert_eq!(reachable(&places, "c"), BTreeSet::new());
    }

    #[test]
    fn every_arrow_leads_down_to_a_drawn_package() {
        let places = read(DRAWING);
        for (name, place) in &places {
            for end in &place.arrows {
                let below = places
                    .get(end)
                    .unwrap_or_else(|| panic!("{name} -> {end}, which is not drawn"));
                let schema = end == "proto" && place.layer == below.layer;
                assert!(
                    below.layer < place.layer || schema,
                    "{name} -> {end} does not lead down"
                );
            }
        }
    }
}
