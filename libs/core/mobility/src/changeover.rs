//! Change-over from one association to the next (docs/wire.md, change-over).
//!
//! Every accepted registration makes new associations, and the reply that carries them may be lost. So a new one
//! receives at once, but is confirmed only by the first thing that verifies under it. Until then the newest
//! confirmed one sends; from then on all older ones only receive, ten seconds longer, and are erased.
//!
//! The associations of a visitor or binding stand in its record, oldest first, all kinds in one list; every one
//! that stands there receives. What is here never looks at another kind, and never at wall time but where a list is taken over.

use std::time::Duration;

use record::{Association, AssociationKind};
use sansio::{Instant, Now};
use wire::mip::Spi;

/// How long an association receives after a newer one was confirmed.
pub const RETIREMENT: Duration = Duration::from_secs(10);

/// How many that nobody confirmed receive at a time, of each kind: one reply may be lost.
const UNCONFIRMED: usize = 2;

/// How many KEY 2 that nobody confirmed a home agent keeps for a binding: whichever the foreign agent holds after
/// replies were lost, its visitor can be revoked.
const KEPT_AT_HOME: usize = 8;

/// When which of the associations of one visitor or binding is erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changeover {
    /// In order of kind and index. There are few, and there may be a million of these lists.
    erasures: Vec<((AssociationKind, Spi), Instant)>,
    at_home: bool,
}

impl Changeover {
    /// That of associations which a start found. A clock set back meanwhile lengthens nothing.
    #[must_use]
    pub fn of(associations: &[Association], now: Now) -> Self {
        let unix = now.unix.as_secs();
        let erasure = |a: &Association| {
            let ends = a.ends.saturating_sub(unix).min(a.ends.saturating_sub(a.made));
            let retires = a.retires.map(|at| at.saturating_sub(unix).min(RETIREMENT.as_secs()));
            let left = Duration::from_secs(retires.map_or(ends, |retires| retires.min(ends)));
            ((a.kind, a.inbound), now.mono + left)
        };
        let mut erasures: Vec<_> = associations.iter().map(erasure).collect();
        erasures.sort_unstable_by_key(|(of, _)| *of);
        Self { erasures, at_home: false }
    }

    /// The same at a home agent, which keeps more of KEY 2.
    #[must_use]
    pub fn at_home(self) -> Self {
        Self { at_home: true, ..self }
    }

    /// When that one is erased, which it is at `otherwise` if nothing was said before.
    fn erasure(&mut self, of: (AssociationKind, Spi), otherwise: Instant) -> &mut Instant {
        let at = self.erasures.partition_point(|(before, _)| *before < of);
        if self.erasures.get(at).is_none_or(|(there, _)| *there != of) {
            self.erasures.insert(at, (of, otherwise));
        }
        &mut self.erasures[at].1
    }

    fn most(&self, kind: AssociationKind) -> usize {
        if self.at_home && kind == AssociationKind::Key2 { KEPT_AT_HOME } else { UNCONFIRMED }
    }

    /// When the next one is to be erased.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.erasures.iter().map(|(_, at)| *at).min()
    }

    /// Adds associations made `now`. Of each kind the last two that nobody confirmed stay: older ones of them are
    /// erased.
    pub fn add(
        &mut self,
        associations: &mut Vec<Association>,
        new: impl IntoIterator<Item = Association>,
        now: Now,
    ) {
        for association in new {
            let (kind, lives) = (association.kind, association.ends.saturating_sub(association.made));
            *self.erasure((kind, association.inbound), now.mono) = now.mono + Duration::from_secs(lives);
            associations.push(association);
            let open = |a: &Association| a.kind == kind && !a.confirmed && a.retires.is_none();
            let mut surplus = associations.iter().filter(|a| open(a)).count().saturating_sub(self.most(kind));
            associations.retain(|a| {
                let goes = surplus > 0 && open(a);
                if goes {
                    surplus -= 1;
                    self.erasures.retain(|(of, _)| *of != (a.kind, a.inbound));
                }
                !goes
            });
        }
    }

    /// Something verified under the association of this kind and inbound index: it is confirmed, and older ones of
    /// its kind retire. False if nothing changed, because it was confirmed before or is not there.
    pub fn confirm(
        &mut self,
        associations: &mut [Association],
        (kind, inbound): (AssociationKind, Spi),
        now: Now,
    ) -> bool {
        let found = associations.iter().position(|a| (a.kind, a.inbound) == (kind, inbound) && !a.confirmed);
        let Some(at) = found else {
            return false;
        };
        associations[at].confirmed = true;
        // A newer one was confirmed before: this one is on its way out, late proof or not.
        if associations[at].retires.is_some() {
            return true;
        }
        for older in &mut associations[..at] {
            if older.kind == kind && older.retires.is_none() {
                older.retires = Some(now.unix.as_secs().saturating_add(RETIREMENT.as_secs()));
                let over = self.erasure((kind, older.inbound), now.mono + RETIREMENT);
                *over = (*over).min(now.mono + RETIREMENT);
            }
        }
        true
    }

    /// Erases those whose time is over; true if there were any.
    pub fn erase(&mut self, associations: &mut Vec<Association>, now: Instant) -> bool {
        let before = associations.len();
        let over = |a: &Association| {
            let at = self.erasures.iter().find(|(of, _)| *of == (a.kind, a.inbound));
            at.is_some_and(|(_, at)| *at <= now)
        };
        associations.retain(|a| !over(a));
        self.erasures.retain(|(_, at)| *at > now);
        associations.len() != before
    }
}

/// The association of this kind to send under: the newest that is confirmed and has no confirmed successor.
#[must_use]
pub fn confirmed(associations: &[Association], kind: AssociationKind) -> Option<&Association> {
    associations.iter().rev().find(|a| a.kind == kind && a.confirmed && a.retires.is_none())
}

/// The association of this kind to send under where something has to be sent: [`confirmed`], or the newest while none
/// is.
#[must_use]
pub fn sending(associations: &[Association], kind: AssociationKind) -> Option<&Association> {
    confirmed(associations, kind).or_else(|| associations.iter().rev().find(|a| a.kind == kind))
}

/// The association of this kind that receives under this index.
#[must_use]
pub fn receiving(associations: &[Association], kind: AssociationKind, inbound: Spi) -> Option<&Association> {
    associations.iter().find(|a| (a.kind, a.inbound) == (kind, inbound))
}

#[cfg(test)]
mod tests {
    use crypto::Key;
    use record::Suite;

    use super::*;

    const KEY3: AssociationKind = AssociationKind::Key3;

    fn at(seconds: u64) -> Now {
        Now { mono: Instant::new(Duration::from_secs(seconds)), unix: Duration::from_secs(5000 + seconds) }
    }

    fn association(kind: AssociationKind, inbound: u32, made: Now) -> Association {
        let made = made.unix.as_secs();
        Association {
            kind,
            inbound: Spi(inbound),
            outbound: Spi(inbound + 1000),
            suite: Suite::default(),
            key: Key::new([1; 32]),
            own: "".into(),
            peer: "".into(),
            made,
            ends: made + 600,
            confirmed: false,
            retires: None,
        }
    }

    /// A list under test with its change-over.
    #[derive(Default)]
    struct Held(Vec<Association>, Changeover);

    impl Held {
        fn add(&mut self, inbound: u32, seconds: u64) {
            let new = association(KEY3, inbound, at(seconds));
            self.1.add(&mut self.0, [new], at(seconds));
        }

        fn confirm(&mut self, inbound: u32, seconds: u64) -> bool {
            self.1.confirm(&mut self.0, (KEY3, Spi(inbound)), at(seconds))
        }

        fn erase(&mut self, seconds: u64) -> bool {
            self.1.erase(&mut self.0, at(seconds).mono)
        }

        fn receiving(&self) -> Vec<u32> {
            self.0.iter().map(|a| a.inbound.0).collect()
        }

        fn sends(&self) -> Option<u32> {
            let found = confirmed(&self.0, KEY3);
            assert!(found.is_none() || sending(&self.0, KEY3).map(|a| a.inbound) == found.map(|a| a.inbound));
            found.map(|a| a.inbound.0)
        }
    }

    #[test]
    fn nothing_is_sent_under_a_new_one_before_it_is_confirmed() {
        let mut held = Held::default();
        held.add(1, 0);
        assert_eq!((held.receiving(), held.sends()), (vec![1], None));
        assert!(held.confirm(1, 1) && !held.confirm(1, 1) && !held.confirm(9, 1));
        held.add(2, 2);
        assert_eq!((held.receiving(), held.sends()), (vec![1, 2], Some(1)));
        assert!(held.confirm(2, 3));
        assert_eq!((held.receiving(), held.sends()), (vec![1, 2], Some(2)));
        assert_eq!((held.0[0].retires, held.1.deadline()), (Some(5013), Some(at(13).mono)));
        assert!(!held.erase(12) && held.erase(13) && !held.erase(14));
        assert_eq!((held.receiving(), held.sends()), (vec![2], Some(2)));
        assert!(receiving(&held.0, KEY3, Spi(1)).is_none());
    }

    #[test]
    fn the_last_two_that_nobody_confirmed_receive() {
        let mut held = Held::default();
        held.add(1, 0);
        held.confirm(1, 0);
        for (inbound, expected) in [(2, vec![1, 2]), (3, vec![1, 2, 3]), (4, vec![1, 3, 4])] {
            held.add(inbound, 1);
            assert_eq!((held.receiving(), held.sends()), (expected, Some(1)));
        }
        assert!(!held.confirm(2, 2), "erased");
        // The older of the two is confirmed: the newer one still may be.
        assert!(held.confirm(3, 2));
        assert_eq!((held.receiving(), held.sends()), (vec![1, 3, 4], Some(3)));
        assert!(held.confirm(4, 5));
        assert_eq!(held.sends(), Some(4));
        // Each retires when its successor was confirmed.
        assert!(held.erase(12));
        assert_eq!(held.receiving(), [3, 4]);
        assert!(held.erase(15));
        assert_eq!(held.receiving(), [4]);
    }

    #[test]
    fn a_late_proof_under_an_older_one_brings_nothing_back() {
        let mut held = Held::default();
        held.add(1, 0);
        held.add(2, 0);
        assert!(held.confirm(2, 1) && held.confirm(1, 5));
        assert_eq!(held.sends(), Some(2));
        assert!(held.erase(11));
        assert_eq!(held.receiving(), [2]);
    }

    #[test]
    fn kinds_do_not_touch_each_other() {
        let mut held = Held::default();
        for seconds in 0..3 {
            let inbound = 10 * u32::try_from(seconds).unwrap();
            let new = [AssociationKind::Key2, KEY3].map(|kind| association(kind, inbound + 1, at(seconds)));
            held.1.add(&mut held.0, new, at(seconds));
        }
        assert_eq!(held.receiving(), [11, 11, 21, 21]);
        assert!(held.confirm(21, 3));
        let retiring: Vec<_> = held.0.iter().filter(|a| a.retires.is_some()).map(|a| a.kind).collect();
        assert_eq!(retiring, [KEY3]);
        assert!(confirmed(&held.0, AssociationKind::Key2).is_none());
        let newest = sending(&held.0, AssociationKind::Key2).map(|a| a.inbound);
        assert_eq!((newest, sending(&held.0, AssociationKind::Key1).is_none()), (Some(Spi(21)), true));
        held.erase(20);
        assert_eq!(held.receiving(), [11, 21, 21]);
    }

    #[test]
    fn each_ends_with_its_lifetime() {
        let mut held = Held::default();
        held.add(1, 0);
        held.confirm(1, 0);
        assert!(!held.erase(599) && held.erase(600));
        // One that retires does not live longer for it.
        held.add(2, 700);
        held.add(3, 700);
        held.confirm(3, 1295);
        held.erase(1300);
        assert_eq!((held.receiving(), held.1.deadline()), (vec![], None));
    }

    #[test]
    fn a_restart_keeps_the_times_and_a_clock_set_back_lengthens_nothing() {
        let mut held = Held::default();
        held.add(1, 0);
        held.add(2, 100);
        held.confirm(2, 100);
        assert_eq!(Changeover::of(&held.0, at(104)), held.1);
        let back = Now { mono: Instant::new(Duration::ZERO), unix: Duration::from_secs(10) };
        let mut late = Changeover::of(&held.0, back);
        assert!(late.erase(&mut held.0, Instant::new(RETIREMENT)));
        assert_eq!(held.receiving(), [2]);
        assert_eq!(late.deadline(), Some(Instant::new(Duration::from_secs(600))));
    }
}
