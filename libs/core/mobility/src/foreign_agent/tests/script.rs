//! A mobile node and a home agent that do as they are told.

use crypto::Rng;
use record::{Association, AssociationKind, Nai, Suite};
use sa::{
    AgentPath, Direction, End, Exchange, KeyInfo, Material, MobileHome, Own, Transcript, association_auth,
    put_key, put_sealed,
};
use wire::{
    Writer,
    mip::{
        extension::{self, UdpTunnelReply, open_authentication, put},
        ours::{AgentHeard, Numbers, SealedLayer2, SealedNai, Subtype, association_between, ip_owner},
        part::Parts,
        registration::{Flags, Identification, Reply, Request as Fixed},
        revocation::Support,
        share::{Group, KeyShare},
    },
};

use super::*;

const NUMBERS: Numbers = Numbers::Vendor(VENDOR);

/// A mobile node.
pub(super) struct Mobile {
    pub(super) station: LinkAddress,
    pub(super) port: u16,
    pub(super) ttl: u8,
    pub(super) to: Ipv4Addr,
    pub(super) fixed: Fixed,
    pub(super) heard: Option<String>,
    /// What follows 32 instead of 132 with the challenge.
    pub(super) tail: Option<Vec<u8>>,
    /// What stands before agent heard.
    pub(super) head: Vec<u8>,
    /// Index of 32 and of what is sealed.
    pub(super) spi: Spi,
    /// Value of the key share, if it offers one.
    pub(super) share: Option<[u8; 32]>,
    /// KEY 3 as it sees it, to prove that it has it.
    pub(super) key3: Option<Association>,
    home: MobileHome,
    rng: Rng,
}

impl Mobile {
    pub(super) fn new() -> Self {
        Self::numbered(0)
    }

    /// The `n`th mobile node: its own link address, index and KEY 0.
    pub(super) fn numbered(n: u8) -> Self {
        let nai = Nai::parse(&format!("traveller-{n}@home.example")).unwrap();
        let key0 = Key::new([100 + n; 32]);
        Self {
            station: [2, 0, 0, 0, 1, n],
            port: 40_000,
            ttl: 255,
            to: ON_LINK,
            fixed: Fixed {
                flags: Flags(Flags::REVERSE_TUNNEL),
                lifetime: 600,
                home_address: Ipv4Addr::UNSPECIFIED,
                home_agent: HOME_AGENT,
                care_of: CARE_OF,
                identification: Identification::new(0xee00_0000, 77),
            },
            heard: Some(NAI.into()),
            tail: None,
            head: Vec::new(),
            spi: Spi(600 + u32::from(n)),
            share: None,
            key3: None,
            home: MobileHome::new(&nai, "home.example", Spi(600 + u32::from(n)), Cipher::Aes256Gcm, key0),
            rng: Rng::from_seed([n; 32]),
        }
    }

    /// The next request, with a new identification.
    pub(super) fn request(&mut self, challenge: &[u8]) -> Vec<u8> {
        self.fixed.identification.0 += 1 << 32 | 1;
        let mut w = Writer::default();
        self.fixed.emit(&mut w);
        put(&mut w, extension::MN_NAI, b"@home.example").unwrap();
        let nai = SealedNai { index: 0, user: "traveller".into() };
        let layer_2 = SealedLayer2 { kind: 0, address: self.station.to_vec() };
        self.seal(&mut w, Subtype::NAI, &nai.emit().unwrap());
        self.seal(&mut w, Subtype::IP, &[0; 4]);
        self.seal(&mut w, Subtype::LAYER_2, &layer_2.emit().unwrap());
        w.put(&self.head);
        if let Some(agent) = &self.heard {
            AgentHeard { challenge, agent }.emit(&mut w, NUMBERS).unwrap();
        }
        if let Some(value) = &self.share {
            KeyShare { group: Group::X25519, value }.emit(&mut w, NUMBERS).unwrap();
        }
        open_authentication(&mut w, extension::MN_HA_AUTHENTICATION, self.spi, 32);
        let authenticator = self.home.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        match &self.tail {
            Some(tail) => {
                w.put(tail);
            }
            None => put(&mut w, extension::MN_FA_CHALLENGE, challenge).unwrap(),
        }
        if let Some(key3) = &self.key3 {
            sign(&mut w, key3);
        }
        w.into_bytes()
    }

    fn seal(&mut self, w: &mut Writer, subtype: Subtype, plain: &[u8]) {
        let (cipher, key) = (self.home.cipher(), self.home.request_key());
        let head = (subtype, 0, self.spi);
        put_sealed(w, Fixed::LEN, NUMBERS, head, (cipher, key), &mut self.rng, plain).unwrap();
    }

    /// The request as it travels on the link.
    pub(super) fn packet(&self, request: &[u8]) -> Vec<u8> {
        let source = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.port);
        ip::udp_packet(source, SocketAddrV4::new(self.to, PORT), self.ttl, request).unwrap()
    }
}

/// Appends 33 as the mobile node makes it.
pub(super) fn sign(w: &mut Writer, key3: &Association) {
    open_authentication(w, extension::MN_FA_AUTHENTICATION, key3.outbound, 32);
    let key = association_auth(key3, End::First, true);
    let authenticator = crypto::hmac(&key, &[w.bytes()]);
    w.put(&authenticator);
}

/// The foreign agent's proof in what it handed on: the challenge that it offers, and the index of 33. A wrong 33 is
/// none.
pub(super) fn proof(reply: &[u8], key3: &Association) -> (Vec<u8>, Option<Spi>) {
    let parts = Parts::parse(reply, Reply::LEN, VENDOR).unwrap();
    let key = association_auth(key3, End::First, false);
    let right = parts.foreign.mobile_foreign.filter(|claim| {
        claim.covered + 32 == reply.len()
            && crypto::verify_hmac(&key, &[parts.covered(claim)], claim.authenticator)
    });
    assert!(parts.foreign.numbers.is_none() && parts.foreign_home.is_none(), "the agent's part is stripped");
    (parts.foreign.challenge.unwrap().to_vec(), right.map(|claim| claim.spi))
}

/// What a home agent said, without what the foreign agent added.
pub(super) fn without_proof(reply: &[u8]) -> &[u8] {
    Parts::parse(reply, Reply::LEN, VENDOR).unwrap().mobile_bytes()
}

/// One piece of the part of a reply that is for the foreign agent.
#[derive(Clone)]
pub(super) enum Piece {
    Handle,
    Key2,
    Key3,
    Ip,
    /// The answering key share, where it was not left out.
    Share,
    /// 44 with this code.
    Udp(u8),
    Raw(Vec<u8>),
}

/// A home agent: what it says, and how it deviates.
pub(super) struct HomeAgentScript {
    pub(super) nai: String,
    pub(super) address: Ipv4Addr,
    pub(super) code: Code,
    /// `None` grants what was asked.
    pub(super) lifetime: Option<u16>,
    pub(super) home_address: Ipv4Addr,
    pub(super) pieces: Option<Vec<Piece>>,
    /// Changes KEY 2 and KEY 3 as the foreign agent is told of them.
    pub(super) distort: fn(&mut KeyInfo),
    /// Names the association in sealed security associations.
    pub(super) seal_spi: Option<Spi>,
    pub(super) low_identification: Option<u32>,
    pub(super) handle: Option<u64>,
    /// Changes the indices in the handle.
    pub(super) reindex: u32,
    pub(super) with_34: bool,
    /// Answers the key share of a request that it answers with keys.
    pub(super) answers_share: bool,
    /// The time in 137 of an acceptance.
    pub(super) revocable: Option<u32>,
    /// Flag I in it.
    pub(super) inform: bool,
    /// The last KEY 2 that it gave, as it sees it.
    pub(super) key2: Option<Association>,
    /// The last KEY 3 that it gave, as the mobile node sees it.
    pub(super) key3: Option<Association>,
    path: AgentPath,
    exchange: Option<Exchange>,
    rng: Rng,
}

impl HomeAgentScript {
    pub(super) fn of(address: Ipv4Addr) -> Self {
        let other = address == OTHER_HOME_AGENT;
        let (nai, spi, key) = if other { ("ha@other.example", 1002, 9) } else { (HOME_NAI, 1001, 8) };
        Self {
            nai: nai.into(),
            address,
            code: Code::ACCEPTED,
            lifetime: None,
            home_address: HOME_ADDRESS,
            pieces: None,
            distort: |_| {},
            seal_spi: None,
            low_identification: None,
            handle: None,
            reindex: 0,
            with_34: true,
            answers_share: true,
            revocable: None,
            inform: false,
            key2: None,
            key3: None,
            exchange: None,
            path: AgentPath::new(NAI, nai, Spi(spi), Cipher::Aes256Gcm, Key::new([key; 32])),
            rng: Rng::from_seed([77; 32]),
        }
    }

    pub(super) fn new() -> Self {
        Self::of(HOME_AGENT)
    }

    pub(super) fn path(&self) -> &AgentPath {
        &self.path
    }

    /// The reply to a relayed request; checks the foreign agent's part on the way.
    pub(super) fn reply(&mut self, relayed: &[u8]) -> Vec<u8> {
        let fixed = Fixed::parse(relayed).unwrap();
        let parts = Parts::parse(relayed, Fixed::LEN, VENDOR).unwrap();
        self.rng = Rng::from_seed(crypto::digest(&[relayed]));
        let offered = parts.foreign.key_share.filter(|_| self.answers_share);
        self.exchange = offered.map(|share| sa::answer(&mut self.rng, Some(share)).unwrap());
        let lifetime = self.lifetime.unwrap_or(fixed.lifetime);
        let with_keys = self.code.accepted() && lifetime != 0;
        let reply = Reply {
            code: self.code,
            lifetime,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: self.address,
            identification: Identification::new(
                fixed.identification.seconds(),
                self.low_identification.unwrap_or(fixed.identification.low()),
            ),
        };
        let mut w = Writer::default();
        reply.emit(&mut w);
        put(&mut w, extension::MN_NAI, b"@home.example").unwrap();
        // The foreign agent cannot read the mobile node's part, so anything of the right form will do.
        open_authentication(&mut w, extension::MN_HA_AUTHENTICATION, parts.mobile_home.spi, 32);
        w.put(&[0xaa; 32]);
        let pieces = self.pieces.clone().unwrap_or_else(|| {
            if with_keys {
                vec![Piece::Handle, Piece::Key2, Piece::Key3, Piece::Ip, Piece::Share]
            } else {
                vec![Piece::Handle]
            }
        });
        for piece in &pieces {
            self.put(&mut w, piece, &parts);
        }
        if let Some(timestamp) = self.revocable.filter(|_| with_keys) {
            Support { inform: self.inform, timestamp }.emit(&mut w);
        }
        if self.with_34 {
            open_authentication(&mut w, extension::FA_HA_AUTHENTICATION, self.path.spi(), 32);
            let authenticator = self.path.authenticate(Direction::FromHome, w.bytes());
            w.put(&authenticator);
        }
        w.into_bytes()
    }

    fn put(&mut self, w: &mut Writer, piece: &Piece, request: &Parts<'_>) {
        let mut handle = request.foreign.handle.unwrap();
        let key = self.path.reply_key(&Transcript::of_agent(request), self.exchange.as_ref());
        let sealing = (self.path.cipher(), &key);
        match piece {
            Piece::Handle => {
                handle.handle = self.handle.unwrap_or(handle.handle);
                handle.key2.0 ^= self.reindex;
                handle.emit(w, NUMBERS).unwrap();
            }
            Piece::Key2 | Piece::Key3 => {
                let second = matches!(piece, Piece::Key2);
                let mut info = KeyInfo {
                    kind: if second { AssociationKind::Key2 } else { AssociationKind::Key3 },
                    inbound: if second { handle.key2 } else { handle.key3 },
                    outbound: Spi(self.rng.u32() | 512),
                    lifetime: 600,
                    encryption: Cipher::Aes256Gcm,
                    material: Material::Key(self.rng.key()),
                    own: NAI.into(),
                    peer: if second { self.nai.clone().into() } else { "abcdefghijklm@home.example".into() },
                };
                (self.distort)(&mut info);
                // One that both ends make is not known here.
                let there = info.duplicate().into_association(Suite::default(), Own::Nothing, UNIX);
                let there = there.map(from_the_other_end);
                if second {
                    self.key2 = there;
                } else {
                    self.key3 = there;
                }
                let spi = self.seal_spi.unwrap_or(self.path.spi());
                put_key(w, Reply::LEN, NUMBERS, spi, sealing, &mut self.rng, &info).unwrap();
            }
            Piece::Ip => {
                let head = (Subtype::IP, ip_owner::HOST, self.path.spi());
                let plain = self.home_address.octets();
                put_sealed(w, Reply::LEN, NUMBERS, head, sealing, &mut self.rng, &plain).unwrap();
            }
            Piece::Share => {
                if let Some(exchange) = &self.exchange {
                    exchange.emit(w, NUMBERS).unwrap();
                }
            }
            Piece::Udp(code) => {
                let reply = UdpTunnelReply { code: *code, forced: false, keepalive: 0 };
                reply.emit(w);
            }
            Piece::Raw(bytes) => {
                w.put(bytes);
            }
        }
    }
}

/// An association of the foreign agent as its peer sees it.
fn from_the_other_end(mut association: Association) -> Association {
    std::mem::swap(&mut association.inbound, &mut association.outbound);
    std::mem::swap(&mut association.own, &mut association.peer);
    association
}

/// A security association extension in clear, as no path of ours may carry it.
pub(super) fn clear_key(between: u8) -> Vec<u8> {
    let mut w = Writer::default();
    let protected =
        wire::mip::ours::Protected { content: between, sealed: false, spi: Spi(0), info: &[1; 60] };
    assert!(between == association_between::FA_HA || between == association_between::MN_FA);
    protected.emit(&mut w, NUMBERS, Subtype::ASSOCIATION).unwrap();
    w.into_bytes()
}

/// One of our extensions with any body.
pub(super) fn ours(numbers: Numbers, subtype: u16, body: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    wire::mip::ours::put(&mut w, numbers, Subtype(subtype), body).unwrap();
    w.into_bytes()
}
