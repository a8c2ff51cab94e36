//! Registration requests as mobile nodes and foreign agents make them, and a home agent that knows both: for programs
//! that drive its core alone.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crypto::{Cipher, Key, Rng};
use mobility::home_agent::{Config, Limits, Neighbour};
use record::{Nai, Subscriber, SubscriberState};
use sa::{AgentPath, Direction, MobileHome, put_sealed};
use sansio::{Instant, LinkId, Now};
use wire::{
    Writer,
    mip::{
        PORT, Spi,
        extension::{self, FA_HA_AUTHENTICATION, MN_HA_AUTHENTICATION},
        ours::{AgentHeard, DOCUMENTATION_VENDOR, Handle, Numbers, Protected, SealedNai, Subtype, nai_owner},
        registration::{self, Flags, Identification},
        share::{Group, KeyShare},
    },
};

pub(crate) const UNIX: u64 = 1_800_000_000;
pub(crate) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
const REALM: &str = "home.example";
const NUMBERS: Numbers = Numbers::Vendor(DOCUMENTATION_VENDOR);

/// A home agent without foreign agents.
pub(crate) fn configuration() -> Config {
    Config {
        negotiation: Default::default(),
        nai: "ha@home.example".to_owned(),
        realm: REALM.to_owned(),
        address: HOME_AGENT,
        vendor: DOCUMENTATION_VENDOR,
        home_link: LinkId(0),
        home_prefix_length: 8,
        max_lifetime: u16::MAX,
        timestamp_window: 7,
        max_bindings: 10_000_000,
        max_simultaneous_bindings: 1,
        advertisement_interval: Duration::from_secs(1),
        minimal: true,
        gre: true,
        broadcasts: true,
        revocation: true,
        inform: true,
        keepalive: 110,
        max_octets: 0,
        home_addresses: None,
        limits: Limits::default(),
        neighbours: Vec::new(),
    }
}

/// When everything begins.
pub(crate) const fn start() -> Now {
    Now { mono: Instant::new(Duration::from_secs(1000)), unix: Duration::from_secs(UNIX) }
}

/// A foreign agent that the home agent was configured with.
pub(crate) struct Agent {
    pub(crate) address: SocketAddrV4,
    nai: String,
    spi: Spi,
    path: AgentPath,
}

fn agent_key() -> Key {
    Key::new([7; 32])
}

impl Agent {
    pub(crate) fn new(n: u8) -> Self {
        let (nai, spi) = (format!("fa-{n}@visited.example"), Spi(1001 + u32::from(n)));
        let path = AgentPath::new(&nai, "ha@home.example", spi, Cipher::Aes256Gcm, agent_key());
        Self { address: SocketAddrV4::new(Ipv4Addr::new(10, 51 + n, 1, 2), PORT), nai, spi, path }
    }

    pub(crate) fn neighbour(&self) -> Neighbour {
        Neighbour {
            nai: self.nai.clone(),
            address: *self.address.ip(),
            spi: self.spi,
            key: agent_key(),
            cipher: Cipher::Aes256Gcm,
            no_fs: true,
        }
    }

    /// What it makes of a request.
    pub(crate) fn relayed(&self, mobile: Vec<u8>, handle: u64) -> anyhow::Result<Vec<u8>> {
        let mut w = Writer::after(mobile);
        let clear = |content, info| Protected { content, sealed: false, spi: Spi(0), info };
        clear(nai_owner::FOREIGN_AGENT, self.nai.as_bytes()).emit(&mut w, NUMBERS, Subtype::NAI)?;
        clear(1, &self.address.ip().octets()).emit(&mut w, NUMBERS, Subtype::IP)?;
        Handle { handle, key2: Spi(10_000), key3: Spi(20_000) }.emit(&mut w, NUMBERS)?;
        extension::open_authentication(&mut w, FA_HA_AUTHENTICATION, self.spi, 32);
        let authenticator = self.path.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        Ok(w.into_bytes())
    }
}

/// A mobile node.
pub(crate) struct Node {
    user: String,
    keys: MobileHome,
}

impl Node {
    pub(crate) fn new(n: u32) -> anyhow::Result<Self> {
        let subscriber = subscriber(n)?;
        Ok(Self { user: subscriber.nai.user().to_owned(), keys: MobileHome::of(&subscriber) })
    }

    /// The one-time index with this number.
    pub(crate) fn index(&self, number: u64) -> Spi {
        self.keys.one_time_spi(number)
    }

    /// What it sends under the index `spi` to `agent`, through 32.
    pub(crate) fn request(
        &self,
        spi: Spi,
        agent: &Agent,
        identification: Identification,
        share: bool,
    ) -> anyhow::Result<Vec<u8>> {
        let mut rng = Rng::from_seed([9; 32]);
        let mut w = Writer::default();
        registration::Request {
            flags: Flags(Flags::REVERSE_TUNNEL),
            lifetime: 600,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: HOME_AGENT,
            care_of: *agent.address.ip(),
            identification,
        }
        .emit(&mut w);
        extension::put(&mut w, extension::MN_NAI, b"@home.example")?;
        let seal = (self.keys.cipher(), self.keys.request_key());
        let nai = SealedNai { index: 1, user: self.user.clone() }.emit()?;
        let fixed = registration::Request::LEN;
        put_sealed(&mut w, fixed, NUMBERS, (Subtype::NAI, 0, spi), seal, &mut rng, &nai)?;
        put_sealed(&mut w, fixed, NUMBERS, (Subtype::IP, 0, spi), seal, &mut rng, &[0; 4])?;
        AgentHeard { challenge: &[5; 16], agent: &agent.nai }.emit(&mut w, NUMBERS)?;
        if share {
            let secret = crypto::exchange::Secret::from_key(&Key::new([77; 32]));
            KeyShare { group: Group::X25519, value: &secret.public() }.emit(&mut w, NUMBERS)?;
        }
        extension::open_authentication(&mut w, MN_HA_AUTHENTICATION, spi, 32);
        let authenticator = self.keys.authenticate(Direction::ToHome, w.bytes());
        w.put(&authenticator);
        Ok(w.into_bytes())
    }
}

/// Mobile node `n` as it is enrolled.
pub(crate) fn subscriber(n: u32) -> anyhow::Result<Subscriber> {
    let [a, b, c, d] = n.to_be_bytes();
    let mut key0 = [1; 32];
    key0[..4].copy_from_slice(&[a, b, c, d]);
    Ok(Subscriber {
        nai: Nai::parse(&format!("traveller-{n}@{REALM}"))?,
        key0: Key::new(key0),
        spi: Spi(1000),
        one_time: true,
        generation: 0,
        retiring: None,
        plain: None,
        cipher: Cipher::Aes256Gcm,
        home_address: Ipv4Addr::new(10, 100 + b, c, d),
        home_prefix_length: 8,
        home_agent: HOME_AGENT,
        home_gateway: None,
        no_fs: true,
        state: SubscriberState::Active,
        max_lifetime: None,
        change: 1,
    })
}
