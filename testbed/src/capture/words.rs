//! A frame in one line, for people who watch a node.

use std::net::Ipv4Addr;

/// Says what an IPv4 or ARP packet is; `protocol` is its EtherType.
pub(crate) fn describe(protocol: u16, packet: &[u8]) -> String {
    let said = match protocol {
        0x0800 => ipv4(packet),
        0x0806 => arp(packet),
        _ => None,
    };
    said.unwrap_or_else(|| format!("protocol {protocol:#06x}"))
}

fn arp(packet: &[u8]) -> Option<String> {
    let operation = half(packet, 6)?;
    let (sender, target) = (address(packet, 14)?, address(packet, 24)?);
    Some(match operation {
        1 if sender == target => format!("ARP announces {sender}"),
        1 => format!("ARP who has {target}? tell {sender}"),
        2 => format!("ARP {sender} is here"),
        other => format!("ARP operation {other}"),
    })
}

fn ipv4(packet: &[u8]) -> Option<String> {
    let header = usize::from(*packet.first()? & 15) * 4;
    let (source, destination) = (address(packet, 12)?, address(packet, 16)?);
    let body = packet.get(header..)?;
    let what = if half(packet, 6)? & 0x1fff != 0 {
        "fragment".to_owned()
    } else {
        match *packet.get(9)? {
            1 => icmp(body)?,
            4 => format!("IP-in-IP [{}]", ipv4(body)?),
            6 => format!("TCP {} > {}", half(body, 0)?, half(body, 2)?),
            17 => udp(body)?,
            other => format!("protocol {other}"),
        }
    };
    Some(format!("{source} > {destination} {what}"))
}

fn icmp(body: &[u8]) -> Option<String> {
    let (kind, code) = (*body.first()?, *body.get(1)?);
    Some(match kind {
        0 => "ICMP echo reply".into(),
        3 => format!("ICMP unreachable, code {code}"),
        8 => "ICMP echo request".into(),
        9 => "ICMP agent advertisement".into(),
        10 => "ICMP agent solicitation".into(),
        other => format!("ICMP {other}, code {code}"),
    })
}

fn udp(body: &[u8]) -> Option<String> {
    let (from, to) = (half(body, 0)?, half(body, 2)?);
    if from != 434 && to != 434 {
        return Some(format!("UDP {from} > {to}"));
    }
    Some(match (body.get(8), body.get(9)) {
        (Some(1), _) => "registration request".into(),
        (Some(3), Some(code)) => format!("registration reply, code {code}"),
        (Some(4), _) => format!("UDP tunnel [{}]", ipv4(body.get(12..)?)?),
        _ => format!("UDP {from} > {to}"),
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 1, 1, 1, 10, 2, 2, 2];
        packet.extend(body);
        packet
    }

    #[test]
    fn tunnels_are_looked_into() {
        let inner = packet(6, &[0, 80, 1, 0]);
        assert_eq!(
            describe(0x0800, &packet(4, &inner)),
            "10.1.1.1 > 10.2.2.2 IP-in-IP [10.1.1.1 > 10.2.2.2 TCP 80 > 256]"
        );
        let reply = [&[1, 178, 156, 64, 0, 0, 0, 0, 3, 133][..]].concat();
        assert_eq!(describe(0x0800, &packet(17, &reply)), "10.1.1.1 > 10.2.2.2 registration reply, code 133");
    }

    #[test]
    fn cut_packets_do_no_harm() {
        let whole = packet(4, &packet(17, &[1, 178, 1, 178, 0, 0, 0, 0, 4, 4, 0, 0, 0x45]));
        for length in 0..whole.len() {
            describe(0x0800, &whole[..length]);
            describe(0x0806, &whole[..length]);
        }
    }
}
