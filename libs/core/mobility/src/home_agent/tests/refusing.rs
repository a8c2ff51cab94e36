//! Requests that are denied, or met with silence.

use super::*;

#[test]
fn every_changed_byte_of_a_request_is_met_with_silence() {
    let good = relay(ask(0).bytes(), 0, handle(1), true);
    for i in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bench = bench();
            let mut bytes = good.clone();
            bytes[i] ^= bit;
            bench.receive(SocketAddrV4::new(FA[0], 434), &bytes);
            // Changes behind 32 leave it verified: the agent failed, which the mobile node may learn.
            let mobile_end = ask(0).bytes().len();
            if i < mobile_end {
                assert!(bench.nothing_changed(), "byte {i}");
            } else {
                assert!(bench.tunnels.is_empty() && bench.asked.is_empty(), "byte {i}");
                assert!(bench.sent.iter().all(|(_, r)| code(r) == Code::HA_FA_AUTHENTICATION), "byte {i}");
            }
        }
    }
}

#[test]
fn every_cut_of_a_request_changes_nothing() {
    let good = relay(ask(0).bytes(), 0, handle(1), true);
    for n in 0..good.len() {
        let mut bench = bench();
        bench.receive(SocketAddrV4::new(FA[0], 434), &good[..n]);
        assert!(bench.tunnels.is_empty() && bench.asked.is_empty(), "cut at {n}");
        assert!(bench.sent.iter().all(|(_, r)| code(r) == Code::HA_FA_AUTHENTICATION), "cut at {n}");
    }
}

#[test]
fn repeated_and_moved_extensions_are_refused() {
    let mobile = ask(0).bytes();
    let good = relay(mobile.clone(), 0, handle(1), true);
    let parts = extension::walk(&good, 24).unwrap();
    for e in &parts {
        let piece = &good[e.offset..e.end()];
        for place in parts.iter().map(|p| p.offset).chain([good.len()]) {
            let mut bytes = good.clone();
            bytes.splice(place..place, piece.iter().copied());
            let mut bench = bench();
            bench.receive(SocketAddrV4::new(FA[0], 434), &bytes);
            assert!(bench.tunnels.is_empty() && bench.asked.is_empty(), "{} again at {place}", e.kind);
        }
    }
}

#[test]
fn denials_have_the_defined_codes_and_record_the_identification() {
    let base = ask(0);
    let cases = [
        (Ask { flags: Flags::GRE, ..base.clone() }, Code::HA_ENCAPSULATION),
        (Ask { flags: Flags::MINIMAL, ..base.clone() }, Code::HA_ENCAPSULATION),
        (Ask { flags: 0x04, ..base.clone() }, Code::HA_BAD_REQUEST),
        (Ask { home_agent: Ipv4Addr::new(10, 11, 1, 3), ..base.clone() }, Code::HA_UNKNOWN_HOME_AGENT),
        (Ask { user: "somebody-else", ..base.clone() }, Code::HA_BAD_REQUEST),
        (Ask { wanted: Ipv4Addr::new(10, 11, 1, 51), ..base.clone() }, Code::HA_PROHIBITED),
        (Ask { home_address: Ipv4Addr::new(10, 11, 1, 51), ..base.clone() }, Code::HA_PROHIBITED),
        (Ask { care_of: FA[1], ..base.clone() }, Code::HA_PROHIBITED),
        (Ask { heard: Some(FA_NAI[1]), ..base.clone() }, Code::HA_FA_AUTHENTICATION),
        (Ask { heard: None, ..base.clone() }, Code::HA_FA_AUTHENTICATION),
    ];
    for (case, (request, expected)) in cases.into_iter().enumerate() {
        let mut bench = bench();
        let reply = bench.through(0, request.bytes(), 1).unwrap();
        assert_eq!(code(&reply), expected, "case {case}");
        let parts = Unverified::new(Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap());
        assert!(keys().verify(Direction::FromHome, SPI, &parts).is_some());
        assert!(path(0).verify(Direction::FromHome, &parts).is_some());
        assert!(parts.peek().mobile.associations.is_empty() && parts.peek().foreign.associations.is_empty());
        assert_eq!(bench.committed.len(), 1, "case {case}");
        assert!(matches!(bench.committed[0], Change::Identification { .. }));
        assert!(bench.tunnels.is_empty() && bench.agent.bindings().count() == 0);
    }
}

#[test]
fn the_agent_must_prove_itself() {
    let mut bench = bench();
    let source = SocketAddrV4::new(FA[0], 434);
    bench.receive(source, &relay(ask(0).bytes(), 0, handle(1), false));
    assert_eq!(code(&bench.sent[0].1), Code::HA_FA_AUTHENTICATION);
    // Relayed by a host that is no configured agent, with or without 34.
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 99, 9, 9), 434);
    bench.receive(elsewhere, &relay(ask(1).bytes(), 0, handle(2), true));
    bench.receive(elsewhere, &relay(ask(2).bytes(), 0, handle(3), false));
    assert_eq!(bench.sent.len(), 1);
    assert!(bench.tunnels.is_empty());
    // Another agent relays what named the first.
    bench.now = at(3);
    let reply = bench.through(1, ask(3).bytes(), 4).unwrap();
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(code(&reply), Code::HA_FA_AUTHENTICATION);
    let relayed = relay(ask(3).bytes(), 1, handle(4), true);
    let t1 = Transcript::of_mobile(&Parts::parse(&relayed, 24, DOCUMENTATION_VENDOR).unwrap());
    let held = parts.mobile.error_detail.unwrap();
    let detail = sealed_plain(&parts, &held, Cipher::Aes256Gcm, &keys().reply_key(&t1, None)).unwrap();
    assert_eq!(ErrorDetail::parse(&detail).unwrap().code, DetailCode::AGENT_MISMATCH);
}

#[test]
fn unknown_indices_and_revoked_subscribers_are_met_with_silence() {
    let mut bench = bench();
    assert!(bench.through(0, Ask { spi: Spi(4712), ..ask(0) }.bytes(), 1).is_none());
    assert!(bench.nothing_changed());
    bench.through(0, ask(0).bytes(), 1).unwrap();
    let revoked = Subscriber { state: SubscriberState::Revoked, ..subscriber() };
    bench.input(Input::Request(Request::Subscribers {
        changed: vec![revoked],
        realm_keys: vec![],
        cursor: 5,
        complete: false,
    }));
    assert_eq!(bench.agent.bindings().count(), 0);
    assert!(matches!(bench.tunnels.last(), Some(TunnelChange::Unbind { .. })));
    bench.now = at(5);
    assert!(bench.through(0, ask(5).bytes(), 2).is_none());
}

#[test]
fn without_keys_the_mobile_node_learns_why() {
    let mut bench = bench();
    bench.kdc = Err(KdcError::Unavailable("down".into()));
    let relayed = relay(ask(0).bytes(), 0, handle(1), true);
    let reply = bench.through(0, ask(0).bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::HA_UNSPECIFIED);
    let parts = Parts::parse(&reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let t1 = Transcript::of_mobile(&Parts::parse(&relayed, 24, DOCUMENTATION_VENDOR).unwrap());
    let held = parts.mobile.error_detail.unwrap();
    let detail = sealed_plain(&parts, &held, Cipher::Aes256Gcm, &keys().reply_key(&t1, None)).unwrap();
    assert_eq!(ErrorDetail::parse(&detail).unwrap().code, DetailCode::KDC_UNAVAILABLE);
    assert!(bench.tunnels.is_empty());
    bench.kdc = Ok(());
    bench.now = at(1);
    assert_eq!(code(&bench.through(0, ask(1).bytes(), 2).unwrap()), Code::ACCEPTED);
}

#[test]
fn a_store_that_refuses_means_no_tunnel_and_no_reply() {
    let mut bench = bench();
    bench.store = false;
    assert!(bench.through(0, ask(0).bytes(), 1).is_none());
    assert!(bench.tunnels.is_empty() && bench.agent.bindings().count() == 0);
    bench.store = true;
    bench.now = at(1);
    assert_eq!(code(&bench.through(0, ask(1).bytes(), 2).unwrap()), Code::ACCEPTED);
    let previous = bench.committed.iter().find_map(|c| match c {
        Change::Identification { previous, .. } => Some(*previous),
        _ => None,
    });
    assert_eq!(previous, Some(None), "the compare-and-set stands on what the store really holds");
}

#[test]
fn a_vendor_extension_that_is_not_understood_is_named_by_its_part() {
    let mut bench = bench();
    let mobile = ask(0).bytes();
    let mut w = Writer::after(mobile);
    ours::put(&mut w, NUMBERS, Subtype(11), &[0; 34]).unwrap();
    let reply = bench.through(0, w.into_bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::HA_VENDOR_FROM_FA);
}
