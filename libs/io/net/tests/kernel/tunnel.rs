//! Packets between a correspondent and a mobile node, through agents that are nothing but plans and tunnels.

use std::{
    ffi::c_int,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use forward::{Entry, Side, Table};
use net::{
    link::{Hears, LinkSocket},
    netlink::{Netlink, Owner, Route},
    plan::{ForeignAgent, HomeAgent, foreign_agent::Visitor, home_agent::Binding},
    udp::Port,
};

use crate::{
    lab::{PATIENCE, Switch},
    world::{
        ALL, CARE_OF, Encapsulation, FOREIGN_AGENT, HOME_ADDRESS, HOME_AGENT, World, echo, ends, learns_mtu,
        link_address, open, prepare_mobile_node, set, transfer, wait_for, with_and_without_offload,
    },
};

#[test]
fn datagrams_and_streams_pass_through_a_foreign_agent() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let (at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
            let (away, _control) = world.visit(encapsulation);
            let (correspondent, mobile) = ends(&world);
            echo(&correspondent, &mobile, 100);
            echo(&mobile, &correspondent, 1400);
            transfer(&world, 4 << 20);
            for tunnel in [&at_home, &away] {
                let counters = tunnel.counters();
                assert!(counters.value("tunnel octets out") > 4 << 20, "{encapsulation:?} {counters:?}");
                assert!(counters.value("tunnel octets in") > 4 << 20, "{encapsulation:?} {counters:?}");
            }
        }
    });
}

#[test]
fn datagrams_and_streams_pass_with_an_address_of_its_own() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let (_at_home, _control) = world.bind(encapsulation, CARE_OF);
            let (_away, _control) = world.co_locate(encapsulation);
            let (correspondent, mobile) = ends(&world);
            echo(&correspondent, &mobile, 100);
            echo(&mobile, &correspondent, 1400);
            transfer(&world, 4 << 20);
            // Even to the home agent's own address packets go inside.
            let home_agent = world.home_agent.udp("10.50.1.2:5000");
            echo(&mobile, &home_agent, 100);
        }
    });
}

#[test]
fn both_ends_learn_the_mtu_of_the_tunnel() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let (_at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
            let (_away, _control) = world.visit(encapsulation);
            let (correspondent, mobile) = ends(&world);
            let expected = c_int::from(encapsulation.mtu());
            learns_mtu(&correspondent, &mobile, expected);
            learns_mtu(&mobile, &correspondent, expected);
        }
    });
}

#[test]
fn a_narrow_path_inside_the_tunnel_is_told_to_the_sender() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let expected = c_int::from(encapsulation.mtu()) - 100;
            Switch::narrow(&world.router, "eth1", 1400);
            Switch::narrow(&world.foreign_agent, "eth0", 1400);
            let (at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
            let (_away, _control) = world.visit(encapsulation);
            let (correspondent, mobile) = ends(&world);
            learns_mtu(&correspondent, &mobile, expected);
            learns_mtu(&mobile, &correspondent, expected);
            assert!(at_home.counters().value("tunnel ICMP errors sent") > 0);
            // A stream finds its way as well.
            transfer(&world, 1 << 20);
        }
    });
}

#[test]
fn a_narrow_path_is_told_to_a_node_with_an_address_of_its_own() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            let expected = c_int::from(encapsulation.mtu()) - 100;
            Switch::narrow(&world.router, "eth0", 1400);
            Switch::narrow(&world.home_agent, "eth1", 1400);
            let (_at_home, _control) = world.bind(encapsulation, CARE_OF);
            let (_away, _control) = world.co_locate(encapsulation);
            let (correspondent, mobile) = ends(&world);
            learns_mtu(&mobile, &correspondent, expected);
            learns_mtu(&correspondent, &mobile, expected);
        }
    });
}

#[test]
fn what_may_be_cut_passes_a_narrow_path_in_pieces() {
    with_and_without_offload(|_| {
        for encapsulation in ALL {
            let Some(world) = World::new() else { return };
            Switch::narrow(&world.router, "eth1", 1400);
            Switch::narrow(&world.foreign_agent, "eth0", 1400);
            let (at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
            let (_away, _control) = world.visit(encapsulation);
            let (correspondent, mobile) = ends(&world);
            learns_mtu(&correspondent, &mobile, c_int::from(encapsulation.mtu()) - 100);
            let other = world.correspondent.udp("10.11.1.90:5001");
            set(&other, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_INTERFACE);
            // So that only the large one is left to receive.
            let mobile = world.mobile.udp("10.11.1.50:5001");
            let message = [7; 1430];
            other.send_to(&message, mobile.local_addr().unwrap()).unwrap();
            let mut buffer = [0; 2048];
            let (length, _) = mobile.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], message);
            // It is counted when it is gone, and may have arrived before.
            wait_for(|| at_home.counters().value("tunnel fragments made") == 2);
        }
    });
}

#[test]
fn an_unreachable_tunnel_end_is_told_to_the_sender() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    world.router.act(|| async {
        let route = Route::to(Owner::Other(4), FOREIGN_AGENT, 32).unreachable();
        Netlink::connect().unwrap().replace_route(&route).await.unwrap();
    });
    let (correspondent, mobile) = (world.correspondent.udp("10.11.1.90:5000"), "10.11.1.50:5000");
    // Otherwise the kernel takes it for something that may pass.
    set(&correspondent, libc::IP_RECVERR, 1);
    correspondent.connect(mobile).unwrap();
    correspondent.send(b"anybody there").unwrap();
    let error = correspondent.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH), "{:?}", at_home.counters());
}

#[test]
fn while_the_agent_is_gone_nothing_leaves_and_then_it_goes_on() {
    for encapsulation in ALL {
        let Some(world) = World::new() else { return };
        let (at_home, _control) = world.bind(encapsulation, FOREIGN_AGENT);
        let (away, control) = world.visit(encapsulation);
        let (correspondent, mobile) = ends(&world);
        echo(&correspondent, &mobile, 100);
        // What the kernel is left with after a kill -9: the device, and nobody who reads it.
        drop((away, control));
        let to = correspondent.local_addr().unwrap();
        for _ in 0..10 {
            mobile.send_to(b"lost", to).unwrap();
        }
        let (away, _control) = {
            let peer = encapsulation.peer(FOREIGN_AGENT, HOME_AGENT);
            open(&world.foreign_agent, FOREIGN_AGENT, None, Side::Visited, peer)
        };
        // Untunnelled packets would have arrived first.
        echo(&mobile, &correspondent, 200);
        echo(&correspondent, &mobile, 300);
        drop((at_home, away));
    }
}

#[test]
fn registrations_go_to_control_and_strangers_data_nowhere() {
    let Some(world) = World::new() else { return };
    let (at_home, mut control) = world.bind(Encapsulation::Udp, FOREIGN_AGENT);
    let stranger = world.router.udp("10.50.1.1:40000");
    let mut inner = vec![4, 4, 0, 0];
    inner.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 11, 1, 50, 10, 11, 1, 90]);
    stranger.send_to(&inner, "10.50.1.2:434").unwrap();
    stranger.send_to(b"\x01 request", "10.50.1.2:434").unwrap();
    let received = world.home_agent.act(move || async move { control.recv().await.unwrap() });
    assert_eq!(received.source.to_string(), "10.50.1.1:40000");
    assert_eq!(received.destination.to_string(), "10.50.1.2:434");
    assert_eq!(received.payload, b"\x01 request");
    let counters = at_home.counters();
    assert_eq!(counters.value("tunnel drop: wrong peer"), 1);
    assert_eq!(counters.value("tunnel packets in"), 0);
}

#[test]
fn ports_are_exchanged_while_it_runs() {
    let Some(world) = World::new() else { return };
    let (at_home, mut control) = world.bind(Encapsulation::Udp, FOREIGN_AGENT);
    let other =
        world.home_agent.act(|| async { Port::open("10.11.1.2:434".parse().unwrap(), None).unwrap() });
    at_home.set_ports(vec![other]);
    let client = world.correspondent.udp("10.11.1.90:40000");
    client.send_to(b"\x01 request", "10.11.1.2:434").unwrap();
    let received = world.home_agent.act(move || async move { control.recv().await.unwrap() });
    assert_eq!(received.destination.to_string(), "10.11.1.2:434");
}

/// A port that was exchanged is closed, so that it can be opened again at once.
#[test]
fn an_exchanged_port_is_free() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::Udp, FOREIGN_AGENT);
    world.home_agent.act(move || async move {
        for _ in 0..200 {
            at_home.set_ports(vec![]);
            let port = Port::open(SocketAddrV4::new(HOME_AGENT, 434), None).unwrap();
            at_home.set_ports(vec![port]);
        }
    });
}

/// Stopping does not wait until nobody sends any more.
#[test]
fn a_tunnel_stops_under_load() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    let (correspondent, stop) =
        (world.correspondent.udp("10.11.1.90:5000"), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let flood = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let _ = correspondent.send_to(&[0; 100], (HOME_ADDRESS, 5000));
        }
    });
    wait_for(|| at_home.counters().value("tunnel packets out") > 1000);
    let start = Instant::now();
    drop(at_home);
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    assert!(took < PATIENCE, "{took:?}");
}

#[test]
fn a_swapped_table_takes_effect_at_once() {
    let Some(world) = World::new() else { return };
    let (at_home, _control) = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    let (_away, _control) = world.visit(Encapsulation::IpInIp);
    let (correspondent, mobile) = ends(&world);
    echo(&correspondent, &mobile, 100);
    at_home.swap(Table::new(Side::HomeAgent, []));
    correspondent.send_to(b"lost", mobile.local_addr().unwrap()).unwrap();
    let start = Instant::now();
    while at_home.counters().value("tunnel drop: no tunnel") == 0 {
        assert!(start.elapsed() < PATIENCE, "the packet was not dropped");
        std::thread::yield_now();
    }
    let peer = Encapsulation::IpInIp.peer(HOME_AGENT, FOREIGN_AGENT);
    at_home.swap(Table::new(Side::HomeAgent, [Entry::new(HOME_ADDRESS, peer)]));
    echo(&correspondent, &mobile, 100);
}

#[test]
fn the_home_agent_answers_for_the_mobile_node_until_it_is_back() {
    let Some(world) = World::new() else { return };
    let (_tunnel, _control) = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    let (correspondent, agent_link) =
        (world.correspondent.udp("10.11.1.90:5000"), link_address(&world.home_agent, "eth0"));
    correspondent.send_to(b"where are you", (HOME_ADDRESS, 5000)).unwrap();
    let known = || {
        world.correspondent.act(|| async {
            let netlink = Netlink::connect().unwrap();
            let index = netlink.link("eth0").await.unwrap().index;
            let all = netlink.neighbours(index).await.unwrap();
            all.into_iter().find(|one| one.address == HOME_ADDRESS).and_then(|one| one.link_address)
        })
    };
    wait_for(|| known() == Some(agent_link));

    world.switch.plug(&world.mobile_port, "home");
    let mobile_link = link_address(&world.mobile, "eth0");
    world.mobile.has_carrier("eth0");
    world.mobile.act(|| async {
        let plan = prepare_mobile_node().await;
        let link = Arc::new(LinkSocket::open("eth0", Hears::MobileNode).unwrap());
        plan.home(&link).await.unwrap();
    });
    wait_for(|| known() == Some(mobile_link));
    world.home_agent.act(move || async move {
        let netlink = Netlink::connect().unwrap();
        let bound = Binding { home_address: HOME_ADDRESS, mtu: 1480 };
        let plan = HomeAgent::start(netlink.clone(), "eth0", "sojourn0", &[bound]).await.unwrap();
        let link = LinkSocket::open("eth0", Hears::HomeAgent).unwrap();
        assert_eq!(netlink.proxies(link.index()).await.unwrap(), [HOME_ADDRESS]);
        plan.unbind(&link, HOME_ADDRESS, Some(mobile_link)).await.unwrap();
        assert_eq!(netlink.proxies(link.index()).await.unwrap(), [] as [Ipv4Addr; 0]);
    });
    assert!(world.home_agent.routes(Owner::HomeAgent).is_empty());
    let mobile = world.mobile.udp("10.11.1.50:5000");
    echo(&correspondent, &mobile, 100);
    assert_eq!(known(), Some(mobile_link));
    // The reply of the home agent finds its way without the tunnel.
    let home_agent = world.home_agent.udp("10.11.1.2:5000");
    echo(&home_agent, &mobile, 100);
}

#[test]
fn visitors_come_and_go_and_leave_nothing() {
    let Some(world) = World::new() else { return };
    let (_tunnel, _control) = open(
        &world.foreign_agent,
        FOREIGN_AGENT,
        None,
        Side::Visited,
        Encapsulation::IpInIp.peer(FOREIGN_AGENT, HOME_AGENT),
    );
    world.foreign_agent.act(|| async {
        let netlink = Netlink::connect().unwrap();
        let visitor = |last: u8, reverse_tunnel| Visitor {
            home_address: Ipv4Addr::new(10, 11, 1, last),
            interface: "eth1".to_owned(),
            link_address: [2, 0, 0, 0, 0, last],
            reverse_tunnel,
        };
        let start = async |visitors: &[Visitor]| {
            ForeignAgent::start(netlink.clone(), &["eth1"], "sojourn0", 1480, visitors).await.unwrap()
        };
        let state = async || {
            let mut routes = netlink.routes(None).await.unwrap();
            routes.retain(|route| route.owner == Owner::ForeignAgent);
            routes.sort();
            let mut rules = netlink.rules(Owner::ForeignAgent).await.unwrap();
            rules.sort();
            let index = netlink.link("eth1").await.unwrap().index;
            let mut neighbours = netlink.neighbours(index).await.unwrap();
            neighbours.retain(|neighbour| neighbour.ours);
            neighbours.sort_by_key(|neighbour| neighbour.address);
            (routes, rules, neighbours)
        };
        let plan = start(&[]).await;
        let empty = state().await;
        assert_eq!((empty.0.len(), empty.1.len(), empty.2.len()), (2, 1, 0));
        plan.visitor_add(&visitor(50, true)).await.unwrap();
        plan.visitor_add(&visitor(51, false)).await.unwrap();
        plan.visitor_add(&visitor(51, false)).await.unwrap();
        let two = state().await;
        assert_eq!((two.0.len(), two.1.len(), two.2.len()), (4, 2, 2));
        // A restart with the same visitors changes nothing; one with others leaves only those.
        start(&[visitor(50, true), visitor(51, false)]).await;
        assert_eq!(state().await, two);
        start(&[visitor(51, false)]).await;
        plan.visitor_add(&visitor(51, true)).await.unwrap();
        let one = state().await;
        assert_eq!((one.0.len(), one.1.len(), one.2.len()), (3, 1, 1));
        plan.visitor_remove(Ipv4Addr::new(10, 11, 1, 51)).await.unwrap();
        plan.visitor_remove(Ipv4Addr::new(10, 11, 1, 51)).await.unwrap();
        assert_eq!(state().await, empty);
    });
}
