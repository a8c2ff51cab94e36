//! Where to register: choosing a point of attachment, and noticing that it changed (RFC 5944 section 2.4).
//!
//! The home link wins; then a foreign agent; then an address of our own, unless an agent on that link insists
//! on being used. What works is kept until it is lost.

use sa::negotiation::Talk;
use std::{net::Ipv4Addr, time::Duration};

use record::{Association, AssociationKind};
use sansio::{Instant, LinkId, Now, earliest};
use wire::mip::advertisement::AgentFlags;

use super::{
    CareOf, MobileNode, Route, Sent,
    discovery::{Agent, network},
    naming::Whereabouts,
    register::{Attempt, Purpose},
};
use crate::{Event, EventKind, past::Past};

/// How long the agent in use may stay silent after another network was heard on its link.
const SUSPICION: Duration = Duration::from_millis(400);
/// An agent that began to count anew is believed at most this often.
pub(super) const ANEW: Duration = Duration::from_secs(60);
/// How long the associations of the registration before are received with.
const CHANGE_OVER: Duration = Duration::from_secs(10);
/// Before routes that could not be changed are tried again.
pub(super) const RETRY_ROUTE: Duration = Duration::from_secs(1);

/// A possible point of attachment, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    /// The home link.
    Home(LinkId),
    /// The foreign agent with this address.
    Agent(LinkId, Ipv4Addr),
    /// This address of ours.
    CoLocated(LinkId, Ipv4Addr),
}

impl Target {
    pub(super) const fn link(self) -> LinkId {
        match self {
            Self::Home(link) | Self::Agent(link, _) | Self::CoLocated(link, _) => link,
        }
    }

    pub(super) const fn is_home(self) -> bool {
        matches!(self, Self::Home(_))
    }

    /// Lower is better.
    const fn class(self) -> u8 {
        match self {
            Self::Home(_) => 0,
            Self::Agent(..) => 1,
            Self::CoLocated(..) => 2,
        }
    }
}

/// A point of attachment with all that is needed to register there.
pub(super) enum Place {
    /// With the home network, if the home agent told.
    Home {
        port: u16,
        prefix: Option<(u32, u8)>,
    },
    Agent(Agent),
    CoLocated {
        care_of: CareOf,
        port: u16,
    },
}

/// A registration in force. At home it only says that the home agent knows.
pub(super) struct Registration {
    pub(super) ends: Option<Instant>,
    pub(super) renew: Option<Instant>,
    pub(super) peer: Option<forward::Peer>,
    /// Time between keepalives and the next of them, in a UDP tunnel.
    pub(super) keepalive: Option<(Duration, Instant)>,
    pub(super) associations: Vec<Association>,
    /// The home agent may revoke it: its clock when it said so (RFC 3543).
    pub(super) revocable: Option<u32>,
}

/// The point of attachment that is used or being tried.
pub(super) struct Attachment {
    pub(super) target: Target,
    pub(super) place: Place,
    pub(super) attempt: Option<Attempt>,
    pub(super) sent: Sent,
    pub(super) registration: Option<Registration>,
    /// The agent's advertisements stopped.
    pub(super) lost: bool,
    /// Another network was heard here: unless the agent in use is heard until then, we moved.
    suspect: Option<Instant>,
    /// When to register anew because the agent lost its memory, and when that happened last.
    pub(super) anew: Option<Instant>,
    pub(super) last_anew: Option<Instant>,
    /// The agent does not know KEY 3 any more: requests go without 33 until one is accepted.
    pub(super) first_contact: bool,
    /// Associations of the registration before, and until when they are received with.
    pub(super) retiring: Vec<(Association, Instant)>,
    /// Of revocations that were acknowledged.
    pub(super) past: Past,
    /// A challenge that the agent took no more.
    pub(super) spent: Option<Vec<u8>>,
    /// Longest lifetime that the agent takes, from a denial.
    pub(super) most: u16,
    /// The agent insists on a reverse tunnel.
    pub(super) force_reverse: bool,
    /// The agent gives IP in IP only.
    pub(super) plain_tunnel: bool,
    /// The agent takes no encapsulated packets.
    pub(super) direct_delivery: bool,
    /// The home agent keeps no more bindings of ours: this one takes the place of all others.
    pub(super) alone: bool,
    /// How a negotiation goes on, or begins next time.
    pub(super) talk: Option<Talk>,
}

/// A registration away from home.
pub(super) struct Away {
    pub(super) target: Target,
    pub(super) ends: Option<Instant>,
    /// The tunnel that ends here, if there is one.
    pub(super) peer: Option<forward::Peer>,
}

impl Attachment {
    fn new(target: Target, place: Place, attempt: Attempt) -> Self {
        Self {
            target,
            place,
            attempt: Some(attempt),
            sent: Sent::new(),
            registration: None,
            lost: false,
            suspect: None,
            anew: None,
            last_anew: None,
            first_contact: false,
            retiring: Vec::new(),
            past: Past::default(),
            spent: None,
            most: u16::MAX,
            force_reverse: false,
            alone: false,
            talk: None,
            plain_tunnel: false,
            direct_delivery: false,
        }
    }

    /// True if the home agent knows that we are here.
    pub(super) const fn settled(&self) -> bool {
        self.registration.is_some()
    }

    pub(super) fn agent_name(&self) -> Option<&str> {
        if let Place::Agent(agent) = &self.place { agent.name.as_deref() } else { None }
    }

    pub(super) fn care_of(&self) -> Option<Ipv4Addr> {
        match &self.place {
            Place::Home { .. } => None,
            Place::Agent(agent) => agent.care_of.first().copied(),
            Place::CoLocated { care_of, .. } => Some(care_of.address),
        }
    }

    /// When something is to be done; a request that waits for the disk is due at no time.
    pub(super) fn deadline(&self, not_before: Instant, waiting: bool) -> Option<Instant> {
        let idle = self.attempt.is_none();
        let attempt = self.attempt.as_ref().filter(|_| !waiting).map(|a| a.due(not_before));
        let registration = self.registration.as_ref();
        let renew = registration.and_then(|r| r.renew).filter(|_| idle);
        let keepalive = registration.and_then(|r| r.keepalive).map(|(_, next)| next);
        let anew = self.anew.filter(|_| idle);
        let retired = self.retiring.iter().map(|(_, until)| *until).min();
        [attempt, renew, keepalive, anew, retired, self.suspect, self.past.deadline()]
            .into_iter()
            .fold(None, earliest)
    }

    /// KEY 3 with this very agent, under which it is sure to know us.
    pub(super) fn key3(&self) -> Option<&Association> {
        let Place::Agent(agent) = &self.place else { return None };
        let associations = self.registration.as_ref().filter(|_| !self.first_contact)?.associations.iter();
        let mut known = associations.filter(|a| a.kind == AssociationKind::Key3 && a.confirmed);
        known.find(|a| Some(&*a.peer) == agent.name.as_deref())
    }

    /// What the agent says may be authenticated by any of these.
    pub(super) fn receivable_key3(&self) -> impl Iterator<Item = &Association> {
        let present = self.registration.iter().flat_map(|r| &r.associations);
        let all = present.chain(self.retiring.iter().map(|(association, _)| association));
        all.filter(|a| a.kind == AssociationKind::Key3)
    }

    /// A registration takes the place of the one before, whose associations are received with a little longer:
    /// what was sent under them is still on its way.
    pub(super) fn replace_registration(&mut self, registration: Registration, now: Now) {
        if let Some(before) = self.registration.replace(registration) {
            let retires = now.unix.saturating_add(CHANGE_OVER).as_secs();
            self.retiring.extend(before.associations.into_iter().map(|mut association| {
                association.retires = Some(retires);
                (association, now.mono + CHANGE_OVER)
            }));
        }
    }

    /// What a log calls this place.
    pub(super) fn label(&self) -> String {
        match &self.place {
            Place::Home { .. } => "the home link".into(),
            Place::Agent(agent) => agent.label(),
            Place::CoLocated { care_of, .. } => care_of.address.to_string(),
        }
    }
}

/// Avoided ones last, then by class.
type Rank = (bool, u8);

impl MobileNode {
    fn rank(&self, target: Target) -> Rank {
        (self.avoided.contains_key(&target), target.class())
    }

    /// True if this could be registered with now. A busy agent still serves those that it has.
    fn possible(&self, target: Target) -> bool {
        let current = self.attachment.as_ref().is_some_and(|a| a.target == target && a.settled());
        let Some(link) = self.links.get(&target.link()).filter(|l| l.up.is_some()) else {
            return false;
        };
        match target {
            // At home there is nothing to do without an address.
            Target::Home(_) => {
                !self.home_address.is_unspecified() && link.agents.values().any(|a| self.is_home(a))
            }
            Target::Agent(_, address) => link.agents.get(&address).is_some_and(|a| {
                let free = current || !a.flags.has(AgentFlags::BUSY);
                free && !self.is_home(a) && a.usable(self.config.reverse_tunnel)
            }),
            Target::CoLocated(_, address) => {
                let insists = AgentFlags::FOREIGN_AGENT | AgentFlags::REGISTRATION_REQUIRED;
                link.addresses.get(&address).is_some_and(|c| c.gateway.is_some())
                    && !link.agents.values().any(|a| a.flags.has(insists) && !self.is_home(a))
            }
        }
    }

    /// The best point of attachment; among equals the one that is known longest.
    fn best(&self) -> Option<Target> {
        let candidates = self.links.iter().flat_map(|(id, link)| {
            let agents = link.agents.values().map(|agent| {
                let target =
                    if self.is_home(agent) { Target::Home(*id) } else { Target::Agent(*id, agent.address) };
                (target, agent.heard)
            });
            let addresses = link.addresses.keys().map(|a| (Target::CoLocated(*id, *a), Instant::default()));
            agents.chain(addresses)
        });
        candidates
            .filter(|(target, _)| self.possible(*target))
            .min_by_key(|(target, heard)| (self.rank(*target), *heard))
            .map(|(target, _)| target)
    }

    /// Begins, keeps or changes the point of attachment.
    pub(super) fn reconsider(&mut self, now: Now) {
        self.avoided.retain(|_, until| *until > now.mono);
        if self.hold.is_some() || self.dormant {
            return;
        }
        self.confirm_suspicion(now);
        let Some(best) = self.best() else { return };
        let Some(a) = &self.attachment else {
            self.attach(best, now);
            return;
        };
        let deregistering = a.attempt.as_ref().is_some_and(|t| t.purpose == Purpose::Deregister);
        if best == a.target || deregistering {
            return;
        }
        let better = self.rank(best) < self.rank(a.target);
        let works = a.settled() && !self.avoided.contains_key(&a.target);
        // A home agent that falls silent is no reason to leave home: nothing there depends on it.
        let gone = !self.possible(a.target) && (!a.target.is_home() || best.is_home());
        let home = best.is_home() && !a.target.is_home();
        if gone || home || (!works && better) {
            let why = format!("leaving {} for a better place", a.label());
            let was_home = a.target.is_home();
            self.notify(Event::new(EventKind::Moved, why));
            if was_home {
                self.detach();
            }
            self.attach(best, now);
        }
    }

    fn attach(&mut self, target: Target, now: Now) {
        let port = 49_152 + self.rng.below(16_384) as u16;
        let Some(link) = self.links.get_mut(&target.link()) else {
            return;
        };
        let place = match target {
            Target::Home(_) => {
                let prefix = link.agents.get(&self.config.home_agent).and_then(|h| h.prefix);
                Place::Home { port, prefix }
            }
            Target::Agent(_, address) => {
                let Some(agent) = link.agents.get(&address) else {
                    return;
                };
                Place::Agent(agent.clone())
            }
            Target::CoLocated(_, address) => {
                let Some(care_of) = link.addresses.get(&address) else {
                    return;
                };
                Place::CoLocated { care_of: *care_of, port }
            }
        };
        let route = match &place {
            Place::Home { port, .. } => Some(Route::Home { link: target.link(), port: *port }),
            // Until the home agent has accepted, packets of the home address have no way.
            Place::Agent(_) => None,
            Place::CoLocated { care_of, port } => {
                Some(Route::CareOf { link: target.link(), care_of: *care_of, port: *port })
            }
        };
        // On a link that just came up the first requests need not wait for their turn.
        let at_once = link.quick > 0;
        link.quick = link.quick.saturating_sub(1);
        let attempt = Attempt::new(Purpose::of(target), at_once, now);
        self.attachment = Some(Attachment::new(target, place, attempt));
        self.revision += 1;
        if let Some(route) = route {
            self.set_route(route, None);
            self.route_installed(route);
        }
    }

    /// Tells that routes stand.
    pub(super) fn route_installed(&mut self, route: Route) {
        let text = match route {
            Route::Home { .. } => "at home, like any host",
            Route::ViaForeignAgent { .. } => "through the foreign agent",
            Route::CoLocated { .. } => "through the tunnel to the home agent",
            Route::Detached | Route::CareOf { .. } => return,
        };
        let mut event = Event::new(EventKind::RouteInstalled, text);
        let attachment = self.attachment.as_ref();
        event.agent = attachment.and_then(|a| a.agent_name()).map(str::to_owned);
        event.care_of = attachment.and_then(Attachment::care_of);
        event.home_address = Some(self.home_address);
        self.notify(event);
    }

    /// An advertisement came in: does it touch the point of attachment?
    pub(super) fn heard_while_attached(&mut self, id: LinkId, agent: &Agent, new: bool, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        if a.target.link() != id {
            return;
        }
        let same = match &a.place {
            Place::Agent(old) => old.address == agent.address,
            Place::Home { .. } => agent.address == self.config.home_agent,
            Place::CoLocated { .. } => false,
        };
        if same {
            a.suspect = None;
            a.lost = false;
            self.update_agent(agent, now);
        } else if new {
            self.suspect(id, agent, now);
        }
    }

    /// The agent in use was heard again.
    fn update_agent(&mut self, agent: &Agent, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        let Place::Agent(old) = &mut a.place else { return };
        if !old.continues_as(agent) {
            let text = format!("another agent has the address of {}", old.label());
            self.notify(Event::new(EventKind::Moved, text));
            self.detach();
            return;
        }
        let restarted = old.restarted_before(agent);
        let care_of = std::mem::take(&mut old.care_of);
        *old = agent.clone();
        // What is registered stays first, whatever the order of the advertisement.
        old.care_of = care_of;
        if restarted && a.registration.is_some() {
            let soonest = a.last_anew.map_or(now.mono, |last| (last + ANEW).max(now.mono));
            a.anew = Some(soonest);
        }
        if a.spent.is_some() && a.spent != agent.challenge {
            a.spent = None;
            if let Some(attempt) = &mut a.attempt {
                attempt.next = now.mono;
            }
        }
    }

    /// The agent lost its memory: register as at first contact, if it is time.
    pub(super) fn anew_due(&mut self, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        if a.attempt.is_none() && a.anew.is_some_and(|at| at <= now.mono) {
            a.anew = None;
            a.last_anew = Some(now.mono);
            a.first_contact = true;
            a.attempt = Some(Attempt::new(Purpose::Register, false, now));
            let text = format!(
                "{} counts its advertisements anew: it restarted, or ended the registration",
                a.label()
            );
            self.notify(Event::new(EventKind::Moved, text));
        }
    }

    /// Erases associations that a newer registration replaced.
    pub(super) fn expire_retired(&mut self, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        a.past.erase(now.mono);
        let before = a.retiring.len();
        a.retiring.retain(|(_, until)| *until > now.mono);
        self.revision += u64::from(a.retiring.len() < before);
    }

    /// The agent gave a challenge under KEY 3: the newest, until it advertises again.
    pub(super) fn take_challenge(&mut self, challenge: &[u8]) {
        let Some(a) = &mut self.attachment else { return };
        let Place::Agent(agent) = &mut a.place else { return };
        agent.challenge = Some(challenge.to_vec());
        let (link, address) = (a.target.link(), agent.address);
        let link = self.links.get_mut(&link);
        if let Some(known) = link.and_then(|l| l.agents.get_mut(&address)) {
            known.challenge = Some(challenge.to_vec());
        }
    }

    /// Where a one-time index of the next request shows.
    pub(super) fn whereabouts(&self) -> Option<Whereabouts> {
        let a = self.attachment.as_ref()?;
        let own = self.links.get(&a.target.link())?.address;
        let agent = match &a.place {
            Place::Agent(agent) => Some((agent.link_address, agent.name.clone())),
            Place::Home { .. } | Place::CoLocated { .. } => None,
        };
        Some(Whereabouts { target: a.target, agent, own })
    }

    /// A new agent is heard beside the one in use: on another network (RFC 5944 section 2.4.2.2)?
    ///
    /// Two agents may share a link, so the one in use is asked first. With an address of our own there is
    /// nobody to ask.
    fn suspect(&mut self, id: LinkId, agent: &Agent, now: Now) {
        let Some(a) = &mut self.attachment else { return };
        let here = match &a.place {
            Place::Agent(old) => old.prefix,
            Place::Home { prefix, .. } => *prefix,
            Place::CoLocated { care_of, .. } => Some(network(care_of.address, care_of.prefix_length)),
        };
        let elsewhere = here.zip(agent.prefix).is_some_and(|(a, b)| a != b);
        let own = matches!(a.place, Place::CoLocated { .. });
        let useless = own && !agent.usable(self.config.reverse_tunnel);
        if !elsewhere || useless || a.suspect.is_some() {
            return;
        }
        let wait = if own { Duration::ZERO } else { SUSPICION };
        a.suspect = Some(now.mono + wait);
        self.solicit_soon(id, now);
    }

    fn confirm_suspicion(&mut self, now: Now) {
        let Some(a) = &self.attachment else { return };
        if a.suspect.is_none_or(|at| at > now.mono) {
            return;
        }
        let text = format!("{} is silent and another network is heard: we moved", a.label());
        let target = a.target;
        if let Some(link) = self.links.get_mut(&target.link()) {
            match target {
                Target::Agent(_, address) => drop(link.agents.remove(&address)),
                Target::Home(_) => drop(link.agents.remove(&self.config.home_agent)),
                Target::CoLocated(..) => {}
            }
        }
        self.notify(Event::new(EventKind::Moved, text));
        self.detach();
    }

    /// Notices that the agent in use is not heard any more. Its registration stands until something better
    /// is known: an agent that was restarted goes on where it was.
    pub(super) fn notice_loss(&mut self) {
        let Some(a) = &mut self.attachment else { return };
        let Target::Agent(link, address) = a.target else {
            return;
        };
        let heard = self.links.get(&link).is_some_and(|l| l.agents.contains_key(&address));
        if heard || a.lost {
            return;
        }
        a.lost = true;
        let text = format!("{} is not heard any more", a.label());
        self.notify(Event::new(EventKind::Moved, text));
    }

    /// True if a request from here asks that packets come to the place before too: the first one after a move.
    pub(super) fn wants_both(&self, a: &Attachment, now: Now) -> bool {
        let elsewhere = |away: &Away| away.target != a.target && away.ends.is_none_or(|ends| ends > now.mono);
        self.config.simultaneous
            && !a.alone
            && a.registration.is_none()
            && self.away.as_ref().is_some_and(elsewhere)
    }

    /// The tunnel at the place before, as long as its end is an address of ours. One over UDP lost its port.
    pub(super) fn previous_tunnel(&self) -> Option<forward::Peer> {
        let away = self.away.as_ref()?;
        let Target::CoLocated(link, address) = away.target else {
            return None;
        };
        let link = self.links.get(&link).filter(|link| link.up.is_some())?;
        let there = link.addresses.contains_key(&address);
        away.peer.filter(|peer| there && !matches!(peer, forward::Peer::Udp { .. }))
    }

    /// Prefers other places for a while.
    pub(super) fn avoid(&mut self, target: Target, seconds: u64, now: Now) {
        if !target.is_home() {
            self.avoided.insert(target, now.mono + Duration::from_secs(seconds));
        }
    }
}
