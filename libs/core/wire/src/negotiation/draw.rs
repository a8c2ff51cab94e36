//! Negotiations as text, for logs, for `sojourn decode` and for tests: a line for each payload, with its branches. Of
//! secrets, sealed bytes and public values nothing is shown but their sizes; numbers without a name stand as numbers.

use std::fmt;

use super::{Attribute, Between, KeyExchange, Proposal, Protocol, Transform, Tree, algorithm};

/// Trees as text of several lines; the last one is not ended.
#[derive(Clone, Copy)]
pub struct Drawing<'a>(pub &'a [Tree<'a>]);

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, tree) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            of_tree(tree).write(f, "")?;
        }
        Ok(())
    }
}

/// A line and what hangs below it.
struct Node {
    line: String,
    below: Vec<Self>,
}

impl Node {
    const fn leaf(line: String) -> Self {
        Self { line, below: Vec::new() }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, before: &str) -> fmt::Result {
        f.write_str(&self.line)?;
        for (n, node) in self.below.iter().enumerate() {
            let last = n + 1 == self.below.len();
            let (branch, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "\n{before}{branch}")?;
            node.write(f, &format!("{before}{under}"))?;
        }
        Ok(())
    }
}

fn of_tree(tree: &Tree<'_>) -> Node {
    let kind = if Between::NAMED.contains(&tree.between) {
        tree.between.meaning().to_owned()
    } else {
        format!("association of kind {}", tree.between.0)
    };
    if tree.proposals.is_empty() {
        return Node::leaf(format!("{kind}: refused"));
    }
    let below = tree.alternatives().enumerate().map(|(n, proposals)| Node {
        line: format!("{}proposal {}, all of", or(n), proposals.first().map_or(0, |first| first.number)),
        below: proposals.iter().map(of_proposal).collect(),
    });
    Node { line: kind, below: below.collect() }
}

fn of_proposal(proposal: &Proposal<'_>) -> Node {
    let protocol = proposal.protocol;
    let mut line = if Protocol::NAMED.contains(&protocol) {
        protocol.meaning().to_owned()
    } else {
        format!("protocol {}", protocol.0)
    };
    line += &format!(", {} s", proposal.lifetime);
    if proposal.spi.0 != 0 {
        line += &format!(", SPI {}", proposal.spi);
    }
    let transforms = proposal.transforms.iter().enumerate();
    let transforms = transforms.map(|(n, transform)| or(n).to_owned() + &of_transform(protocol, transform));
    let exchanges = proposal.exchanges.iter().enumerate();
    let exchanges =
        exchanges.map(|(n, exchange)| format!("{}key exchange: {}", or(n), of_exchange(exchange)));
    Node { line, below: transforms.chain(exchanges).map(Node::leaf).collect() }
}

fn of_transform(protocol: Protocol, transform: &Transform<'_>) -> String {
    let algorithm = match algorithm::name(protocol, transform.id) {
        Some(name) => name.to_owned(),
        None => format!("algorithm {}", transform.id),
    };
    let mut line = format!("{}: {algorithm}", transform.number);
    for attribute in &transform.attributes {
        line += &match attribute {
            Attribute::KeyBits(bits) => format!(", {bits} bits"),
            Attribute::Unknown { kind, value } => format!(", attribute {kind} of {}", bytes(value)),
        };
    }
    if transform.keys != usual_keys(protocol) {
        line += &format!(", keys: {}", transform.keys);
    }
    line
}

/// How many keys an algorithm takes: one of each direction, or of a pseudo-random function one. Shown is what differs.
const fn usual_keys(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::PRF => 1,
        _ => 2,
    }
}

fn of_exchange(exchange: &KeyExchange<'_>) -> String {
    match exchange {
        KeyExchange::Group { group, value } => format!("{group}, {}", of_value(value)),
        KeyExchange::Secret { group, secret } => format!("{group}, secret of {}", bytes(secret)),
        KeyExchange::Own { prime, generator, value } => format!(
            "own group of {} bits, generator of {}, {}",
            bits(prime),
            bytes(generator),
            of_value(value)
        ),
        KeyExchange::Sealed { spi, sealed } => format!("{} sealed under SPI {spi}", bytes(sealed)),
    }
}

fn of_value(value: &[u8]) -> String {
    if value.is_empty() { "no value yet".to_owned() } else { format!("value of {}", bytes(value)) }
}

/// What stands before the alternative of this place.
const fn or(place: usize) -> &'static str {
    if place == 0 { "" } else { "or " }
}

fn bytes(of: &[u8]) -> String {
    let count = of.len();
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// How long a number without leading zero bytes is.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len() * 8 - unused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mip::{Spi, share::Group};

    fn proposal(number: u8, protocol_number: u8, protocol: Protocol, ids: &[u16]) -> Proposal<'static> {
        let keys = usual_keys(protocol);
        let transform = |(number, id): (u8, &u16)| Transform { number, keys, id: *id, attributes: vec![] };
        let transforms = (1..).zip(ids).map(transform).collect();
        let (lifetime, spi) = (600, Spi(0));
        Proposal { number, protocol_number, protocol, lifetime, spi, transforms, exchanges: vec![] }
    }

    #[test]
    fn alternatives_protocols_algorithms_and_ways_to_a_key() {
        let mut sealing = proposal(1, 2, Protocol::ENCRYPTION, &[20, 28]);
        sealing.transforms[0].attributes = vec![Attribute::KeyBits(256)];
        sealing.exchanges = vec![
            KeyExchange::Group { group: Group::X25519, value: &[7; 32] },
            KeyExchange::Group { group: Group(14), value: &[] },
            KeyExchange::Own { prime: &[0x1f; 257], generator: &[2], value: &[9; 257] },
        ];
        let mut prf = proposal(3, 1, Protocol::PRF, &[5]);
        prf.spi = Spi(4096);
        let trees = [
            Tree {
                between: Between::MN_HA,
                proposals: vec![
                    proposal(1, 1, Protocol::AUTHENTICATION, &[12, 14]),
                    sealing,
                    proposal(2, 1, Protocol::ENCRYPTION, &[28]),
                    prf,
                ],
            },
            Tree { between: Between::MN_FA, proposals: vec![] },
        ];
        let expected = "\
MN-HA
├─ proposal 1, all of
│  ├─ authentication, 600 s
│  │  ├─ 1: HMAC-SHA-256
│  │  └─ or 2: HMAC-SHA-512-256
│  └─ encryption, 600 s
│     ├─ 1: AES-GCM-16, 256 bits
│     ├─ or 2: ChaCha20-Poly1305
│     ├─ key exchange: X25519, value of 32 bytes
│     ├─ or key exchange: MODP-2048, no value yet
│     └─ or key exchange: own group of 2053 bits, generator of 1 byte, value of 257 bytes
├─ or proposal 2, all of
│  └─ encryption, 600 s
│     └─ 1: ChaCha20-Poly1305
└─ or proposal 3, all of
   └─ prf, 600 s, SPI 4096
      └─ 1: HMAC-SHA-256
MN-FA: refused";
        assert_eq!(Drawing(&trees).to_string(), expected);
    }

    #[test]
    fn what_has_no_name_is_a_number() {
        let mut strange = proposal(9, 1, Protocol(77), &[20]);
        strange.transforms[0].keys = 1;
        let mut known = proposal(9, 2, Protocol::ENCRYPTION, &[65_000]);
        known.transforms[0].attributes =
            vec![Attribute::Unknown { kind: 0x8001, value: &[1] }, Attribute::KeyBits(7)];
        known.exchanges = vec![KeyExchange::Group { group: Group(4711), value: &[1] }];
        let trees = [Tree { between: Between(200), proposals: vec![strange, known] }];
        let expected = "\
association of kind 200
└─ proposal 9, all of
   ├─ protocol 77, 600 s
   │  └─ 1: algorithm 20, keys: 1
   └─ encryption, 600 s
      ├─ 1: algorithm 65000, attribute 32769 of 1 byte, 7 bits
      └─ key exchange: group 4711, value of 1 byte";
        assert_eq!(Drawing(&trees).to_string(), expected);
    }

    #[test]
    fn secrets_are_drawn_as_sizes() {
        let mut one = proposal(1, 1, Protocol::ENCRYPTION, &[28]);
        one.exchanges = vec![
            KeyExchange::Secret { group: Group::X25519, secret: b"SECRET" },
            KeyExchange::Sealed { spi: Spi(1001), sealed: b"SEALED" },
        ];
        let drawn = Drawing(&[Tree { between: Between::HA_FA, proposals: vec![one] }]).to_string();
        assert!(drawn.contains("─ key exchange: X25519, secret of 6 bytes"), "{drawn}");
        assert!(drawn.contains("─ or key exchange: 6 bytes sealed under SPI 1001"), "{drawn}");
        // As text, in hexadecimal and as numbers.
        for shown in ["SE", "5345", "53, 45", "83"] {
            assert!(!drawn.contains(shown), "{drawn}");
        }
    }

    #[test]
    fn nothing_is_drawn_as_nothing_and_numbers_of_no_length_do_not_matter() {
        assert_eq!(Drawing(&[]).to_string(), "");
        assert_eq!((bits(&[]), bits(&[1]), bits(&[0x80, 0])), (0, 1, 16));
    }
}
