//! The way back by the realm's public key (docs/wire.md): a mobile node whose one-time indices were lost names itself
//! sealed to the realm. To open that costs an exchange, so it is opened only for who proved something before: the
//! foreign agent by its 34, a node without one by a cookie, that it receives where it says it is.

use std::{collections::BTreeMap, net::SocketAddrV4, time::Duration};

use crypto::{Cipher, Key, Rng};
use record::{Nai, RealmKey};
use sa::{realm_key_at_home, sealed_plain};
use sansio::{Instant, Now, Transmit};
use wire::{
    Writer, ip,
    mip::{
        PORT, Spi,
        code::Code,
        ours::{Numbers, SealedNai, nai_owner},
        part::Parts,
        registration::{Reply, Request},
        share::Cookie,
    },
};

use super::HomeAgent;
use crate::budget::Budget;

/// How many requests by realm key are opened at once for each foreign agent, and for all nodes without one together.
const BURST: u32 = 20;
/// And then one in this time.
const EVERY: Duration = Duration::from_millis(100);
/// How long a secret for cookies is the newest; the one before it counts too.
const SECRET_LIVES: Duration = Duration::from_secs(30);
/// Time to live of a cookie on the home link; it passes no router.
const COOKIE_TTL: u8 = 255;
/// An index further above the highest seen than this is not believed.
const FARTHEST: u64 = 1 << 20;

/// A request that names its sender by the realm key, opened but not yet authenticated.
pub(super) struct Named {
    pub(super) nai: Nai,
    /// Number of the one-time index that the mobile node believes in.
    pub(super) index: u64,
    /// What the request is sealed with.
    pub(super) seal: (Cipher, Key),
}

/// Realm keys, and what keeps strangers from having them used.
pub(super) struct Realm {
    keys: BTreeMap<Spi, RealmKey>,
    budgets: BTreeMap<Option<usize>, Budget>,
    /// The newest first.
    secrets: [Key; 2],
    renewed: Instant,
}

impl Realm {
    pub(super) fn new(keys: Vec<RealmKey>, rng: &mut Rng, now: Now) -> Self {
        let keys = keys.into_iter().map(|key| (key.id, key)).collect();
        Self { keys, budgets: BTreeMap::new(), secrets: [rng.key(), rng.key()], renewed: now.mono }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &RealmKey> {
        self.keys.values()
    }

    pub(super) fn learn(&mut self, key: RealmKey) {
        self.keys.insert(key.id, key);
    }

    pub(super) fn forget(&mut self, id: Spi) {
        self.keys.remove(&id);
    }

    fn usable(&self, id: Spi, unix: u64) -> Option<&RealmKey> {
        self.keys.get(&id).filter(|key| key.ends.is_none_or(|ends| unix < ends))
    }

    fn renew_secrets(&mut self, rng: &mut Rng, now: Now) {
        let age = now.mono.saturating_since(self.renewed);
        if age >= SECRET_LIVES {
            let newest = std::mem::replace(&mut self.secrets[0], rng.key());
            // After two lives none of the old ones counts.
            self.secrets[1] = if age >= SECRET_LIVES * 2 { rng.key() } else { newest };
            self.renewed = now.mono;
        }
    }

    fn cookie(&self, secret: usize, source: SocketAddrV4, low: u32) -> Cookie {
        let (address, port) = (source.ip().octets(), source.port().to_be_bytes());
        let whole = crypto::hmac(&self.secrets[secret], &[&address, &port, &low.to_be_bytes()]);
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Cookie(half)
    }
}

/// The index after a request by realm key: beyond whatever either side used.
pub(super) fn highest_after(highest: u64, named: u64) -> u64 {
    let believed = if named <= highest.saturating_add(FARTHEST) { named } else { 0 };
    highest.max(believed).saturating_add(1)
}

impl HomeAgent {
    /// Opens the name in a request under a realm key; `None` if it is not to be opened, or does not open. Whether the
    /// named one sent it is still to be seen.
    pub(super) fn named_by_realm_key(
        &mut self,
        fixed: Request,
        parts: &Parts<'_>,
        source: SocketAddrV4,
        (path, relayed): (Option<usize>, bool),
        now: Now,
    ) -> Option<Named> {
        let id = parts.mobile_home.spi;
        if self.realm.usable(id, now.unix.as_secs()).is_none() {
            self.discard("not authenticated", "a realm key that is unknown or retired");
            return None;
        }
        let through = super::intake::through_an_agent(parts);
        if through && !relayed {
            self.discard("realm key without proof", "a realm key through an agent without a valid 34");
            return None;
        }
        if !through && !self.cookie_is_right(fixed, parts, source, now) {
            self.proved_nothing(source, false, now);
            self.ask_for_cookie(fixed, parts, source, now);
            return None;
        }
        let budget = self.realm.budgets.entry(path.filter(|_| through));
        if !budget.or_insert_with(|| Budget::new(BURST, EVERY, now.mono)).take(now.mono) {
            self.discard("realm key too often", "too many requests by realm key");
            return None;
        }
        let named = self.open_name(parts, now);
        if named.is_none() {
            self.discard("not authenticated", "a name that the realm key does not open");
        }
        named
    }

    fn open_name(&self, parts: &Parts<'_>, now: Now) -> Option<Named> {
        let key = self.realm.usable(parts.mobile_home.spi, now.unix.as_secs())?;
        let seal = realm_key_at_home(&key.secret, parts.mobile.key_share, &self.config.realm).ok()?;
        let held = parts.mobile.nai.filter(|held| {
            held.protected.spi == key.id && held.protected.content == nai_owner::MOBILE_NODE
        })?;
        let plain = sealed_plain(parts, &held, Cipher::Aes256Gcm, &seal)?;
        let name = SealedNai::parse(&plain).ok()?;
        let nai = Nai::parse(&format!("{}@{}", name.user, self.config.realm)).ok()?;
        Some(Named { nai, index: name.index, seal: (Cipher::Aes256Gcm, seal) })
    }

    pub(super) fn cookie_is_right(
        &mut self,
        fixed: Request,
        parts: &Parts<'_>,
        source: SocketAddrV4,
        now: Now,
    ) -> bool {
        self.realm.renew_secrets(&mut self.rng, now);
        let low = fixed.identification.low();
        // A cookie is no secret of the sender's: it only has to have travelled back.
        parts
            .foreign
            .cookie
            .is_some_and(|cookie| [0, 1].iter().any(|s| self.realm.cookie(*s, source, low) == cookie))
    }

    /// Asks for the same request with a cookie, in a reply that is shorter than the request.
    pub(super) fn ask_for_cookie(
        &mut self,
        fixed: Request,
        parts: &Parts<'_>,
        source: SocketAddrV4,
        now: Now,
    ) {
        if !self.gate.asks_for_cookie(*source.ip(), now) {
            return self.discard("cookies too often", "more requests that need a cookie than are answered");
        }
        let mut w = Writer::with_capacity(64);
        let reply = Reply {
            code: Code::HA_UNSPECIFIED,
            lifetime: 0,
            home_address: fixed.home_address,
            home_agent: self.config.address,
            identification: fixed.identification,
        };
        reply.emit(&mut w);
        let numbers = parts.mobile.numbers.unwrap_or(Numbers::Vendor(self.config.vendor));
        let cookie = self.realm.cookie(0, source, fixed.identification.low());
        if cookie.emit(&mut w, numbers).is_err() || w.len() > parts.bytes.len() {
            return;
        }
        self.count("cookies");
        let (own, payload) = (SocketAddrV4::new(self.config.address, PORT), w.into_bytes());
        let away = self.bindings.of(*source.ip()).next().is_some() || self.elsewhere.contains(source.ip());
        if away && let Ok(packet) = ip::udp_packet(own, source, COOKIE_TTL, &payload) {
            // A node that is back home: a home agent's route leads into its old tunnel, and nobody knows its link
            // address before the request is opened. Whoever else hears this has a cookie of no use to him.
            let link = self.config.home_link;
            return self.outbox.send(Transmit::Link { link, to: [0xff; 6], packet });
        }
        self.outbox.send(Transmit::Udp { source: own, destination: source, payload });
    }
}
