//! What beside plain IP in IP tunnels and direct delivery is offered (RFC 5944 section 3.7.2.1, RFC 3024 section
//! 4.2.1).

use record::{Tunnel, Visitor};
use wire::mip::{
    code::Code,
    registration::{Flags, Request},
};

use super::{Encapsulation, ForeignAgent};

impl ForeignAgent {
    /// Minimal encapsulation; over UDP there is only IP in IP.
    pub(super) fn offers_minimal(&self) -> bool {
        self.config.minimal && self.config.encapsulation == Encapsulation::IpInIp
    }

    /// GRE; over UDP there is only IP in IP.
    pub(super) fn offers_gre(&self) -> bool {
        self.config.gre && self.config.encapsulation == Encapsulation::IpInIp
    }

    /// Whether the tunnel and the style of delivery that a registration asks for are offered. `encapsulating` says
    /// that 130 stood in our part of it.
    pub(super) fn check_style(&self, request: &Request, encapsulating: bool) -> Result<(), Code> {
        let flags = request.flags;
        if flags.has(Flags::DECAPSULATION) {
            // The tunnel ends at the mobile node: what it carries is not ours to judge, and nothing is handed over.
            return if encapsulating { Err(Code::FA_DELIVERY_STYLE) } else { Ok(()) };
        }
        let offered = match (flags.has(Flags::MINIMAL), flags.has(Flags::GRE)) {
            (false, false) => true,
            (true, false) => self.offers_minimal(),
            (false, true) => self.offers_gre(),
            // The home agent would take one of them, and no reply says which.
            (true, true) => false,
        };
        if !offered {
            return Err(Code::FA_ENCAPSULATION);
        }
        if encapsulating && !self.config.encapsulating_delivery {
            return Err(Code::FA_DELIVERY_STYLE);
        }
        if encapsulating && !flags.has(Flags::REVERSE_TUNNEL) {
            return Err(Code::FA_BAD_REQUEST);
        }
        Ok(())
    }

    /// True if a visitor from before a restart would be granted the same today.
    pub(super) fn still_offers(&self, visitor: &Visitor) -> bool {
        let tunnel = match visitor.tunnel {
            Tunnel::Minimal(_) => self.offers_minimal(),
            Tunnel::Gre(_) => self.offers_gre(),
            Tunnel::IpInIp(_) | Tunnel::Udp(_) => true,
        };
        tunnel && (self.config.encapsulating_delivery || !visitor.encapsulating_delivery)
    }
}
