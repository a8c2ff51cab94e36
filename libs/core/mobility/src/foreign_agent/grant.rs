//! What an acceptance gives us: KEY 2, KEY 3 and the home address, sealed in the agent's part of the reply.

use std::{
    mem,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use record::{Association, AssociationKind, RevocationSupport, Tunnel, Visitor};
use sa::{KeyInfo, Transcript, Verified, negotiation::Ends, sealed_plain, take_key};
use sansio::Now;
use wire::mip::{
    PORT,
    code::Code,
    extension::UdpTunnelReply,
    ours::{ip_owner, parse_ip},
    part::Parts,
    registration::{Flags, Reply},
    revocation::Support,
};

use super::{
    Encapsulation, ForeignAgent, Home, Inform, negotiate::Unready, pending::Pending, reply::Done,
    visitors::Visiting,
};
use crate::changeover::Changeover;

/// Associations that a registration makes here: KEY 2 and KEY 3.
pub(super) const NEW: usize = 2;

impl ForeignAgent {
    /// The visitor that an accepted registration makes.
    pub(super) fn visit(
        &self,
        pending: &Pending,
        home: &Home,
        reply: &Reply,
        message: Verified<&Parts<'_>>,
        (done, now): (Option<Done>, Now),
    ) -> Result<Visiting, Unready> {
        let granted = open_grant(pending, home, &message).ok_or(Code::FA_BAD_REPLY)?;
        let [key2, key3] = granted.keys;
        let handle = pending.handle;
        let names = [&*key2.own, &*key3.own] == [self.config.nai.as_str(); 2] && *key2.peer == *home.nai;
        if !names || key2.inbound != handle.key2 || key3.inbound != handle.key3 {
            return Err(Code::FA_BAD_REPLY.into());
        }
        let agreed = Self::agreed_on(pending, &message, done)?;
        let relayed = Transcript(crypto::digest(&[&pending.relayed]));
        let made = |info: KeyInfo| {
            let (own, peer) = (Arc::clone(&info.own), Arc::clone(&info.peer));
            // We are the first in KEY 2 and the second in KEY 3.
            let (care_of, home_agent) = (self.config.care_of, pending.home_agent());
            let ends = match info.kind {
                AssociationKind::Key2 => Ends {
                    initiator: &own,
                    responder: &peer,
                    initiator_address: care_of,
                    responder_address: home_agent,
                },
                AssociationKind::Key1 | AssociationKind::Key3 => Ends {
                    initiator: &peer,
                    responder: &own,
                    initiator_address: granted.home_address,
                    responder_address: care_of,
                },
            };
            let added = agreed.own(info.kind, ends, (&home.path, &relayed)).ok_or(Code::FA_BAD_REPLY)?;
            let suite = agreed.suite(info.kind);
            info.into_association(suite, added, now.unix.as_secs()).ok_or(Code::FA_BAD_REPLY)
        };
        let associations = [made(key2)?, made(key3)?];
        if associations[0].key == associations[1].key {
            return Err(Code::FA_BAD_REPLY.into());
        }
        let mut visiting =
            self.visitor(pending, reply, granted.home_address, &message, associations.into(), now)?;
        self.take_associations(&mut visiting, now);
        Ok(visiting)
    }

    /// The visitor with this home address, of what the home agent said.
    pub(super) fn visitor(
        &self,
        pending: &Pending,
        reply: &Reply,
        address: Ipv4Addr,
        message: &Parts<'_>,
        associations: Vec<Association>,
        now: Now,
    ) -> Result<Visiting, Code> {
        let usable = !(address.is_unspecified()
            || address.is_broadcast()
            || address.is_multicast()
            || address.is_loopback());
        if !usable || self.is_local(address) || self.homes.contains_key(&address) {
            return Err(Code::FA_BAD_REPLY);
        }
        let home_agent = pending.home_agent();
        if self.visitors.find(address).is_some_and(|other| other.record.home_agent != home_agent) {
            // Two private networks with the same addresses: one visitor at a time.
            return Err(Code::FA_RESOURCES);
        }
        let granted_at = now.unix.as_secs();
        let request = &pending.asker.request;
        let record = Visitor {
            home_address: address,
            link: pending.asker.station.link.0,
            link_address: pending.asker.station.address,
            home_agent,
            care_of: self.config.care_of,
            tunnel: self.tunnel(home_agent, request.flags, message.foreign.udp_reply)?,
            reverse_tunnel: request.flags.has(Flags::REVERSE_TUNNEL),
            encapsulating_delivery: pending.encapsulating,
            broadcasts: request.flags.has(Flags::BROADCAST),
            revocation: message.foreign.revocation.map(|support| self.agreed(support)),
            lifetime: reply.lifetime,
            granted: granted_at,
            associations,
        };
        let ends = record.ends().map(|_| now.mono + Duration::from_secs(u64::from(record.lifetime)));
        Ok(Visiting {
            changeover: Changeover::default(),
            spender: Some(pending.spender),
            identification: Some(request.identification),
            ends,
            record,
        })
    }

    /// Revocation as agreed on: flag I counts only if we offered it.
    fn agreed(&self, support: Support) -> RevocationSupport {
        let inform = support.inform && self.config.inform == Inform::HomeAgentDecides;
        RevocationSupport { timestamp: support.timestamp, inform }
    }

    /// The tunnel that the home agent uses: UDP only if we asked for it and it agreed (RFC 3519 section 3.2). What the
    /// mobile node asked for otherwise is granted with the acceptance (RFC 3024 section 4.1.2).
    fn tunnel(
        &self,
        home_agent: Ipv4Addr,
        flags: Flags,
        reply: Option<UdpTunnelReply>,
    ) -> Result<Tunnel, Code> {
        match (self.config.encapsulation, reply) {
            (Encapsulation::IpInIp, Some(_)) => Err(Code::FA_BAD_REPLY),
            (Encapsulation::Udp, Some(reply)) if reply.tunnels() => {
                Ok(Tunnel::Udp(SocketAddrV4::new(home_agent, PORT)))
            }
            _ if flags.has(Flags::MINIMAL) => Ok(Tunnel::Minimal(home_agent)),
            _ if flags.has(Flags::GRE) => Ok(Tunnel::Gre(home_agent)),
            _ => Ok(Tunnel::IpInIp(home_agent)),
        }
    }

    /// Puts the associations of the visitor as it is known now before the new ones, made at `made`, of one that takes
    /// its place; true if that gives another list than stood there.
    pub(super) fn take_associations(&self, visiting: &mut Visiting, made: Now) -> bool {
        let record = &mut visiting.record;
        let stood = mem::take(&mut record.associations);
        if stood.is_empty() {
            // Without our extensions there are none, whoever had the address before.
            return false;
        }
        let known = self.visitors.find(record.home_address);
        let known = known.filter(|known| known.record.home_agent == record.home_agent);
        let (mut list, mut changeover) = known.map_or_else(Default::default, |known| {
            let list = known.record.associations.iter().map(Association::duplicate).collect();
            (list, known.changeover.clone())
        });
        let states = |list: &[Association]| {
            list.iter().map(|a| (a.inbound, a.confirmed, a.retires)).collect::<Vec<_>>()
        };
        let before = states(&stood);
        let new = stood.len().saturating_sub(NEW);
        changeover.add(&mut list, stood.into_iter().skip(new), made);
        let changed = states(&list) != before;
        (record.associations, visiting.changeover) = (list, changeover);
        changed
    }
}

/// What the home agent sealed for us.
struct Grant {
    /// KEY 2 and KEY 3.
    keys: [KeyInfo; 2],
    home_address: Ipv4Addr,
}

/// Opens KEY 2, KEY 3 and the home address in the agent's part. All three must be there, sealed, once, and
/// under the index of 34; and our key share must be answered where we offered one.
fn open_grant(pending: &Pending, home: &Home, message: &Parts<'_>) -> Option<Grant> {
    let exchange = match &pending.share {
        Some(value) => Some(home.shares.find(value)?.complete(message.foreign.key_share).ok()?),
        None => None,
    };
    // T2: the request as we sent it, through its 34 and so to its end.
    let t2 = Transcript(crypto::digest(&[&pending.relayed]));
    let key = home.path.reply_key(&t2, exchange.as_ref());
    let (spi, cipher) = (home.path.spi(), home.path.cipher());
    let part = &message.foreign;
    let ip = part.ip.filter(|ip| ip.protected.content == ip_owner::HOST && ip.protected.spi == spi)?;
    let home_address = parse_ip(&sealed_plain(message, &ip, cipher, &key)?).ok()?;
    let [first, second] = part.associations.as_slice() else {
        return None;
    };
    let mut keys = [first, second]
        .into_iter()
        .filter(|held| held.protected.spi == spi)
        .filter_map(|held| take_key(message, held, cipher, &key).ok())
        .collect::<Vec<_>>();
    keys.sort_by_key(|key| key.kind);
    let keys: [KeyInfo; 2] = keys.try_into().ok()?;
    let kinds = keys.each_ref().map(|key| key.kind);
    (kinds == [AssociationKind::Key2, AssociationKind::Key3]).then_some(Grant { keys, home_address })
}
