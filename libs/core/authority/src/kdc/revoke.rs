//! Ending subscribers and associations before their time.
//!
//! Every revocation gives its subscriber a new change number, also when only an association ends: that is how
//! home agents that were away learn of it.

use crypto::Key;
use record::{Grant, SubscriberState};

use super::{Answer, Kdc, Refusal, check};

impl Kdc {
    /// Ends a subscriber and all its associations, which are `live`. Its KEY 0 is overwritten, here and in the store.
    pub(super) fn revoke_subscriber(
        &mut self,
        nai: &str,
        reason: &str,
        dry_run: bool,
        live: Vec<Grant>,
        time: u64,
    ) -> Result<Answer, Refusal> {
        check::reason(reason)?;
        let nai = check::any_nai("the subscriber", nai)?;
        let Some(known) = self.ledger.subscriber(nai.as_str()) else {
            return Err(Refusal::UnknownSubscriber(nai));
        };
        if known.state == SubscriberState::Revoked {
            return Err(Refusal::RevokedSubscriber(nai));
        }
        if dry_run {
            return Ok(Answer::WouldDo);
        }
        let mut subscriber = known.duplicate();
        subscriber.state = SubscriberState::Revoked;
        subscriber.key0 = Key::new([0; Key::LEN]);
        subscriber.retiring = None;
        subscriber.change = self.ledger.next_change();
        let (change, home_agent) = (subscriber.change, subscriber.home_agent);
        self.ledger.put_subscriber(subscriber);
        let associations = live.len() as u64;
        for grant in live {
            self.ledger.revoke_grant(grant, time);
        }
        self.remembered.drop_of(&nai);
        Ok(Answer::Revoked { change, associations, home_agent, whole: true })
    }

    /// Ends one association; `grant` is what the store has of it.
    pub(super) fn revoke_association(
        &mut self,
        id: u64,
        reason: &str,
        dry_run: bool,
        grant: Option<Grant>,
        time: u64,
    ) -> Result<Answer, Refusal> {
        check::reason(reason)?;
        let grant = grant.filter(|grant| grant.id == id).ok_or(Refusal::UnknownAssociation(id))?;
        if grant.revoked.is_some() {
            return Err(Refusal::AssociationOver { id, how: "revoked" });
        }
        if grant.ends <= time {
            return Err(Refusal::AssociationOver { id, how: "ended" });
        }
        if dry_run {
            return Ok(Answer::WouldDo);
        }
        // A grant's subscriber is never removed, so it is found.
        let known = self.ledger.subscriber(grant.nai.as_str());
        let mut subscriber = known.ok_or(Refusal::UnknownAssociation(id))?.duplicate();
        self.remembered.drop_of(&grant.nai);
        self.ledger.revoke_grant(grant, time);
        let change = self.ledger.next_change();
        let home_agent = subscriber.home_agent;
        subscriber.change = change;
        self.ledger.put_subscriber(subscriber);
        Ok(Answer::Revoked { change, associations: 1, home_agent, whole: false })
    }
}
