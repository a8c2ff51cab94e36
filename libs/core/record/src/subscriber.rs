//! Who may roam.

use std::net::Ipv4Addr;

use crypto::{Cipher, Key};
use wire::mip::Spi;

use crate::Nai;

/// Whether a subscriber may register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriberState {
    /// May register.
    Active,
    /// May not, and has no bindings.
    Revoked,
}

/// KEY 0 of an earlier generation, accepted for an overlap.
pub struct RetiringKey {
    /// The key.
    pub key0: Key,
    /// Its security parameter index.
    pub spi: Spi,
    /// Its generation.
    pub generation: u32,
    /// When it is accepted no longer.
    pub ends: u64,
}

impl RetiringKey {
    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { key0: self.key0.duplicate(), spi: self.spi, generation: self.generation, ends: self.ends }
    }
}

/// How a mobile node without our extensions registers: as RFC 5944 has it, with KEY 0 as the key of 32, by
/// explicit policy only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain {
    /// Replays are kept out by nonces instead of timestamps (RFC 5944 section 5.7.2).
    pub nonces: bool,
    /// 32 is made with HMAC-MD5 (RFC 5944 section 5.1) instead of HMAC-SHA-256.
    pub md5: bool,
}

/// A key pair of the realm: whose indices are not known any more names itself by its public half.
pub struct RealmKey {
    /// Its security parameter index, 256 to 511.
    pub id: Spi,
    /// The private half (X25519).
    pub secret: Key,
    /// When it was made.
    pub made: u64,
    /// When it is accepted no longer, once a newer one took its place.
    pub ends: Option<u64>,
    /// The change that made it what it is, counted with those of subscribers.
    pub change: u64,
}

impl RealmKey {
    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            id: self.id,
            secret: self.secret.duplicate(),
            made: self.made,
            ends: self.ends,
            change: self.change,
        }
    }
}

/// What a home agent has seen of a subscriber.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Whose.
    pub nai: Nai,
    /// Last identification that passed.
    pub identification: u64,
    /// Generation of KEY 0 that `index` belongs to.
    pub generation: u32,
    /// Highest index of a one-time security parameter index whose 32 verified; 0 before the first.
    pub index: u64,
}

/// A mobile node as the key distribution centre enrolled it and the home agent knows it.
pub struct Subscriber {
    /// Identity.
    pub nai: Nai,
    /// KEY 0, shared by mobile node, home agent and key distribution centre.
    pub key0: Key,
    /// Security parameter index, above 511: the one it always names itself by if [`one_time`](Self::one_time) is
    /// false, else only KEY 0's name for operators.
    pub spi: Spi,
    /// It names itself by one-time indices derived from KEY 0.
    pub one_time: bool,
    /// Rises by one with every rotation of KEY 0.
    pub generation: u32,
    /// KEY 0 before the last rotation, while it is accepted too.
    pub retiring: Option<RetiringKey>,
    /// How it registers if it does not know our extensions; `None` if it does.
    pub plain: Option<Plain>,
    /// Cipher of what is sealed under KEY 0.
    pub cipher: Cipher,
    /// Home address; 0.0.0.0 if its home agent is to assign one.
    pub home_address: Ipv4Addr,
    /// Bits of the home link's prefix.
    pub home_prefix_length: u8,
    /// Home agent.
    pub home_agent: Ipv4Addr,
    /// Router of the home link, if any.
    pub home_gateway: Option<Ipv4Addr>,
    /// Key shares are not asked of this subscriber.
    pub no_fs: bool,
    /// Whether it may register.
    pub state: SubscriberState,
    /// Longest lifetime granted, in seconds; `None` leaves it to the home agent.
    pub max_lifetime: Option<u16>,
    /// Rises with every change of any subscriber of the realm.
    pub change: u64,
}

impl Subscriber {
    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            nai: self.nai.clone(),
            key0: self.key0.duplicate(),
            spi: self.spi,
            one_time: self.one_time,
            generation: self.generation,
            retiring: self.retiring.as_ref().map(RetiringKey::duplicate),
            plain: self.plain,
            cipher: self.cipher,
            home_address: self.home_address,
            home_prefix_length: self.home_prefix_length,
            home_agent: self.home_agent,
            home_gateway: self.home_gateway,
            no_fs: self.no_fs,
            state: self.state,
            max_lifetime: self.max_lifetime,
            change: self.change,
        }
    }
}
