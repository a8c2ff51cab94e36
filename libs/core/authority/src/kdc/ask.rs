//! What is asked of the key distribution centre, by whom, and what it answers.

use std::sync::Arc;

use crypto::{Cipher, Key};
use record::{Change, CommitError, Grant, HomeAgent, Plain, RealmKey, Subscriber, SubscriberState};
use wire::mip::Spi;

use super::{Event, GrantsWanted, Refusal};

/// Names one ask until it is answered; of the shell's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Who asks, as the shell read it from a verified client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Common name of the certificate.
    pub name: Arc<str>,
    /// Role of the certificate, in the words of the audit trail.
    pub role: Arc<str>,
}

/// What the shell hands in.
pub enum Request {
    /// Somebody asks. Answered once, by [`Effect::Answer`] with the same ticket.
    Ask {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Who.
        caller: Caller,
        /// What.
        ask: Ask,
    },
    /// The same of many at a time, so that one commit holds what all of them change.
    Asks(Vec<(Ticket, Caller, Ask)>),
    /// What became of [`Effect::Persist`] with this number.
    Persisted {
        /// The number.
        commit: u64,
        /// Durable, or nothing of it.
        result: Result<(), CommitError>,
    },
    /// What [`Effect::Read`] with this number found.
    Grants {
        /// The number.
        read: u64,
        /// In order of number; or why the store cannot be read.
        result: Result<Vec<Grant>, String>,
    },
}

/// What the shell has to do.
pub enum Effect {
    /// Make all of these durable or none, then say so. There is never more than one on its way.
    Persist {
        /// Comes back with [`Request::Persisted`].
        commit: u64,
        /// The changes, never empty.
        changes: Vec<Change>,
    },
    /// Read durable grants, then say what was found.
    Read {
        /// Comes back with [`Request::Grants`].
        read: u64,
        /// Which.
        wanted: GrantsWanted,
    },
    /// Answer an ask.
    Answer {
        /// Of the ask.
        ticket: Ticket,
        /// The answer.
        answer: Result<Answer, Refusal>,
    },
    /// The subscribers changed up to this number, durably: watchers may ask for [`Ask::ChangesSince`].
    Publish {
        /// The change number.
        change: u64,
    },
    /// The audit trail goes up to this number, durably.
    Audited {
        /// The number of the last entry.
        number: u64,
    },
    /// Something happened, durably.
    Notify(Event),
}

/// One ask. Texts are unchecked; the core checks them, so that refusals reach the audit trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Makes a subscriber known.
    Enrol(Enrol),
    /// Gives a subscriber a new KEY 0; the old one is accepted a while longer.
    Rotate {
        /// Whose.
        nai: String,
        /// Seconds for which the old one is accepted too; 0 ends it at once.
        overlap: u32,
        /// Check only.
        dry_run: bool,
    },
    /// Makes the realm's first key if there is none.
    EnsureRealmKey,
    /// Makes a new key of the realm; those before it are accepted a while longer.
    RotateRealmKey {
        /// Seconds for which they are accepted too; 0 ends them at once.
        overlap: u32,
        /// Check only.
        dry_run: bool,
    },
    /// The keys of the realm that are valid.
    RealmKeys,
    /// A copy of the store is handed out; for the audit trail.
    Backup,
    /// Ends a subscriber and its associations.
    RevokeSubscriber {
        /// Whom.
        nai: String,
        /// Why, for the audit trail.
        reason: String,
        /// Check only.
        dry_run: bool,
    },
    /// Ends one association.
    RevokeAssociation {
        /// Number of the grant.
        id: u64,
        /// Why, for the audit trail.
        reason: String,
        /// Check only.
        dry_run: bool,
    },
    /// Lets a home agent take over subscribers and ask for keys.
    RegisterHomeAgent {
        /// Its NAI.
        name: String,
        /// Its address, if it shall get its own subscribers only; empty for all.
        address: String,
        /// Check only.
        dry_run: bool,
    },
    /// Makes keys for one registration.
    Issue(Issue),
    /// The shell refused the caller a method; for the audit trail.
    Refuse {
        /// What the caller wanted, in the words of the audit trail.
        action: String,
        /// Why not.
        why: String,
    },
    /// A home agent takes over subscribers from here on; for the audit trail, and refused to strangers.
    Watch {
        /// The last change that it has.
        since: u64,
    },
    /// A home agent's changes after a number.
    ChangesSince {
        /// The last change that it has; one that was never reached counts as 0.
        since: u64,
        /// At most so many subscribers.
        limit: usize,
        /// The first page of a connection: all keys of the realm are in it, whatever their change.
        first: bool,
    },
    /// Subscribers in order of NAI.
    Subscribers {
        /// After this one; empty from the first.
        after: String,
        /// At most so many.
        limit: usize,
        /// Revoked ones too.
        include_revoked: bool,
    },
    /// One subscriber and its grants.
    Subscriber {
        /// Which.
        nai: String,
    },
    /// Grants in order of number.
    Grants {
        /// After this number.
        after: u64,
        /// At most so many.
        limit: usize,
        /// Only of this subscriber; empty for all.
        nai: String,
        /// Ended and revoked ones too, as long as they are kept.
        include_ended: bool,
    },
    /// The registered home agents.
    HomeAgents,
}

/// What enrolment needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enrol {
    /// Identity in our realm.
    pub nai: String,
    /// Its address at home; empty to have its home agent assign one.
    pub home_address: String,
    /// Prefix length of the home link, in bits.
    pub home_prefix_length: u32,
    /// Router of the home link; empty if there is none.
    pub home_gateway: String,
    /// Address of its home agent.
    pub home_agent: String,
    /// Cipher of what is sealed under KEY 0; `None` if the caller named one that does not exist.
    pub cipher: Option<Cipher>,
    /// Longest registration lifetime in seconds, 0 for the home agent's own limit.
    pub max_lifetime: u32,
    /// It always names itself by the same index, instead of by one-time indices.
    pub static_spi: bool,
    /// Key shares are not asked of it: a theft of keys later opens what was recorded before.
    pub no_fs: bool,
    /// It does not know our extensions; it then has a static index and no key shares.
    pub plain: Option<Plain>,
    /// Check only.
    pub dry_run: bool,
}

/// The two indices of one key: inbound at the first of the pair, and at the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Inbound at the mobile node (KEY 1, KEY 3) or the foreign agent (KEY 2).
    pub first: Spi,
    /// Inbound at the home agent (KEY 1, KEY 2) or the foreign agent (KEY 3).
    pub second: Spi,
}

/// What an issue of keys needs; the home agent is the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issue {
    /// The asker's own number for this issue, 16 octets.
    pub request: Vec<u8>,
    /// For which subscriber.
    pub nai: String,
    /// Through which foreign agent; empty for a co-located care-of address.
    pub foreign_agent: String,
    /// The care-of address.
    pub care_of: String,
    /// Lifetime in seconds.
    pub lifetime: u32,
    /// Indices of KEY 1; none for a key that its ends make without us.
    pub key1: Option<Pair>,
    /// Indices of KEY 2, with a foreign agent.
    pub key2: Option<Pair>,
    /// Indices of KEY 3, with a foreign agent.
    pub key3: Option<Pair>,
    /// Which of them their ends make of a seed: 1, 2 or 3.
    pub seeded: Vec<u32>,
}

/// What is answered.
pub enum Answer {
    /// Enrolled, with KEY 0.
    Enrolled(Subscriber),
    /// With a new KEY 0.
    Rotated(Subscriber),
    /// The realm has a new key.
    RealmKey(RealmKeyView),
    /// Of [`Ask::RealmKeys`], newest first.
    RealmKeys(Vec<RealmKeyView>),
    /// It would have been done.
    WouldDo,
    /// Revoked.
    Revoked {
        /// Number of the change that tells the home agents.
        change: u64,
        /// How many associations ended.
        associations: u64,
        /// Address of the subscriber's home agent.
        home_agent: std::net::Ipv4Addr,
        /// The subscriber itself ended, not one association of it.
        whole: bool,
    },
    /// The home agent is registered.
    Registered,
    /// Fresh keys.
    Issued(Issued),
    /// Written down.
    Noted,
    /// Of [`Ask::ChangesSince`].
    Changes(ChangesPage),
    /// Of [`Ask::Subscribers`].
    Subscribers(Page<SubscriberView>),
    /// Of [`Ask::Subscriber`].
    Subscriber {
        /// The subscriber.
        subscriber: SubscriberView,
        /// Its grants in order of number.
        grants: Vec<Grant>,
    },
    /// Of [`Ask::Grants`].
    Grants(Page<Grant>),
    /// Of [`Ask::HomeAgents`].
    HomeAgents(Vec<HomeAgent>),
}

/// Keys made for one registration.
pub struct Issued {
    /// The asker's number.
    pub request: [u8; 16],
    /// Number of the grant.
    pub id: u64,
    /// Mobile node and home agent.
    pub key1: Option<Key>,
    /// Foreign agent and home agent.
    pub key2: Option<Key>,
    /// Mobile node and foreign agent.
    pub key3: Option<Key>,
    /// What the keys are made of for which that was asked.
    pub seed: Option<Key>,
}

impl Issued {
    pub(super) fn duplicate(&self) -> Self {
        Self {
            request: self.request,
            id: self.id,
            key1: self.key1.as_ref().map(Key::duplicate),
            key2: self.key2.as_ref().map(Key::duplicate),
            key3: self.key3.as_ref().map(Key::duplicate),
            seed: self.seed.as_ref().map(Key::duplicate),
        }
    }
}

/// A part of a long list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// False if this was the end.
    pub more: bool,
}

/// A part of what a home agent takes over.
pub struct ChangesPage {
    /// Associations that ended before their time, of the subscribers below; to be told first.
    pub revoked: Vec<RevokedAssociation>,
    /// Subscribers in order of change, each whole. KEY 0 of a revoked one is zeros.
    pub subscribers: Vec<Subscriber>,
    /// Keys of the realm in order of change. On a first page they are all there are, and the home agent holds no
    /// others any more.
    pub realm_keys: Vec<RealmKeyChange>,
    /// Where to go on from.
    pub next: u64,
    /// False if this was the end.
    pub more: bool,
    /// True if `since` was 0 or unknown here, so that the first page is the beginning.
    pub from_beginning: bool,
}

/// An association that ended before its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokedAssociation {
    /// The change of its subscriber that tells of it.
    pub change: u64,
    /// The grant.
    pub grant: Grant,
}

/// A key of the realm that is new, has got an end, or is gone.
pub enum RealmKeyChange {
    /// As it is now.
    Put(RealmKey),
    /// It is not accepted any more.
    Removed {
        /// Which.
        id: Spi,
        /// The change that tells of it.
        change: u64,
    },
}

impl RealmKeyChange {
    /// The number of the change.
    #[must_use]
    pub const fn change(&self) -> u64 {
        match self {
            Self::Put(key) => key.change,
            Self::Removed { change, .. } => *change,
        }
    }
}

/// A key of the realm as everybody may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmKeyView {
    /// Its index.
    pub id: Spi,
    /// The public half (X25519).
    pub public: [u8; 32],
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// When it ends; `None` for the newest.
    pub ends: Option<u64>,
    /// Number of its last change.
    pub change: u64,
}

/// A subscriber without its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriberView {
    /// Identity.
    pub nai: String,
    /// Address at home; 0.0.0.0 if its home agent assigns one.
    pub home_address: std::net::Ipv4Addr,
    /// Prefix length of the home link, in bits.
    pub home_prefix_length: u8,
    /// Router of the home link.
    pub home_gateway: Option<std::net::Ipv4Addr>,
    /// Address of its home agent.
    pub home_agent: std::net::Ipv4Addr,
    /// Index of KEY 0.
    pub spi: Spi,
    /// Cipher under KEY 0.
    pub cipher: Cipher,
    /// Key shares are not asked of it.
    pub no_fs: bool,
    /// Whether it may register.
    pub state: SubscriberState,
    /// Longest registration lifetime in seconds.
    pub max_lifetime: Option<u16>,
    /// Number of its last change.
    pub change: u64,
    /// 16 hex digits that name KEY 0; empty once revoked.
    pub fingerprint: String,
    /// It names itself by one-time indices.
    pub one_time: bool,
    /// Rises with every KEY 0.
    pub generation: u32,
    /// While the KEY 0 before is accepted too: until when, and its name.
    pub retiring: Option<(u64, String)>,
    /// How it registers without our extensions.
    pub plain: Option<Plain>,
}

impl From<&Subscriber> for SubscriberView {
    fn from(subscriber: &Subscriber) -> Self {
        let active = subscriber.state == SubscriberState::Active;
        Self {
            nai: subscriber.nai.to_string(),
            home_address: subscriber.home_address,
            home_prefix_length: subscriber.home_prefix_length,
            home_gateway: subscriber.home_gateway,
            home_agent: subscriber.home_agent,
            spi: subscriber.spi,
            cipher: subscriber.cipher,
            no_fs: subscriber.no_fs,
            state: subscriber.state,
            max_lifetime: subscriber.max_lifetime,
            change: subscriber.change,
            fingerprint: if active { subscriber.key0.fingerprint_hex() } else { String::new() },
            one_time: subscriber.one_time,
            generation: subscriber.generation,
            retiring: subscriber.retiring.as_ref().map(|old| (old.ends, old.key0.fingerprint_hex())),
            plain: subscriber.plain,
        }
    }
}
