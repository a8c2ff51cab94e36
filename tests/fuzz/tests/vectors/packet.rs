//! IPv4, UDP, ICMP, IP-in-IP, minimal encapsulation, GRE.

use serde_json::{Value, json};
use wire::ip::{self, Icmp, Ipv4Packet, ipip as tunnel};

use super::hex;

pub(crate) fn ipv4(bytes: &[u8]) -> Result<Value, String> {
    let packet = Ipv4Packet::parse(bytes).map_err(|e| format!("{e:?}"))?;
    assert_eq!(packet.to_vec().expect("it was parsed"), bytes);
    let header = packet.header;
    Ok(json!({
        "tos": header.tos,
        "identification": header.identification,
        "dont_fragment": header.dont_fragment,
        "more_fragments": header.more_fragments,
        "fragment_offset": header.fragment_offset,
        "ttl": header.ttl,
        "protocol": header.protocol.0,
        "source": header.source.to_string(),
        "destination": header.destination.to_string(),
        "options": hex(packet.options),
        "payload": hex(packet.payload),
    }))
}

pub(crate) fn udp_packet(bytes: &[u8]) -> Result<Value, String> {
    let packet = ip::parse_udp(bytes).map_err(|e| format!("{e:?}"))?;
    let again = ip::udp_packet(packet.source, packet.destination, packet.ttl, packet.payload);
    assert_eq!(again.expect("it was parsed"), bytes);
    Ok(json!({
        "source": packet.source.to_string(),
        "destination": packet.destination.to_string(),
        "ttl": packet.ttl,
        "payload": hex(packet.payload),
    }))
}

pub(crate) fn ipip(bytes: &[u8]) -> Result<Value, String> {
    let out = tunnel::decapsulate(bytes).map_err(|e| format!("{e:?}"))?;
    let (entry, exit) = (out.outer.source, out.outer.destination);
    assert_eq!(tunnel::encapsulate(out.bytes, entry, exit).expect("it was parsed"), bytes);
    Ok(json!({
        "entry": entry.to_string(),
        "exit": exit.to_string(),
        "ttl": out.outer.ttl,
        "tos": out.outer.tos,
        "inner": hex(out.bytes),
    }))
}

pub(crate) fn minimal(bytes: &[u8]) -> Result<Value, String> {
    let out = ip::minimal::decapsulate(bytes).map_err(|e| format!("{e:?}"))?;
    let (entry, exit) = (out.outer.source, out.outer.destination);
    assert_eq!(ip::minimal::encapsulate(&out.packet, entry, exit).expect("it was parsed"), bytes);
    Ok(json!({
        "entry": entry.to_string(),
        "exit": exit.to_string(),
        "ttl": out.outer.ttl,
        "source_present": bytes.len() == out.packet.len() + ip::minimal::LONG,
        "inner": hex(&out.packet),
    }))
}

pub(crate) fn gre(bytes: &[u8]) -> Result<Value, String> {
    let out = ip::gre::decapsulate(bytes).map_err(|e| format!("{e:?}"))?;
    let (entry, exit) = (out.outer.source, out.outer.destination);
    assert_eq!(ip::gre::encapsulate(out.bytes, entry, exit, out.summed).expect("it was parsed"), bytes);
    Ok(json!({
        "entry": entry.to_string(),
        "exit": exit.to_string(),
        "ttl": out.outer.ttl,
        "tos": out.outer.tos,
        "checksum": out.summed,
        "inner": hex(out.bytes),
    }))
}

pub(crate) fn icmp(bytes: &[u8]) -> Result<Value, String> {
    let message = Icmp::parse(bytes).map_err(|e| format!("{e:?}"))?;
    assert_eq!(message.to_vec(), bytes);
    Ok(match message {
        Icmp::EchoRequest { identifier, sequence, data } => {
            json!({ "type": "echo request", "identifier": identifier, "sequence": sequence, "data": hex(data) })
        }
        Icmp::EchoReply { identifier, sequence, data } => {
            json!({ "type": "echo reply", "identifier": identifier, "sequence": sequence, "data": hex(data) })
        }
        Icmp::DestinationUnreachable { code, mtu, original } => {
            json!({ "type": "destination unreachable", "code": code.0, "mtu": mtu, "original": hex(original) })
        }
        Icmp::TimeExceeded { code, original } => {
            json!({ "type": "time exceeded", "code": code, "original": hex(original) })
        }
        Icmp::Other { kind, code, .. } => json!({ "type": kind, "code": code }),
    })
}
