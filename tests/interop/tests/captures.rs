//! tshark over captures of a running network: `SOJOURN_CAPTURES=FOLDER cargo test -p interop-tests captures`,
//! with the folder that `testbed demo --pcap FOLDER` wrote.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf};

use interop_tests::Tshark;

fn captures() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("SOJOURN_CAPTURES") else {
        return Vec::new();
    };
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "pcap")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no captures in the folder");
    paths
}

#[test]
fn nothing_in_captures_is_malformed() {
    let captures = captures();
    let Some(tshark) = (!captures.is_empty()).then(Tshark::find).flatten() else {
        return;
    };
    for path in captures {
        assert_eq!(tshark.malformed(&path).unwrap(), 0, "{}", path.display());
    }
}

#[test]
fn every_registration_and_advertisement_in_captures_has_its_name() {
    let captures = captures();
    let Some(tshark) = (!captures.is_empty()).then(Tshark::find).flatten() else {
        return;
    };
    for path in captures {
        // Registrations: port 434, first byte other than that of tunnel data.
        let filter = "udp.port == 434 && !(udp.payload[0:1] == 04)";
        for row in tshark.fields(&path, filter, &["mip.type", "_ws.col.Info"]).unwrap() {
            let name = match row[0].first().map(String::as_str) {
                Some("1") => "Reg Request",
                Some("3") => "Reg Reply",
                other => panic!("{}: message type {other:?}", path.display()),
            };
            assert!(row[1].join(" ").contains(name), "{}: {row:?}", path.display());
        }
        let rows = tshark.fields(&path, "icmp.type == 9", &["icmp.mip.seq", "_ws.col.Info"]).unwrap();
        for row in rows {
            assert_eq!(row[0].len(), 1, "{}: an advertisement of no agent", path.display());
        }
    }
}
