//! Negotiated associations at the mobile node (docs/wire.md, negotiation): it offers, and goes on where a home agent
//! asks back.

use std::net::Ipv4Addr;

use record::{Association, AssociationKind, Mode, Suite};
use sa::{
    KeyInfo, MobileHome, Own, Transcript,
    negotiation::{End, Ends, Offered, Policy, Settled, Talk, stateless_key3},
};
use wire::{mip::part::Parts, negotiation::Between};

use super::{MobileNode, movement::Place, register::Purpose, request::Sent};
use crate::{Event, EventKind};

/// What is offered; what is not offered is the default suite.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// For KEY 1, with the home agent.
    pub home_agent: Option<Policy>,
    /// For KEY 3, with foreign agents.
    pub foreign_agents: Option<Policy>,
    /// For KEY 3, with foreign agents that are serving mobility managers.
    pub serving_managers: Option<Policy>,
}

/// What was agreed on for the keys of one registration.
pub(super) struct Agreed {
    key1: Option<Settled>,
    key3: Option<Settled>,
}

impl Agreed {
    /// What an acceptance says to what was offered.
    pub(super) fn of(parts: &Parts<'_>, sent: &Sent) -> Result<Self, &'static str> {
        let reply = parts.mobile.negotiation;
        let Some(offered) = &sent.offered else {
            return match reply {
                None => Ok(Self { key1: None, key3: None }),
                Some(_) => Err("it answers an offer that was not made"),
            };
        };
        let mut agreed = Self { key1: None, key3: None };
        for one in offered.answered(reply.as_ref(), &[]).map_err(why)? {
            let of = if one.between == Between::MN_HA { &mut agreed.key1 } else { &mut agreed.key3 };
            if of.replace(one).is_some() {
                return Err("it agrees to two associations with one agent");
            }
        }
        let missing =
            |settled: &Option<Settled>, between| settled.is_none() && !offered.allows_default(between);
        let unserved = agreed.key3.is_none()
            && sent.agent.is_some()
            && ![Between::MN_FA, Between::MN_SMM].iter().any(|between| offered.allows_default(*between));
        if missing(&agreed.key1, Between::MN_HA) || unserved {
            return Err("it refuses what was offered, and less is not allowed");
        }
        Ok(agreed)
    }

    const fn settled(&self, kind: AssociationKind) -> Option<&Settled> {
        match kind {
            AssociationKind::Key1 => self.key1.as_ref(),
            AssociationKind::Key2 | AssociationKind::Key3 => self.key3.as_ref(),
        }
    }

    /// The association that key information makes, with what we add to it.
    pub(super) fn associate(
        &self,
        info: KeyInfo,
        (keys, transcript): (&MobileHome, &Transcript),
        (home_address, other): (Ipv4Addr, Ipv4Addr),
        now: u64,
    ) -> Option<Association> {
        let settled = self.settled(info.kind);
        let suite = settled.map_or_else(Suite::default, |settled| settled.suite);
        let (own, peer) = (info.own.clone(), info.peer.clone());
        let added = match suite.mode {
            Mode::Stateful => Own::Nothing,
            Mode::SemiStateful => Own::Ends(Ends {
                initiator: &own,
                responder: &peer,
                initiator_address: home_address,
                responder_address: other,
            }),
            Mode::Stateless => {
                let exchange = settled?.exchange.as_ref()?;
                Own::Exchanged(match info.kind {
                    AssociationKind::Key1 => keys.stateless_key(transcript, &exchange.shared),
                    AssociationKind::Key2 | AssociationKind::Key3 => {
                        stateless_key3(&exchange.shared, &peer, &own, [&exchange.own, &exchange.theirs])
                    }
                })
            }
        };
        info.into_association(suite, added, now)
    }
}

const fn why(end: End) -> &'static str {
    match end {
        End::OtherTalk => "it does not answer what was offered",
        End::Malformed(_) => "its answer to what was offered is malformed",
        End::NothingInCommon | End::Rounds => "it agrees to nothing",
        End::NotAnAnswer(_) => "it agrees to something that was not offered",
        End::Value => "a public value in it does not serve",
    }
}

impl MobileNode {
    /// What the next request offers here.
    pub(super) fn talk(&self, place: &Place, purpose: Purpose) -> Talk {
        if purpose != Purpose::Register {
            return Talk::default();
        }
        let going_on = self.attachment.as_ref().and_then(|a| a.talk.clone());
        going_on.unwrap_or_else(|| self.whole_talk(matches!(place, Place::Agent(_))))
    }

    /// A talk about all that is configured.
    fn whole_talk(&self, with_agent: bool) -> Talk {
        let all = &self.config.negotiation;
        let own = |policy: &Option<Policy>, there| policy.clone().filter(|_| there);
        let policies = [
            (Between::MN_HA, own(&all.home_agent, true)),
            (Between::MN_FA, own(&all.foreign_agents, with_agent)),
            (Between::MN_SMM, own(&all.serving_managers, with_agent)),
        ];
        Talk::new(policies.into_iter().filter_map(|(between, policy)| Some((between, policy?))).collect())
    }

    /// What was found out for an earlier registration left something out of a first offer.
    fn offered_less_than_all(&self, sent: &Sent) -> bool {
        let less = |offered: &Offered| {
            offered.over() == 0 && offered.again() != self.whole_talk(sent.agent.is_some())
        };
        sent.offered.as_ref().is_some_and(less)
    }

    /// After an acceptance: the next negotiation begins with what was found to be allowed.
    pub(super) fn negotiated(&mut self, sent: &Sent) {
        if let Some(a) = &mut self.attachment {
            a.talk = sent.offered.as_ref().map(Offered::again);
        }
    }

    /// The home agent asks back. True if the next request goes on from there.
    pub(super) fn asked_back(&mut self, parts: &Parts<'_>, sent: &Sent) -> bool {
        let Some(counter) = &parts.mobile.negotiation else {
            // It asked the foreign agent, which has more to say next time.
            return false;
        };
        let next = match &sent.offered {
            Some(offered) => offered.countered(counter),
            None => {
                let mut any = vec![(Between::MN_HA, Policy::default())];
                any.extend(sent.agent.is_some().then(|| (Between::MN_FA, Policy::default())));
                Talk::invited(any, counter)
            }
        };
        self.count("counter-proposals");
        let (talk, going_on) = match next {
            Ok(talk) => (Some(talk), true),
            // What is allowed has changed: from the beginning again, with all of it.
            Err(End::NothingInCommon) if self.offered_less_than_all(sent) => (None, true),
            Err(end) => {
                let text = format!("the negotiation of security associations ended: {end}");
                self.notify(Event::new(EventKind::Denied, text).of(sent.identification));
                (None, false)
            }
        };
        if let Some(a) = &mut self.attachment {
            a.talk = talk;
        }
        going_on
    }
}
