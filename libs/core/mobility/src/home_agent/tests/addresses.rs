//! Home addresses for subscribers that were enrolled without one (RFC 2794 section 1, RFC 5944 section 3.8.3.2).

use super::*;

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const USERS: [&str; 6] = ["node-0", "node-1", "node-2", "node-3", "node-4", "node-5"];

const fn at_home(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 11, 1, last)
}

/// One of several subscribers that are to get an address.
fn node(n: usize) -> Subscriber {
    Subscriber {
        nai: Nai::parse(&format!("{}@home.example", USERS[n])).unwrap(),
        key0: Key::new([30 + n as u8; 32]),
        spi: Spi(5000 + n as u32),
        home_address: NONE,
        ..subscriber()
    }
}

/// Its registration.
fn wish(n: usize, seconds: u64, wanted: Ipv4Addr) -> Vec<u8> {
    of(n, Ask { wanted, ..ask(seconds) })
}

fn of(n: usize, ask: Ask) -> Vec<u8> {
    Ask { user: USERS[n], spi: node(n).spi, ..ask }.bytes_by(&MobileHome::of(&node(n)))
}

fn pool(first: u8, last: u8) -> Config {
    let never = vec![at_home(1)];
    Config { home_addresses: Some(Pool { first: at_home(first), last: at_home(last), never }), ..config() }
}

fn bench_of(config: Config, nodes: usize) -> Bench {
    let subscribers = (0..nodes).map(node).collect();
    Bench::of(config, State { subscribers, ..State::default() }, at(0))
}

/// The address in the acceptance of a request.
fn granted(n: usize, request: &[u8], reply: &[u8]) -> Ipv4Addr {
    assert_eq!(code(reply), Code::ACCEPTED);
    let asked = Parts::parse(request, 24, DOCUMENTATION_VENDOR).unwrap();
    let parts = Parts::parse(reply, 20, DOCUMENTATION_VENDOR).unwrap();
    let key = MobileHome::of(&node(n)).reply_key(&Transcript::of_mobile(&asked), None);
    let plain = sealed_plain(&parts, &parts.mobile.ip.unwrap(), Cipher::Aes256Gcm, &key).unwrap();
    ours::parse_ip(&plain).unwrap()
}

/// Registers through the first agent; the address.
fn register(bench: &mut Bench, n: usize, seconds: u64, wanted: Ipv4Addr) -> Ipv4Addr {
    bench.now = at(seconds);
    let request = wish(n, seconds, wanted);
    let reply = bench.through(0, request.clone(), 100 * seconds as u32 + n as u32).unwrap();
    granted(n, &request, &reply)
}

fn denied(bench: &mut Bench, n: usize, seconds: u64, wanted: Ipv4Addr) -> Code {
    bench.now = at(seconds);
    code(&bench.through(0, wish(n, seconds, wanted), 100 * seconds as u32 + n as u32).unwrap())
}

/// What the store has, with these subscribers.
fn disk(bench: &Bench, nodes: usize) -> State {
    State { subscribers: (0..nodes).map(node).collect(), ..stored(&bench.committed) }
}

#[test]
fn an_address_is_chosen_committed_with_the_binding_and_told() {
    let mut bench = bench_of(pool(128, 191), 1);
    assert_eq!(register(&mut bench, 0, 0, NONE), at_home(128));
    assert_eq!(bench.order, ["commit", "tunnel", "send"]);
    let state = disk(&bench, 1);
    assert_eq!(state.assigned, [(node(0).nai, at_home(128))]);
    assert_eq!(state.bindings[0].home_address, at_home(128));
    // The foreign agent is told of the same one, and nobody else of any.
    let (_, reply) = bench.sent.last().unwrap();
    assert_eq!(registration::Reply::parse(reply).unwrap().home_address, NONE);
    assert!(!reply.windows(4).any(|w| w == at_home(128).octets()));
    // It stays, asked for or not, and is committed once.
    assert_eq!(register(&mut bench, 0, 1, at_home(128)), at_home(128));
    assert_eq!(register(&mut bench, 0, 2, NONE), at_home(128));
    assert_eq!(disk(&bench, 1).assigned.len(), 1);
    assert_eq!(bench.agent.bindings().count(), 1);
}

#[test]
fn it_stays_over_the_end_of_the_binding_and_a_restart() {
    let mut bench = bench_of(pool(128, 191), 3);
    assert_eq!(register(&mut bench, 1, 0, NONE), at_home(128));
    assert_eq!(register(&mut bench, 0, 1, NONE), at_home(129));
    bench.now = at(400);
    bench.input(Input::Tick);
    assert_eq!(bench.agent.bindings().count(), 0);
    assert_eq!(register(&mut bench, 0, 401, NONE), at_home(129));
    let mut restarted = Bench::of(pool(128, 191), disk(&bench, 3), at(500));
    assert_eq!(register(&mut restarted, 2, 500, NONE), at_home(130));
    assert_eq!(register(&mut restarted, 1, 501, NONE), at_home(128));
}

#[test]
fn nobody_gets_what_another_one_has_or_no_host_can_have() {
    // The pool is the whole home link: 24 bits of prefix, the router at 1, the home agent at 2.
    let mut bench = bench_of(pool(0, 255), 5);
    let enrolled = Subscriber { home_address: at_home(3), ..subscriber() };
    bench.input(Input::Request(Request::Subscribers {
        changed: vec![enrolled],
        realm_keys: vec![],
        cursor: 9,
        complete: false,
    }));
    assert_eq!(register(&mut bench, 0, 0, NONE), at_home(4));
    for wanted in [0, 1, 2, 3, 4, 255] {
        assert_eq!(denied(&mut bench, 1, 1 + u64::from(wanted), at_home(wanted)), Code::HA_PROHIBITED);
    }
    assert_eq!(denied(&mut bench, 1, 300, Ipv4Addr::new(10, 11, 2, 7)), Code::HA_PROHIBITED);
    assert_eq!(register(&mut bench, 1, 301, at_home(200)), at_home(200), "a free one that is wanted");
    assert_eq!(register(&mut bench, 2, 302, NONE), at_home(201), "the next");
    // Who has one cannot have another.
    assert_eq!(denied(&mut bench, 0, 303, at_home(7)), Code::HA_PROHIBITED);
}

#[test]
fn where_none_is_left_code_130_and_where_there_is_no_pool_129() {
    let mut bench = bench_of(pool(128, 129), 3);
    register(&mut bench, 0, 0, NONE);
    register(&mut bench, 1, 1, NONE);
    let commits = bench.tunnels.len();
    assert_eq!(denied(&mut bench, 2, 2, NONE), Code::HA_RESOURCES);
    assert_eq!((bench.tunnels.len(), disk(&bench, 3).assigned.len()), (commits, 2));
    // One is revoked: where no other is left its address is given again.
    let revoked = Subscriber { state: SubscriberState::Revoked, ..node(0) };
    let changed = vec![revoked];
    let gone = Request::Subscribers { changed, realm_keys: vec![], cursor: 9, complete: false };
    bench.input(Input::Request(gone));
    assert_eq!(bench.agent.bindings().count(), 1);
    assert_eq!(register(&mut bench, 2, 3, NONE), at_home(128));
    assert_eq!(disk(&bench, 3).assigned.len(), 2);

    let mut without = bench_of(config(), 1);
    assert_eq!(denied(&mut without, 0, 0, NONE), Code::HA_PROHIBITED);
    assert!(without.asked.is_empty() && without.tunnels.is_empty());
}

#[test]
fn nothing_is_given_that_the_store_does_not_have() {
    let mut bench = bench_of(pool(128, 191), 2);
    bench.store = false;
    assert!(bench.through(0, wish(0, 0, NONE), 1).is_none());
    assert!(bench.tunnels.is_empty() && bench.sent.is_empty());
    bench.store = true;
    assert_eq!(register(&mut bench, 1, 1, NONE), at_home(129), "the first is in mind");
    assert_eq!(register(&mut bench, 0, 2, NONE), at_home(128));
    assert_eq!(disk(&bench, 2).assigned.len(), 2);
}

#[test]
fn a_rotation_leaves_the_address_and_an_enrolled_one_takes_its_place() {
    let mut bench = bench_of(pool(128, 191), 2);
    register(&mut bench, 0, 0, NONE);
    let change = |bench: &mut Bench, subscriber: Subscriber| {
        bench.input(Input::Request(Request::Subscribers {
            changed: vec![subscriber],
            realm_keys: vec![],
            cursor: 9,
            complete: false,
        }));
    };
    // Another KEY 0 without an overlap ends the binding, not the address.
    change(&mut bench, Subscriber { key0: Key::new([99; 32]), generation: 1, ..node(0) });
    assert_eq!(bench.agent.bindings().count(), 0);
    change(&mut bench, Subscriber { generation: 2, ..node(0) });
    assert_eq!(register(&mut bench, 0, 1, NONE), at_home(128));
    // Somebody is enrolled with that very address: it is his, and the other one gets another.
    change(&mut bench, Subscriber { home_address: at_home(128), ..subscriber() });
    assert_eq!(bench.agent.bindings().count(), 0);
    assert!(matches!(bench.tunnels.last(), Some(TunnelChange::Unbind { home_address, .. })
        if *home_address == at_home(128)));
    assert_eq!(denied(&mut bench, 0, 2, at_home(128)), Code::HA_PROHIBITED);
    assert_eq!(register(&mut bench, 0, 3, NONE), at_home(129));
    let state = disk(&bench, 2);
    assert_eq!(state.assigned, [(node(0).nai, at_home(129))]);
    assert_eq!(state.bindings.iter().map(|b| b.home_address).collect::<Vec<_>>(), [at_home(129)]);
}

#[test]
fn a_home_agent_that_was_restored_gives_back_the_address_that_is_asked_for() {
    let mut bench = bench_of(pool(128, 191), 2);
    assert_eq!(register(&mut bench, 0, 0, at_home(150)), at_home(150));
    assert_eq!(register(&mut bench, 1, 1, NONE), at_home(151));
}

#[test]
fn at_home_it_deregisters_by_the_address_that_it_got() {
    let mut bench = bench_of(pool(128, 191), 1);
    register(&mut bench, 0, 0, NONE);
    bench.now = at(1);
    let own = at_home(128);
    let home =
        Ask { flags: 0, lifetime: 0, home_address: own, care_of: own, heard: None, wanted: own, ..ask(1) };
    bench.receive(SocketAddrV4::new(own, 5000), &of(0, home));
    let reply = registration::Reply::parse(&bench.sent.last().unwrap().1).unwrap();
    assert_eq!((reply.code, reply.lifetime, reply.home_address), (Code::ACCEPTED, 0, own));
    let unbound = TunnelChange::Unbind { home_address: own, returned: Some([2, 0, 0, 0, 0, 9]) };
    assert_eq!(bench.tunnels.last(), Some(&unbound));
    assert_eq!(disk(&bench, 1).assigned.len(), 1, "the address stays its own");
}

#[test]
fn a_quicker_home_agent_on_the_same_store_has_the_last_word() {
    let mut bench = bench_of(pool(128, 191), 2);
    bench.quicker = true;
    assert!(bench.through(0, wish(0, 0, NONE), 1).is_none());
    assert_eq!(bench.refreshes, [node(0).nai]);
    let seen = |seconds| {
        let identification = ask(seconds).identification.0;
        Some(Seen { nai: node(0).nai, identification, generation: 0, index: 0 })
    };
    // The other one gave node 0 another address.
    bench.quicker = false;
    let assigned = Some(at_home(160));
    let nai = node(0).nai;
    bench.input(Input::Request(Request::Refreshed { nai, seen: seen(1), bindings: vec![], assigned }));
    assert_eq!(register(&mut bench, 0, 2, NONE), at_home(160));
    assert_eq!(stored(&bench.committed).assigned, [], "the store has it already");
    // It gave ours to somebody else, and none to this one: another is tried.
    let mut bench = bench_of(pool(128, 191), 2);
    bench.quicker = true;
    assert!(bench.through(0, wish(0, 0, NONE), 1).is_none());
    bench.quicker = false;
    let nai = node(0).nai;
    bench.input(Input::Request(Request::Refreshed { nai, seen: seen(1), bindings: vec![], assigned: None }));
    assert_eq!(register(&mut bench, 0, 2, NONE), at_home(129));
}

#[test]
fn two_addresses_in_one_request_must_be_the_same() {
    let mut bench = bench_of(pool(128, 191), 1);
    let two = Ask { home_address: at_home(129), wanted: at_home(128), ..ask(0) };
    assert_eq!(code(&bench.through(0, of(0, two), 1).unwrap()), Code::HA_PROHIBITED);
    bench.now = at(1);
    let one = Ask { home_address: at_home(129), wanted: NONE, ..ask(1) };
    assert_eq!(code(&bench.through(0, of(0, one), 2).unwrap()), Code::ACCEPTED);
    assert_eq!(bench.agent.bindings().next().unwrap().home_address, at_home(129));
}

/// While the keys of one registration are made, somebody is enrolled with the address that it was to have.
#[test]
fn an_enrolment_that_comes_first_wins() {
    let state = State { subscribers: vec![node(0)], ..State::default() };
    let mut agent = HomeAgent::new(pool(128, 191), [3; 32], state, at(0));
    let mut persisted = Vec::new();
    let mut waiting = None;
    let payload = relay(wish(0, 0, NONE), 0, handle(1), true);
    let source = SocketAddrV4::new(FA[0], 434);
    let destination = SocketAddrV4::new(HA, 434);
    let changed = vec![Subscriber { home_address: at_home(128), ..subscriber() }];
    let enrolled = Request::Subscribers { changed, realm_keys: vec![], cursor: 9, complete: false };
    for input in
        [Input::Datagram(Datagram::Udp { source, destination, payload: &payload }), Input::Request(enrolled)]
    {
        agent.handle(input, at(0));
        loop {
            match agent.poll() {
                Output::Effect(Effect::AskKdc { ticket, .. }) => waiting = Some(ticket),
                Output::Effect(Effect::Persist { changes, .. }) => persisted.extend(changes),
                Output::Wait(_) => break,
                Output::Send(_) | Output::Effect(_) => {}
            }
        }
    }
    let keys = Keys {
        key1: Some(Key::new([1; 32])),
        key2: Some(Key::new([2; 32])),
        key3: Some(Key::new([3; 32])),
        ..Keys::default()
    };
    let answer = Request::Keys { ticket: waiting.unwrap(), result: Ok(keys) };
    agent.handle(Input::Request(answer), at(0));
    loop {
        match agent.poll() {
            Output::Effect(Effect::Persist { changes, .. }) => persisted.extend(changes),
            Output::Send(Transmit::Udp { payload, .. }) => panic!("answered with {:?}", code(&payload)),
            Output::Wait(_) => break,
            Output::Send(_) | Output::Effect(_) => {}
        }
    }
    let assigned =
        persisted.iter().any(|c| matches!(c, Change::AssignAddress { .. } | Change::PutBinding(_)));
    assert!(!assigned, "never given to two");
}
