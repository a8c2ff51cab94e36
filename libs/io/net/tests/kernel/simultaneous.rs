//! A mobile node with two care-of addresses of its own at a time: every packet goes to both, and its applications get
//! it once (RFC 5944 sections 3.6.1.2, 4.2.3).

use std::{io::ErrorKind, net::Ipv4Addr};

use forward::{Side, Table};

use crate::world::{
    ALL, BROADCAST, CARE_OF, Encapsulation, HOME_ADDRESS, HOME_AGENT, World, echo, ends, entry, transfer,
    wait_for,
};

const SECOND: Ipv4Addr = Ipv4Addr::new(10, 51, 1, 78);
const SENT: u64 = 200;

/// Both tunnels, the first as `encapsulation` has it, as the home agent or the mobile node knows them.
fn both(side: Side, encapsulation: Encapsulation) -> Table {
    let peers =
        [(encapsulation, CARE_OF), (Encapsulation::IpInIp, SECOND)].map(|(how, care_of)| match side {
            Side::HomeAgent => how.peer(HOME_AGENT, care_of),
            Side::Visited => how.peer(care_of, HOME_AGENT),
        });
    let mut table = Table::new(side, []).with_broadcast(BROADCAST);
    table.set(HOME_ADDRESS, &peers.map(entry));
    table
}

#[test]
fn what_goes_to_two_care_of_addresses_comes_once() {
    for encapsulation in ALL {
        let Some(world) = World::new() else { return };
        let (at_home, _control) = world.bind(encapsulation, CARE_OF);
        let (away, _control) = world.co_locate(encapsulation);
        world.mobile.address("eth0", "10.51.1.78", 24);
        at_home.swap(both(Side::HomeAgent, encapsulation));
        away.swap(both(Side::Visited, encapsulation));
        let (correspondent, mobile) = ends(&world);
        let taken_out = || away.counters().value("duplicates taken out");
        // The first packets may wait for ARP.
        let mut echoes = 0;
        wait_for(|| {
            echo(&correspondent, &mobile, 100);
            echoes += 1;
            taken_out() > 0
        });
        let copies = || at_home.counters().value("copies for simultaneous bindings sent");
        // A packet is counted once it is handed over, which may be after it came.
        let came = || away.counters().value("tunnel packets in");
        wait_for(|| (taken_out(), copies(), came()) == (echoes, echoes, echoes));
        let (before, copied, dropped) = (away.counters(), copies(), taken_out());
        let mut buffer = [0; 2048];
        for number in 0..SENT {
            correspondent.send_to(&number.to_be_bytes(), mobile.local_addr().unwrap()).unwrap();
            let length = mobile.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], number.to_be_bytes(), "each once, and in order");
        }
        // Both copies of each came over the wire. A batch is counted once it is sent, which may be after it came.
        wait_for(|| taken_out() == dropped + SENT);
        wait_for(|| copies() >= copied + SENT);
        assert_eq!(copies(), copied + SENT);
        let passed = |counters: &net::tunnel::Counters| counters.value("tunnel packets in");
        wait_for(|| passed(&away.counters()) >= passed(&before) + SENT);
        assert_eq!(passed(&away.counters()), passed(&before) + SENT);
        mobile.set_nonblocking(true).unwrap();
        assert_eq!(mobile.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        // A stream, whose acknowledgments are often alike, both ways.
        transfer(&world, 4 << 20);
    }
}

#[test]
fn without_the_second_tunnel_nothing_is_taken_out() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::IpInIp, CARE_OF);
    let (away, _control) = world.co_locate(Encapsulation::IpInIp);
    let (correspondent, mobile) = ends(&world);
    echo(&correspondent, &mobile, 100);
    transfer(&world, 1 << 20);
    assert_eq!(at_home.counters().value("copies for simultaneous bindings sent"), 0);
    assert_eq!(away.counters().value("duplicates taken out"), 0);
}
