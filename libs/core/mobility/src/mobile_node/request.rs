//! Building a registration request: the mobile node's part (docs/wire.md, RFC 5944 section 3.6.1).

use std::net::Ipv4Addr;

use sa::{Direction, Transcript, put_sealed};
use sansio::{Instant, LinkAddress};
use wire::{
    Error, Writer,
    mip::{
        extension::{
            self, MN_FA_CHALLENGE, MN_HA_AUTHENTICATION, MN_NAI, UdpTunnelRequest, open_authentication,
        },
        ours::{AgentHeard, Numbers, SealedLayer2, SealedNai, Subtype, ip_owner, layer_2, nai_owner},
        part::Parts,
        registration::{Flags, Identification, Request},
    },
};

use super::{MobileNode, register::Purpose};

/// What an accepted reply may answer: one of the last requests.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) purpose: Purpose,
    pub(super) identification: Identification,
    /// Where the reply is expected.
    pub(super) port: u16,
    pub(super) lifetime: u16,
    pub(super) at: Instant,
    /// T1, which the reply's seals depend on.
    pub(super) transcript: Transcript,
    /// Name of the agent that it named as heard.
    pub(super) agent: Option<String>,
    pub(super) challenge: Option<Vec<u8>>,
    pub(super) reverse_tunnel: bool,
    /// An unauthenticated denial was believed; a second one is not.
    pub(super) hinted: bool,
}

/// What differs from request to request.
pub(super) struct Draft {
    pub(super) flags: Flags,
    pub(super) lifetime: u16,
    /// Home address in clear, only on the home link.
    pub(super) home_address: Ipv4Addr,
    pub(super) care_of: Ipv4Addr,
    pub(super) identification: Identification,
    pub(super) link_address: LinkAddress,
    /// Name and challenge of the agent heard.
    pub(super) heard: Option<(String, Vec<u8>)>,
}

/// The enterprise number to parse by; type 127 needs none.
pub(super) const fn vendor(numbers: Numbers) -> u32 {
    match numbers {
        Numbers::Vendor(vendor) => vendor,
        Numbers::Experimental => 0,
    }
}

impl MobileNode {
    /// The bytes of a request and its T1.
    pub(super) fn build(&mut self, draft: &Draft) -> Result<(Vec<u8>, Transcript), Error> {
        let mut w = Writer::with_capacity(512);
        let fixed = Request {
            flags: draft.flags,
            lifetime: draft.lifetime,
            home_address: draft.home_address,
            home_agent: self.config.home_agent,
            care_of: draft.care_of,
            identification: draft.identification,
        };
        fixed.emit(&mut w);
        extension::put(&mut w, MN_NAI, format!("@{}", self.config.home_realm).as_bytes())?;
        self.seal_identity(&mut w, draft.link_address)?;
        let numbers = self.config.numbers;
        if let Some((agent, challenge)) = &draft.heard {
            AgentHeard { challenge, agent }.emit(&mut w, numbers)?;
        }
        if draft.flags.has(Flags::DECAPSULATION) {
            UdpTunnelRequest { forced: false, through_foreign_agent: false, encapsulation: 4 }.emit(&mut w);
        }
        open_authentication(&mut w, MN_HA_AUTHENTICATION, self.keys.spi(), 32);
        let authenticator = self.keys.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        if let Some((_, challenge)) = &draft.heard {
            extension::put(&mut w, MN_FA_CHALLENGE, challenge)?;
        }
        let bytes = w.into_bytes();
        let transcript = Transcript::of_mobile(&Parts::parse(&bytes, Request::LEN, vendor(numbers))?);
        Ok((bytes, transcript))
    }

    /// Name, home address and link address, each sealed.
    fn seal_identity(&mut self, w: &mut Writer, link_address: LinkAddress) -> Result<(), Error> {
        let name = SealedNai { index: 0, user: self.config.nai.user().to_owned() }.emit()?;
        let address = self.config.home_address.octets();
        let layer_2 = SealedLayer2 { kind: layer_2::ETHERNET, address: link_address.to_vec() }.emit()?;
        let extensions = [
            (Subtype::NAI, nai_owner::MOBILE_NODE, name.as_slice()),
            (Subtype::IP, ip_owner::HOST, &address),
            // The kind of address is inside the seal; outside it is always zero.
            (Subtype::LAYER_2, 0, layer_2.as_slice()),
        ];
        let sealing = (self.keys.cipher(), self.keys.request_key());
        for (subtype, content, plain) in extensions {
            let head = (subtype, content, self.keys.spi());
            put_sealed(w, Request::LEN, self.config.numbers, head, sealing, &mut self.rng, plain)?;
        }
        Ok(())
    }
}
