//! Choosing from an offer, and saying what was chosen.

use crypto::{Cipher, Integrity};
use record::{Mode, Suite};
use wire::{
    mip::{Spi, share::Group},
    negotiation::{Proposal, Protocol, Tree},
};

use super::policy::{Alternative, Method, Term, Terms};

/// What comes of an offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice<'a> {
    /// This.
    Chosen(Chosen<'a>),
    /// This, if a public value for its group had come along.
    NeedsValue(Chosen<'a>),
    /// Nothing in it is allowed by all.
    Nothing,
}

/// What was chosen from an offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen<'a> {
    /// Algorithms, and the way to the key.
    pub suite: Suite,
    /// Seconds that the association lives.
    pub lifetime: u32,
    /// How the key is exchanged, and the offer's public value for it.
    pub exchange: Option<(Method, &'a [u8])>,
    /// Number of the alternative.
    number: u8,
    /// Numbers of its transforms.
    encryption: u8,
    integrity: u8,
    prf: Option<u8>,
}

/// Chooses from an offer what all of these allow: the first alternative that they do, in it the first encryption, the
/// first authentication with it, and the first group with both.
#[must_use]
pub fn choose<'a>(offer: &Tree<'a>, all: &[&Terms]) -> Choice<'a> {
    for proposals in offer.alternatives() {
        let Some(alternative) = Alternative::read(proposals) else {
            continue;
        };
        let Some(chosen) = first_allowed(&alternative, all) else {
            continue;
        };
        return match &chosen.exchange {
            Some((_, [])) => Choice::NeedsValue(chosen),
            _ => Choice::Chosen(chosen),
        };
    }
    Choice::Nothing
}

fn first_allowed<'a>(alternative: &Alternative<'_, 'a>, all: &[&Terms]) -> Option<Chosen<'a>> {
    let methods: Vec<Option<&(Method, &'a [u8])>> = match alternative.mode {
        Mode::Stateless => alternative.exchanges.iter().map(Some).collect(),
        Mode::Stateful | Mode::SemiStateful => vec![None],
    };
    for (encryption, encryption_number) in &alternative.encryption {
        for (integrity, integrity_number) in &alternative.integrity {
            for method in &methods {
                let lifetime = all.iter().try_fold(alternative.lifetime, |shortest, terms| {
                    let mut allowing = terms.allowing(
                        alternative.mode,
                        *encryption,
                        *integrity,
                        method.map(|(method, _)| method),
                    );
                    allowing.next().map(|term| shortest.min(term.lifetime))
                });
                let Some(lifetime) = lifetime else { continue };
                let group = method.map_or(Group(0), |(method, _)| method.group());
                return Some(Chosen {
                    suite: Suite {
                        encryption: *encryption,
                        integrity: *integrity,
                        mode: alternative.mode,
                        group,
                    },
                    lifetime,
                    exchange: method.cloned(),
                    number: alternative.proposals.first()?.number,
                    encryption: *encryption_number,
                    integrity: *integrity_number,
                    prf: alternative.prf,
                });
            }
        }
    }
    None
}

impl Terms {
    /// Its alternatives that allow this.
    fn allowing(
        &self,
        mode: Mode,
        encryption: Cipher,
        integrity: Integrity,
        method: Option<&Method>,
    ) -> impl Iterator<Item = &Term> {
        self.0.iter().filter(move |term| term.allows(mode, encryption, integrity, method))
    }

    /// Of one who allows just what was chosen.
    #[must_use]
    pub fn exactly(chosen: &Chosen<'_>) -> Self {
        Self(vec![Term {
            mode: chosen.suite.mode,
            encryption: vec![chosen.suite.encryption],
            integrity: vec![chosen.suite.integrity],
            methods: chosen.exchange.iter().map(|(method, _)| method.clone()).collect(),
            others_groups: false,
            lifetime: chosen.lifetime,
        }])
    }

    /// What of it these allow too.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let common = |own: &Term| {
            other
                .0
                .iter()
                .filter_map(|theirs| {
                    let both = Term {
                        mode: own.mode,
                        encryption: kept(&own.encryption, |c| theirs.encryption.contains(c)),
                        integrity: kept(&own.integrity, |i| theirs.integrity.contains(i)),
                        methods: kept(&own.methods, |m| theirs.allows_method(m)),
                        others_groups: own.others_groups && theirs.others_groups,
                        lifetime: own.lifetime.min(theirs.lifetime),
                    };
                    let whole = own.mode == theirs.mode
                        && !both.encryption.is_empty()
                        && !both.integrity.is_empty()
                        && (own.mode != Mode::Stateless || !both.methods.is_empty());
                    whole.then_some(both)
                })
                .collect::<Vec<_>>()
        };
        Self(self.0.iter().flat_map(common).collect())
    }
}

fn kept<T: Clone>(list: &[T], allowed: impl Fn(&T) -> bool) -> Vec<T> {
    list.iter().filter(|of| allowed(of)).cloned().collect()
}

impl<'a> Chosen<'a> {
    /// The answer to the offer that this was chosen from: each protocol of the alternative with the one transform, and
    /// the public value of the other side where keys are exchanged. Without a value it asks for one in the next round.
    #[must_use]
    pub fn answer<'t>(&'t self, offer: &'t Tree<'t>, value: &'t [u8]) -> Tree<'t> {
        let alternative = offer.proposals.iter().filter(|p| p.number == self.number);
        let answer = |p: &Proposal<'t>| {
            let number = match p.protocol {
                Protocol::ENCRYPTION => Some(self.encryption),
                Protocol::AUTHENTICATION => Some(self.integrity),
                _ => self.prf,
            };
            let exchange = self.exchange.as_ref().filter(|_| !p.exchanges.is_empty());
            Proposal {
                number: p.number,
                protocol_number: p.protocol_number,
                protocol: p.protocol,
                lifetime: self.lifetime,
                spi: Spi(0),
                transforms: p.transforms.iter().filter(|t| Some(t.number) == number).cloned().collect(),
                exchanges: exchange.map(|(method, _)| method.with(value)).into_iter().collect(),
            }
        };
        Tree { between: offer.between, proposals: alternative.map(answer).collect() }
    }
}
