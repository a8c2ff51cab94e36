//! What an accepting reply must hold before it counts (docs/wire.md).

use std::net::Ipv4Addr;

use crypto::{Cipher, Key};
use record::{Association, AssociationKind, Nai};
use sa::{Authenticator, End, Exchange, ShareError, Verified, open_keys, sealed_plain};
use sansio::Now;
use wire::mip::{
    Spi,
    code::DetailCode,
    extension::{Authentication, UdpTunnelReply},
    ours::{ErrorDetail, SealedNai, ip_owner, nai_owner, parse_ip},
    part::{Held, Parts},
    registration::Reply,
};
use zeroize::Zeroizing;

use super::super::{MobileNode, naming::Naming, negotiate::Agreed, register::Purpose, request::Sent};

/// What an accepting reply grants.
pub(super) struct Accepted<'m> {
    pub(super) associations: Vec<Association>,
    /// A UDP tunnel, and the seconds between keepalives that the home agent wants.
    pub(super) udp: Option<u16>,
    /// The one-time index that the home agent counts from now.
    pub(super) counts_from: Option<u64>,
    /// The home agent takes part in revocations: its clock.
    pub(super) revocable: Option<u32>,
    /// The home address, as it was or newly assigned.
    pub(super) home_address: Ipv4Addr,
    /// The agent's next challenge, under KEY 3.
    pub(super) challenge: Option<&'m [u8]>,
}

/// Why a reply is refused although the home agent made it.
type Refusal = &'static str;

/// Opens what the home agent sealed for us in one reply, under the index of the request only.
struct Opener {
    spi: Spi,
    cipher: Cipher,
    key: Key,
}

impl Opener {
    fn plain(&self, parts: &Parts<'_>, held: &Held<'_>) -> Option<Zeroizing<Vec<u8>>> {
        if held.protected.spi != self.spi {
            return None;
        }
        sealed_plain(parts, held, self.cipher, &self.key).map(Zeroizing::new)
    }
}

/// True if 33 of this message was made by the other end of `key3`, and nothing follows it.
fn vouches(key3: &Association, claim: &Authentication<'_>, parts: &Parts<'_>) -> bool {
    let key3 = Authenticator::receiving(key3, End::First);
    claim.spi == key3.spi()
        && parts.bytes.len() == claim.covered + claim.authenticator.len()
        && key3.verify(parts.covered(claim), claim.authenticator)
}

/// The challenge of a message whose 33 was right, if it can be used.
fn next_challenge<'a>(parts: &Parts<'a>) -> Option<&'a [u8]> {
    parts.foreign.challenge.filter(|c| (4..=32).contains(&c.len()))
}

impl MobileNode {
    /// Checks everything and changes nothing.
    pub(super) fn open<'m>(
        &self,
        reply: &Reply,
        parts: &Verified<&Parts<'m>>,
        sent: &Sent,
        now: Now,
    ) -> Result<Accepted<'m>, Refusal> {
        if reply.identification != sent.identification {
            return Err("its identification is not that of the request");
        }
        let mobile = &parts.mobile;
        if !mobile.understood() || mobile.numbers.is_some_and(|n| n != self.config.numbers) {
            return Err("it has extensions that are not understood");
        }
        let realm = format!("@{}", self.config.home_realm);
        if mobile.clear_nai.is_some_and(|n| n != realm.as_bytes()) {
            return Err("it is for another realm");
        }
        if sent.purpose != Purpose::Register {
            return self.open_farewell(reply, parts, sent);
        }
        if reply.lifetime == 0 || reply.lifetime > sent.lifetime {
            return Err("its lifetime is not what was asked for");
        }
        let exchange = self.complete(parts, sent)?;
        let opener = self.opener(sent, exchange.as_ref());
        let home_address = self.granted_address(reply, parts, sent, &opener)?;
        let counts_from = self.counts_from(parts, sent, &opener);
        if matches!(sent.naming, Naming::Realm(_)) && counts_from.is_none() {
            return Err("it does not say what the home agent counts from");
        }
        let mut associations = self.open_associations(reply, parts, sent, (&opener, home_address), now)?;
        let udp = self.open_udp(mobile.udp_reply.as_ref(), sent)?;
        let challenge = if sent.agent.is_some() {
            let key3 = associations.iter_mut().find(|a| a.kind == AssociationKind::Key3);
            let key3 = key3.ok_or("it has no KEY 3")?;
            let claim = parts.foreign.mobile_foreign.ok_or("its agent did not authenticate it")?;
            if !vouches(key3, &claim, parts) {
                return Err("its agent's authenticator is wrong");
            }
            key3.confirmed = true;
            next_challenge(parts)
        } else {
            None
        };
        let revocable = mobile.revocation.filter(|_| sent.revocable).map(|support| support.timestamp);
        Ok(Accepted { associations, udp, counts_from, revocable, home_address, challenge })
    }

    /// The answer to a deregistration: no keys, and no share.
    fn open_farewell<'m>(
        &self,
        reply: &Reply,
        parts: &Verified<&Parts<'m>>,
        sent: &Sent,
    ) -> Result<Accepted<'m>, Refusal> {
        if reply.lifetime != 0 || !parts.mobile.associations.is_empty() || parts.mobile.key_share.is_some() {
            return Err("it answers a deregistration with a registration");
        }
        let opener = self.opener(sent, None);
        let home_address = self.granted_address(reply, parts, sent, &opener)?;
        let challenge = self.relayed(parts, sent)?;
        let counts_from = self.counts_from(parts, sent, &opener);
        Ok(Accepted {
            associations: Vec::new(),
            udp: None,
            counts_from,
            revocable: None,
            home_address,
            challenge,
        })
    }

    /// The exchange of key shares that this acceptance completes.
    fn complete(&self, parts: &Parts<'_>, sent: &Sent) -> Result<Option<Exchange>, Refusal> {
        match (&sent.offer, parts.mobile.key_share) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("it answers a key share that was not offered"),
            (Some(_), None) if self.config.no_fs => Ok(None),
            (Some(offer), share) => offer.complete(share).map(Some).map_err(|error| match error {
                ShareError::Missing => "it has no key share",
                ShareError::Refused => "its key share does not serve",
            }),
        }
    }

    fn opener(&self, sent: &Sent, exchange: Option<&Exchange>) -> Opener {
        let key = self.keys.reply_key(&sent.transcript, exchange);
        Opener { spi: sent.spi, cipher: self.keys.cipher(), key }
    }

    /// What the home agent counts one-time indices from, as it tells after a request by the realm's key.
    fn counts_from(&self, parts: &Parts<'_>, sent: &Sent, opener: &Opener) -> Option<u64> {
        let Naming::Realm(_) = sent.naming else {
            return None;
        };
        let held = parts.mobile.nai.as_ref().filter(|h| h.protected.content == nai_owner::MOBILE_NODE)?;
        let name = SealedNai::parse(&opener.plain(parts, held)?).ok()?;
        let ours = name.user == self.config.nai.user();
        (ours && name.index >= self.names.confirmed().max(1)).then_some(name.index)
    }

    /// A denial tells it too.
    pub(super) fn denial_counts_from(&self, parts: &Verified<&Parts<'_>>, sent: &Sent) -> Option<u64> {
        self.counts_from(parts, sent, &self.opener(sent, None))
    }

    /// The agent that relayed a reply without keys may authenticate it under a KEY 3 from before: if we hold that one,
    /// it must be right, and then the next challenge counts. Nothing tells whether another one is.
    pub(super) fn relayed<'m>(
        &self,
        parts: &Verified<&Parts<'m>>,
        sent: &Sent,
    ) -> Result<Option<&'m [u8]>, Refusal> {
        let claim = parts.foreign.mobile_foreign.filter(|_| sent.agent.is_some());
        let held = self.attachment.iter().flat_map(|a| a.receivable_key3());
        let Some((claim, key3)) =
            claim.and_then(|c| held.into_iter().find(|k| k.inbound == c.spi).map(|k| (c, k)))
        else {
            return Ok(None);
        };
        if vouches(key3, &claim, parts) {
            Ok(next_challenge(parts))
        } else {
            Err("its agent's authenticator is wrong")
        }
    }

    /// The address granted: the one asked for, or any that a host can have if any was asked for; sealed away from home,
    /// in the fixed part at home.
    fn granted_address(
        &self,
        reply: &Reply,
        parts: &Parts<'_>,
        sent: &Sent,
        opener: &Opener,
    ) -> Result<Ipv4Addr, Refusal> {
        let home = self.home_address;
        let in_clear = if sent.purpose == Purpose::Return { home } else { Ipv4Addr::UNSPECIFIED };
        if reply.home_address != in_clear {
            return Err("its home address field is wrong");
        }
        let Some(held) = &parts.mobile.ip else {
            let needed = sent.purpose == Purpose::Register;
            return if needed { Err("it does not name the home address") } else { Ok(home) };
        };
        let plain = opener.plain(parts, held).ok_or("its home address cannot be opened")?;
        let any = sent.wanted.is_unspecified() && sent.purpose == Purpose::Register;
        let granted = parse_ip(&plain).ok().filter(|_| held.protected.content == ip_owner::HOST);
        let right = |address: &Ipv4Addr| if any { self.can_be_home(*address) } else { *address == home };
        granted.filter(right).ok_or("it grants another home address")
    }

    /// An address that our home agent could give us.
    fn can_be_home(&self, address: Ipv4Addr) -> bool {
        super::super::discovery::host(address) && address != self.config.home_agent
    }

    /// Exactly KEY 1, and KEY 3 if an agent was heard, with the right names.
    fn open_associations(
        &self,
        reply: &Reply,
        parts: &Parts<'_>,
        sent: &Sent,
        (opener, home_address): (&Opener, Ipv4Addr),
        now: Now,
    ) -> Result<Vec<Association>, Refusal> {
        let agreed = Agreed::of(parts, sent)?;
        let (mut key1, mut key3) = (None, None);
        for held in &parts.mobile.associations {
            let plain = opener.plain(parts, held).ok_or("its keys cannot be opened")?;
            let info = open_keys(held.protected.content, &plain).map_err(|_| "its keys are malformed")?;
            if info.lifetime < reply.lifetime.into() {
                return Err("its keys end before the registration");
            }
            let slot = match info.kind {
                AssociationKind::Key1 => &mut key1,
                AssociationKind::Key3 => &mut key3,
                AssociationKind::Key2 => return Err("it has a key that is not for us"),
            };
            let other = if info.kind == AssociationKind::Key1 { reply.home_agent } else { sent.care_of };
            let by = (&self.keys, &sent.transcript);
            let association = agreed.associate(info, by, (home_address, other), now.unix.as_secs());
            let association = association.ok_or("its keys are not of the suite that was agreed on")?;
            if slot.replace(association).is_some() {
                return Err("it has a key twice");
            }
        }
        let key1 = key1.ok_or("it has no KEY 1")?;
        if *key1.own != *self.config.nai.as_str() || !self.home_agents_name(&key1.peer) {
            return Err("its KEY 1 names somebody else");
        }
        if key3.is_some() != sent.agent.is_some() {
            return Err("its KEY 3 does not fit how we registered");
        }
        if let Some(key3) = &key3
            && (Some(&*key3.peer) != sent.agent.as_deref() || !self.visit_name(&key3.own))
        {
            return Err("its KEY 3 is for another agent");
        }
        Ok([Some(key1), key3].into_iter().flatten().collect())
    }

    /// Our home agent is of our home realm, and is not us.
    fn home_agents_name(&self, name: &str) -> bool {
        let realm = Nai::parse(name).is_ok_and(|n| n.realm() == self.config.home_realm);
        realm && name != self.config.nai.as_str()
    }

    /// A name made for this visit: of our home realm, and not our own.
    fn visit_name(&self, name: &str) -> bool {
        self.home_agents_name(name)
    }

    fn open_udp(&self, reply: Option<&UdpTunnelReply>, sent: &Sent) -> Result<Option<u16>, Refusal> {
        match reply {
            // Only a co-located registration asks, so nothing else is answered (RFC 3519 section 4.4).
            Some(_) if sent.agent.is_some() => Err("it answers what was not asked"),
            Some(r) if r.tunnels() => Ok(Some(r.keepalive)),
            Some(_) | None => Ok(None),
        }
    }

    /// The home agent's sentence in a denial, if it opens.
    pub(super) fn open_detail(&self, parts: &Parts<'_>, sent: &Sent) -> Option<(DetailCode, String)> {
        let held = parts.mobile.error_detail.as_ref()?;
        let plain = self.opener(sent, None).plain(parts, held)?;
        let detail = ErrorDetail::parse(&plain).ok()?;
        let text = detail.text.chars().filter(|c| !c.is_control()).collect();
        Some((detail.code, text))
    }
}
