//! What an accepting reply must hold before it counts (docs/wire.md).

use std::net::Ipv4Addr;

use record::{Association, AssociationKind, Nai};
use sa::{Verified, open_keys, sealed_plain};
use sansio::Now;
use wire::mip::{
    code::DetailCode,
    extension::UdpTunnelReply,
    ours::{ErrorDetail, ip_owner, parse_ip},
    part::{Held, Parts},
    registration::Reply,
};
use zeroize::Zeroizing;

use super::super::{MobileNode, register::Purpose, request::Sent};

/// What an accepting reply grants.
pub(super) struct Accepted {
    pub(super) associations: Vec<Association>,
    /// A UDP tunnel, and the seconds between keepalives that the home agent wants.
    pub(super) udp: Option<u16>,
}

/// Why a reply is refused although the home agent made it.
type Refusal = &'static str;

impl MobileNode {
    /// Checks everything and changes nothing.
    pub(super) fn open(
        &self,
        reply: &Reply,
        parts: &Verified<&Parts<'_>>,
        sent: &Sent,
        now: Now,
    ) -> Result<Accepted, Refusal> {
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
        self.check_address(reply, parts, sent)?;
        if sent.purpose == Purpose::Register {
            if reply.lifetime == 0 || reply.lifetime > sent.lifetime {
                return Err("its lifetime is not what was asked for");
            }
            let associations = self.open_associations(reply, parts, sent, now)?;
            let udp = self.open_udp(mobile.udp_reply.as_ref(), sent)?;
            Ok(Accepted { associations, udp })
        } else {
            if reply.lifetime != 0 || !mobile.associations.is_empty() {
                return Err("it answers a deregistration with a registration");
            }
            Ok(Accepted { associations: Vec::new(), udp: None })
        }
    }

    /// Opens what the home agent sealed for us, under our own index only.
    fn plain(&self, parts: &Parts<'_>, held: &Held<'_>, sent: &Sent) -> Option<Zeroizing<Vec<u8>>> {
        if held.protected.spi != self.keys.spi() {
            return None;
        }
        let key = self.keys.reply_key(&sent.transcript, None);
        sealed_plain(parts, held, self.keys.cipher(), &key).map(Zeroizing::new)
    }

    /// The address granted is ours: sealed away from home, in the fixed part at home.
    fn check_address(&self, reply: &Reply, parts: &Parts<'_>, sent: &Sent) -> Result<(), Refusal> {
        let home = self.config.home_address;
        let in_clear = if sent.purpose == Purpose::Return { home } else { Ipv4Addr::UNSPECIFIED };
        if reply.home_address != in_clear {
            return Err("its home address field is wrong");
        }
        let Some(held) = &parts.mobile.ip else {
            let needed = sent.purpose == Purpose::Register;
            return if needed { Err("it does not name the home address") } else { Ok(()) };
        };
        let plain = self.plain(parts, held, sent).ok_or("its home address cannot be opened")?;
        if held.protected.content != ip_owner::HOST || parse_ip(&plain) != Ok(home) {
            return Err("it grants another home address");
        }
        Ok(())
    }

    /// Exactly KEY 1, and KEY 3 if an agent was heard, with the right names.
    fn open_associations(
        &self,
        reply: &Reply,
        parts: &Parts<'_>,
        sent: &Sent,
        now: Now,
    ) -> Result<Vec<Association>, Refusal> {
        let (mut key1, mut key3) = (None, None);
        for held in &parts.mobile.associations {
            let plain = self.plain(parts, held, sent).ok_or("its keys cannot be opened")?;
            let info = open_keys(held.protected.content, &plain).map_err(|_| "its keys are malformed")?;
            if info.lifetime < reply.lifetime.into() {
                return Err("its keys end before the registration");
            }
            let slot = match info.kind {
                AssociationKind::Key1 => &mut key1,
                AssociationKind::Key3 => &mut key3,
                AssociationKind::Key2 => return Err("it has a key that is not for us"),
            };
            if slot.replace(info.into_association(now.unix.as_secs())).is_some() {
                return Err("it has a key twice");
            }
        }
        let key1 = key1.ok_or("it has no KEY 1")?;
        if key1.own != self.config.nai.as_str() || !self.home_agents_name(&key1.peer) {
            return Err("its KEY 1 names somebody else");
        }
        if key3.is_some() != sent.agent.is_some() {
            return Err("its KEY 3 does not fit how we registered");
        }
        if let Some(key3) = &key3
            && (Some(&key3.peer) != sent.agent.as_ref() || !self.visit_name(&key3.own))
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
        let plain = self.plain(parts, held, sent)?;
        let detail = ErrorDetail::parse(&plain).ok()?;
        let text = detail.text.chars().filter(|c| !c.is_control()).collect();
        Some((detail.code, text))
    }
}
