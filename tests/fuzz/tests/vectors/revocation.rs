//! Revocations that were not made by this code: verified and opened under KEY 2.

use std::{fs, net::Ipv4Addr, path::Path};

use crypto::Key;
use mobility::revocation::Revoker;
use record::{Association, AssociationKind, Suite};
use sa::End;
use wire::mip::{
    Spi, notice,
    ours::DOCUMENTATION_VENDOR,
    revocation::{Acknowledgement, Message, Revocation},
};

use super::{folder, json};

/// KEY 2 as the foreign agent or the home agent has it.
fn key2(end: End) -> Association {
    let schedule = json(&folder().join("wire-key-schedule.json"));
    let text = |name: &str| schedule[name].as_str().expect("a text").to_owned();
    let key = schedule["keys"]["2"].as_str().and_then(Key::from_hex).expect("64 digits");
    let (foreign, home) = (text("foreign_agent"), text("home_agent"));
    let at_foreign = Spi(0xa100_0001);
    let at_home = Spi(0xb100_0003);
    let ((inbound, own), (outbound, peer)) = match end {
        End::First => ((at_foreign, foreign), (at_home, home)),
        End::Second => ((at_home, home), (at_foreign, foreign)),
    };
    let kind = AssociationKind::Key2;
    Association {
        kind,
        inbound,
        outbound,
        suite: Suite::default(),
        key,
        own: own.into(),
        peer: peer.into(),
        made: 0,
        ends: 1,
        confirmed: false,
        retires: None,
    }
}

fn seed(name: &str) -> Vec<u8> {
    seed_of("revocation", name)
}

fn seed_of(target: &str, name: &str) -> Vec<u8> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::read(corpus.join(name)).expect("a seed")
}

#[test]
fn a_notice_is_believed_by_the_foreign_agent_alone() {
    let bytes = seed_of("notice", "renew");
    let message = notice::Message::parse(&bytes).expect("a notice");
    assert_eq!(message.notice.vendor, DOCUMENTATION_VENDOR);
    assert_eq!(message.notice.home_agent, Ipv4Addr::new(10, 11, 1, 2));
    assert_eq!(message.notice.care_of, Ipv4Addr::new(10, 51, 1, 2));
    assert!(mobility::notice::verifies(&key2(End::First), End::First, &message));
    assert!(!mobility::notice::verifies(&key2(End::Second), End::Second, &message));
}

#[test]
fn revocations_open_at_the_foreign_agent() {
    let key2 = key2(End::First);
    let here = Revoker::new(&key2, End::First).expect("KEY 2");
    for name in ["vendor", "experimental"] {
        let bytes = seed(name);
        assert!(Revocation::parse(&bytes).expect("a revocation").from_home);
        let message = Message::parse(&bytes, Revocation::LEN, DOCUMENTATION_VENDOR).expect(name);
        assert!(here.verifies(&message), "{name}");
        assert_eq!(here.home_address(&message), Some(Ipv4Addr::new(10, 11, 1, 50)), "{name}");
    }
}

#[test]
fn the_acknowledgement_is_the_one_that_we_make() {
    let (foreign, home) = (key2(End::First), key2(End::Second));
    let bytes = seed("acknowledgement");
    let fixed = Acknowledgement::parse(&bytes).expect("an acknowledgement");
    let message = Message::parse(&bytes, Acknowledgement::LEN, DOCUMENTATION_VENDOR).expect("34");
    assert!(Revoker::new(&home, End::Second).expect("KEY 2").verifies(&message));
    assert_eq!(Revoker::new(&foreign, End::First).expect("KEY 2").acknowledge(&fixed), bytes);
}
