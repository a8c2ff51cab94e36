//! Negotiated associations at the foreign agent (docs/wire.md, negotiation).
//!
//! The foreign agent states what it allows for KEY 3 as an offer in its own part, once a mobile node offers something,
//! and offers for KEY 2 where it is told to.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use record::{AssociationKind, Mode, Suite};
use sa::{
    AgentPath, Own, Transcript,
    negotiation::{
        Answered, Choice, End, Ends, Offered, Policy, Settled, Talk, Terms, choose, stateless_key3,
    },
};
use sansio::{Instant, Now};
use wire::{
    mip::{code::Code, part::Parts},
    negotiation::{Between, Tree},
};

use super::{
    ForeignAgent, Station,
    exchange::{Exchanges, Value},
    pending::{Pending, Purpose},
    request::Admitted,
};

/// How long rounds are kept for the next one.
const KEPT: Duration = Duration::from_secs(30);
/// Most negotiations that are kept at a time.
const MOST: usize = 1024;

/// What is allowed for the associations that end here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// With mobile nodes: KEY 3.
    pub mobile_nodes: Policy,
    /// It is the serving mobility manager of its visitors: those that offer an association with one get it.
    pub serving_manager: bool,
    /// With home agents: KEY 2. `None` offers nothing, which leaves it at the default suite.
    pub home_agents: Option<Policy>,
}

/// Negotiations that may go on, by who asks whom.
#[derive(Default)]
pub(super) struct Talks {
    open: BTreeMap<(Station, Ipv4Addr), (Instant, Talk)>,
}

impl Talks {
    fn find(&self, of: (Station, Ipv4Addr), now: Now) -> Option<&Talk> {
        self.open.get(&of).filter(|(until, _)| *until > now.mono).map(|(_, talk)| talk)
    }

    fn keep(&mut self, of: (Station, Ipv4Addr), talk: Talk, now: Now) {
        self.open.retain(|_, (until, _)| *until > now.mono);
        if self.open.len() >= MOST
            && let Some(oldest) = self.open.iter().min_by_key(|(_, (until, _))| *until).map(|(of, _)| *of)
        {
            self.open.remove(&oldest);
        }
        self.open.insert(of, (now.mono + KEPT, talk));
    }
}

/// Suites of KEY 2 and KEY 3, and what we add to them.
pub(super) struct Agreed {
    key2: Option<Settled>,
    key3: Option<Settled>,
}

impl Agreed {
    const fn of(&self, kind: AssociationKind) -> Option<&Settled> {
        match kind {
            AssociationKind::Key2 => self.key2.as_ref(),
            AssociationKind::Key1 | AssociationKind::Key3 => self.key3.as_ref(),
        }
    }

    pub(super) fn suite(&self, kind: AssociationKind) -> Suite {
        self.of(kind).map_or_else(Suite::default, |settled| settled.suite)
    }

    /// What we add to a key of which we were told that these are its ends.
    pub(super) fn own<'a>(
        &self,
        kind: AssociationKind,
        ends: Ends<'a>,
        (path, relayed): (&AgentPath, &Transcript),
    ) -> Option<Own<'a>> {
        let settled = self.of(kind);
        match settled.map(|settled| settled.suite.mode).unwrap_or_default() {
            Mode::Stateful => Some(Own::Nothing),
            Mode::SemiStateful => Some(Own::Ends(ends)),
            Mode::Stateless => {
                let exchange = settled?.exchange.as_ref()?;
                let key = match kind {
                    AssociationKind::Key2 => path.stateless_key(relayed, &exchange.shared),
                    AssociationKind::Key1 | AssociationKind::Key3 => stateless_key3(
                        &exchange.shared,
                        ends.responder,
                        ends.initiator,
                        [&exchange.theirs, &exchange.own],
                    ),
                };
                Some(Own::Exchanged(key))
            }
        }
    }
}

/// Why a reply makes no visitor now.
pub(super) enum Unready {
    /// It never does.
    Refused(Code),
    /// These have to be worked at first.
    Exchange(Exchanges),
}

impl From<Code> for Unready {
    fn from(code: Code) -> Self {
        Self::Refused(code)
    }
}

/// Our part of a negotiation, if there is any.
pub(super) struct Stated {
    pub(super) offered: Option<Offered>,
    /// A value in it is still being made: it offers its group without one.
    pub(super) incomplete: bool,
}

/// The role in which a mobile node offers an association with us, and its offer.
fn wanted<'t, 'a>(trees: &'t [Tree<'a>], serving_manager: bool) -> Option<&'t Tree<'a>> {
    let find = |between| trees.iter().find(|tree| tree.between == between);
    let manager = if serving_manager { find(Between::MN_SMM) } else { None };
    manager.or_else(|| find(Between::MN_FA))
}

impl ForeignAgent {
    /// What our part of a request offers.
    pub(super) fn offer(&mut self, of: (Station, Ipv4Addr), asked: &Admitted<'_>, now: Now) -> Stated {
        let mobile = asked.negotiation;
        if asked.purpose != Purpose::Visit || asked.clear.is_some() {
            return Stated { offered: None, incomplete: false };
        }
        // What nobody can read the home agent refuses.
        let trees = mobile.and_then(|mobile| mobile.trees().ok()).unwrap_or_default();
        let policies = &self.config.negotiation;
        let wanted = wanted(&trees, policies.serving_manager);
        // A mobile node that offers nothing does not count rounds: they are ours and the home agent's.
        let goes_on = mobile.is_none_or(|mobile| mobile.round > 1);
        let kept = self.talks.find(of, now).filter(|_| goes_on).cloned();
        let talk = kept.unwrap_or_else(|| {
            let mobile_nodes = wanted.map(|tree| (tree.between, policies.mobile_nodes.clone()));
            let home_agents = policies.home_agents.clone().map(|policy| (Between::HA_FA, policy));
            Talk::new(home_agents.into_iter().chain(mobile_nodes).collect())
        });
        let (values, rng) = (&mut self.values, &mut self.rng);
        let mut incomplete = false;
        let offered = talk.offer_with(|between, policy| {
            let method = match wanted.filter(|tree| tree.between == between) {
                None => policy.first_method()?.clone(),
                // Only what the mobile node and we would take. Its own group only if we were told the same: nobody has
                // proved yet who asks, and the test of a prime would be a stranger's to have.
                Some(tree) => match choose(tree, &[&Terms::from(policy)]) {
                    Choice::Chosen(chosen) | Choice::NeedsValue(chosen) => chosen.exchange?.0,
                    Choice::Nothing => return None,
                },
            };
            match values.offer(policy, &method, rng, now.mono) {
                Value::Ready(half) => Some((method, half)),
                Value::Awaited => {
                    incomplete = true;
                    None
                }
                Value::Unknown => None,
            }
        });
        self.order_values();
        Stated { offered, incomplete }
    }

    /// What an acceptance says to our offer, with the exchanges done, or if they take no time.
    pub(super) fn agreed_on(
        pending: &Pending,
        message: &Parts<'_>,
        done: Option<Result<Vec<Settled>, End>>,
    ) -> Result<Agreed, Unready> {
        let reply = message.foreign.negotiation;
        let Some(offered) = &pending.offered else {
            return if reply.is_none() {
                Ok(Agreed { key2: None, key3: None })
            } else {
                Err(Code::FA_BAD_REPLY.into())
            };
        };
        let settled = match done {
            Some(settled) => settled,
            None => {
                let answers = offered.answers(reply.as_ref(), &[Between::MN_FA, Between::MN_SMM]);
                let answers = answers.map_err(|_| Code::FA_BAD_REPLY)?;
                if answers.iter().any(Answered::is_heavy) {
                    return Err(Unready::Exchange(Exchanges::settling(answers)));
                }
                answers.into_iter().map(Answered::finish).collect()
            }
        };
        let mut agreed = Agreed { key2: None, key3: None };
        for one in settled.map_err(|_| Code::FA_BAD_REPLY)? {
            let of = if one.between == Between::HA_FA { &mut agreed.key2 } else { &mut agreed.key3 };
            *of = Some(one);
        }
        let refused =
            |settled: &Option<Settled>, between| settled.is_none() && !offered.allows_default(between);
        if refused(&agreed.key2, Between::HA_FA)
            || refused(&agreed.key3, Between::MN_FA)
            || refused(&agreed.key3, Between::MN_SMM)
        {
            return Err(Code::FA_BAD_REPLY.into());
        }
        Ok(agreed)
    }

    /// A denial whose 34 was right may carry a counter-proposal for us: the next request of this station goes on there.
    pub(super) fn countered(&mut self, of: (Station, Ipv4Addr), talk: Talk, now: Now) {
        self.count("counter-proposals");
        self.talks.keep(of, talk, now);
    }

    /// Any other answer ends what was said before it.
    pub(super) fn talked(&mut self, of: (Station, Ipv4Addr)) {
        self.talks.open.remove(&of);
    }
}
