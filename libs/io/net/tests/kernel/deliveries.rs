//! What a foreign agent does while a visitor cannot be reached: nothing comes out of the tunnel for it.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use forward::{Side, Table};
use net::{
    deliveries::Deliveries,
    netlink::{Change, Netlink},
    plan::{ForeignAgent, foreign_agent::Visitor},
    tunnel::Links,
};

use crate::{
    lab::{Host, PATIENCE},
    world::{
        Encapsulation, FOREIGN_AGENT, HOME_ADDRESS, HOME_AGENT, VISITED_AGENT, World, ends, entry,
        link_address, open_with, prepare_mobile_node, wait_for,
    },
};

/// Takes the visited interface of the foreign agent down or up; the kernel forgets the ways there when it goes down.
fn set_link(agent: &Host, up: bool) {
    agent.act(move || async move {
        let netlink = Netlink::connect().unwrap();
        let index = netlink.link("eth1").await.unwrap().index;
        if up { netlink.set_up(index).await.unwrap() } else { netlink.set_down(index).await.unwrap() }
    });
    if up {
        agent.has_carrier("eth1");
    }
}

/// What comes from the home link must not come out: it is dropped in the tunnel.
fn nothing_comes_out(world: &World, deliveries: &Deliveries) {
    assert!(!deliveries.is_open(HOME_ADDRESS));
    let count = |name| deliveries.tunnel().counters().value(name);
    let correspondent = world.correspondent.udp("10.11.1.90:5001");
    let one_is_dropped = || {
        let before = count("tunnel drop: no tunnel");
        correspondent.send_to(b"to nobody", (HOME_ADDRESS, 5001)).unwrap();
        wait_for(|| count("tunnel drop: no tunnel") > before);
    };
    // What came out before is counted after it came, at the end of what was received together: by the second drop it is.
    one_is_dropped();
    one_is_dropped();
    let came_out = count("tunnel packets in");
    one_is_dropped();
    assert_eq!(count("tunnel packets in"), came_out);
}

/// Something from the home link comes out. The switch takes a moment until it forwards to an interface that came up:
/// what was lost is sent again.
fn comes_out(correspondent: &UdpSocket, mobile: &UdpSocket) {
    let start = Instant::now();
    mobile.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    loop {
        correspondent.send_to(b"to the visitor", mobile.local_addr().unwrap()).unwrap();
        if mobile.recv_from(&mut [0; 64]).is_ok() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "nothing comes out");
    }
}

#[test]
fn nothing_leaves_a_tunnel_whose_visitor_cannot_be_reached() {
    let Some(world) = World::new() else { return };
    let _at_home = world.bind(Encapsulation::IpInIp, FOREIGN_AGENT);
    let agent = &world.foreign_agent;
    let (agent_link, mobile_link) = (link_address(agent, "eth1"), link_address(&world.mobile, "eth0"));
    let index = agent.index("eth1");
    let (tunnel, _control) =
        open_with(agent, FOREIGN_AGENT, None, Table::new(Side::Visited, []), Links::None);
    let plan = agent.act(|| async {
        let netlink = Netlink::connect().unwrap();
        ForeignAgent::start(netlink, &["eth1"], "sojourn0", 1480, &[]).await.unwrap()
    });
    let deliveries = Deliveries::new(plan, tunnel, vec![]);
    world.mobile.act(move || async move {
        let plan = prepare_mobile_node().await;
        plan.via_foreign_agent("eth0", VISITED_AGENT, agent_link).await.unwrap();
    });

    // It comes while the way to it cannot be made.
    set_link(agent, false);
    let deliveries = agent.act(move || async move {
        let mut deliveries = deliveries;
        let visitor = Visitor {
            home_address: HOME_ADDRESS,
            interface: "eth1".to_owned(),
            link_address: mobile_link,
            reverse_tunnel: true,
        };
        let tunnel = entry(Encapsulation::IpInIp.peer(FOREIGN_AGENT, HOME_AGENT));
        deliveries.add(visitor, tunnel).await;
        deliveries
    });
    nothing_comes_out(&world, &deliveries);

    // The interface is back: it is tried again at once.
    set_link(agent, true);
    let deliveries = agent.act(move || async move {
        let mut deliveries = deliveries;
        deliveries.interface_changed(Change::LinkUp { index });
        deliveries.settle().await;
        deliveries
    });
    assert!(deliveries.is_open(HOME_ADDRESS));
    let (correspondent, mobile) = ends(&world);
    comes_out(&correspondent, &mobile);

    // It goes down under a visitor: closed before anything else is done, and tried again without being told.
    set_link(agent, false);
    let mut deliveries = deliveries;
    deliveries.interface_changed(Change::LinkDown { index });
    nothing_comes_out(&world, &deliveries);
    let deliveries = agent.act(move || async move {
        let mut deliveries = deliveries;
        deliveries.settle().await;
        deliveries
    });
    nothing_comes_out(&world, &deliveries);
    set_link(agent, true);
    let deliveries = agent.act(move || async move {
        let mut deliveries = deliveries;
        deliveries.retry().await;
        deliveries.settle().await;
        deliveries
    });
    comes_out(&correspondent, &mobile);

    let deliveries = agent.act(move || async move {
        let mut deliveries = deliveries;
        deliveries.remove(HOME_ADDRESS).await;
        deliveries.interface_changed(Change::LinkUp { index });
        deliveries.settle().await;
        deliveries
    });
    nothing_comes_out(&world, &deliveries);
}
