//! Packets that strangers send: requests that are forged, replayed or cut short, advertisements, solicitations and ICMP
//! errors, each drawn by dice.

use std::{fmt::Write as _, net::Ipv4Addr};

use anyhow::{Context, Result, ensure};

use crate::dice::Dice;

/// UDP port of registration messages (RFC 5944 §3.2).
const PORT: u16 = 434;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// A request that somebody sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Of its datagram.
    pub source: Ipv4Addr,
    /// Without UDP header.
    pub message: Vec<u8>,
}

impl Sample {
    /// Lines of text, as [`Self::read`] reads them.
    #[must_use]
    pub fn write(samples: &[Self]) -> String {
        let mut text = String::new();
        for Self { source, message } in samples {
            let _ = write!(text, "{source} ");
            for octet in message {
                let _ = write!(text, "{octet:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// Reads lines of an address, a blank and hexadecimal digits.
    ///
    /// # Errors
    /// If a line is something else.
    pub fn read(text: &str) -> Result<Vec<Self>> {
        let sample = |line: &str| {
            let (source, digits) = line.split_once(' ').context("ADDRESS HEX")?;
            ensure!(digits.len() % 2 == 0 && digits.is_ascii(), "an even number of digits");
            let octet = |at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16);
            let message = (0..digits.len()).step_by(2).map(octet).collect::<Result<_, _>>()?;
            anyhow::Ok(Self { source: source.parse()?, message })
        };
        text.lines().map(|line| sample(line).with_context(|| line.to_owned())).collect()
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Registration requests: replayed, forged, cut short, and noise.
    Requests,
    /// Agent advertisements of agents that there are not.
    Advertisements,
    /// Agent solicitations.
    Solicitations,
    /// Errors about packets that were never sent, and redirects.
    Icmp,
}

impl What {
    /// By its word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "requests" => Self::Requests,
            "advertisements" => Self::Advertisements,
            "solicitations" => Self::Solicitations,
            "icmp" => Self::Icmp,
            _ => return None,
        })
    }

    /// One packet, with its IPv4 header; the kernel fills in length and checksum of that.
    #[must_use]
    pub fn packet(self, destination: Ipv4Addr, samples: &[Sample], dice: &mut Dice) -> Vec<u8> {
        let stranger = Ipv4Addr::from_bits(u32::from_be_bytes([10, 66, 0, 0]) + dice.below(1 << 16) as u32);
        match self {
            Self::Requests => {
                let (source, message) = request(stranger, samples, dice);
                udp(source, destination, 1024 + dice.below(60_000) as u16, &message)
            }
            Self::Advertisements => icmp(stranger, destination, 1, &advertisement(stranger, dice)),
            Self::Solicitations => icmp(stranger, destination, 1, &[10, 0, 0, 0, 0, 0, 0, 0]),
            Self::Icmp => icmp(stranger, destination, 64, &error(destination, dice)),
        }
    }
}

/// A quarter each: as it was, octets changed, cut short, noise.
fn request(stranger: Ipv4Addr, samples: &[Sample], dice: &mut Dice) -> (Ipv4Addr, Vec<u8>) {
    let mut noise = || (0..24 + dice.below(200)).map(|_| dice.below(256) as u8).collect::<Vec<_>>();
    let Some(_) = samples.first() else { return (stranger, noise()) };
    let mut sample = dice.one(samples).clone();
    match dice.below(4) {
        0 => {}
        1 => {
            for _ in 0..=dice.below(4) {
                let at = dice.below(sample.message.len() as u64) as usize;
                sample.message[at] ^= 1 << dice.below(8);
            }
        }
        2 => sample.message.truncate(dice.below(sample.message.len() as u64) as usize),
        _ => {
            let length = sample.message.len();
            sample.message = (0..length).map(|_| dice.below(256) as u8).collect();
            // At least it is a request.
            sample.message[0] = 1;
        }
    }
    let source = if dice.below(2) == 0 { sample.source } else { stranger };
    (source, sample.message)
}

/// One address, and the extension that makes it an agent's (RFC 5944 §2.1.1).
fn advertisement(agent: Ipv4Addr, dice: &mut Dice) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 1, 2, 0, 30];
    body.extend(agent.octets());
    body.extend([0; 4]);
    let sequence = dice.below(1 << 16) as u16;
    body.extend([16, 10]);
    body.extend(sequence.to_be_bytes());
    body.extend([0x0e, 0x10, 0x91, 0]);
    body.extend(agent.octets());
    // Now and then one that ends in the middle.
    if dice.below(4) == 0 {
        body.truncate(8 + dice.below(20) as usize);
    }
    body
}

fn error(destination: Ipv4Addr, dice: &mut Dice) -> Vec<u8> {
    let (kind, code) = *dice.one(&[(3, 1), (3, 2), (3, 3), (3, 4), (5, 1), (11, 0), (12, 0)]);
    let mut body = vec![kind, code, 0, 0, 0, 0, 2, 8];
    // About a datagram of the destination to the port of registrations.
    body.extend([0x45, 0, 0, 120, 0, 0, 0x40, 0, 64, *dice.one(&[UDP, 4, 47, 55]), 0, 0]);
    body.extend(destination.octets());
    body.extend([10, 11, 1, 2]);
    body.extend([1, 0xb2, 1, 0xb2, 0, 100, 0, 0]);
    body
}

/// A request with another challenge wherever it has its own (RFC 4721 §3).
///
/// # Errors
/// If it has none, or one of another length.
pub fn with_challenge(request: &[u8], challenge: &[u8]) -> Result<Vec<u8>> {
    const FIXED: usize = 24;
    const CHALLENGE: u8 = 132;
    let mut at = FIXED;
    while let Some([kind, short]) = request.get(at..at + 2) {
        // Those with a second octet of their own have their length in two more.
        let long = matches!(kind, 36..=38 | 40..=43 | 48 | 127);
        let (header, length) = match request.get(at + 2..at + 4) {
            Some([high, low]) if long => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => (2, usize::from(*short)),
        };
        if *kind == CHALLENGE {
            let old = request.get(at + 2..at + 2 + length).context("a challenge that is cut off")?;
            ensure!(length == challenge.len(), "challenges of {} and {length} octets", challenge.len());
            // It stands a second time with what the node heard of the agent.
            let mut other = request.to_vec();
            for place in 0..=request.len() - length {
                if request[place..].starts_with(old) {
                    other[place..place + length].copy_from_slice(challenge);
                }
            }
            return Ok(other);
        }
        at += header + length;
    }
    anyhow::bail!("a request without a challenge")
}

/// A request with its headers, all lengths and sums filled in.
#[must_use]
pub fn request_packet(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let mut packet = udp(source, destination, PORT, message);
    let length = packet.len() as u16;
    // It has passed no router (RFC 3024 §4.2.1).
    packet[8] = 255;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn header(source: Ipv4Addr, destination: Ipv4Addr, hops: u8, protocol: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, hops, protocol, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet
}

/// Without a checksum, as RFC 768 allows.
fn udp(source: Ipv4Addr, destination: Ipv4Addr, port: u16, message: &[u8]) -> Vec<u8> {
    let mut packet = header(source, destination, 64, UDP);
    packet.extend(port.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    packet.extend((message.len() as u16 + 8).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    packet
}

fn icmp(source: Ipv4Addr, destination: Ipv4Addr, hops: u8, message: &[u8]) -> Vec<u8> {
    let mut packet = header(source, destination, hops, ICMP);
    let begin = packet.len();
    packet.extend(message);
    let sum = checksum(&packet[begin..]);
    packet[begin + 2..begin + 4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// RFC 1071, of octets whose own checksum is 0.
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_their_file_and_other_lines_are_refused() {
        let samples = vec![
            Sample { source: Ipv4Addr::new(10, 1, 2, 3), message: vec![1, 0xff, 0] },
            Sample { source: Ipv4Addr::LOCALHOST, message: vec![1] },
        ];
        assert_eq!(Sample::read(&Sample::write(&samples)).unwrap(), samples);
        for wrong in ["10.1.2.3", "10.1.2.3 0", "10.1.2.3 zz", "nobody 00"] {
            assert!(Sample::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_challenge_is_replaced_wherever_it_stands() {
        let fixed = [1; 24];
        let extensions =
            [&[131, 2, 132, 2][..], &[38, 0, 0, 3, 132, 2, 7], &[132, 2, 7, 5], &[32, 3, 1, 7, 5]];
        let request = [&fixed[..], &extensions.concat()].concat();
        let other = with_challenge(&request, &[8, 9]).unwrap();
        let expected = [&extensions[..2].concat()[..], &[132, 2, 8, 9, 32, 3, 1, 8, 9]].concat();
        assert_eq!(other[24..], expected);
        assert!(with_challenge(&request, &[8]).is_err());
        assert!(with_challenge(&request[..24 + 11], &[8, 9]).is_err());
        assert!(with_challenge(&request[..24 + 14], &[8, 9]).is_err());
    }

    #[test]
    fn the_header_of_a_request_sums_up_to_nothing() {
        let packet = request_packet(Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST, &[1; 30]);
        assert_eq!((checksum(&packet[..20]), packet.len(), packet[3]), (0, 58, 58));
    }

    #[test]
    fn an_icmp_packet_sums_up_to_nothing() {
        let packet = What::Icmp.packet(Ipv4Addr::new(10, 1, 2, 3), &[], &mut Dice::of(3));
        assert_eq!(checksum(&packet[20..]), 0);
    }
}
