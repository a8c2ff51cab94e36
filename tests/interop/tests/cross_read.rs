//! Our requests, replies, advertisements and tunnel data read by tshark and by scapy, and scapy's read by us.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::Command,
};

use interop_tests::{Tshark, pcap, python};
use serde_json::Value;
use wire::{
    Writer, ip,
    mip::{
        Spi,
        advertisement::{self, Advertisement, AgentFlags, MobilityAgent, Router, Solicitation},
        code::Code,
        extension::{self, UdpTunnelReply, UdpTunnelRequest, walk},
        ours::{self, AgentHeard, DOCUMENTATION_VENDOR, Handle, Numbers, Protected, Subtype},
        part::Parts,
        registration::{Flags, Identification, Reply, Request},
        tunnel_data::TunnelData,
    },
};

const MOBILE_NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 21, 1, 50), 40_434);
const AGENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 21, 1, 1), 434);
const VENDOR: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);

/// A registration message of ours.
struct Message {
    name: String,
    bytes: Vec<u8>,
}

impl Message {
    fn is_request(&self) -> bool {
        self.bytes[0] == 1
    }

    fn packet(&self) -> Vec<u8> {
        let (from, to) = if self.is_request() { (MOBILE_NODE, AGENT) } else { (AGENT, MOBILE_NODE) };
        ip::udp_packet(from, to, 255, &self.bytes).unwrap()
    }

    fn extensions(&self) -> Vec<extension::Extension<'_>> {
        walk(&self.bytes, if self.is_request() { Request::LEN } else { Reply::LEN }).unwrap()
    }

    fn ours(&self) -> Vec<ours::Ours<'_>> {
        self.extensions().iter().filter_map(|e| ours::parse(e).unwrap()).collect()
    }
}

fn authentication(w: &mut Writer, kind: u8, spi: Spi) {
    extension::open_authentication(w, kind, spi, 32);
    w.put(&[kind; 32]);
}

/// A request through a foreign agent, with everything that may stand in one.
fn emitted_request() -> Message {
    let mut w = Writer::default();
    let request = Request {
        flags: Flags(Flags::REVERSE_TUNNEL | Flags::BROADCAST),
        lifetime: 600,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: Ipv4Addr::new(10, 11, 1, 2),
        care_of: Ipv4Addr::new(10, 51, 1, 2),
        identification: Identification::new(0xeeaa_0001, 0xdead_beef),
    };
    request.emit(&mut w);
    extension::put(&mut w, extension::MN_NAI, b"@home.example").unwrap();
    for subtype in [Subtype::NAI, Subtype::IP, Subtype::LAYER_2] {
        let sealed = Protected { content: 0, sealed: true, spi: Spi(70_001), info: &[0x5a; 100] };
        sealed.emit(&mut w, VENDOR, subtype).unwrap();
    }
    AgentHeard { challenge: &[7; 8], agent: "fa@visited.example" }.emit(&mut w, VENDOR).unwrap();
    UdpTunnelRequest { forced: true, through_foreign_agent: false, encapsulation: 4 }.emit(&mut w);
    authentication(&mut w, extension::MN_HA_AUTHENTICATION, Spi(70_001));
    extension::put(&mut w, extension::DELIVERY_STYLE, &[]).unwrap();
    extension::put(&mut w, extension::MN_FA_CHALLENGE, &[7; 8]).unwrap();
    authentication(&mut w, extension::MN_FA_AUTHENTICATION, Spi(0xa100_0002));
    Handle { handle: 1 << 63, key2: Spi(300), key3: Spi(301) }.emit(&mut w, VENDOR).unwrap();
    authentication(&mut w, extension::FA_HA_AUTHENTICATION, Spi(1001));
    Message { name: "emitted request".into(), bytes: w.into_bytes() }
}

fn emitted_reply() -> Message {
    let mut w = Writer::default();
    let reply = Reply {
        code: Code::HA_IDENTIFICATION,
        lifetime: 300,
        home_address: Ipv4Addr::new(10, 11, 1, 50),
        home_agent: Ipv4Addr::new(10, 11, 1, 2),
        identification: Identification::new(0xeeaa_0001, 0xdead_beef),
    };
    reply.emit(&mut w);
    UdpTunnelReply { code: 64, forced: true, keepalive: 110 }.emit(&mut w);
    authentication(&mut w, extension::MN_HA_AUTHENTICATION, Spi(70_001));
    Message { name: "emitted reply".into(), bytes: w.into_bytes() }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

fn vector(path: &Path) -> Message {
    let text = fs::read_to_string(path).unwrap();
    let digits: String = text.lines().map(|line| line.split('#').next().unwrap()).collect();
    let digits: Vec<_> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    Message { name, bytes: digits.chunks(2).map(byte).collect() }
}

fn vectors_in(folder: &str) -> Vec<Message> {
    let paths = fs::read_dir(vectors().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "hex")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no vectors in {folder}");
    paths.iter().map(|path| vector(path)).collect()
}

/// Every registration message of the vectors, and two that our emitters make here.
fn registrations() -> Vec<Message> {
    let mut all = vec![emitted_request(), emitted_reply()];
    for folder in ["wire-registration", "worked", "rfc5944-3.3", "rfc5944-3.4"] {
        all.extend(vectors_in(folder));
    }
    all
}

/// Wireshark 4.0 knows the types of RFC 5944 and its companions, but reads the experimental extension 127
/// (RFC 4064) as if its length had 8 bits.
fn tshark_knows(message: &Message) -> bool {
    message.extensions().iter().all(|e| e.kind != extension::EXPERIMENTAL)
}

fn advertisements() -> Vec<(String, Vec<u8>)> {
    let emitted = Advertisement {
        code: advertisement::CODE_ROUTER,
        lifetime: 3,
        routers: vec![Router { address: *AGENT.ip(), preference: -1 }],
        extensions: vec![
            advertisement::Extension::MobilityAgent(MobilityAgent {
                sequence: 256,
                lifetime: 600,
                flags: AgentFlags(
                    AgentFlags::FOREIGN_AGENT
                        | AgentFlags::REVERSE_TUNNEL
                        | AgentFlags::REGISTRATION_REQUIRED,
                ),
                care_of: vec![Ipv4Addr::new(10, 51, 1, 2), Ipv4Addr::new(10, 52, 1, 2)],
            }),
            advertisement::Extension::PrefixLengths(vec![24]),
            advertisement::Extension::Challenge(vec![9; 8]),
            advertisement::Extension::AgentNai("fa@visited.example".into()),
        ],
    };
    let mut all = vec![("emitted".to_owned(), emitted.to_vec().unwrap())];
    all.extend(vectors_in("rfc5944-2.1").into_iter().map(|m| (m.name, m.bytes)));
    all
}

fn advertisement_packet(message: &[u8]) -> Vec<u8> {
    ip::icmp_packet(*AGENT.ip(), advertisement::ALL_SYSTEMS, advertisement::TTL, message).unwrap()
}

fn inner() -> Vec<u8> {
    let echo = ip::Icmp::EchoRequest { identifier: 7, sequence: 3, data: b"ping" };
    ip::icmp_packet(Ipv4Addr::new(10, 11, 1, 50), Ipv4Addr::new(10, 11, 1, 90), 63, &echo.to_vec()).unwrap()
}

fn capture(packets: &[Vec<u8>]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.pcap");
    pcap::write(&path, packets.iter().map(Vec::as_slice)).unwrap();
    (folder, path)
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const REGISTRATION_FIELDS: [&str; 16] = [
    "mip.type",
    "mip.flags",
    "mip.code",
    "mip.life",
    "mip.homeaddr",
    "mip.haaddr",
    "mip.coa",
    "mip.ext.type",
    "mip.auth.spi",
    "mip.auth.auth",
    "mip.nai",
    "mip.ext.cvse.vendor_id",
    "mip.ext.cvse.vendor_type",
    "mip.ext.cvse.vendor_value",
    "ip.checksum.status",
    "udp.checksum.status",
];

/// What tshark has to find in a message, from our own parsers.
fn expected_fields(message: &Message) -> Vec<Vec<String>> {
    let (extensions, ours) = (message.extensions(), message.ours());
    let authentications: Vec<_> = extensions
        .iter()
        .filter(|e| (32..=34).contains(&e.kind))
        .map(|e| e.authentication().unwrap())
        .collect();
    let names = extensions.iter().filter(|e| e.kind == extension::MN_NAI);
    let mut fields = if message.is_request() {
        let r = Request::parse(&message.bytes).unwrap();
        let flags = vec![format!("0x{:02x}", r.flags.0)];
        vec![
            texts([1]),
            flags,
            vec![],
            texts([r.lifetime]),
            texts([r.home_address]),
            texts([r.home_agent]),
            texts([r.care_of]),
        ]
    } else {
        let r = Reply::parse(&message.bytes).unwrap();
        vec![
            texts([3]),
            vec![],
            texts([r.code.0]),
            texts([r.lifetime]),
            texts([r.home_address]),
            texts([r.home_agent]),
            vec![],
        ]
    };
    fields.extend([
        texts(extensions.iter().map(|e| e.kind)),
        authentications.iter().map(|a| format!("0x{:08x}", a.spi.0)).collect(),
        authentications.iter().map(|a| hex(a.authenticator)).collect(),
        names.map(|e| String::from_utf8(e.data.to_vec()).unwrap()).collect(),
        ours.iter().map(|_| DOCUMENTATION_VENDOR.to_string()).collect(),
        ours.iter().map(|o| format!("0x{:04x}", o.subtype.0)).collect(),
        ours.iter().map(|o| hex(o.body)).collect(),
        texts([1]),
        texts([1]),
    ]);
    fields
}

#[test]
fn tshark_reads_our_registrations() {
    let Some(tshark) = Tshark::find() else { return };
    let messages: Vec<_> = registrations().into_iter().filter(tshark_knows).collect();
    let (_folder, path) = capture(&messages.iter().map(Message::packet).collect::<Vec<_>>());
    assert_eq!(tshark.malformed(&path).unwrap(), 0);
    let found = tshark.fields(&path, "mip", &REGISTRATION_FIELDS).unwrap();
    assert_eq!(found.len(), messages.len());
    for (found, message) in found.iter().zip(&messages) {
        for ((name, found), expected) in REGISTRATION_FIELDS.iter().zip(found).zip(expected_fields(message)) {
            assert_eq!(found, &expected, "{name} of {}", message.name);
        }
    }
}

#[test]
fn tshark_names_requests_and_replies() {
    let Some(tshark) = Tshark::find() else { return };
    let messages: Vec<_> = registrations().into_iter().filter(tshark_knows).collect();
    let (_folder, path) = capture(&messages.iter().map(Message::packet).collect::<Vec<_>>());
    let columns = tshark.fields(&path, "mip", &["_ws.col.Info"]).unwrap();
    for (column, message) in columns.iter().zip(&messages) {
        let name = if message.is_request() { "Reg Request" } else { "Reg Reply" };
        assert!(column[0][0].starts_with(name), "{}: {column:?}", message.name);
    }
}

#[test]
fn tshark_reads_our_udp_tunnel_extensions() {
    let Some(tshark) = Tshark::find() else { return };
    let (_folder, path) = capture(&[emitted_request().packet(), emitted_reply().packet()]);
    let fields = ["mip.ext.utrq.f", "mip.ext.utrq.encaptype", "mip.ext.utrp.code", "mip.ext.utrp.keepalive"];
    let found = tshark.fields(&path, "mip", &fields).unwrap();
    assert_eq!(found[0], [texts([1]), texts([4]), vec![], vec![]]);
    assert_eq!(found[1][2..], [texts([64]), texts([110])]);
}

/// Wireshark 4.0 loses count behind an extension of an advertisement whose type it does not know.
fn tshark_knows_all_of(advertisement: &[u8]) -> bool {
    let parsed = Advertisement::parse(advertisement).unwrap();
    !parsed.extensions.iter().any(|e| matches!(e, advertisement::Extension::Skipped { .. }))
}

#[test]
fn tshark_reads_our_advertisements() {
    let Some(tshark) = Tshark::find() else { return };
    let all: Vec<_> = advertisements().into_iter().filter(|(_, m)| tshark_knows_all_of(m)).collect();
    let (_folder, path) = capture(&all.iter().map(|(_, m)| advertisement_packet(m)).collect::<Vec<_>>());
    assert_eq!(tshark.malformed(&path).unwrap(), 0);
    let fields = [
        "icmp.type",
        "icmp.mip.seq",
        "icmp.mip.life",
        "icmp.mip.flags",
        "icmp.mip.coa",
        "icmp.mip.prefixlength",
        "icmp.mip.challenge",
        "icmp.checksum.status",
        "ip.ttl",
    ];
    let found = tshark.fields(&path, "icmp", &fields).unwrap();
    assert_eq!(found.len(), all.len());
    for (found, (name, message)) in found.iter().zip(&all) {
        let ours = Advertisement::parse(message).unwrap();
        let agent = ours.agent();
        let of_agent = |text: fn(&MobilityAgent) -> String| agent.map(text).into_iter().collect::<Vec<_>>();
        let expected = [
            texts([9]),
            of_agent(|a| a.sequence.to_string()),
            of_agent(|a| a.lifetime.to_string()),
            of_agent(|a| format!("0x{:04x}", a.flags.0)),
            agent.map(|a| texts(&a.care_of)).unwrap_or_default(),
            texts(ours.prefix_lengths()),
            ours.challenge().map(hex).into_iter().collect(),
            texts([1]),
            texts([1]),
        ];
        for ((field, found), expected) in fields.iter().zip(found).zip(expected) {
            assert_eq!(found, &expected, "{field} of {name}");
        }
    }
}

#[test]
fn tshark_reads_our_solicitation_and_tunnels() {
    let Some(tshark) = Tshark::find() else { return };
    let solicitation = Solicitation.to_vec();
    let tunnel_data = TunnelData { next_header: ip::Protocol::IP_IN_IP, packet: &inner() }.to_vec();
    let (entry, exit) = (Ipv4Addr::new(10, 11, 1, 2), Ipv4Addr::new(10, 51, 1, 2));
    let (_folder, path) = capture(&[
        ip::icmp_packet(Ipv4Addr::UNSPECIFIED, advertisement::ALL_ROUTERS, 1, &solicitation).unwrap(),
        ip::udp_packet(MOBILE_NODE, AGENT, 64, &tunnel_data).unwrap(),
        ip::ipip::encapsulate(&inner(), entry, exit).unwrap(),
    ]);
    assert_eq!(tshark.malformed(&path).unwrap(), 0);
    let fields = ["icmp.type", "ip.src", "mip.type", "mip.nattt.nexthdr", "ip.checksum.status"];
    let found = tshark.fields(&path, "", &fields).unwrap();
    assert_eq!(found[0], [texts([10]), texts(["0.0.0.0"]), vec![], vec![], texts([1])]);
    let both = texts(["10.21.1.50", "10.11.1.50"]);
    assert_eq!(found[1], [texts([8]), both, texts([4]), texts([4]), texts([1, 1])]);
    let both = texts(["10.11.1.2", "10.11.1.50"]);
    assert_eq!(found[2], [texts([8]), both, vec![], vec![], texts([1, 1])]);
}

/// Our packets in GRE without and with checksum, and in minimal encapsulation with and without the source.
fn other_tunnels() -> [Vec<u8>; 4] {
    let (entry, exit) = (Ipv4Addr::new(10, 11, 1, 2), Ipv4Addr::new(10, 51, 1, 2));
    let own = Ipv4Addr::new(10, 11, 1, 50);
    [
        ip::gre::encapsulate(&inner(), entry, exit, false).unwrap(),
        ip::gre::encapsulate(&inner(), entry, exit, true).unwrap(),
        ip::minimal::encapsulate(&inner(), entry, exit).unwrap(),
        ip::minimal::encapsulate(&inner(), own, exit).unwrap(),
    ]
}

#[test]
fn tshark_reads_our_gre_and_the_header_of_minimal_encapsulation() {
    let Some(tshark) = Tshark::find() else { return };
    let (_folder, path) = capture(&other_tunnels());
    assert_eq!(tshark.malformed(&path).unwrap(), 0);
    let fields =
        ["ip.proto", "ip.src", "gre.proto", "gre.checksum.status", "ip.checksum.status", "icmp.type"];
    let found = tshark.fields(&path, "", &fields).unwrap();
    let both = texts(["10.11.1.2", "10.11.1.50"]);
    for (found, status) in found.iter().zip([vec![], texts([1])]) {
        let expected = [texts([47, 1]), both.clone(), texts(["0x0800"]), status, texts([1, 1]), texts([8])];
        assert_eq!(*found, expected);
    }
    // It knows the number of minimal encapsulation only.
    for (found, source) in found[2..].iter().zip(["10.11.1.2", "10.11.1.50"]) {
        assert_eq!(*found, [texts([55]), texts([source]), vec![], vec![], texts([1]), vec![]]);
    }
}

#[test]
fn scapy_reads_our_gre_and_minimal_encapsulation() {
    let Some(python) = python() else { return };
    let (_folder, path) = capture(&other_tunnels());
    let found = scapy(&python, "read", &path);
    assert_eq!(found.len(), 4);
    for found in &found {
        assert_eq!(found["checksums"], true);
        assert_eq!(found["message"]["inner"], hex(&inner()));
    }
    for (found, sum) in found.iter().zip([Value::Null, true.into(), true.into(), true.into()]) {
        assert_eq!(found["message"]["sum"], sum);
    }
    assert_eq!((&found[0]["message"]["version"], &found[0]["message"]["key"]), (&0.into(), &0.into()));
    assert_eq!(found[0]["message"]["ether_type"], 0x0800);
}

fn scapy(python: &Path, action: &str, file: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scapy_peer.py");
    let out = Command::new(python).arg(script).arg(action).arg(file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same shape that the script prints, from our own parsers.
fn expected_message(message: &Message) -> Value {
    let extensions: Vec<_> =
        message.extensions().iter().map(|e| serde_json::json!([e.kind, e.subtype, hex(e.data)])).collect();
    if message.is_request() {
        let r = Request::parse(&message.bytes).unwrap();
        serde_json::json!({
            "type": 1, "flags": r.flags.0, "lifetime": r.lifetime, "home_address": r.home_address.to_string(),
            "home_agent": r.home_agent.to_string(), "care_of": r.care_of.to_string(),
            "identification": format!("{:016x}", r.identification.0), "extensions": extensions,
        })
    } else {
        let r = Reply::parse(&message.bytes).unwrap();
        serde_json::json!({
            "type": 3, "code": r.code.0, "lifetime": r.lifetime, "home_address": r.home_address.to_string(),
            "home_agent": r.home_agent.to_string(),
            "identification": format!("{:016x}", r.identification.0), "extensions": extensions,
        })
    }
}

#[test]
fn scapy_reads_our_registrations() {
    let Some(python) = python() else { return };
    let messages = registrations();
    let (_folder, path) = capture(&messages.iter().map(Message::packet).collect::<Vec<_>>());
    let found = scapy(&python, "read", &path);
    assert_eq!(found.len(), messages.len());
    for (found, message) in found.iter().zip(&messages) {
        assert_eq!(found["message"], expected_message(message), "{}", message.name);
        assert_eq!(found["checksums"], true, "{}", message.name);
        assert_eq!(found["ttl"], 255);
    }
}

#[test]
fn scapy_reads_our_advertisements_and_tunnel_data() {
    let Some(python) = python() else { return };
    let all = advertisements();
    let mut packets: Vec<_> = all.iter().map(|(_, m)| advertisement_packet(m)).collect();
    let tunnel_data = TunnelData { next_header: ip::Protocol::IP_IN_IP, packet: &inner() }.to_vec();
    packets.push(ip::udp_packet(MOBILE_NODE, AGENT, 64, &tunnel_data).unwrap());
    let (_folder, path) = capture(&packets);
    let found = scapy(&python, "read", &path);
    assert_eq!(found.len(), packets.len());
    for (found, (name, message)) in found.iter().zip(&all) {
        let ours = Advertisement::parse(message).unwrap();
        assert_eq!(found["checksums"], true, "{name}");
        assert_eq!(found["message"]["lifetime"], ours.lifetime, "{name}");
        let routers: Vec<_> = ours.routers.iter().map(|r| r.address.to_string()).collect();
        assert_eq!(found["message"]["routers"], serde_json::json!(routers), "{name}");
        let extensions = found["message"]["extensions"].as_array().unwrap();
        let kinds: Vec<_> = extensions.iter().map(|e| e[0].as_u64().unwrap()).collect();
        let agents = usize::from(ours.agent().is_some());
        assert_eq!(kinds.iter().filter(|k| **k == 16).count(), agents, "{name}");
        let nai = extensions.iter().find(|e| e[0] == 136).map(|e| e[2].as_str().unwrap().to_owned());
        assert_eq!(nai, ours.agent_nai().map(|n| format!("03{}", hex(n.as_bytes()))), "{name}");
    }
    let last = &found.last().unwrap()["message"];
    assert_eq!((&last["type"], &last["next_header"]), (&4.into(), &4.into()));
    assert_eq!(last["inner"], hex(&inner()));
}

#[test]
fn we_read_what_scapy_writes() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scapy.pcap");
    let written = scapy(&python, "write", &path);
    let packets = pcap::read(&path).unwrap();
    let [request, reply, data, advertisement, solicitation, ip_in_ip, tunnels @ ..] = &packets[..] else {
        panic!("{} packets", packets.len());
    };
    scapy_request(ip::parse_udp(request).unwrap().payload);
    scapy_reply(ip::parse_udp(reply).unwrap().payload);
    let data = TunnelData::parse(ip::parse_udp(data).unwrap().payload).unwrap();
    assert_eq!(data.next_header, ip::Protocol::IP_IN_IP);
    assert_eq!(hex(data.packet), written[0]["inner"].as_str().unwrap());
    scapy_advertisement(ip::parse_icmp(advertisement).unwrap());
    let solicitation = ip::parse_icmp(solicitation).unwrap();
    assert_eq!((solicitation.ttl, solicitation.destination), (1, advertisement::ALL_ROUTERS));
    Solicitation::parse(solicitation.message).unwrap();
    let out = ip::ipip::decapsulate(ip_in_ip).unwrap();
    assert_eq!(hex(out.bytes), written[0]["inner"].as_str().unwrap());
    let [gre, gre_summed, minimal, minimal_own] = tunnels else { panic!("{} packets", packets.len()) };
    for (packet, summed) in [(gre, false), (gre_summed, true)] {
        let out = ip::gre::decapsulate(packet).unwrap();
        assert_eq!((hex(out.bytes).as_str().into(), out.summed), (written[0]["inner"].clone(), summed));
    }
    for (packet, added) in [(minimal, ip::minimal::LONG), (minimal_own, ip::minimal::SHORT)] {
        let out = ip::minimal::decapsulate(packet).unwrap();
        assert_eq!(hex(&out.packet), written[0]["inner"].as_str().unwrap());
        assert_eq!(packet.len(), out.packet.len() + added);
    }
}

fn scapy_request(bytes: &[u8]) {
    let request = Request::parse(bytes).unwrap();
    assert_eq!(request.flags, Flags(Flags::DECAPSULATION | Flags::REVERSE_TUNNEL));
    assert_eq!((request.lifetime, request.home_address), (600, Ipv4Addr::UNSPECIFIED));
    assert_eq!(request.care_of, Ipv4Addr::new(10, 99, 1, 2));
    assert_eq!(request.identification, Identification(0xeeaa_0001_dead_beef));
    let parts = Parts::parse(bytes, Request::LEN, DOCUMENTATION_VENDOR).unwrap();
    assert_eq!(parts.mobile.clear_nai, Some(&b"@home.example"[..]));
    assert_eq!(parts.mobile.handle, Some(Handle { handle: 7, key2: Spi(300), key3: Spi(301) }));
    assert!(parts.mobile.udp_request.unwrap().forced);
    assert_eq!(parts.mobile_home.spi, Spi(70_001));
    assert_eq!(parts.foreign_home.unwrap().spi, Spi(1001));
}

fn scapy_reply(bytes: &[u8]) {
    let reply = Reply::parse(bytes).unwrap();
    assert_eq!((reply.code, reply.lifetime), (Code::ACCEPTED, 300));
    assert_eq!(reply.home_address, Ipv4Addr::new(10, 99, 9, 9));
    let parts = Parts::parse(bytes, Reply::LEN, DOCUMENTATION_VENDOR).unwrap();
    let udp = parts.mobile.udp_reply.unwrap();
    assert!(udp.tunnels() && udp.forced && udp.keepalive == 110);
}

fn scapy_advertisement(packet: ip::IcmpPacket<'_>) {
    assert_eq!((packet.ttl, packet.destination), (1, advertisement::ALL_SYSTEMS));
    let advertisement = Advertisement::parse(packet.message).unwrap();
    let agent = advertisement.agent().unwrap();
    assert_eq!((agent.sequence, agent.lifetime), (256, 600));
    assert_eq!(agent.flags, AgentFlags(AgentFlags::FOREIGN_AGENT | AgentFlags::REVERSE_TUNNEL));
    assert_eq!(agent.care_of, [Ipv4Addr::new(10, 99, 1, 2)]);
    assert_eq!(advertisement.prefix_lengths(), [24]);
    assert_eq!(advertisement.agent_nai(), Some("fa@visited.example"));
}

/// The oracle has to be able to say no.
#[test]
fn tshark_sees_damage() {
    let Some(tshark) = Tshark::find() else { return };
    let cut = vector(&vectors().join("malformed/request-cut-in-extension.hex"));
    let mut flipped = cut.packet();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let (_folder, path) = capture(&[cut.packet(), flipped]);
    assert!(tshark.malformed(&path).unwrap() > 0);
    let sums = tshark.fields(&path, "", &["udp.checksum.status"]).unwrap();
    assert_eq!(sums, [[texts([1])], [texts([0])]]);
}
