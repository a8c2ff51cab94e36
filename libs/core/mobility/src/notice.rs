//! Notices that a registration is to be renewed now (docs/wire.md section 14a), under the association that the renewal
//! will replace. So an association's notices count once: what comes under one that was replaced is of no use to anybody.

use std::{collections::BTreeMap, time::Duration};

use record::{Association, AssociationKind};
use sa::{Authenticator, End};
use sansio::{Instant, Now};
use wire::{
    Writer,
    mip::{
        extension::{FA_HA_AUTHENTICATION, MN_FA_AUTHENTICATION, MN_HA_AUTHENTICATION, open_authentication},
        notice::{Message, Notice},
    },
};

use crate::Ticket;

/// Bytes of an authenticator.
const AUTHENTICATOR: u8 = 32;
/// How often somebody is told, as messages may be lost,
const TIMES: u8 = 4;
/// and how long after the last time. Mobile nodes keep a second between requests (RFC 5944 section 3.6.3).
const SPACING: Duration = Duration::from_secs(2);

/// Type of the extension that authenticates under a kind of association.
const fn extension(kind: AssociationKind) -> u8 {
    match kind {
        AssociationKind::Key1 => MN_HA_AUTHENTICATION,
        AssociationKind::Key2 => FA_HA_AUTHENTICATION,
        AssociationKind::Key3 => MN_FA_AUTHENTICATION,
    }
}

/// A whole notice, as this end of the association sends it.
#[must_use]
pub fn emit(key: &Association, end: End, notice: &Notice) -> Vec<u8> {
    let mut w = Writer::default();
    notice.emit(&mut w);
    let authenticator = Authenticator::sending(key, end);
    open_authentication(&mut w, extension(key.kind), authenticator.spi(), AUTHENTICATOR);
    let proof = authenticator.authenticate(w.bytes());
    w.put(&proof);
    w.into_bytes()
}

/// True if the other end of the association made this notice.
#[must_use]
pub fn verifies(key: &Association, end: End, message: &Message<'_>) -> bool {
    let claim = &message.authentication;
    let authenticator = Authenticator::receiving(key, end);
    message.kind == extension(key.kind)
        && claim.spi == authenticator.spi()
        && authenticator.verify(message.covered(), claim.authenticator)
}

/// The association to tell under for the `sent`th time: the newest, which the other end holds unless its last reply was lost;
/// every other time another one that stands.
pub(crate) fn turn(associations: &[Association], kind: AssociationKind, sent: u8) -> Option<&Association> {
    let standing = || associations.iter().rev().filter(|a| a.kind == kind && a.retires.is_none());
    let others = standing().count().saturating_sub(1);
    let place = if sent.is_multiple_of(2) || others == 0 { 0 } else { 1 + usize::from(sent / 2) % others };
    standing().nth(place)
}

/// One registration that is to be renewed.
struct Open {
    next: Instant,
    sent: u8,
    /// Operators that wait for it.
    tickets: Vec<Ticket>,
}

/// What is due of one registration.
pub(crate) enum Due<K> {
    /// Tell, after having told so many times.
    Tell(K, u8),
    /// Nobody renewed it: these wait for that.
    Over(K, Vec<Ticket>),
}

/// Registrations that are to be renewed, by name.
pub(crate) struct Renewals<K> {
    open: BTreeMap<K, Open>,
}

impl<K> Default for Renewals<K> {
    fn default() -> Self {
        Self { open: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Renewals<K> {
    /// Tells from now on; who waits is told what comes of it.
    pub(crate) fn begin(&mut self, of: K, ticket: Option<Ticket>, now: Now) {
        let fresh = || Open { next: now.mono, sent: 0, tickets: Vec::new() };
        self.open.entry(of).or_insert_with(fresh).tickets.extend(ticket);
    }

    /// It was renewed, or is gone: who waited for that.
    pub(crate) fn end(&mut self, of: K) -> Vec<Ticket> {
        self.open.remove(&of).map(|open| open.tickets).unwrap_or_default()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.next).min()
    }

    /// What is due now, each once.
    pub(crate) fn due(&mut self, now: Now) -> Vec<Due<K>> {
        let due: Vec<K> =
            self.open.iter().filter(|(_, open)| open.next <= now.mono).map(|(of, _)| *of).collect();
        due.into_iter()
            .filter_map(|of| {
                let open = self.open.get_mut(&of)?;
                if open.sent == TIMES {
                    return Some(Due::Over(of, self.end(of)));
                }
                let sent = open.sent;
                (open.sent, open.next) = (sent + 1, now.mono + SPACING);
                Some(Due::Tell(of, sent))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use crypto::Key;
    use record::Suite;
    use wire::mip::{Spi, ours::DOCUMENTATION_VENDOR};

    use super::*;

    const KINDS: [AssociationKind; 3] = [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3];

    fn notice() -> Notice {
        Notice {
            vendor: DOCUMENTATION_VENDOR,
            home_agent: Ipv4Addr::new(10, 11, 1, 2),
            care_of: Ipv4Addr::new(10, 51, 1, 2),
        }
    }

    fn ends(kind: AssociationKind) -> [Association; 2] {
        let first = Association {
            kind,
            inbound: Spi(1000),
            outbound: Spi(2000),
            suite: Suite::default(),
            key: Key::new([1; 32]),
            own: "first@home.example".into(),
            peer: "second@visited.example".into(),
            made: 0,
            ends: 1,
            confirmed: true,
            retires: None,
        };
        let mut second = first.duplicate();
        (second.inbound, second.outbound) = (first.outbound, first.inbound);
        (second.own, second.peer) = (first.peer.clone(), first.own.clone());
        [first, second]
    }

    #[test]
    fn only_the_other_end_believes_a_notice_and_every_byte_counts() {
        for kind in KINDS {
            let [first, second] = ends(kind);
            let good = emit(&second, End::Second, &notice());
            let whole = Message::parse(&good).unwrap();
            assert_eq!(whole.notice, notice());
            assert!(verifies(&first, End::First, &whole) && !verifies(&second, End::Second, &whole));
            for at in 0..good.len() {
                let mut changed = good.clone();
                changed[at] ^= 1;
                let believed = Message::parse(&changed).is_ok_and(|m| verifies(&first, End::First, &m));
                assert!(!believed, "{} byte {at}", kind.name());
            }
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                let [wrong, _] = ends(other);
                assert!(!verifies(&wrong, End::First, &whole), "as {}", other.name());
            }
        }
    }

    #[test]
    fn who_is_not_heard_of_is_told_again_and_then_given_up() {
        let at = |s| Now { mono: Instant::new(Duration::from_secs(s)), unix: Duration::from_secs(5000 + s) };
        let mut renewals = Renewals::default();
        renewals.begin(7, Some(Ticket(1)), at(0));
        let mut told = Vec::new();
        let mut now = at(0);
        loop {
            match renewals.due(now).as_slice() {
                [Due::Tell(7, sent)] => told.push((now.mono, *sent)),
                [Due::Over(7, tickets)] => {
                    assert_eq!(tickets, &[Ticket(1)]);
                    break;
                }
                _ => unreachable!("one is open"),
            }
            // A second wish joins the first.
            renewals.begin(7, None, now);
            now.mono = renewals.deadline().unwrap();
        }
        let expected: Vec<_> = (0..4).map(|n| (at(2 * u64::from(n)).mono, n)).collect();
        assert_eq!((told, renewals.deadline()), (expected, None));
        renewals.begin(7, Some(Ticket(2)), at(9));
        renewals.begin(7, Some(Ticket(3)), at(9));
        assert_eq!(renewals.end(7), [Ticket(2), Ticket(3)]);
        assert!(renewals.end(7).is_empty() && renewals.due(at(99)).is_empty());
    }

    #[test]
    fn keys_that_nobody_confirmed_take_turns() {
        let [mut old, _] = ends(AssociationKind::Key2);
        let mut newer = old.duplicate();
        (newer.inbound, newer.confirmed) = (Spi(1001), false);
        let both = [old.duplicate(), newer.duplicate()];
        let turns: Vec<_> =
            (0..4).filter_map(|n| turn(&both, AssociationKind::Key2, n)).map(|a| a.inbound.0).collect();
        assert_eq!(turns, [1001, 1000, 1001, 1000]);
        old.retires = Some(9);
        newer.confirmed = true;
        let both = [old, newer];
        assert!(
            (0..4).all(|n| turn(&both, AssociationKind::Key2, n).is_some_and(|a| a.inbound == Spi(1001)))
        );
        assert!(turn(&both, AssociationKind::Key1, 0).is_none());
    }
}
