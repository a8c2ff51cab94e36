//! Renewals before their time (docs/wire.md section 14a): because the owner, the home agent or a foreign agent wants one.
//! The registration stands until the new one does.

use record::{Association, AssociationKind};
use sa::End;
use sansio::Now;
use wire::mip::{Spi, extension::MN_FA_AUTHENTICATION, notice::Message, ours::Numbers};

use super::{
    Effect, MobileNode,
    movement::{Attachment, Place},
    register::{Attempt, Purpose},
};
use crate::{Event, EventKind, notice};

impl MobileNode {
    /// Why nothing can be done with the association that receives under this index: there is none.
    fn unknown(&self, index: Spi) -> Option<String> {
        let known = self.associations().any(|association| association.inbound == index);
        (!known).then(|| format!("no association receives under index {index} here"))
    }

    /// The owner wants the registration ended whose association receives under this index.
    pub(super) fn delete(&mut self, index: Spi, now: Now) {
        match self.unknown(index) {
            Some(why) => self.outbox.effect(Effect::Deregistered(Err(why))),
            None => self.deregister(now),
        }
    }

    /// The owner wants the registration renewed whose association receives under this index.
    pub(super) fn renew(&mut self, index: Spi, now: Now) {
        if let Some(why) = self.unknown(index) {
            return self.outbox.effect(Effect::Renewed(Err(why)));
        }
        let away = self.attachment.as_mut().filter(|a| a.settled() && !a.target.is_home());
        let Some(a) = away else {
            let why = "there is no registration to renew".to_owned();
            return self.outbox.effect(Effect::Renewed(Err(why)));
        };
        match &a.attempt {
            Some(attempt) if attempt.purpose == Purpose::Deregister => {
                let why = "the registration is being given up".to_owned();
                return self.outbox.effect(Effect::Renewed(Err(why)));
            }
            // It is being renewed already.
            Some(_) => {}
            None => a.attempt = Some(Attempt::new(Purpose::Register, false, now)),
        }
        self.asked_to_renew = true;
    }

    /// Answers whoever asked to renew, once.
    pub(super) fn answer_renewal(&mut self, result: Result<(), String>) {
        if std::mem::take(&mut self.asked_to_renew) {
            self.outbox.effect(Effect::Renewed(result));
        }
    }

    /// A notice arrived, over a link or by the host.
    pub(super) fn noticed(&mut self, payload: &[u8], over_link: bool, now: Now) {
        if let Err(why) = self.take_notice(payload, over_link, now) {
            self.discard(why, format!("discarded a {why}"));
        }
    }

    fn take_notice(&mut self, payload: &[u8], over_link: bool, now: Now) -> Result<(), &'static str> {
        let message = Message::parse(payload).map_err(|_| "notice: malformed")?;
        let nothing = "notice: of no registration that we know";
        let a = self.attachment.as_mut().ok_or(nothing)?;
        let key = a.told_under(&message, over_link).ok_or(nothing)?;
        if !notice::verifies(key, End::First, &message) {
            return Err("notice: wrong authentication");
        }
        let ours = match self.config.numbers {
            Numbers::Vendor(vendor) => message.notice.vendor == vendor,
            Numbers::Experimental => true,
        };
        let coherent = message.notice.home_agent == self.config.home_agent
            && Some(message.notice.care_of) == a.care_of();
        if !ours || !coherent {
            return Err("notice: contradicts itself");
        }
        // Whoever is registering anew does what is wanted.
        if a.attempt.is_some() {
            return Ok(());
        }
        a.attempt = Some(Attempt::new(Purpose::Register, false, now));
        let whoever = if over_link { a.label() } else { "the home agent".to_owned() };
        let mut event =
            Event::new(EventKind::RenewalAsked, format!("{whoever} wants the registration renewed"));
        event.agent = a.agent_name().map(str::to_owned);
        self.count("renewals asked for");
        self.notify(event);
        Ok(())
    }
}

impl Attachment {
    /// The association of the registration in force that a notice comes under: KEY 3 over the link of its agent, KEY 1 to
    /// an address of our own.
    fn told_under(&self, message: &Message<'_>, over_link: bool) -> Option<&Association> {
        let kind = match (&self.place, over_link) {
            (Place::Agent(_), true) if message.kind == MN_FA_AUTHENTICATION => AssociationKind::Key3,
            (Place::CoLocated { .. }, false) => AssociationKind::Key1,
            _ => return None,
        };
        let held = &self.registration.as_ref()?.associations;
        held.iter().find(|a| (a.kind, a.inbound) == (kind, message.authentication.spi))
    }
}
