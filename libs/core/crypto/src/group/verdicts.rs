//! What was found out about primes, so that nobody has it found out again at each registration.

use std::collections::{BTreeMap, VecDeque};

use super::{CheckedGroup, UserGroup, WhyNot};

/// Verdicts about primes that peers sent, by SHA-256 of the prime. Of a full memory the oldest goes.
pub struct Verdicts {
    most: usize,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
    found: BTreeMap<[u8; 32], Result<CheckedGroup, WhyNot>>,
}

impl Verdicts {
    /// An empty memory for so many verdicts, of up to 8 KB each.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { most, order: VecDeque::new(), found: BTreeMap::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The verdict on a group, `None` if its prime must be checked first. Primes of RFC 2409 and RFC 3526 never must.
    #[must_use]
    pub fn of(&self, group: &UserGroup) -> Option<Result<CheckedGroup, WhyNot>> {
        if group.is_known() {
            return Some(group.checked());
        }
        Some(match self.found.get(&group.digest())? {
            Ok(found) if found.of() == group => Ok(found.clone()),
            Ok(_) => group.checked(),
            Err(why) => Err(*why),
        })
    }

    /// Remembers what [`UserGroup::check`] said.
    pub fn remember(&mut self, group: &UserGroup, verdict: &Result<CheckedGroup, WhyNot>) {
        let digest = group.digest();
        if self.found.insert(digest, verdict.clone()).is_some() {
            return;
        }
        self.order.push_back(digest);
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.found.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::known;

    /// Groups of primes that nobody looked at, all of 2,048 bits.
    fn group(n: u8) -> UserGroup {
        let mut prime = [0xff; 256];
        prime[17] = n;
        UserGroup::new(&prime, &[2], false).unwrap()
    }

    #[test]
    fn a_verdict_stands_for_the_prime_whatever_the_generator() {
        let mut verdicts = Verdicts::new(4);
        assert!(verdicts.of(&group(1)).is_none());
        verdicts.remember(&group(1), &Err(WhyNot::NotSafe));
        assert_eq!(verdicts.of(&group(1)), Some(Err(WhyNot::NotSafe)));
        let found = group(2).checked();
        verdicts.remember(&group(2), &found);
        let other = UserGroup::new(found.as_ref().unwrap().prime(), &[5], false).unwrap();
        assert_eq!(verdicts.of(&other).unwrap().unwrap().generator(), [5]);
        assert!(verdicts.of(&group(3)).is_none());
    }

    #[test]
    fn known_primes_need_no_verdict() {
        let group = UserGroup::new(&known::prime(4096).unwrap(), &[2], false).unwrap();
        assert!(Verdicts::new(0).of(&group).unwrap().is_ok());
    }

    #[test]
    fn no_more_are_kept_than_were_allowed_and_the_oldest_goes() {
        let mut verdicts = Verdicts::new(3);
        for n in 0..100 {
            verdicts.remember(&group(n), &Err(WhyNot::Composite));
            verdicts.remember(&group(n), &Err(WhyNot::Composite));
            assert!(verdicts.order.len() <= 3 && verdicts.order.len() == verdicts.found.len());
        }
        for n in 0..100 {
            assert_eq!(verdicts.of(&group(n)).is_some(), n > 96, "{n}");
        }
    }
}
