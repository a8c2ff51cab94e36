//! Reading the answer to an offer of one's own.

use record::{Mode, Suite};
use thiserror::Error;
use wire::negotiation::{Proposal, Tree};

use super::policy::{Alternative, Method};

/// What was agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted<'a> {
    /// Algorithms, and the way to the key.
    pub suite: Suite,
    /// Seconds that the association lives.
    pub lifetime: u32,
    /// How the key is exchanged, and the other side's public value.
    pub exchange: Option<(Method, &'a [u8])>,
}

/// Why an answer is none to what was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NotAnAnswer {
    /// Nothing was chosen.
    #[error("nothing was chosen")]
    Refusal,
    /// More or less than one alternative.
    #[error("it is not one of the alternatives that were offered")]
    Alternative,
    /// Another algorithm, or several.
    #[error("it is not one transform that was offered for each protocol")]
    Transform,
    /// Longer than was offered, or not the same everywhere.
    #[error("its lifetime is not within what was offered")]
    Lifetime,
    /// Another group, several, or no value.
    #[error("it is not one key exchange that was offered, with a value")]
    Exchange,
}

/// Compares an answer with the offer that it answers.
///
/// # Errors
/// [`NotAnAnswer`] if it has anything that was not offered.
pub fn accept<'a>(offer: &Tree<'_>, answer: &Tree<'a>) -> Result<Accepted<'a>, NotAnAnswer> {
    let first = answer.proposals.first().ok_or(NotAnAnswer::Refusal)?;
    let offered: Vec<&Proposal<'_>> = offer.proposals.iter().filter(|p| p.number == first.number).collect();
    let same = |(ours, theirs): (&&Proposal<'_>, &Proposal<'_>)| {
        let key = |p: &Proposal<'_>| (p.number, p.protocol_number, p.protocol, p.spi);
        key(ours) == key(theirs)
    };
    let fits = offered.len() == answer.proposals.len() && offered.iter().zip(&answer.proposals).all(same);
    if !fits || offer.between != answer.between {
        return Err(NotAnAnswer::Alternative);
    }
    let lifetime = first.lifetime;
    for (ours, theirs) in offered.iter().zip(&answer.proposals) {
        match theirs.transforms.as_slice() {
            [one] if ours.transforms.contains(one) => {}
            _ => return Err(NotAnAnswer::Transform),
        }
        if theirs.lifetime != lifetime || lifetime > ours.lifetime {
            return Err(NotAnAnswer::Lifetime);
        }
    }
    let chosen = Alternative::read(&answer.proposals).ok_or(NotAnAnswer::Transform)?;
    let ([(encryption, _)], [(integrity, _)]) = (chosen.encryption.as_slice(), chosen.integrity.as_slice())
    else {
        return Err(NotAnAnswer::Transform);
    };
    let exchange = match (chosen.mode, chosen.exchanges.as_slice()) {
        (Mode::Stateless, [(_, [])]) => return Err(NotAnAnswer::Exchange),
        (Mode::Stateless, [(method, value)]) => {
            let offered = offered.iter().flat_map(|p| &p.exchanges);
            let mut with_value = offered.filter_map(Method::of).filter(|(_, value)| !value.is_empty());
            if !with_value.any(|(ours, _)| ours == *method) {
                return Err(NotAnAnswer::Exchange);
            }
            Some((method.clone(), *value))
        }
        (Mode::Stateless, _) => return Err(NotAnAnswer::Exchange),
        (Mode::Stateful | Mode::SemiStateful, _) => None,
    };
    // What the offer meant must be what the answer means: an exchange left out would change the way to the key.
    let meant = offer.alternatives().find(|p| p.first().is_some_and(|p| p.number == first.number));
    if meant.and_then(Alternative::read).is_none_or(|offered| offered.mode != chosen.mode) {
        return Err(NotAnAnswer::Exchange);
    }
    let group = exchange.as_ref().map_or(wire::mip::share::Group(0), |(method, _)| method.group());
    let suite = Suite { encryption: *encryption, integrity: *integrity, mode: chosen.mode, group };
    Ok(Accepted { suite, lifetime, exchange })
}
