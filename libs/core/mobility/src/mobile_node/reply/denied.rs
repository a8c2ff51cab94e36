//! Denials: what each code makes us do (RFC 5944 sections 3.4 and 3.6.2.3, docs/wire.md).

use std::time::Duration;

use sa::Verified;
use sansio::Now;
use wire::mip::{
    code::{Code, DetailCode},
    part::Parts,
    registration::{Flags, Reply},
};

use super::super::{
    MobileNode,
    movement::ANEW,
    register::{LONGEST_WAIT, Purpose},
    request::Sent,
};
use crate::{Event, EventKind};

/// A foreign agent that takes only less than this is of no use: a hint must not make us renew all the time.
const LEAST_LIFETIME: u16 = 10;
/// Waits after a denial that time alone may heal.
const SOON: Duration = Duration::from_secs(2);
/// Waits after a denial that a person must heal.
const LATE: Duration = Duration::from_secs(10);
/// Longest wait between requests while a person must heal something.
const LATEST: Duration = Duration::from_secs(300);

/// For how long an encapsulation that the home agent does not give is not asked for.
const REFUSED: Duration = Duration::from_secs(600);

/// How an unauthenticated denial is taken.
enum Hint {
    /// Ask again for a shorter lifetime.
    Shorter(u16),
    /// Wait for a new challenge.
    NewChallenge,
    /// Ask again with a reverse tunnel.
    ReverseTunnel,
    /// Ask again for an IP in IP tunnel.
    PlainTunnel,
    /// Ask again without 130, and so without broadcasts.
    DirectDelivery,
    /// Ask again without 33, which the agent does not know any more.
    AsAtFirstContact,
    /// Ask again later; others are preferred for this many seconds.
    Later(u64),
    /// No use here; others are preferred for this many seconds.
    Elsewhere(u64),
}

fn hint(reply: &Reply, sent: &Sent) -> Hint {
    match reply.code {
        Code::FA_LIFETIME if (LEAST_LIFETIME..sent.lifetime).contains(&reply.lifetime) => {
            Hint::Shorter(reply.lifetime)
        }
        Code::FA_UNKNOWN_CHALLENGE | Code::FA_MISSING_CHALLENGE | Code::FA_STALE_CHALLENGE => {
            Hint::NewChallenge
        }
        Code::FA_MN_AUTHENTICATION if sent.proved => Hint::AsAtFirstContact,
        Code::FA_REVERSE_MANDATORY if !sent.flags.has(Flags::REVERSE_TUNNEL) => Hint::ReverseTunnel,
        Code::FA_ENCAPSULATION if wished_for_a_tunnel(sent) => Hint::PlainTunnel,
        Code::FA_DELIVERY_STYLE if sent.encapsulating => Hint::DirectDelivery,
        Code::FA_RESOURCES
        | Code::FA_TIMEOUT
        | Code::FA_HOME_NETWORK
        | Code::FA_HOME_AGENT_HOST
        | Code::FA_HOME_AGENT_PORT
        | Code::FA_HOME_AGENT_UNREACHABLE => Hint::Later(10),
        // Among them 96, 97 and 99: an agent that asks for our identity in clear never gets it.
        _ => Hint::Elsewhere(60),
    }
}

/// True if a request asked for something other than IP in IP.
const fn wished_for_a_tunnel(sent: &Sent) -> bool {
    sent.flags.has(Flags::MINIMAL) || sent.flags.has(Flags::GRE)
}

impl MobileNode {
    /// A foreign agent, or somebody on its link, says no.
    pub(super) fn hint(&mut self, reply: &Reply, sent: &mut Sent, now: Now) {
        let Some(a) = &self.attachment else { return };
        // One reaction to one request; the request itself stays answerable by the home agent.
        if std::mem::replace(&mut sent.hinted, true) {
            return;
        }
        let (target, soonest) = (a.target, self.not_before);
        let agent = a.agent_name().map(str::to_owned);
        self.tell_denied(reply, agent, reply.code.to_string());
        let Some(a) = &mut self.attachment else { return };
        let hint = hint(reply, sent);
        let any = matches!(hint, Hint::AsAtFirstContact);
        let Some(attempt) = a.attempt.as_mut().filter(|t| any || t.purpose == Purpose::Register) else {
            return;
        };
        match hint {
            Hint::Shorter(most) => {
                a.most = most;
                attempt.next = soonest;
            }
            Hint::NewChallenge => {
                a.spent.clone_from(&sent.challenge);
                // The next advertisement is what helps; asking again with the same challenge does not.
                attempt.rest(SOON, now);
                self.solicit_soon(target.link(), now);
            }
            Hint::ReverseTunnel => {
                a.force_reverse = true;
                attempt.next = soonest;
            }
            // Neither shows more of us than what was asked for first.
            Hint::PlainTunnel => {
                a.plain_tunnel = true;
                attempt.next = soonest;
            }
            Hint::DirectDelivery => {
                a.direct_delivery = true;
                attempt.next = soonest;
            }
            Hint::AsAtFirstContact => {
                // Anybody could make us do this, so it is done once a minute at most.
                if a.last_anew.is_none_or(|last| last + ANEW <= now.mono) {
                    a.last_anew = Some(now.mono);
                    a.first_contact = true;
                    // The agent does answer: what was asked before counts no more, a deregistration is not given up.
                    attempt.sends = 0;
                    attempt.next = soonest;
                } else {
                    attempt.rest(SOON, now);
                }
            }
            Hint::Later(seconds) => {
                attempt.rest(SOON, now);
                self.avoid(target, seconds, now);
            }
            Hint::Elsewhere(seconds) => {
                attempt.back_off(LATE, LATEST, now);
                self.avoid(target, seconds, now);
            }
        }
    }

    /// Code 133 under the home agent's authenticator: its time is in the high half of the identification.
    pub(super) fn learn_time(&mut self, reply: &Reply, now: Now) {
        let home = reply.identification.seconds();
        self.clock.learn(home, now);
        let offset = self.clock.offset();
        let text = match self.clock.fallen_behind(home) {
            Some(behind) => format!(
                "the home agent's clock is {behind} s behind a request that it accepted; it takes no other until it has \
                 caught up, or is set right"
            ),
            None => format!("the home agent's clock is {offset} s ahead of ours; registering by its time"),
        };
        let agent = self.status().agent.map(str::to_owned);
        self.tell_denied(reply, agent, text);
        if let Some(attempt) = self.attachment.as_mut().and_then(|a| a.attempt.as_mut()) {
            if attempt.resynchronised {
                attempt.back_off(SOON, LONGEST_WAIT, now);
            } else {
                attempt.resynchronised = true;
                attempt.at_once = true;
                attempt.next = now.mono;
            }
        }
        self.persist();
    }

    /// The home agent says no, for any other reason than our clock.
    pub(super) fn denied(&mut self, reply: &Reply, parts: &Verified<&Parts<'_>>, sent: &Sent, now: Now) {
        let detail = self.open_detail(parts, sent);
        let why = match &detail {
            Some((code, text)) if text.is_empty() || text == code.meaning() => {
                format!("{} ({})", reply.code, code.meaning())
            }
            Some((code, text)) => format!("{} ({}: {text})", reply.code, code.meaning()),
            None => reply.code.to_string(),
        };
        self.tell_denied(reply, sent.agent.clone(), why.clone());
        if sent.purpose == Purpose::Deregister {
            if let Some(a) = &mut self.attachment {
                a.attempt = None;
            }
            self.answer_deregistration(Err(why));
            return;
        }
        let code = detail.map(|(code, _)| code);
        let passing = matches!(reply.code, Code::HA_RESOURCES)
            || matches!(code, Some(DetailCode::KDC_UNAVAILABLE | DetailCode::COUNTER_PROPOSAL));
        let about_agent = matches!(reply.code, Code::HA_FA_AUTHENTICATION | Code::HA_VENDOR_FROM_FA)
            || matches!(
                code,
                Some(DetailCode::ROAMING_POLICY | DetailCode::AGENT_MISMATCH | DetailCode::PATH_NOT_SECURED)
            );
        let asks_back = code == Some(DetailCode::COUNTER_PROPOSAL) && sent.purpose == Purpose::Register;
        if asks_back && self.asked_back(parts, sent) || self.asks_for_less(reply, sent) {
            return self.ask_soon();
        }
        if matches!(code, Some(DetailCode::NO_PROPOSAL | DetailCode::ROUNDS_EXHAUSTED)) {
            if let Some(a) = &mut self.attachment {
                a.talk = None;
            }
            // Whoever does not know of the rounds before lost his memory: from the beginning again.
            let went_on = sent.offered.as_ref().is_some_and(|offered| offered.over() > 0);
            if went_on && code == Some(DetailCode::NO_PROPOSAL) {
                return self.ask_soon();
            }
        }
        self.answer_renewal(Err(why));
        let plainer = reply.code == Code::HA_ENCAPSULATION && wished_for_a_tunnel(sent);
        if plainer {
            self.refused_until = Some(now.mono + REFUSED);
        }
        let Some(a) = &mut self.attachment else { return };
        let target = a.target;
        if let Some(attempt) = a.attempt.as_mut().filter(|_| plainer) {
            attempt.next = now.mono;
        } else if let Some(attempt) = &mut a.attempt {
            let (least, longest) = if passing { (SOON, LONGEST_WAIT) } else { (LATE, LATEST) };
            attempt.back_off(least, longest, now);
        }
        if about_agent && sent.agent.is_some() {
            self.avoid(target, 60, now);
        }
    }

    /// Denials that heal at once if the next request asks for less: for this binding alone, or for any home address in
    /// place of the one that was assigned. True if that was one of them.
    fn asks_for_less(&mut self, reply: &Reply, sent: &Sent) -> bool {
        let assigned = self.assigned().is_some_and(|address| !address.is_unspecified());
        let wanted = sent.wanted;
        let Some(a) = self.attachment.as_mut().filter(|_| sent.purpose == Purpose::Register) else {
            return false;
        };
        match reply.code {
            Code::HA_TOO_MANY_BINDINGS if sent.flags.has(Flags::SIMULTANEOUS) && !a.alone => a.alone = true,
            Code::HA_PROHIBITED if assigned && !wanted.is_unspecified() && !self.ask_any => {
                self.ask_any = true;
            }
            _ => return false,
        }
        true
    }

    /// The next request leaves as soon as one may.
    fn ask_soon(&mut self) {
        let soonest = self.not_before;
        if let Some(attempt) = self.attachment.as_mut().and_then(|a| a.attempt.as_mut()) {
            attempt.next = soonest;
        }
    }

    fn tell_denied(&mut self, reply: &Reply, agent: Option<String>, why: String) {
        self.count(format!("code {}", reply.code.0));
        let mut event = Event::new(EventKind::Denied, why).of(reply.identification);
        event.agent = agent;
        event.code = Some(reply.code.0);
        self.notify(event);
    }
}
