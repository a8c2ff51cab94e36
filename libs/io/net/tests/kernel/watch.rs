//! Changes of interfaces are reported as they happen.

use std::net::Ipv4Addr;

use net::netlink::{Change, Watch};

use crate::lab::{Host, Switch};

fn next(host: &Host, watch: Watch) -> (Change, Watch) {
    host.act(move || async move {
        let mut watch = watch;
        (watch.next().await.unwrap(), watch)
    })
}

/// Waits for `expected`, and for nothing else before it.
fn expect(host: &Host, watch: Watch, expected: &[Change]) -> Watch {
    let mut watch = watch;
    for expected in expected {
        let (change, back) = next(host, watch);
        assert_eq!(change, *expected);
        watch = back;
    }
    watch
}

#[test]
fn carrier_addresses_and_gateway_are_reported() {
    let Some(switch) = Switch::new(&["home", "visited"]) else {
        return;
    };
    let host = Host::new().unwrap();
    let port = switch.connect(&host, "eth0", "home");
    let index = host.index("eth0");
    let watch = host.act(|| async { Watch::open(&["eth0"]).await.unwrap() });
    let watch = expect(&host, watch, &[Change::LinkUp { index }]);

    switch.plug(&port, "visited");
    let watch = expect(&host, watch, &[Change::LinkDown { index }, Change::LinkUp { index }]);

    host.address("eth0", "192.168.77.10", 24);
    host.address("lo", "10.11.1.50", 32);
    host.route("0.0.0.0", 0, "192.168.77.1");
    let address = Ipv4Addr::new(192, 168, 77, 10);
    let gateway = Some(Ipv4Addr::new(192, 168, 77, 1));
    let changes = [
        Change::AddressAdded { index, address, prefix_length: 24 },
        Change::GatewayChanged { index, gateway },
    ];
    let watch = expect(&host, watch, &changes);

    host.no_address("eth0", "192.168.77.10", 24);
    switch.unplug(&port);
    let changes = [
        Change::AddressRemoved { index, address },
        Change::GatewayChanged { index, gateway: None },
        Change::LinkDown { index },
    ];
    expect(&host, watch, &changes);
}

#[test]
fn what_is_there_at_the_start_is_reported_first() {
    let Some(switch) = Switch::new(&["visited"]) else {
        return;
    };
    let host = Host::new().unwrap();
    switch.connect(&host, "eth0", "visited");
    let port = switch.connect(&host, "eth1", "visited");
    switch.unplug(&port);
    host.address("eth0", "192.168.77.10", 24);
    host.route("0.0.0.0", 0, "192.168.77.1");
    let (eth0, eth1) = (host.index("eth0"), host.index("eth1"));
    let watch = host.act(|| async { Watch::open(&["eth0", "eth1"]).await.unwrap() });
    let address = Ipv4Addr::new(192, 168, 77, 10);
    let changes = [
        Change::LinkDown { index: eth1 },
        Change::LinkUp { index: eth0 },
        Change::AddressAdded { index: eth0, address, prefix_length: 24 },
        Change::GatewayChanged { index: eth0, gateway: Some(Ipv4Addr::new(192, 168, 77, 1)) },
    ];
    expect(&host, watch, &changes);
}

/// Many flaps: each time the link was away is reported, however the kernel groups its messages.
#[test]
fn twenty_moves_are_twenty_reports() {
    let Some(switch) = Switch::new(&["one", "two"]) else {
        return;
    };
    let host = Host::new().unwrap();
    let port = switch.connect(&host, "eth0", "one");
    let index = host.index("eth0");
    let watch = host.act(|| async { Watch::open(&["eth0"]).await.unwrap() });
    let mut watch = expect(&host, watch, &[Change::LinkUp { index }]);
    for n in 0..20 {
        switch.plug(&port, if n % 2 == 0 { "two" } else { "one" });
        watch = expect(&host, watch, &[Change::LinkDown { index }, Change::LinkUp { index }]);
    }
}
