//! The ends of overlaps: what is accepted no longer is erased, here, in the store and at home agents.

use sansio::Now;

use super::{Caller, Detail, Event, EventKind, Kdc};

/// Subscribers in one sweep, so that a whole realm that was rotated at once does not make one huge commit.
const A_SWEEP: usize = 256;

impl Kdc {
    /// Erases keys whose overlap is over.
    pub(super) fn end_overlaps(&mut self, now: Now) {
        let time = now.unix.as_secs();
        let caller = Caller { name: "local".into(), role: "key distribution centre".into() };
        for nai in self.ledger.overlaps_over(time, A_SWEEP) {
            let Some(mut subscriber) =
                self.ledger.subscriber(nai.as_str()).map(record::Subscriber::duplicate)
            else {
                continue;
            };
            let Some(old) = subscriber.retiring.take() else { continue };
            subscriber.change = self.ledger.next_change();
            self.ledger.put_subscriber(subscriber);
            let detail = format!("key {}, generation {}", old.key0.fingerprint_hex(), old.generation);
            self.audit_done(&caller, "end overlap", nai.as_str(), &detail, now);
            let event =
                Event { kind: EventKind::OverlapEnded, subject: nai.shared(), detail: Detail::Text(detail) };
            self.ledger.tell(event);
        }
        for id in self.remove_ended_keys(time) {
            self.audit_done(&caller, "end realm key", &id.to_string(), "", now);
            let (subject, detail) = (id.to_string().into(), Detail::Text(String::new()));
            self.ledger.tell(Event { kind: EventKind::RealmKeyEnded, subject, detail });
        }
    }
}
