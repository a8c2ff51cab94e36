//! Bodies of negotiations: round, digest, trees.

use serde_json::{Value, json};
use wire::negotiation::{Attribute, KeyExchange, Negotiation, Proposal, Transform, Tree};

use super::{Vector, hex};

pub(crate) fn body(bytes: &[u8]) -> Result<Value, String> {
    let parsed = Negotiation::parse(bytes).map_err(|e| format!("{e:?}"))?;
    let trees = parsed.trees().map_err(|e| format!("{e:?}"))?;
    let again = Negotiation::emit(parsed.round, &parsed.digest, &trees);
    assert_eq!(again.expect("it was parsed"), bytes);
    let trees: Vec<_> = trees.iter().map(tree).collect();
    Ok(json!({ "round": parsed.round, "digest": hex(&parsed.digest), "trees": trees }))
}

fn tree(tree: &Tree<'_>) -> Value {
    let proposals: Vec<_> = tree.proposals.iter().map(proposal).collect();
    json!({ "between": tree.between.0, "proposals": proposals })
}

fn proposal(proposal: &Proposal<'_>) -> Value {
    json!({
        "number": proposal.number,
        "protocol_number": proposal.protocol_number,
        "protocol": proposal.protocol.0,
        "lifetime": proposal.lifetime,
        "spi": proposal.spi.0,
        "transforms": proposal.transforms.iter().map(transform).collect::<Vec<_>>(),
        "exchanges": proposal.exchanges.iter().map(exchange).collect::<Vec<_>>(),
    })
}

fn transform(transform: &Transform<'_>) -> Value {
    let attribute = |attribute: &Attribute<'_>| match attribute {
        Attribute::KeyBits(bits) => json!({ "type": 14, "value": hex(&bits.to_be_bytes()) }),
        Attribute::Unknown { kind, value } => json!({ "type": kind, "value": hex(value) }),
    };
    let attributes: Vec<_> = transform.attributes.iter().map(attribute).collect();
    json!({ "number": transform.number, "keys": transform.keys, "id": transform.id, "attributes": attributes })
}

fn exchange(exchange: &KeyExchange<'_>) -> Value {
    match exchange {
        KeyExchange::Group { group, value } => {
            json!({ "subtype": 1, "group": group.0, "value": hex(value) })
        }
        KeyExchange::Own { prime, generator, value } => {
            json!({ "subtype": 3, "prime": hex(prime), "generator": hex(generator), "value": hex(value) })
        }
        sealed => panic!("never in clear: {sealed:?}"),
    }
}

/// The bodies of one part up to and including this one, in order.
fn exchanged(vector: &Vector) -> Vec<u8> {
    let mut earlier = match vector.expected.get("answers").and_then(Value::as_str) {
        Some(name) => exchanged(&Vector::read(name)),
        None => Vec::new(),
    };
    earlier.extend(&vector.bytes);
    earlier
}

#[test]
fn a_digest_is_that_of_all_bodies_before() {
    let mut rounds = Vec::new();
    for name in ["answer", "refusal", "counter-proposal", "second-round"] {
        let vector = Vector::read(&format!("wire-negotiation/{name}"));
        let earlier = exchanged(&Vector::read(vector.text("answers")));
        let parsed = Negotiation::parse(&vector.bytes).expect("a body");
        assert_eq!(parsed.digest, crypto::digest(&[&earlier]), "{name}");
        rounds.push(parsed.round);
    }
    assert_eq!(rounds, [1, 1, 1, 2]);
}
