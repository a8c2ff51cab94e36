//! What a registration asks for beside the binding: the encapsulation of the tunnel, how packets are handed to a foreign
//! agent, and broadcasts (RFC 5944 section 3.6.1.2, RFC 3024 sections 3.3 and 5).
//!
//! Only what an agent advertises is asked of it. What it or the home agent refuses all the same is not asked again:
//! IP in IP and direct delivery show no more of the node.

use std::net::{Ipv4Addr, SocketAddrV4};

use forward::Peer;
use wire::mip::{PORT, advertisement::AgentFlags, registration::Flags};

use super::{
    Delivery, Encapsulation, MobileNode,
    discovery::Agent,
    movement::{Attachment, Place},
    register::Purpose,
};

/// Flags of a request, and whether 130 stands there.
pub(super) struct Wishes {
    pub(super) flags: Flags,
    pub(super) encapsulating: bool,
}

impl MobileNode {
    /// What a request for this purpose asks for.
    pub(super) fn wishes(&self, a: &Attachment, purpose: Purpose) -> Wishes {
        let registers = purpose == Purpose::Register;
        match &a.place {
            Place::Home { .. } => Wishes { flags: Flags(0), encapsulating: false },
            Place::Agent(agent) => self.wishes_through(a, agent, registers),
            Place::CoLocated { .. } => {
                let mut flags = Flags::DECAPSULATION | Flags::REVERSE_TUNNEL;
                if registers {
                    flags |= self.encapsulation_flag();
                    flags |= if self.config.broadcasts { Flags::BROADCAST } else { 0 };
                }
                Wishes { flags: Flags(flags), encapsulating: false }
            }
        }
    }

    fn wishes_through(&self, a: &Attachment, agent: &Agent, registers: bool) -> Wishes {
        let reverse = self.config.reverse_tunnel || a.force_reverse;
        let mut flags = if reverse { Flags::REVERSE_TUNNEL } else { 0 };
        if !registers {
            return Wishes { flags: Flags(flags), encapsulating: false };
        }
        let offered = match self.config.encapsulation {
            Encapsulation::IpInIp => 0,
            Encapsulation::Minimal => AgentFlags::MINIMAL,
            Encapsulation::Gre => AgentFlags::GRE,
        };
        if agent.flags.has(offered) && !a.plain_tunnel {
            flags |= self.encapsulation_flag();
        }
        // No flag offers 130 by itself; an agent with reverse tunnels should take it (RFC 3024 section 3.1).
        let wanted = self.config.broadcasts || self.config.delivery == Delivery::Encapsulating;
        let offered = reverse && agent.flags.has(AgentFlags::REVERSE_TUNNEL);
        let encapsulating = wanted && offered && !a.direct_delivery;
        if encapsulating && self.config.broadcasts {
            flags |= Flags::BROADCAST;
        }
        Wishes { flags: Flags(flags), encapsulating }
    }

    /// M or G, unless the home agent refused it not long ago.
    fn encapsulation_flag(&self) -> u8 {
        if self.refused_until.is_some() {
            return 0;
        }
        match self.config.encapsulation {
            Encapsulation::IpInIp => 0,
            Encapsulation::Minimal => Flags::MINIMAL,
            Encapsulation::Gre => Flags::GRE,
        }
    }
}

/// The tunnel of a co-located care-of address that an acceptance grants: a home agent that cannot give what was asked
/// for denies it (RFC 3024 section 4.1.2), but over UDP there is only IP in IP.
pub(super) const fn granted_tunnel(local: Ipv4Addr, remote: Ipv4Addr, udp: bool, flags: Flags) -> Peer {
    if udp {
        return Peer::Udp { remote: SocketAddrV4::new(remote, PORT) };
    }
    if flags.has(Flags::MINIMAL) {
        return Peer::Minimal { local, remote };
    }
    if flags.has(Flags::GRE) { Peer::Gre { local, remote } } else { Peer::IpInIp { local, remote } }
}
