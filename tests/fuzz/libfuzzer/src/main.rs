//! One binary for all targets: `TARGET` names which one runs (see README.md).
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let found = fuzz::TARGETS.iter().find(|(target, _)| *target == name);
    let names: Vec<_> = fuzz::TARGETS.iter().map(|(target, _)| *target).collect();
    found.unwrap_or_else(|| panic!("set TARGET to one of: {}", names.join(", "))).1
});

fuzz_target!(|data: &[u8]| (*TARGET)(data));
