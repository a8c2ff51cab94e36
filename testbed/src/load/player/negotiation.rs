//! What is offered for associations with the home agent, and what comes of its answer.

use crypto::Rng;
use record::{Association, AssociationKind, Mode, Suite};
use sa::{
    KeyInfo, Own,
    negotiation::{Ends, Half, Method, Offered, Policy, Settled, Talk},
};
use wire::negotiation::{Between, Negotiation};

/// Public values that are offered in turn. Making one costs as much as the home agent's own work; nobody can tell that
/// another node had the same.
const HALVES: usize = 512;

/// Who offers what.
#[derive(Clone, Debug)]
pub(crate) struct Negotiating {
    /// With one mode, and one group at most: it is agreed on in one round.
    pub(crate) policy: Policy,
    /// Nodes from this number on offer it for KEY 1.
    pub(crate) first: u32,
    /// The agents of these nodes offer it for KEY 2.
    pub(crate) agents: bool,
}

/// What is offered, with values made before anybody waits for them.
pub(super) struct Offering {
    pub(super) what: Negotiating,
    halves: Vec<Half>,
    next: usize,
}

impl Offering {
    /// `None` for a group that is not known here.
    pub(super) fn new(what: Negotiating, rng: &mut Rng) -> Option<Self> {
        let halves = match what.policy.first_method() {
            Some(method) => (0..HALVES).map(|_| what.policy.half(method, rng)).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self { what, halves, next: 0 })
    }

    /// The next offer.
    pub(super) fn offer(&mut self, between: Between) -> Option<Offered> {
        self.next = (self.next + 1) % HALVES;
        let half = self.halves.get(self.next);
        let value = |_, policy: &Policy| -> Option<(Method, Half)> {
            Some((policy.first_method()?.clone(), half?.duplicate()))
        };
        Talk::new(vec![(between, self.what.policy.clone())]).offer_with(value)
    }
}

/// What an acceptance says to an offer, if one was made; anything but an agreement is wrong.
pub(super) fn settled(
    offered: Option<&Offered>,
    reply: Option<&Negotiation<'_>>,
) -> Result<Option<Settled>, &'static str> {
    let Some(offered) = offered else {
        return if reply.is_none() { Ok(None) } else { Err("an answer to an offer that was not made") };
    };
    let mut all = offered.answered(reply, &[]).map_err(|_| "no answer to what was offered")?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(Some(one)),
        _ => Err("an offer was refused"),
    }
}

/// The association that key information makes at its receiver. `stateless` makes the key of a secret.
pub(super) fn associate(
    info: KeyInfo,
    settled: Option<&Settled>,
    ends: Ends<'_>,
    stateless: impl FnOnce(&crypto::Key) -> crypto::Key,
) -> Result<Association, &'static str> {
    let suite = settled.map_or_else(Suite::default, |settled| settled.suite);
    let own = match suite.mode {
        Mode::Stateful => Own::Nothing,
        Mode::SemiStateful => Own::Ends(ends),
        Mode::Stateless => {
            let exchange = settled.and_then(|settled| settled.exchange.as_ref());
            Own::Exchanged(stateless(&exchange.ok_or("no exchange")?.shared))
        }
    };
    info.into_association(suite, own, 0).ok_or("a key of another suite than was agreed on")
}

/// An association that both ends should have alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    pub(crate) kind: AssociationKind,
    pub(crate) inbound: u32,
    pub(crate) outbound: u32,
    /// Of its key.
    pub(crate) fingerprint: String,
}

impl Held {
    pub(super) fn of(association: &Association) -> Self {
        Self {
            kind: association.kind,
            inbound: association.inbound.0,
            outbound: association.outbound.0,
            fingerprint: association.key.fingerprint_hex(),
        }
    }
}
