//! Who decides about keys: the key distribution centre's state and its every decision.
//!
//! [`Kdc`] enrols and revokes subscribers, rotates KEY 0 and the realm's keys, registers home agents and issues
//! KEY 1 to KEY 3 (docs/wire.md, key generation, stateful mode). It keeps KEY 0 of every active subscriber and only names of the keys it
//! issued. It never checks a certificate, opens a store or speaks gRPC: who asks is told to it, what must be
//! durable leaves as [`Effect::Persist`], and nothing is answered before that is done.
#![forbid(unsafe_code)]

mod kdc;

pub use kdc::{
    Answer, Ask, Caller, ChangesPage, Class, Detail, Effect, Enrol, Event, EventKind, GrantsWanted, Issue,
    Issued, Kdc, Page, Pair, RealmKeyChange, RealmKeyView, Refusal, Request, RevokedAssociation,
    SubscriberView, Ticket, Way, epoch_after,
};
