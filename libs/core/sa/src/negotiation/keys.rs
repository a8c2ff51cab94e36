//! Keys that both ends make (docs/wire.md, ways to a key).

use std::net::Ipv4Addr;

use crypto::{Key, hmac, kdf};
use record::AssociationKind;

/// Names and addresses of the two ends, as whoever makes the key believes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends<'a> {
    /// The first's name: the mobile node's, or the foreign agent's in KEY 2.
    pub initiator: &'a str,
    /// The second's name.
    pub responder: &'a str,
    /// The first's address.
    pub initiator_address: Ipv4Addr,
    /// The second's address.
    pub responder_address: Ipv4Addr,
}

/// The seed of one pair, out of the seed of a registration.
#[must_use]
pub fn pair_seed(seed: &Key, kind: AssociationKind) -> Key {
    kdf::part_of(seed, kind.pair())
}

/// The key that a pair makes of its seed (formula 5 of the seed document): a pseudo-random function of the names and
/// addresses of both, so that ends which see each other differently have different keys.
#[must_use]
pub fn prf_key(pair_seed: &Key, ends: &Ends<'_>) -> Key {
    let mut names = Vec::with_capacity(4 + ends.responder.len() + ends.initiator.len());
    kdf::length_prefixed(&mut names, ends.responder.as_bytes());
    kdf::length_prefixed(&mut names, ends.initiator.as_bytes());
    let mut key =
        hmac(pair_seed, &[&names, &ends.responder_address.octets(), &ends.initiator_address.octets()]);
    let made = Key::new(key);
    crypto::wipe(&mut key);
    made
}

/// KEY 3 of an exchange between mobile node and foreign agent, which nobody else can make: from both names as they
/// stand in the key information, and both public values.
#[must_use]
pub fn stateless_key3(shared: &Key, foreign_agent: &str, visit_name: &str, values: [&[u8]; 2]) -> Key {
    let [mobile_value, agent_value] = values;
    let mut context = Vec::new();
    for part in [foreign_agent.as_bytes(), visit_name.as_bytes(), mobile_value, agent_value] {
        kdf::length_prefixed(&mut context, part);
    }
    Key::new(kdf::derive(shared, None, crate::Label::Key3.name(), &context))
}
