//! Packets past the host's routing, and gratuitous ARP.

use std::{io::Read as _, net::Ipv4Addr, sync::Arc};

use net::{
    link::{BROADCAST, Frame, Hears, LinkSocket, multicast},
    netlink::Netlink,
};

use crate::{
    lab::{Host, Switch},
    plan::arp_socket,
};

/// An IPv4 packet; its header checksum is right, since bridges look at it.
fn udp(destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((28 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0, 0, 0, 255, 17, 0, 0, 0, 0, 0, 0]);
    out.extend(destination);
    out.extend(ports.0.to_be_bytes());
    out.extend(ports.1.to_be_bytes());
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    seal(&mut out);
    out
}

/// Writes the checksum of the IP header.
fn seal(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let words = packet[..20].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

fn open(host: &Host, hears: Hears) -> Arc<LinkSocket> {
    host.act(move || async move { Arc::new(LinkSocket::open("eth0", hears).unwrap()) })
}

fn send(host: &Host, socket: &Arc<LinkSocket>, to: [u8; 6], packet: &[u8]) {
    let (socket, packet) = (Arc::clone(socket), packet.to_vec());
    host.act(move || async move { socket.send(to, &packet).unwrap() });
}

fn receive(host: &Host, socket: &Arc<LinkSocket>) -> Frame {
    let socket = Arc::clone(socket);
    host.act(move || async move { socket.receive().await.unwrap() })
}

const AGENT: [u8; 4] = [10, 21, 1, 1];

#[test]
fn a_request_and_its_reply_cross_a_link_without_addresses() {
    let Some(switch) = Switch::new(&["visited"]) else {
        return;
    };
    let (agent, mobile) = (Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&agent, "eth0", "visited");
    switch.connect(&mobile, "eth0", "visited");
    let at_agent = open(&agent, Hears::ForeignAgent);
    let at_mobile = open(&mobile, Hears::MobileNode);

    let tunnel_data = udp(AGENT, (40_000, 434), &[4, 4, 0, 0, 0x45]);
    let request = udp(AGENT, (40_000, 434), &[1, 2, 3]);
    let to_all_agents = udp([224, 0, 0, 11], (40_000, 434), &[1, 2, 4]);
    send(&mobile, &at_mobile, at_agent.address(), &tunnel_data);
    send(&mobile, &at_mobile, at_agent.address(), &request);
    send(&mobile, &at_mobile, multicast(Ipv4Addr::new(224, 0, 0, 11)), &to_all_agents);
    for expected in [request, to_all_agents] {
        let frame = receive(&agent, &at_agent);
        assert_eq!(frame, Frame { from: at_mobile.address(), packet: expected });
    }

    let to_another_port = udp([255; 4], (435, 40_000), &[3]);
    let reply = udp([255; 4], (434, 40_000), &[3]);
    send(&agent, &at_agent, at_mobile.address(), &to_another_port);
    send(&agent, &at_agent, at_mobile.address(), &reply);
    let frame = receive(&mobile, &at_mobile);
    assert_eq!(frame, Frame { from: at_agent.address(), packet: reply });
}

#[test]
fn a_socket_survives_that_its_link_goes_down() {
    let Some(switch) = Switch::new(&["one", "two"]) else {
        return;
    };
    let (agent, mobile) = (Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&agent, "eth0", "two");
    let port = switch.connect(&mobile, "eth0", "one");
    let at_agent = open(&agent, Hears::ForeignAgent);
    let at_mobile = open(&mobile, Hears::MobileNode);
    // Even when the interface itself is taken down.
    mobile.act(|| async {
        let netlink = Netlink::connect().unwrap();
        let index = netlink.link("eth0").await.unwrap().index;
        netlink.set_down(index).await.unwrap();
        netlink.set_up(index).await.unwrap();
    });
    switch.plug(&port, "two");
    let mut advertisement = udp([224, 0, 0, 1], (0, 0), &[]);
    advertisement[9] = 1;
    advertisement[20] = 9;
    seal(&mut advertisement);
    send(&agent, &at_agent, BROADCAST, &advertisement);
    let frame = receive(&mobile, &at_mobile);
    assert_eq!(frame, Frame { from: at_agent.address(), packet: advertisement });
}

#[test]
fn gratuitous_arp_changes_what_a_neighbour_knows() {
    let Some(switch) = Switch::new(&["home"]) else {
        return;
    };
    let (agent, correspondent) = (Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&agent, "eth0", "home");
    switch.connect(&correspondent, "eth0", "home");
    correspondent.address("eth0", "10.11.1.90", 24);
    let home_address = Ipv4Addr::new(10, 11, 1, 50);
    let old = [2, 0, 0, 0, 0, 7];
    correspondent.act(move || async move {
        let netlink = Netlink::connect().unwrap();
        let index = netlink.link("eth0").await.unwrap().index;
        netlink.learn_neighbour(index, home_address, old).await.unwrap();
    });
    let known = || {
        correspondent.act(move || async move {
            let netlink = Netlink::connect().unwrap();
            let index = netlink.link("eth0").await.unwrap().index;
            let all = netlink.neighbours(index).await.unwrap();
            all.into_iter().find(|neighbour| neighbour.address == home_address).unwrap().link_address.unwrap()
        })
    };
    assert_eq!(known(), old);
    // The link delivers in the sender's own context: what was sent has arrived when the call returns.
    let at_agent = open(&agent, Hears::HomeAgent);
    let socket = Arc::clone(&at_agent);
    let _told = agent.act(move || async move { socket.gratuitous_arp(home_address).unwrap() });
    until(|| known() == at_agent.address());
    let returned = [2, 0, 0, 0, 0, 9];
    let _told =
        agent.act(move || async move { at_agent.gratuitous_arp_for(home_address, returned).unwrap() });
    until(|| known() == returned);
}

#[test]
fn gratuitous_arp_is_repeated_until_it_becomes_untrue() {
    let Some(switch) = Switch::new(&["home"]) else {
        return;
    };
    let (agent, correspondent) = (Host::new().unwrap(), Host::new().unwrap());
    switch.connect(&agent, "eth0", "home");
    switch.connect(&correspondent, "eth0", "home");
    let heard = correspondent.act(|| async { arp_socket() });
    let at_agent = open(&agent, Hears::HomeAgent);
    let address = |last: u8| Ipv4Addr::new(10, 11, 1, last);
    agent.act(move || async move {
        let (withdrawn, told) = (at_agent.gratuitous_arp(address(51)), at_agent.gratuitous_arp(address(50)));
        drop(withdrawn.unwrap());
        let told = told.unwrap();
        while !told.is_over() {
            tokio::task::yield_now().await;
        }
        drop(at_agent.gratuitous_arp(address(52)).unwrap());
    });
    let mut counted = [0; 3];
    let mut packet = [0; 64];
    while counted[2] < 2 {
        assert!((&heard).read(&mut packet).unwrap() >= 28);
        if let [10, 11, 1, last @ 50..=52] = packet[14..18] {
            counted[usize::from(last - 50)] += 1;
        }
    }
    assert_eq!(counted, [6, 2, 2], "a request and a reply each time");
}

/// Asks again and again until something is so.
fn until(mut so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !so() {
        assert!(start.elapsed() < crate::lab::PATIENCE, "it never became so");
    }
}
