//! Building a registration request: the mobile node's part (docs/wire.md, RFC 5944 section 3.6.1).

use std::net::Ipv4Addr;

use crypto::{Cipher, Key};
use sa::{
    Authenticator, Direction, Offer, Transcript,
    negotiation::{Offered, Talk},
    put_sealed,
};
use sansio::{Instant, LinkAddress};
use wire::{
    Error, Writer,
    mip::{
        Spi,
        extension::{
            self, DELIVERY_STYLE, MN_FA_AUTHENTICATION, MN_FA_CHALLENGE, MN_HA_AUTHENTICATION, MN_NAI,
            UdpTunnelRequest, open_authentication,
        },
        ours::{self, AgentHeard, Numbers, SealedLayer2, SealedNai, Subtype, ip_owner, layer_2, nai_owner},
        part::Parts,
        registration::{Flags, Identification, Request},
        revocation::Support,
    },
};

use super::{MobileNode, naming::Naming, register::Purpose};

/// What an accepted reply may answer: one of the last requests.
pub(super) struct Sent {
    pub(super) purpose: Purpose,
    pub(super) identification: Identification,
    /// Where the reply is expected.
    pub(super) port: u16,
    pub(super) lifetime: u16,
    pub(super) at: Instant,
    pub(super) naming: Naming,
    /// Index of 32 and of all that is sealed, there and back.
    pub(super) spi: Spi,
    /// T1, which the reply's seals depend on.
    pub(super) transcript: Transcript,
    /// The key share, whose secret is wiped with this.
    pub(super) offer: Option<Offer>,
    /// Name of the agent that it named as heard.
    pub(super) agent: Option<String>,
    pub(super) challenge: Option<Vec<u8>>,
    pub(super) flags: Flags,
    /// 130 stood there.
    pub(super) encapsulating: bool,
    /// It carried 137.
    pub(super) revocable: bool,
    /// The home address that it asked for; 0.0.0.0 for any.
    pub(super) wanted: Ipv4Addr,
    /// It carried 33.
    pub(super) proved: bool,
    /// An unauthenticated denial was believed; a second one is not.
    pub(super) hinted: bool,
    /// What it offered for associations.
    pub(super) offered: Option<Offered>,
    pub(super) care_of: Ipv4Addr,
    /// Its bytes, if the home agent may ask for them again with a cookie.
    pub(super) repeatable: Option<Vec<u8>>,
    /// Cookies that it was repeated with.
    pub(super) cookies: u8,
}

/// What differs from request to request.
pub(super) struct Draft {
    pub(super) flags: Flags,
    pub(super) lifetime: u16,
    /// Home address in clear, only on the home link.
    pub(super) home_address: Ipv4Addr,
    /// Home address that is asked for, always sealed; 0.0.0.0 for any.
    pub(super) wanted: Ipv4Addr,
    pub(super) care_of: Ipv4Addr,
    pub(super) identification: Identification,
    pub(super) link_address: LinkAddress,
    pub(super) naming: Naming,
    /// 130: packets will be handed over encapsulated.
    pub(super) encapsulating: bool,
    /// Our clock in 137, with an address of our own: the home agent may revoke the registration.
    pub(super) revocation: Option<u32>,
    /// Name and challenge of the agent heard.
    pub(super) heard: Option<(String, Vec<u8>)>,
    /// What is offered for associations.
    pub(super) talk: Talk,
    /// Makes 33, if the agent has KEY 3.
    pub(super) proof: Option<Authenticator>,
}

/// A request ready to be sent.
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    pub(super) transcript: Transcript,
    pub(super) offer: Option<Offer>,
    pub(super) offered: Option<Offered>,
    pub(super) spi: Spi,
}

/// What seals the identity in a request.
struct Sealing {
    spi: Spi,
    /// Number that the sealed NAI carries.
    index: u64,
    cipher: Cipher,
    key: Key,
}

/// The enterprise number to parse by; type 127 needs none.
pub(super) const fn vendor(numbers: Numbers) -> u32 {
    match numbers {
        Numbers::Vendor(vendor) => vendor,
        Numbers::Experimental => 0,
    }
}

impl MobileNode {
    /// The bytes of a request, its T1 and its key share.
    pub(super) fn build(&mut self, draft: &Draft) -> Result<Built, Error> {
        let by_realm = matches!(draft.naming, Naming::Realm(_));
        // Without a share nothing could be sealed by the realm's key. At home there are no keys to come.
        let wanted = !self.config.no_fs && draft.home_address.is_unspecified();
        let offer = (by_realm || wanted).then(|| Offer::new(&mut self.rng));
        let sealing = self.sealing(draft.naming, offer.as_ref()).ok_or(Error::Value("realm key"))?;
        let mut w = Writer::with_capacity(640);
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
        self.seal_identity(&mut w, draft.wanted, draft.link_address, &sealing)?;
        let numbers = self.config.numbers;
        if let Some((agent, challenge)) = &draft.heard {
            AgentHeard { challenge, agent }.emit(&mut w, numbers)?;
        }
        if let Some(offer) = &offer {
            offer.emit(&mut w, numbers)?;
        }
        let offered = draft.talk.offer(&mut self.rng);
        if let Some(offered) = &offered {
            ours::put(&mut w, numbers, Subtype::NEGOTIATION, offered.body())?;
        }
        if let Some(timestamp) = draft.revocation {
            Support { inform: false, timestamp }.emit(&mut w);
        }
        if draft.flags.has(Flags::DECAPSULATION) {
            UdpTunnelRequest { forced: false, through_foreign_agent: false, encapsulation: 4 }.emit(&mut w);
        }
        open_authentication(&mut w, MN_HA_AUTHENTICATION, sealing.spi, 32);
        let authenticator = self.keys.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        if draft.encapsulating {
            extension::put(&mut w, DELIVERY_STYLE, &[])?;
        }
        if let Some((_, challenge)) = &draft.heard {
            extension::put(&mut w, MN_FA_CHALLENGE, challenge)?;
        }
        if let Some(proof) = &draft.proof {
            open_authentication(&mut w, MN_FA_AUTHENTICATION, proof.spi(), 32);
            let authenticator = proof.authenticate(w.bytes());
            w.put(&authenticator);
        }
        let bytes = w.into_bytes();
        let transcript = Transcript::of_mobile(&Parts::parse(&bytes, Request::LEN, vendor(numbers))?);
        Ok(Built { bytes, transcript, offer, offered, spi: sealing.spi })
    }

    /// Index and key for a request that is named so; `None` if the realm key does not serve.
    fn sealing(&self, naming: Naming, offer: Option<&Offer>) -> Option<Sealing> {
        let own = |spi, index| Sealing {
            spi,
            index,
            cipher: self.keys.cipher(),
            key: self.keys.request_key().duplicate(),
        };
        match naming {
            Naming::Static => Some(own(self.keys.spi(), 0)),
            Naming::OneTime(n) => Some(own(self.keys.one_time_spi(n), n)),
            Naming::Realm(at) => {
                let (spi, public) = self.names.realm_key(at)?;
                let key = offer?.realm_key(public, &self.config.home_realm)?;
                Some(Sealing { spi: *spi, index: self.names.highest(), cipher: Cipher::Aes256Gcm, key })
            }
        }
    }

    /// Name, home address and link address, each sealed.
    fn seal_identity(
        &mut self,
        w: &mut Writer,
        wanted: Ipv4Addr,
        link_address: LinkAddress,
        sealing: &Sealing,
    ) -> Result<(), Error> {
        let name = SealedNai { index: sealing.index, user: self.config.nai.user().to_owned() }.emit()?;
        let address = wanted.octets();
        let layer_2 = SealedLayer2 { kind: layer_2::ETHERNET, address: link_address.to_vec() }.emit()?;
        let extensions = [
            (Subtype::NAI, nai_owner::MOBILE_NODE, name.as_slice()),
            (Subtype::IP, ip_owner::HOST, &address),
            // The kind of address is inside the seal; outside it is always zero.
            (Subtype::LAYER_2, 0, layer_2.as_slice()),
        ];
        for (subtype, content, plain) in extensions {
            let head = (subtype, content, sealing.spi);
            let by = (sealing.cipher, &sealing.key);
            put_sealed(w, Request::LEN, self.config.numbers, head, by, &mut self.rng, plain)?;
        }
        Ok(())
    }
}
