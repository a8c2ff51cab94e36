//! Mobile nodes without our extensions, by policy of each subscriber: RFC 5944 section 3.8 as written (docs/wire.md).
//!
//! The home address stands in clear, 32 is made with KEY 0 itself, replays are kept out by timestamps or nonces, and no
//! keys are made. Nothing here is ever taken from, or given to, a subscriber that is to use our extensions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use record::{Nai, Plain, Seen};
use sa::{Algorithm, Nonces, Replay, Transcript, Unverified, Verified, check_identification, check_nonce};
use sansio::Now;
use wire::{
    Error, Writer,
    mip::{
        code::Code,
        extension::{self, MN_HA_AUTHENTICATION},
        part::Parts,
        registration::{self, Identification, Request, ntp_seconds},
    },
};

use super::{
    CANDIDATES, HomeAgent, Known,
    answer::Repeated,
    intake::{Asked, Author, Denial},
    limits::ANSWERS,
    roster::Who,
};
use crate::{Event, EventKind, budget::Budget};

/// How many wrong 32 are answered at once for each foreign agent, and for all nodes without one together.
const BURST: u32 = 20;
/// And then one in this time.
const EVERY: Duration = Duration::from_millis(100);

/// What is remembered of them all.
#[derive(Default)]
pub(super) struct PlainNodes {
    refusals: BTreeMap<Option<usize>, Budget>,
    /// Whose use of HMAC-MD5 was told since the start.
    told: BTreeSet<Nai>,
}

/// What the answer to one of them needs.
pub(super) struct Clear {
    /// High half of the identification that answers, and that the next request needs: with nonces.
    nonce: Option<u32>,
    /// 131 of the request, which the reply repeats (RFC 2794 section 3).
    nai: Option<Vec<u8>>,
    /// 132 of the request, which the reply repeats to the agent (RFC 4721 section 3.4).
    pub(super) challenge: Option<Vec<u8>>,
}

impl Clear {
    fn of(parts: &Parts<'_>, nonce: Option<u32>) -> Self {
        let kept = |data: Option<&[u8]>| data.map(<[u8]>::to_vec);
        Self { nonce, nai: kept(parts.mobile.clear_nai), challenge: kept(parts.foreign.challenge) }
    }
}

/// The message and how it came.
type Arrival = (SocketAddrV4, (Option<usize>, bool));

impl Known {
    /// The nonce that the next request must bear. A node that never registered gets a random first one.
    fn expected_nonce(&mut self, random: u32) -> u32 {
        self.seen.get_or_insert(Identification::new(random, 0)).seconds()
    }

    /// False for what was seen of an earlier enrolment of this name with nonces. A time that passed lies no further
    /// ahead than the window, so that what lies beyond, under another KEY 0, was none.
    pub(super) fn compares(&self, seen: &Seen, unix_seconds: u64, window: u32) -> bool {
        let ahead = Identification(seen.identification).seconds().wrapping_sub(ntp_seconds(unix_seconds));
        let held = self.credentials.iter().any(|c| c.generation == seen.generation);
        held || i64::from(ahead.cast_signed()) <= i64::from(window)
    }

    /// True if this subscriber's replays are kept out by nonces.
    pub(super) fn has_nonces(&self) -> bool {
        self.subscriber.plain.is_some_and(|plain| plain.nonces)
    }
}

impl Asked {
    /// What the store records as this subscriber's last identification: with nonces the next one's high half.
    pub(super) fn recorded(&self) -> Identification {
        match self.clear.as_ref().and_then(|clear| clear.nonce) {
            Some(nonce) => Identification::new(nonce, self.identification.low()),
            None => self.identification,
        }
    }

    /// The request came from the home link itself, from a node without our extensions: it is answered there, whatever
    /// binding stands (RFC 5944 section 3.8.3.1).
    pub(super) fn plain_at_home(&self) -> bool {
        self.clear.is_some() && self.agent.is_none() && *self.source.ip() == self.home_address
    }
}

impl HomeAgent {
    /// A request that is no subscriber's with our extensions: perhaps one's without them.
    pub(super) fn take_plain(
        &mut self,
        fixed: Request,
        message: &Unverified<Parts<'_>>,
        arrival: Arrival,
        now: Now,
    ) {
        let (source, (_, relayed)) = arrival;
        let Some(author) = self.plain_author(message.peek(), now) else {
            self.proved_nothing(source, relayed, now);
            return self.discard("not authenticated", "unknown index, or 32 is wrong");
        };
        let known = self.known.of(&author.who);
        let credential = known.and_then(|k| k.credentials.iter().find(|c| c.generation == author.generation));
        let verified = credential.and_then(|c| c.plain.as_ref()).and_then(|plain| plain.verify(message));
        match verified {
            Some(parts) => self.plain_request(author, fixed, parts, arrival, now),
            None => {
                self.proved_nothing(source, relayed, now);
                self.plain_failed(author, fixed, message.peek(), arrival, now);
            }
        }
    }

    /// The subscriber that the index of 32 names. The key distribution centre gives an index once, so that there is
    /// one.
    fn plain_author(&self, parts: &Parts<'_>, now: Now) -> Option<Author> {
        let spi = parts.mobile_home.spi;
        self.names.numbers(spi).take(CANDIDATES).find_map(|number| {
            let known = self.known.numbered(number)?;
            let mut credentials = known.credentials.iter();
            let named = credentials.find(|c| {
                c.counts(now.unix.as_secs()) && c.plain.as_ref().is_some_and(|plain| plain.spi() == spi)
            })?;
            let who = Who { nai: known.subscriber.nai.clone(), number };
            Some(Author { who, generation: named.generation, index: 0, realm_seal: None })
        })
    }

    /// True if the index of 32 is that of a node without our extensions.
    pub(super) fn is_plain(&self, parts: &Parts<'_>, now: Now) -> bool {
        self.plain_author(parts, now).is_some()
    }

    /// 32 is wrong: code 131 if the agent that relayed is authentic, or if there is none (RFC 5944 section 3.8.2.1).
    fn plain_failed(
        &mut self,
        author: Author,
        fixed: Request,
        parts: &Parts<'_>,
        (source, (path, relayed)): Arrival,
        now: Now,
    ) {
        if path.is_some() && !relayed {
            return self.discard("not authenticated", "32 is wrong, and the agent proved nothing");
        }
        let budget = self.plain_nodes.refusals.entry(path);
        if !budget.or_insert_with(|| Budget::new(BURST, EVERY, now.mono)).take(now.mono) {
            return self.discard("not authenticated", "32 is wrong, too often to be answered");
        }
        let random = self.rng.u32();
        let Some(known) = self.known.of_mut(&author.who) else {
            return;
        };
        let nonce = known.has_nonces().then(|| known.expected_nonce(random));
        let t1 = Transcript::of_mobile(parts);
        let Some(mut asked) = self.asked(author, fixed, (parts, t1), source, path) else {
            return;
        };
        asked.clear = Some(Clear::of(parts, nonce));
        self.notify(Event::new(EventKind::Discarded, "32 of a mobile node without our extensions is wrong"));
        self.deny_again(&asked, Code::HA_MN_AUTHENTICATION, now);
    }

    fn plain_request(
        &mut self,
        author: Author,
        fixed: Request,
        parts: Verified<&Parts<'_>>,
        (source, (path, relayed)): Arrival,
        now: Now,
    ) {
        let who = author.who.clone();
        self.tell_of_md5(&who);
        let t1 = Transcript::of_mobile(&parts);
        let repeated = self.repeated(&who, &parts, (path, relayed), &t1, now);
        if repeated.is_none() && self.plain_in_progress(&who, fixed.identification) {
            return;
        }
        if matches!(repeated, Some(Repeated::Silence)) {
            return self.discard("repeated elsewhere", "an answered request came again from elsewhere");
        }
        if matches!(repeated, Some(Repeated::TooOften)) {
            return self.discard("repeated too often", "an answered request came again and again");
        }
        let Some(mut asked) = self.asked(author, fixed, (&parts, t1), source, path) else {
            return;
        };
        let random = self.rng.u32();
        let Some(known) = self.known.of_mut(&who) else {
            return;
        };
        let given = known.has_nonces().then(|| known.expected_nonce(random));
        asked.clear = Some(Clear::of(&parts, given));
        match repeated {
            Some(Repeated::Again(message)) => {
                self.count("repeated");
                let transmit = self.transmit(&asked, message);
                return self.outbox.send(transmit);
            }
            Some(_) => return self.deny_again(&asked, Code::HA_PROHIBITED, now),
            None => {}
        }
        if self.is_fresh(&who, fixed.identification, given, now)
            && let Err(why) = self.check_room(&asked, now)
        {
            return self.turn_away(&asked, why, now);
        }
        match self.plain_replay(&who, fixed.identification, given, now) {
            (Replay::Fresh, next) => {
                if let Some(clear) = &mut asked.clear {
                    clear.nonce = next;
                }
            }
            (replay, _) => {
                // What a replay with a timestamp asks for is told once; a nonce may have been lost on its way.
                let answered = self.known.of_mut(&who).is_some_and(|known| {
                    (given.is_some() || known.first_refusal(&t1)) && known.answers.take(ANSWERS, now.mono)
                });
                if answered {
                    self.mismatch(&asked, replay, now);
                } else {
                    self.discard("replayed", "an identification that was refused before");
                }
                return;
            }
        }
        match self.decide_plain(&mut asked, fixed, &parts, relayed) {
            Ok(()) if asked.lifetime == 0 => self.deregister(&asked, now),
            Ok(()) => match self.give_address(&mut asked) {
                Ok(()) => self.bind(asked, None, now),
                Err((code, _)) => self.deny(&asked, code, None, now),
            },
            Err((code, _)) => self.deny(&asked, code, None, now),
        }
    }

    /// Whether an identification would pass, without a change.
    fn is_fresh(&self, who: &Who, identification: Identification, given: Option<u32>, now: Now) -> bool {
        let seen = self.known.of(who).and_then(|known| known.seen);
        let window = self.config.timestamp_window;
        let replay = match given {
            Some(given) => check_nonce(identification, given),
            None => check_identification(identification, seen, now.unix.as_secs(), window),
        };
        replay == Replay::Fresh
    }

    /// Checks an identification; what passes counts as seen, and with nonces the next one is given.
    fn plain_replay(
        &mut self,
        who: &Who,
        identification: Identification,
        given: Option<u32>,
        now: Now,
    ) -> (Replay, Option<u32>) {
        let window = self.config.timestamp_window;
        let Some(known) = self.known.of_mut(who) else {
            return (Replay::NotAbove, None);
        };
        let Some(given) = given else {
            let replay = check_identification(identification, known.seen, now.unix.as_secs(), window);
            if replay == Replay::Fresh {
                known.seen = Some(identification);
            }
            return (replay, None);
        };
        let replay = check_nonce(identification, given);
        if replay != Replay::Fresh {
            return (replay, None);
        }
        let next = Nonces::of_key0(&known.subscriber.key0).after(given);
        known.seen = Some(Identification::new(next, identification.low()));
        (replay, Some(next))
    }

    /// True if this request waits for its commit: its low half does for recognition, whatever the high one becomes.
    fn plain_in_progress(&self, who: &Who, identification: Identification) -> bool {
        let low = identification.low();
        self.work.of(who).any(|waiting| waiting.low() == low)
    }

    fn decide_plain(
        &self,
        asked: &mut Asked,
        fixed: Request,
        parts: &Parts<'_>,
        relayed: bool,
    ) -> Result<(), Denial> {
        self.check_agent(asked, fixed, parts, relayed)?;
        self.check_form(fixed, parts)?;
        if parts.mobile.numbers.is_some() {
            // Who is to register in clear has nothing to say in our extensions.
            return Err((Code::HA_BAD_REQUEST, None));
        }
        // Who has none yet may ask for a certain one.
        let has_address = !asked.home_address.is_unspecified();
        let named = parts.mobile.clear_nai;
        if named.is_some_and(|name| name != asked.who.nai.as_str().as_bytes()) {
            return Err((Code::HA_PROHIBITED, None));
        }
        match fixed.home_address {
            // Without an address a node has to say who it is (RFC 2794 section 3).
            address if address.is_unspecified() && named.is_none() => Err((Code::HA_BAD_REQUEST, None)),
            address if ![Ipv4Addr::UNSPECIFIED, asked.home_address].contains(&address) && has_address => {
                Err((Code::HA_PROHIBITED, None))
            }
            _ => {
                self.check_encapsulation(asked, fixed, parts)?;
                self.check_limits(asked)
            }
        }
    }

    /// The mobile node's part of a reply: in clear, under KEY 0 itself.
    pub(super) fn clear_part(
        &self,
        asked: &Asked,
        clear: &Clear,
        fixed: registration::Reply,
    ) -> Result<Vec<u8>, Error> {
        let known = self.known.of(&asked.who).ok_or(Error::Value("subscriber"))?;
        let credential = known.credentials.iter().find(|c| c.generation == asked.generation);
        let association = credential.and_then(|c| c.plain.as_ref()).ok_or(Error::Value("KEY 0"))?;
        let high = clear.nonce.unwrap_or(fixed.identification.seconds());
        let home_address =
            if fixed.home_address.is_unspecified() { asked.home_address } else { fixed.home_address };
        let identification = Identification::new(high, fixed.identification.low());
        let mut w = Writer::with_capacity(128);
        registration::Reply { home_address, identification, ..fixed }.emit(&mut w);
        if let Some(nai) = &clear.nai {
            extension::put(&mut w, extension::MN_NAI, nai)?;
        }
        if let Some(udp) = asked.mobile_udp {
            udp.emit(&mut w);
        }
        association.sign(&mut w, MN_HA_AUTHENTICATION);
        Ok(w.into_bytes())
    }

    /// HMAC-MD5 is weak: each use is counted, and the operator told once for each subscriber.
    fn tell_of_md5(&mut self, who: &Who) {
        let nai = &who.nai;
        let plain = self.known.of(who).and_then(|known| known.subscriber.plain);
        if !plain.is_some_and(|plain| algorithm(plain) == Algorithm::HmacMd5) {
            return;
        }
        self.count("HMAC-MD5 used");
        if self.plain_nodes.told.insert(nai.clone()) {
            let text = format!("{nai} authenticates by HMAC-MD5, which is weak: replace its software");
            self.notify(Event::new(EventKind::WeakAlgorithm, text));
        }
    }
}

/// The algorithm that the policy of a subscriber allows: no other.
pub(super) const fn algorithm(plain: Plain) -> Algorithm {
    if plain.md5 { Algorithm::HmacMd5 } else { Algorithm::HmacSha256 }
}
