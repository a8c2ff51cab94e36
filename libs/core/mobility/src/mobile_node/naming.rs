//! By which index a request names the mobile node (docs/wire.md, one-time indices): a static one, a one-time one, or
//! the realm's public key when the one-time ones are lost.
//!
//! An index is on disk before a request shows it, so that no crash makes two visits look like one. The next is put
//! there ahead of need: nothing waits for the disk while the node moves.

use record::MobileNodeState;
use sansio::LinkAddress;
use wire::mip::Spi;

use super::movement::Target;
use crate::Ticket;

/// Indices beyond the last confirmed one that the home agent knows for sure.
const AHEAD: u64 = 12;
/// How far above its own count the home agent believes a number that it is told.
const BELIEVED: u64 = 1 << 20;
/// Requests without an authenticated reply after which the other way is tried.
const SILENT: u32 = 4;
/// States on their way to disk that are remembered; the newest tell as much.
const MOST_WRITING: usize = 16;

/// How a request names its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Naming {
    /// By the index of the enrolment.
    Static,
    /// By the one-time index of this number.
    OneTime(u64),
    /// By the realm key at this place in the configuration.
    Realm(usize),
}

/// Where a one-time index shows: used at two of these, it would link them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Whereabouts {
    pub(super) target: Target,
    pub(super) agent: Option<(LinkAddress, Option<String>)>,
    pub(super) own: LinkAddress,
}

/// The numbers, and which of them are safe.
pub(super) struct Names {
    one_time: bool,
    realm_keys: Vec<(Spi, [u8; 32])>,
    /// The number in use, or the next one while `used` says nowhere.
    index: u64,
    /// Where it showed.
    used: Option<Whereabouts>,
    /// An authenticated reply came to a request under it.
    answered: bool,
    /// Highest that an authenticated reply confirmed.
    confirmed: u64,
    /// What was kept is lost.
    lost: bool,
    /// Highest that the state to keep allows to use.
    reserved: u64,
    /// Highest that the state on disk allows to use.
    durable: u64,
    /// States on their way to disk, and what they allow.
    writing: Vec<(Ticket, u64)>,
    last_ticket: u64,
    /// The disk takes nothing.
    disk_failed: bool,
    /// Requests since the last authenticated reply, or since the way was changed.
    silent: u32,
    by_realm: bool,
    realm_key: usize,
}

impl Names {
    pub(super) fn new(one_time: bool, realm_keys: Vec<(Spi, [u8; 32])>, state: &MobileNodeState) -> Self {
        let mut names = Self {
            one_time,
            realm_keys,
            index: state.index.saturating_add(1),
            used: None,
            answered: false,
            confirmed: state.confirmed,
            lost: state.lost,
            reserved: state.index,
            durable: state.index,
            writing: Vec::new(),
            last_ticket: 0,
            disk_failed: false,
            silent: 0,
            by_realm: false,
            realm_key: 0,
        };
        names.reserve();
        names
    }

    /// Writes into the state what must survive.
    pub(super) const fn keep(&self, state: &mut MobileNodeState) {
        state.index = self.reserved;
        state.confirmed = self.confirmed;
        state.lost = self.lost;
    }

    /// True if the state on disk, or on its way there, does not allow what may be needed next.
    pub(super) fn wants_disk(&self) -> bool {
        self.reserved > self.writing.last().map_or(self.durable, |(_, allows)| *allows)
    }

    /// A state with the present numbers goes to disk.
    pub(super) fn writing(&mut self) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        if self.writing.len() >= MOST_WRITING {
            self.writing.remove(0);
        }
        self.writing.push((ticket, self.reserved));
        ticket
    }

    /// The state of that ticket is on disk, and every earlier one that the shell says nothing of is overtaken; or it
    /// is not.
    pub(super) fn written(&mut self, ticket: Ticket, done: bool) {
        let Some(at) = self.writing.iter().position(|(t, _)| *t == ticket) else {
            return;
        };
        let (_, allows) = self.writing[at];
        self.writing.drain(..=at);
        self.disk_failed = !done;
        if done {
            self.durable = allows;
        }
    }

    /// The number that a request from here would use: the present one again, or the next.
    fn next(&self, place: &Whereabouts) -> u64 {
        let again = self.used.as_ref().is_none_or(|used| used == place && !self.answered);
        if again { self.index } else { self.index.saturating_add(1) }
    }

    /// How the next request from here is named; `None` while its number is not on disk.
    pub(super) fn choose(&mut self, place: &Whereabouts) -> Option<Naming> {
        if !self.one_time {
            return Some(Naming::Static);
        }
        let next = self.next(place);
        let known = !self.lost && next <= self.confirmed.saturating_add(AHEAD);
        if !self.realm_keys.is_empty() {
            if self.silent >= SILENT {
                self.silent = 0;
                self.by_realm = !self.by_realm;
                if !self.by_realm {
                    self.realm_key = (self.realm_key + 1) % self.realm_keys.len();
                }
            }
            if self.by_realm || !known || (self.disk_failed && next > self.durable) {
                self.by_realm = true;
                return Some(Naming::Realm(self.realm_key));
            }
        } else if !known && !self.lost {
            // No way back is left but the last number that the home agent surely knows.
            return Some(Naming::OneTime(self.index.min(self.confirmed.saturating_add(AHEAD))));
        }
        if next > self.durable {
            self.reserved = self.reserved.max(next);
            return None;
        }
        Some(Naming::OneTime(next))
    }

    /// A request named so leaves from here.
    pub(super) fn sent(&mut self, naming: Naming, place: Whereabouts) {
        self.silent = self.silent.saturating_add(1);
        if let Naming::OneTime(n) = naming {
            self.answered &= n == self.index;
            self.index = n;
            self.used = Some(place);
            self.reserve();
        }
    }

    /// Index and public key of a realm key.
    pub(super) fn realm_key(&self, at: usize) -> Option<&(Spi, [u8; 32])> {
        self.realm_keys.get(at)
    }

    /// The number that a request by the realm's key carries: the highest that may have been used.
    pub(super) const fn highest(&self) -> u64 {
        self.reserved
    }

    /// The number to come must not be below it.
    pub(super) const fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// An authenticated reply came to a request named so; after one by the realm's key it may carry the number that
    /// the home agent counts from.
    pub(super) fn answered(&mut self, naming: Naming, counts_from: Option<u64>) {
        self.silent = 0;
        match naming {
            Naming::Static => {}
            Naming::OneTime(n) => {
                (self.lost, self.by_realm) = (false, false);
                self.confirmed = self.confirmed.max(n);
                self.answered |= n == self.index;
                self.reserve();
            }
            Naming::Realm(_) => {
                let Some(confirmed) = counts_from else { return };
                // Code 133 tells it without raising it above what we carried: numbers that may have been shown are
                // passed over. Where that leads out of the window, the next answer will have raised it.
                let unused = self.reserved.max(confirmed).saturating_add(1);
                let known = unused <= confirmed.saturating_add(AHEAD);
                if !known && unused <= confirmed.saturating_add(BELIEVED) {
                    return;
                }
                let next = if known { unused } else { confirmed.saturating_add(1) };
                (self.index, self.confirmed) = (next, confirmed);
                (self.used, self.answered) = (None, false);
                (self.lost, self.by_realm) = (false, false);
                // What is on disk or on its way there allowed other numbers.
                (self.reserved, self.durable) = (confirmed, 0);
                self.writing.iter_mut().for_each(|(_, allows)| *allows = 0);
                self.reserve();
            }
        }
    }

    /// Puts the next number aside, as far as the home agent surely knows it.
    fn reserve(&mut self) {
        let next = if self.used.is_none() { self.index } else { self.index.saturating_add(1) };
        if self.one_time && !self.lost && next <= self.confirmed.saturating_add(AHEAD) {
            self.reserved = self.reserved.max(next);
        }
    }
}
