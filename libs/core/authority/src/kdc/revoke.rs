//! Ending subscribers and associations before their time.
//!
//! Every revocation gives its subscriber a new change number, also when only an association ends: that is how
//! home agents that were away learn of it.

use crypto::Key;
use record::{Nai, SubscriberState};

use super::{Answer, Kdc, Refusal, check};

impl Kdc {
    /// Ends a subscriber and all its associations. Its KEY 0 is overwritten, here and in the store.
    pub(super) fn revoke_subscriber(
        &mut self,
        nai: &str,
        reason: &str,
        dry_run: bool,
        time: u64,
    ) -> Result<Answer, Refusal> {
        check::reason(reason)?;
        let nai = check::any_nai("the subscriber", nai)?;
        let Some(known) = self.ledger.subscriber(&nai) else {
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
        let associations = self.revoke_grants_of(&nai, time);
        self.remembered.drop_of(&nai);
        Ok(Answer::Revoked { change, associations, home_agent, whole: true })
    }

    fn revoke_grants_of(&mut self, nai: &Nai, time: u64) -> u64 {
        let live = self.ledger.grants_of(nai, 0).filter(|g| g.revoked.is_none() && g.ends > time);
        let live: Vec<_> = live.cloned().collect();
        let count = live.len() as u64;
        for mut grant in live {
            grant.revoked = Some(time);
            self.ledger.put_grant(grant);
        }
        count
    }

    /// Ends one association.
    pub(super) fn revoke_association(
        &mut self,
        id: u64,
        reason: &str,
        dry_run: bool,
        time: u64,
    ) -> Result<Answer, Refusal> {
        check::reason(reason)?;
        let mut grant = self.ledger.grant(id).ok_or(Refusal::UnknownAssociation(id))?.clone();
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
        let known = self.ledger.subscriber(&grant.nai);
        let mut subscriber = known.ok_or(Refusal::UnknownAssociation(id))?.duplicate();
        grant.revoked = Some(time);
        self.remembered.drop_of(&grant.nai);
        self.ledger.put_grant(grant);
        let change = self.ledger.next_change();
        let home_agent = subscriber.home_agent;
        subscriber.change = change;
        self.ledger.put_subscriber(subscriber);
        Ok(Answer::Revoked { change, associations: 1, home_agent, whole: false })
    }
}
