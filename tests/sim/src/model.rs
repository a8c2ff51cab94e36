//! The reference model: what may be true, kept apart from how the machines make it true.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use record::{Association, AssociationKind, Binding, Change, RevocationSupport, Tunnel, Visitor};
use wire::mip::{
    Spi,
    ours::DOCUMENTATION_VENDOR,
    part::Parts,
    registration::{Flags, Request, ntp_seconds},
};

use crate::{
    disk::Disk,
    nodes::{POOL, SIMULTANEOUS, agent_nai, care_of, home_address, nai, names, node_link},
    plan::{Place, Plan},
};

/// A request that a mobile node really sent.
#[derive(Clone, Copy)]
struct Sent {
    request: Request,
    place: Place,
    /// 130 stood there.
    encapsulating: bool,
}

impl Sent {
    /// True if this tunnel with these broadcasts is what it asked for; UDP is given without being asked for by flags.
    fn asked_for(&self, tunnel: Tunnel, broadcasts: bool) -> bool {
        let flags = self.request.flags;
        let same = match tunnel {
            Tunnel::Udp(_) => true,
            Tunnel::Minimal(_) => flags.has(Flags::MINIMAL),
            Tunnel::Gre(_) => flags.has(Flags::GRE),
            Tunnel::IpInIp(_) => !flags.has(Flags::MINIMAL) && !flags.has(Flags::GRE),
        };
        same && (flags.has(Flags::BROADCAST) || !broadcasts)
    }
}

/// A key that the key distribution centre really made.
#[derive(Clone, PartialEq, Eq)]
struct Issued {
    node: usize,
    agent: Option<String>,
    kind: AssociationKind,
}

/// What was really said, and what follows from it.
#[derive(Default)]
pub(crate) struct Model {
    sent: BTreeMap<(usize, u64), Sent>,
    /// Where each one-time index was shown, of each node.
    shown: BTreeMap<(usize, Spi), Place>,
    /// How often a node lost or got back an old state file: then it may show an index again.
    forgotten: BTreeSet<usize>,
    revoked: BTreeSet<usize>,
    /// The last change of each node's subscriber at the key distribution centre.
    changed: BTreeMap<usize, u64>,
    issued: RefCell<BTreeMap<String, Issued>>,
    /// The ends of associations may make keys by themselves.
    negotiated: bool,
    /// Nodes with a home address of their enrolment, and those that were given one: for good.
    homes: BTreeMap<usize, Ipv4Addr>,
    /// Several home agents share the store.
    several: bool,
    /// When the home agent or a foreign agent last said that no registration of this home and care-of address is left.
    ended: BTreeMap<Ended, u64>,
    /// How often somebody began to say so.
    pub(crate) revocations: u64,
    /// It is still saying so.
    saying: BTreeSet<Ended>,
}

/// Who ended a registration, and whose: home and care-of address.
type Ended = (Ender, Ipv4Addr, Ipv4Addr);

/// Who ends a registration by its own will.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ender {
    Home,
    Foreign,
}

/// A broken promise, in words.
pub(crate) type Verdict = Result<(), String>;

fn must(holds: bool, words: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(words()) }
}

impl Model {
    pub(crate) fn of(plan: &Plan) -> Self {
        let numbered = (0..plan.mobile_nodes).filter(|node| !plan.is_unnumbered(*node));
        let homes = numbered.map(|node| (node, home_address(node))).collect();
        Self {
            homes,
            several: plan.home_agents > 1,
            negotiated: plan.policies.negotiate(),
            ..Self::default()
        }
    }

    /// The home address of a node, if it has one.
    pub(crate) fn home(&self, node: usize) -> Option<Ipv4Addr> {
        self.homes.get(&node).copied()
    }

    fn node_of(&self, address: Ipv4Addr) -> Option<usize> {
        self.homes.iter().find(|(_, home)| **home == address).map(|(node, _)| *node)
    }

    /// Addresses that are given: by the pool, never to two, and never a second one.
    pub(crate) fn assigns(&mut self, changes: &[Change]) -> Verdict {
        for change in changes {
            let Change::AssignAddress { nai: name, home_address } = change else {
                continue;
            };
            let node = (0..16).find(|n| nai(*n) == *name).ok_or("an address is given to nobody")?;
            let (first, last) = POOL;
            // The last one is the broadcast address of the home link.
            must((first..last).contains(home_address), || {
                format!("{name}: {home_address} is nobody's to have")
            })?;
            let others = |owner: &usize| *owner != node && !self.is_revoked(*owner);
            let owner = self.node_of(*home_address).filter(others);
            must(owner.is_none(), || format!("{home_address} is given to {name}, and {owner:?} has it"))?;
            // It was a revoked one's.
            self.homes.retain(|other, home| *other == node || home != home_address);
            let before = self.homes.insert(node, *home_address);
            must(before.is_none_or(|before| before == *home_address), || {
                format!("{name} had {before:?} and is given {home_address}")
            })?;
        }
        Ok(())
    }

    /// A mobile node sends a request: its identification has never been used by it, unless it answers a cookie. It
    /// names itself by an index that is on its disk, and by a one-time one at one place only.
    pub(crate) fn request(&mut self, node: usize, payload: &[u8], place: Place, durable: u64) -> Verdict {
        let Ok(request) = Request::parse(payload) else {
            return Ok(());
        };
        let Ok(parts) = Parts::parse(payload, Request::LEN, DOCUMENTATION_VENDOR) else {
            return Err(format!("mobile node {node} sent what cannot be read"));
        };
        let spi = parts.mobile_home.spi;
        must(names(node, durable).any(|name| name == spi), || {
            format!("mobile node {node} shows {spi:?}, which is not on its disk")
        })?;
        if spi >= Spi::FIRST_MOBILE_NODE && names(node, 0).all(|fixed| fixed != spi) {
            let before = self.shown.insert((node, spi), place).filter(|before| *before != place);
            must(before.is_none() || self.forgotten.contains(&node), || {
                let number =
                    durable + 1 - names(node, durable).take_while(|name| *name != spi).count() as u64;
                format!("mobile node {node} shows number {number} at {place:?} after {before:?}")
            })?;
        }
        let encapsulating = parts.foreign.delivery_style;
        let before =
            self.sent.insert((node, request.identification.0), Sent { request, place, encapsulating });
        must(before.is_none() || parts.foreign.cookie.is_some(), || {
            format!("mobile node {node} used an identification twice")
        })
    }

    /// A mobile node has an old state file, or none.
    pub(crate) fn forgets(&mut self, node: usize) {
        self.forgotten.insert(node);
    }

    /// The key distribution centre changed this node's subscriber.
    pub(crate) fn changes(&mut self, node: usize, change: u64, revoked: bool) {
        self.changed.insert(node, change);
        if revoked {
            self.revoked.insert(node);
        }
    }

    pub(crate) fn is_changed(&self, node: usize) -> bool {
        self.changed.contains_key(&node)
    }

    pub(crate) fn is_revoked(&self, node: usize) -> bool {
        self.revoked.contains(&node)
    }

    /// A home agent says, or its store, that it has all changes up to this number: each of them is durable.
    pub(crate) fn followed(&self, disk: &Disk, cursor: u64) -> Verdict {
        self.changed.iter().filter(|(_, change)| **change <= cursor).try_for_each(|(node, change)| {
            let stands = disk.change_of(&nai(*node));
            must(stands >= Some(*change), || {
                format!("up to change {cursor}, but mobile node {node} stands at {stands:?}, not at {change}")
            })
        })
    }

    /// The key distribution centre makes a key: no key is ever made twice.
    pub(crate) fn issue(
        &mut self,
        node: usize,
        agent: Option<String>,
        kind: AssociationKind,
        key: &crypto::Key,
    ) -> Verdict {
        let before = self.issued.get_mut().insert(key.fingerprint_hex(), Issued { node, agent, kind });
        must(before.is_none(), || "a key was made twice".to_owned())
    }

    /// Whose request had this identification.
    pub(crate) fn author(&self, identification: u64) -> Option<usize> {
        self.sent.keys().find(|(_, id)| *id == identification).map(|(node, _)| *node)
    }

    /// The home agent commits: only what a mobile node asked for, never backwards.
    pub(crate) fn home_commits(&mut self, disk: &Disk, changes: &[Change], unix: u64) -> Verdict {
        let identified = changes.iter().find_map(|c| match c {
            // One that stays as it is only guards the rest.
            Change::Identification { nai, next, previous, .. } if *previous != Some(*next) => {
                Some((nai, *next))
            }
            _ => None,
        });
        if let Some((name, next)) = identified {
            let node = (0..16).find(|n| nai(*n) == *name);
            must(node.is_some_and(|n| self.sent.contains_key(&(n, next))), || {
                format!("{name}: an identification was recorded that {name} never sent")
            })?;
            must(
                disk.identification(name).is_none_or(|last| next.wrapping_sub(last).cast_signed() > 0),
                || format!("{name}: the identification did not rise"),
            )?;
        }
        self.ends(Ender::Home, changes, unix);
        for change in changes {
            match change {
                Change::PutBinding(binding) => self.binding(binding, false, identified.map(|(_, id)| id))?,
                Change::AddBinding(binding) => {
                    self.binding(binding, true, identified.map(|(_, id)| id))?;
                    let others = disk.bindings(binding.home_address).filter(|b| b.care_of != binding.care_of);
                    must(self.several || others.count() < SIMULTANEOUS, || {
                        format!("{}: too many bindings", binding.nai)
                    })?;
                }
                Change::RemoveBindings(address) => {
                    self.removal(disk, *address, None, identified.map(|(_, id)| id), unix)?;
                }
                Change::RemoveBinding { home_address, care_of } => {
                    let by = identified.map(|(_, id)| id);
                    self.removal(disk, *home_address, Some(*care_of), by, unix)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn binding(&self, binding: &Binding, beside: bool, identification: Option<u64>) -> Verdict {
        let node = self.node_of(binding.home_address).filter(|n| nai(*n) == binding.nai);
        let node = node.ok_or_else(|| format!("a binding of {} for another's address", binding.nai))?;
        let sent = identification.and_then(|id| self.sent.get(&(node, id)));
        let sent = sent.ok_or_else(|| format!("{}: a binding that nobody asked for", binding.nai))?;
        let request = sent.request;
        must(request.flags.has(Flags::SIMULTANEOUS) == beside, || {
            format!("{}: others stay though not asked for, or go", binding.nai)
        })?;
        must(
            request.care_of == binding.care_of
                && binding.lifetime > 0
                && binding.lifetime <= request.lifetime
                && sent.asked_for(binding.tunnel, binding.broadcasts),
            || format!("{}: the binding is not what was asked for", binding.nai),
        )?;
        let expected = match sent.place {
            Place::Visited(agent) if !request.flags.has(Flags::DECAPSULATION) => Some(agent_nai(agent)),
            _ => None,
        };
        must(binding.foreign_agent.as_deref() == expected.as_deref(), || {
            format!("{}: bound through {:?}, heard {expected:?}", binding.nai, binding.foreign_agent)
        })?;
        // KEY 1 of before may have come through another agent; the newest stand last.
        let of_kind = |kind| binding.associations.iter().filter(move |a| a.kind == kind);
        let key1: Vec<_> = of_kind(AssociationKind::Key1).collect();
        let (newest, before) = key1.split_last().ok_or("a binding without KEY 1")?;
        for association in before {
            let issued = self.issued.borrow();
            let right = issued
                .get(&association.key.fingerprint_hex())
                .is_some_and(|i| (i.node, i.kind) == (node, AssociationKind::Key1));
            must(right, || format!("an older KEY 1 of mobile node {node} is somebody else's"))?;
        }
        for association in of_kind(AssociationKind::Key2).chain([*newest]) {
            let fingerprint = association.key.fingerprint_hex();
            self.held(node, expected.as_deref(), association.kind, &fingerprint)?;
        }
        Ok(())
    }

    /// Of one binding, or of all if no care-of address is named.
    fn removal(
        &self,
        disk: &Disk,
        address: Ipv4Addr,
        care_of: Option<Ipv4Addr>,
        identification: Option<u64>,
        unix: u64,
    ) -> Verdict {
        if let Some(id) = identification {
            // Who has no address yet has no binding to give up.
            let author = self.author(id).filter(|node| self.home(*node).is_none_or(|home| home == address));
            let sent = author.and_then(|node| self.sent.get(&(node, id)));
            let named = |s: &&Sent| {
                let all = s.request.care_of.is_unspecified() || s.request.care_of == address;
                s.request.lifetime == 0 && care_of == (!all).then_some(s.request.care_of)
            };
            return must(sent.as_ref().is_some_and(named), || {
                format!("{address} at {care_of:?}: deregistered without asking")
            });
        }
        let Some(node) = self.node_of(address) else {
            // An address that was only thought of.
            return must(disk.bindings(address).next().is_none(), || "a binding of nobody is removed".into());
        };
        // Of several home agents one takes its own down where another one has a newer one.
        let taken_down = self.several && disk.bindings(address).count() > 1;
        if self.is_revoked(node) || taken_down {
            return Ok(());
        }
        let removed = disk.bindings(address).filter(|b| care_of.is_none_or(|care_of| care_of == b.care_of));
        let rightly = |b: &Binding| {
            // Monotonic and wall time are rounded apart by up to a second.
            let over = b.ends().is_some_and(|ends| ends <= unix + 1);
            let told = self.told((Ender::Foreign, address, b.care_of), b.revocation);
            let own = self.ended.get(&(Ender::Home, address, b.care_of)) == Some(&unix);
            over || told || own
        };
        must(removed.into_iter().all(rightly), || format!("mobile node {node}: ended before its time"))
    }

    /// Keys stand only with those for whom they were made.
    pub(crate) fn associations(&self, node: usize, agent: Option<&str>, held: &[Association]) -> Verdict {
        for association in held {
            self.held(node, agent, association.kind, &association.key.fingerprint_hex())?;
        }
        Ok(())
    }

    pub(crate) fn held(
        &self,
        node: usize,
        agent: Option<&str>,
        kind: AssociationKind,
        fingerprint: &str,
    ) -> Verdict {
        let mut all = self.issued.borrow_mut();
        if self.negotiated && !all.contains_key(fingerprint) {
            // Its ends made it: from now on it is theirs.
            let agent = agent.map(str::to_owned);
            all.insert(fingerprint.to_owned(), Issued { node, agent, kind });
        }
        let issued = all.get(fingerprint).ok_or_else(|| format!("{}: nobody made this key", kind.name()))?;
        let right = issued.node == node && issued.kind == kind && issued.agent.as_deref() == agent;
        must(right, || format!("{} of mobile node {node} is somebody else's", kind.name()))
    }

    /// Somebody begins or ceases to tell the other end of registrations that it ended.
    fn ends(&mut self, ender: Ender, changes: &[Change], unix: u64) {
        for change in changes {
            match change {
                Change::PutRevocation(record) => {
                    let ended = (ender, record.home_address, record.care_of);
                    self.revocations += 1;
                    self.ended.insert(ended, unix);
                    self.saying.insert(ended);
                }
                Change::RemoveRevocation { home_address, care_of } => {
                    let ended = (ender, *home_address, *care_of);
                    let back = changes.iter().any(|c| {
                        matches!(c, Change::PutBinding(b) | Change::AddBinding(b) if b.home_address == *home_address)
                            || matches!(c, Change::PutVisitor(v) if v.home_address == *home_address)
                    });
                    if self.saying.remove(&ended) && !back {
                        self.ended.insert(ended, unix);
                    }
                }
                _ => {}
            }
        }
    }

    /// True if the other end did end this registration, and not only one before it.
    fn told(&self, ended: Ended, agreed: Option<RevocationSupport>) -> bool {
        let at = self.ended.get(&ended).map(|at| ntp_seconds(*at));
        let later = |agreed: RevocationSupport| {
            at.is_some_and(|at| at.wrapping_sub(agreed.timestamp).cast_signed() >= 0)
        };
        agreed.is_some_and(|agreed| self.saying.contains(&ended) || later(agreed))
    }

    /// A foreign agent commits: visitors that it relayed for, and their ends for a reason.
    pub(crate) fn foreign_commits(
        &mut self,
        agent: usize,
        disk: &Disk,
        changes: &[Change],
        unix: u64,
    ) -> Verdict {
        self.ends(Ender::Foreign, changes, unix);
        for change in changes {
            match change {
                Change::PutVisitor(visitor) => self.visitor(agent, visitor)?,
                Change::RemoveVisitor(address) => self.departure(agent, disk, *address, unix)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A visitor goes: its time is over, it left, the operator sent it away, or its home agent said so.
    fn departure(&self, agent: usize, disk: &Disk, address: Ipv4Addr, unix: u64) -> Verdict {
        let Some(visitor) = disk.visitor(address) else {
            return Ok(());
        };
        let node = self.node_of(address).ok_or("a visitor of nobody goes")?;
        let over = visitor.ends().is_some_and(|ends| ends <= unix + 1);
        let left = self.sent.iter().any(|((n, _), sent)| {
            *n == node && sent.place == Place::Visited(agent) && sent.request.lifetime == 0
        });
        let own = self.ended.get(&(Ender::Foreign, address, visitor.care_of)) == Some(&unix);
        let told = self.told((Ender::Home, address, visitor.care_of), visitor.revocation);
        must(over || left || own || told, || {
            format!("mobile node {node}: its visit at {agent} ended before its time")
        })
    }

    /// A foreign agent commits a visitor: one that it relayed for, with its own keys.
    fn visitor(&self, agent: usize, visitor: &Visitor) -> Verdict {
        let node = self.node_of(visitor.home_address).ok_or("a visitor of nobody")?;
        must(visitor.link_address == node_link(node), || {
            format!("mobile node {node}: visitor at another's link address")
        })?;
        let asked = self.sent.iter().any(|((n, _), s)| {
            *n == node
                && s.place == Place::Visited(agent)
                && s.request.care_of == care_of(agent)
                && s.request.lifetime > 0
                && s.asked_for(visitor.tunnel, visitor.broadcasts)
                && (s.encapsulating || !visitor.encapsulating_delivery)
        });
        must(asked, || format!("mobile node {node}: visitor at {agent} without asking"))?;
        self.associations(node, Some(&agent_nai(agent)), &visitor.associations)
    }

    /// An acceptance leaves the home agent: it is durable, or something later is.
    pub(crate) fn acknowledged(
        &self,
        disk: &Disk,
        node: usize,
        identification: u64,
        lifetime: u16,
    ) -> Verdict {
        let last = disk.identification(&nai(node)).ok_or("acknowledged before anything was durable")?;
        let ahead = last.wrapping_sub(identification).cast_signed();
        must(ahead >= 0, || format!("mobile node {node}: acknowledged before it was durable"))?;
        let asked = self.sent.get(&(node, identification)).map(|sent| sent.request.care_of);
        let mut bindings = self.home(node).into_iter().flat_map(|home| disk.bindings(home));
        let bound = bindings.any(|binding| Some(binding.care_of) == asked);
        // A home agent that has not heard of a revocation yet may repeat an answer of before.
        let ended = ahead > 0 || lifetime == 0 || self.is_revoked(node);
        must(bound || ended, || format!("mobile node {node}: acknowledged without a durable binding"))
    }
}
