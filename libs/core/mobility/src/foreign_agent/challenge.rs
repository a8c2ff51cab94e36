//! Challenges in advertisements, and which of them a mobile node has used (RFC 4721 section 3.2).

use std::{
    collections::{BTreeSet, VecDeque},
    net::Ipv4Addr,
};

use crypto::Rng;
use sansio::LinkAddress;
use wire::mip::{Spi, part::Parts};

/// 128 random bits.
pub(super) type Challenge = [u8; 16];

/// Who uses a challenge up: the index of 32, or, where that names a key of a whole realm, the key share (as its
/// SHA-256). A node without our extensions has the same index for ever, and other realms may give it too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Spender {
    Index(Spi),
    Share([u8; 32]),
    Node(Spi, Ipv4Addr),
}

impl Spender {
    /// The one of a request.
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        let index = parts.mobile_home.spi;
        match parts.mobile.key_share {
            Some(share) if index.names_realm_key() => Self::Share(crypto::digest(&[share.value])),
            _ => Self::Index(index),
        }
    }
}

/// What to think of a challenge that stands in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Offered not long ago, and unused.
    Fresh,
    /// This spender has an accepted registration with it already.
    Spent,
    /// Not offered, or too long ago.
    Unknown,
}

#[derive(Debug)]
struct Offered {
    value: Challenge,
    /// The only station that may use it; `None` for all.
    only: Option<LinkAddress>,
    spent: BTreeSet<Spender>,
    spent_at: BTreeSet<LinkAddress>,
    /// Regular advertisements since.
    age: usize,
}

/// The challenges of one link.
#[derive(Debug)]
pub(super) struct Challenges {
    /// Latest last.
    offered: VecDeque<Offered>,
    window: usize,
}

impl Challenges {
    /// Made for one station each and remembered at a time.
    const SINGLE: usize = 64;
    /// Accepted registrations with one challenge; then it counts as spent for everybody.
    const SPENT: usize = 65_536;

    /// From the next regular advertisement on those of so many count.
    pub(super) const fn resize(&mut self, window: usize) {
        self.window = window;
    }

    /// Remembers those of the last `window` regular advertisements.
    pub(super) const fn new(window: usize) -> Self {
        Self { offered: VecDeque::new(), window }
    }

    /// The challenge of a regular advertisement: always a new one.
    pub(super) fn regular(&mut self, rng: &mut Rng) -> Challenge {
        for offered in &mut self.offered {
            offered.age += 1;
        }
        self.offered.retain(|offered| offered.age < self.window);
        self.offer(None, rng)
    }

    /// The challenge of an answer to this station's solicitation: the latest one that it has not used, or
    /// one of its own.
    pub(super) fn solicited(&mut self, station: LinkAddress, rng: &mut Rng) -> Challenge {
        self.next(station, &[], rng)
    }

    /// The challenge that a reply to this station offers: as in an answer to its solicitation, and never the one that
    /// its request used (RFC 4721 section 3.3).
    pub(super) fn next(&mut self, station: LinkAddress, used: &[u8], rng: &mut Rng) -> Challenge {
        let usable = |offered: &&Offered| {
            let its = offered.only.is_none_or(|only| only == station);
            let unused = !offered.spent_at.contains(&station) && offered.spent.len() < Self::SPENT;
            its && unused && offered.value != used
        };
        // An old regular one may leave the window any moment, so only the latest will do.
        if let Some(found) = self.offered.iter().rev().filter(|offered| offered.age == 0).find(usable) {
            return found.value;
        }
        let single = |offered: &Offered| offered.only.is_some();
        if self.offered.iter().filter(|offered| single(offered)).count() >= Self::SINGLE
            && let Some(oldest) = self.offered.iter().position(single)
        {
            self.offered.remove(oldest);
        }
        self.offer(Some(station), rng)
    }

    fn offer(&mut self, only: Option<LinkAddress>, rng: &mut Rng) -> Challenge {
        let value = rng.array();
        self.offered.push_back(Offered {
            value,
            only,
            spent: BTreeSet::new(),
            spent_at: BTreeSet::new(),
            age: 0,
        });
        value
    }

    /// What to think of this challenge from this station by this spender.
    pub(super) fn standing(&self, challenge: &[u8], spender: Spender, station: LinkAddress) -> Standing {
        let offered = self.offered.iter().find(|offered| offered.value == challenge);
        match offered {
            Some(offered) if offered.only.is_some_and(|only| only != station) => Standing::Unknown,
            Some(offered) if offered.spent.contains(&spender) || offered.spent.len() >= Self::SPENT => {
                Standing::Spent
            }
            Some(_) => Standing::Fresh,
            None => Standing::Unknown,
        }
    }

    /// How many are remembered: those of the window and 64.
    pub(super) fn len(&self) -> usize {
        self.offered.len()
    }

    /// How many uses of them are remembered: at most 65,536 of each, and each is an accepted registration.
    pub(super) fn spent(&self) -> usize {
        self.offered.iter().map(|offered| offered.spent.len()).sum()
    }

    /// A registration with this challenge was accepted.
    pub(super) fn spend(&mut self, challenge: &[u8], spender: Spender, station: LinkAddress) {
        let found = self.offered.iter_mut().find(|offered| offered.value == challenge);
        if let Some(offered) = found.filter(|offered| offered.spent.len() < Self::SPENT) {
            offered.spent.insert(spender);
            offered.spent_at.insert(station);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkAddress = [2, 0, 0, 0, 0, 0xa];
    const B: LinkAddress = [2, 0, 0, 0, 0, 0xb];

    #[test]
    fn the_last_two_regular_ones_are_known() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut challenges = Challenges::new(2);
        let first = challenges.regular(&mut rng);
        let second = challenges.regular(&mut rng);
        assert_ne!(first, second);
        for challenge in [first, second] {
            assert_eq!(challenges.standing(&challenge, Spender::Index(Spi(512)), A), Standing::Fresh);
        }
        let third = challenges.regular(&mut rng);
        assert_eq!(challenges.standing(&first, Spender::Index(Spi(512)), A), Standing::Unknown);
        assert_eq!(challenges.standing(&second, Spender::Index(Spi(512)), A), Standing::Fresh);
        assert_eq!(challenges.standing(&third[..15], Spender::Index(Spi(512)), A), Standing::Unknown);
        assert_eq!(challenges.standing(&[], Spender::Index(Spi(512)), A), Standing::Unknown);
    }

    #[test]
    fn a_pair_is_spent_and_not_the_challenge() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut challenges = Challenges::new(2);
        let value = challenges.regular(&mut rng);
        challenges.spend(&value, Spender::Index(Spi(512)), A);
        assert_eq!(challenges.standing(&value, Spender::Index(Spi(512)), B), Standing::Spent);
        assert_eq!(challenges.standing(&value, Spender::Index(Spi(513)), B), Standing::Fresh);
    }

    #[test]
    fn an_answer_repeats_the_latest_until_this_station_used_it() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut challenges = Challenges::new(2);
        let regular = challenges.regular(&mut rng);
        assert_eq!(challenges.solicited(A, &mut rng), regular);
        challenges.spend(&regular, Spender::Index(Spi(512)), A);
        let own = challenges.solicited(A, &mut rng);
        assert_ne!(own, regular);
        assert_eq!(challenges.solicited(A, &mut rng), own, "repeated while it is unused");
        assert_eq!(challenges.solicited(B, &mut rng), regular, "the other one's is not given away");
        assert_eq!(challenges.standing(&own, Spender::Index(Spi(512)), A), Standing::Fresh);
        assert_eq!(challenges.standing(&own, Spender::Index(Spi(513)), B), Standing::Unknown);
        challenges.spend(&own, Spender::Index(Spi(512)), A);
        assert_ne!(challenges.solicited(A, &mut rng), own);
    }

    #[test]
    fn stations_cannot_fill_the_memory_nor_push_out_regular_ones() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut challenges = Challenges::new(2);
        let regular = challenges.regular(&mut rng);
        for n in 0..1000_u16 {
            let [high, low] = n.to_be_bytes();
            let station = [2, 0, 0, 0, high, low];
            challenges.spend(&regular, Spender::Index(Spi(512 + u32::from(n))), station);
            challenges.solicited(station, &mut rng);
        }
        assert!(challenges.offered.len() <= Challenges::SINGLE + 1);
        assert_eq!(challenges.standing(&regular, Spender::Index(Spi(9999)), A), Standing::Fresh);
    }

    #[test]
    fn a_reply_never_offers_what_its_request_used() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut challenges = Challenges::new(2);
        let regular = challenges.regular(&mut rng);
        let next = challenges.next(A, &regular, &mut rng);
        assert_ne!(next, regular);
        assert_eq!(challenges.next(B, &[], &mut rng), regular);
        let spender = Spender::Index(Spi(512));
        assert_eq!(challenges.standing(&next, spender, A), Standing::Fresh);
        assert_eq!(challenges.standing(&next, spender, B), Standing::Unknown);
        // It grows old with the advertisements.
        challenges.regular(&mut rng);
        assert_eq!(challenges.standing(&next, spender, A), Standing::Fresh);
        challenges.regular(&mut rng);
        assert_eq!(challenges.standing(&next, spender, A), Standing::Unknown);
    }
}
