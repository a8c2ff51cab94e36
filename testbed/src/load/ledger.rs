//! What the home agent acknowledged to each node, and what was asked of it since: with both it is known what must be
//! there after a kill, and what may be.

use std::{collections::BTreeSet, mem};

use super::{player::Ask, trace::Place};

/// An acknowledged registration, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Of the request; a later one has a greater number.
    pub(crate) identification: u64,
    /// None: it left.
    pub(crate) place: Option<Place>,
    /// Seconds.
    pub(crate) lifetime: u16,
    /// The indices of KEY 1, the node's inbound one first; none if it left.
    pub(crate) key1: Option<(u32, u32)>,
}

/// A binding as the home agent shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Nothing for a care-of address that no place has.
    pub(crate) place: Option<Place>,
    /// Seconds.
    pub(crate) lifetime: u32,
    /// The indices of each KEY 1 with this node, the node's inbound one first.
    pub(crate) key1: BTreeSet<(u32, u32)>,
}

/// A request that may have counted without an answer.
#[derive(Debug)]
struct Open {
    identification: u64,
    place: Option<Place>,
    bytes: Vec<u8>,
}

/// Octets that were a request once, and the agent that sent them.
type Old = (Option<u16>, Vec<u8>);

#[derive(Debug, Default)]
struct Record {
    last: Option<Acknowledged>,
    last_bytes: Option<Old>,
    /// The acknowledged request before the last one.
    earlier: Option<Old>,
    open: Vec<Open>,
}

/// All nodes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: Vec<Record>,
    /// The indices of every KEY 1 that came with an answer.
    issued: BTreeSet<(u32, u32)>,
}

const fn asked_place(ask: Ask) -> Option<Place> {
    match ask {
        Ask::Register(place) => Some(place),
        Ask::Leave(_) | Ask::Return => None,
    }
}

impl Ledger {
    /// With so many nodes, all at home.
    pub(crate) fn new(nodes: usize) -> Self {
        let records = (0..nodes).map(|_| Record::default()).collect();
        Self { records, issued: BTreeSet::new() }
    }

    /// A request goes out.
    pub(crate) fn asked(&mut self, node: u32, ask: Ask, identification: u64, bytes: &[u8]) {
        if let Some(record) = self.records.get_mut(node as usize) {
            let open = Open { identification, place: asked_place(ask), bytes: bytes.to_vec() };
            record.open.push(open);
        }
    }

    /// An answer that was verified denies a request: it cannot count any more.
    pub(crate) fn denied(&mut self, node: u32, identification: u64) {
        if let Some(record) = self.records.get_mut(node as usize) {
            record.open.retain(|open| open.identification != identification);
        }
    }

    /// An answer that was verified accepts a request.
    pub(crate) fn acknowledged(&mut self, node: u32, new: Acknowledged) {
        self.issued.extend(new.key1);
        let Some(record) = self.records.get_mut(node as usize) else { return };
        if record.last.as_ref().is_some_and(|last| last.identification > new.identification) {
            return;
        }
        let asked = record.open.iter_mut().find(|open| open.identification == new.identification);
        let agent = match new.place {
            Some(Place::Agent(agent)) => Some(agent),
            Some(Place::Own) | None => None,
        };
        let bytes = asked.map(|open| (agent, mem::take(&mut open.bytes)));
        record.earlier = mem::replace(&mut record.last_bytes, bytes);
        record.open.retain(|open| open.identification > new.identification);
        record.last = Some(new);
    }

    /// How many nodes have an acknowledged registration.
    pub(crate) fn registered(&self) -> usize {
        self.records.iter().filter(|record| record.last.as_ref().is_some_and(|it| it.place.is_some())).count()
    }

    /// The indices of every KEY 1 that came with an answer.
    pub(crate) const fn issued(&self) -> &BTreeSet<(u32, u32)> {
        &self.issued
    }

    /// Requests that were acknowledged and replaced by later ones: nobody may ever accept them again.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = (u32, &Old)> {
        let all = (0..).zip(&self.records);
        all.filter_map(|(node, record)| Some((node, record.earlier.as_ref()?)))
    }

    /// What is wrong with what the home agent has of a node, if something is: it must be the last acknowledged
    /// registration, or what was asked later.
    pub(crate) fn fault(&self, node: u32, shown: Option<&Shown>) -> Option<String> {
        let record = self.records.get(node as usize)?;
        let place = shown.and_then(|shown| shown.place);
        if shown.is_some() && place.is_none() {
            return Some("a care-of address that it never had".to_owned());
        }
        if record.open.iter().any(|open| open.place == place) {
            return None;
        }
        let (was, last) = match &record.last {
            Some(last) => (last.place, Some(last)),
            None => (None, None),
        };
        if was != place {
            return Some(format!("acknowledged {was:?}, and there is {place:?}"));
        }
        let (Some(last), Some(shown)) = (last, shown) else { return None };
        if u32::from(last.lifetime) != shown.lifetime {
            return Some(format!("acknowledged for {} s, and it has {} s", last.lifetime, shown.lifetime));
        }
        match last.key1 {
            Some(key1) if !shown.key1.contains(&key1) => {
                Some(format!("KEY 1 {key1:?} is not among {:?}", shown.key1))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place = Place::Agent(0);
    const B: Place = Place::Agent(1);

    fn acknowledged(identification: u64, place: Place) -> Acknowledged {
        let spi = u32::try_from(identification).unwrap();
        Acknowledged { identification, place: Some(place), lifetime: 600, key1: Some((spi, spi + 1)) }
    }

    fn shown(identification: u32, place: Place) -> Shown {
        Shown {
            place: Some(place),
            lifetime: 600,
            key1: BTreeSet::from([(identification, identification + 1)]),
        }
    }

    fn moved_from_a_to_b() -> Ledger {
        let mut ledger = Ledger::new(1);
        for (identification, place) in [(1000, A), (2000, B)] {
            ledger.asked(0, Ask::Register(place), identification, &identification.to_be_bytes());
            ledger.acknowledged(0, acknowledged(identification, place));
        }
        ledger
    }

    #[test]
    fn an_acknowledged_registration_must_be_there_with_its_key() {
        let ledger = moved_from_a_to_b();
        assert_eq!(ledger.fault(0, Some(&shown(2000, B))), None);
        for lost in [None, Some(shown(1000, A)), Some(shown(1000, B)), Some(Shown::default())] {
            assert!(ledger.fault(0, lost.as_ref()).is_some(), "{lost:?}");
        }
        let shorter = Shown { lifetime: 599, ..shown(2000, B) };
        assert!(ledger.fault(0, Some(&shorter)).is_some());
        assert_eq!(ledger.issued().len(), 2);
    }

    #[test]
    fn what_was_asked_later_may_have_counted_and_what_was_denied_may_not() {
        let mut ledger = moved_from_a_to_b();
        ledger.asked(0, Ask::Register(A), 3000, &[]);
        assert_eq!(ledger.fault(0, Some(&shown(3000, A))), None);
        assert_eq!(ledger.fault(0, Some(&shown(2000, B))), None);
        assert!(ledger.fault(0, None).is_some(), "it never left");
        ledger.denied(0, 3000);
        assert!(ledger.fault(0, Some(&shown(3000, A))).is_some());
        ledger.asked(0, Ask::Leave(B), 4000, &[]);
        assert_eq!(ledger.fault(0, None), None);
    }

    #[test]
    fn an_answer_out_of_order_changes_nothing_and_the_replaced_request_is_kept() {
        let mut ledger = moved_from_a_to_b();
        ledger.acknowledged(0, acknowledged(1500, A));
        assert_eq!(ledger.fault(0, Some(&shown(2000, B))), None);
        let replaced: Vec<_> = ledger.replaced().collect();
        assert_eq!(replaced, [(0, &(Some(0), 1000_u64.to_be_bytes().to_vec()))]);
    }
}
