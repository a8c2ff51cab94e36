//! A new configuration while bindings stand.

use record::Mode;
use sa::negotiation::Policy;

use super::*;
use crate::EventKey;

fn configure(bench: &mut Bench, change: impl FnOnce(&mut Config)) {
    let mut config = config();
    change(&mut config);
    bench.input(Input::Request(Request::Configure(Box::new(config))));
}

fn bound() -> Bench {
    let mut bench = bench();
    let reply = bench.through(0, ask(0).bytes(), 1).unwrap();
    assert_eq!(code(&reply), Code::ACCEPTED);
    bench
}

#[test]
fn a_binding_and_what_was_seen_survive() {
    let mut bench = bound();
    let before = stored(&bench.committed).bindings;
    let (tunnels, committed) = (bench.tunnels.len(), bench.committed.len());
    configure(&mut bench, |config| {
        config.max_lifetime = 100;
        config.max_bindings = 1;
        config.timestamp_window = 5;
        // Not to be changed while it runs: passed over.
        config.nai = "other@home.example".into();
        config.address = Ipv4Addr::new(10, 11, 1, 3);
    });
    assert_eq!((bench.tunnels.len(), bench.committed.len()), (tunnels, committed), "nothing was touched");
    let binding = bench.agent.bindings().next().unwrap();
    let keys = |binding: &Binding| binding.associations.iter().map(EventKey::of).collect::<Vec<_>>();
    assert_eq!((binding.lifetime, keys(binding)), (300, keys(&before[0])));
    assert_eq!((bench.agent.config().address, bench.agent.config().nai.as_str()), (HA, "ha@home.example"));
    // The same request through another agent is still known, and so is its identification.
    let elsewhere = bench.through(1, ask(0).bytes(), 2).unwrap();
    assert_eq!(code(&elsewhere), Code::HA_PROHIBITED);
    let replayed = Ask { lifetime: 20, ..ask(0) };
    assert_eq!(code(&bench.through(0, replayed.bytes(), 3).unwrap()), Code::HA_IDENTIFICATION);
    // A renewal gets what is granted now.
    bench.now = at(10);
    let renewed = bench.through(0, ask(10).bytes(), 4).unwrap();
    assert_eq!(code(&renewed), Code::ACCEPTED);
    assert_eq!(registration::Reply::parse(&renewed).unwrap().lifetime, 100);
}

#[test]
fn what_is_allowed_for_associations_counts_at_once() {
    let mut bench = bound();
    let only = |mode| Policy { modes: vec![mode], ..Policy::default() };
    configure(&mut bench, |config| config.negotiation.foreign_agents = only(Mode::Stateless));
    bench.now = at(10);
    let insists = bench.through(0, ask(10).bytes(), 2).unwrap();
    assert_eq!(code(&insists), Code::HA_UNSPECIFIED, "nothing was offered, and that is not enough any more");
    assert_eq!(bench.agent.bindings().count(), 1, "what stood stands");
    configure(&mut bench, |_| {});
    bench.now = at(20);
    assert_eq!(code(&bench.through(0, ask(20).bytes(), 3).unwrap()), Code::ACCEPTED);
}

#[test]
fn a_foreign_agent_that_is_gone_relays_no_more_and_its_binding_stands() {
    let mut bench = bound();
    configure(&mut bench, |config| drop(config.neighbours.remove(0)));
    assert_eq!(bench.agent.bindings().count(), 1);
    bench.now = at(10);
    assert_eq!(bench.through(0, ask(10).bytes(), 2), None);
    // The other one kept its place, and the mobile node can move there.
    let moved = Ask { care_of: FA[1], heard: Some(FA_NAI[1]), ..ask(11) };
    assert_eq!(code(&bench.through(1, moved.bytes(), 3).unwrap()), Code::ACCEPTED);
    // Back in the configuration it is what it was.
    configure(&mut bench, |_| {});
    bench.now = at(20);
    assert_eq!(code(&bench.through(0, ask(20).bytes(), 4).unwrap()), Code::ACCEPTED);
}

#[test]
fn a_new_key_of_a_foreign_agent_counts_at_once() {
    let mut bench = bound();
    configure(&mut bench, |config| config.neighbours[0].key = Key::new([99; 32]));
    bench.now = at(10);
    let under_the_old = bench.through(0, ask(10).bytes(), 2).unwrap();
    assert_eq!(code(&under_the_old), Code::HA_FA_AUTHENTICATION);
    configure(&mut bench, |_| {});
    bench.now = at(20);
    assert_eq!(code(&bench.through(0, ask(20).bytes(), 3).unwrap()), Code::ACCEPTED);
}

/// The key distribution centre keeps a request waiting while `change` is configured; then its keys come.
fn asked_meanwhile(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = bench();
    let source = SocketAddrV4::new(FA[0], 434);
    let payload = relay(ask(0).bytes(), 0, handle(1), true);
    let destination = SocketAddrV4::new(HA, 434);
    let datagram = Datagram::Udp { source, destination, payload: &payload };
    bench.agent.handle(Input::Datagram(datagram), bench.now);
    let mut waiting = None;
    loop {
        match bench.agent.poll() {
            Output::Wait(_) => break,
            Output::Effect(Effect::AskKdc { ticket, .. }) => waiting = Some(ticket),
            _ => {}
        }
    }
    assert_eq!(bench.agent.pending(), 1);
    configure(&mut bench, change);
    let keys = Keys {
        key1: Some(Key::new([1; 32])),
        key2: Some(Key::new([2; 32])),
        key3: Some(Key::new([3; 32])),
        ..Keys::default()
    };
    bench.input(Input::Request(Request::Keys { ticket: waiting.unwrap(), result: Ok(keys) }));
    bench
}

#[test]
fn a_request_that_waits_for_keys_is_answered() {
    let bench = asked_meanwhile(|config| config.max_lifetime = 100);
    assert_eq!(code(&bench.sent[0].1), Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().next().unwrap().lifetime, 300, "it was granted before");
}

#[test]
fn a_request_that_a_removed_foreign_agent_relayed_is_not_answered() {
    let bench = asked_meanwhile(|config| drop(config.neighbours.remove(0)));
    assert!(bench.sent.is_empty() && bench.committed.is_empty());
    assert_eq!((bench.agent.bindings().count(), bench.agent.pending()), (0, 0));
}

#[test]
fn a_shorter_interval_of_advertisements_counts_at_once() {
    let mut bench = bench();
    configure(&mut bench, |config| config.advertisement_interval = Duration::from_secs(600));
    bench.now = at(2);
    bench.input(Input::Tick);
    let Output::Wait(Some(far)) = bench.agent.poll() else { panic!("an advertisement is always due") };
    assert!(far > at(60).mono);
    configure(&mut bench, |config| config.advertisement_interval = Duration::from_secs(1));
    let Output::Wait(Some(near)) = bench.agent.poll() else { panic!("an advertisement is always due") };
    assert!(near <= at(3).mono);
}
