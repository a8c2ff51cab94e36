//! The key schedule: the names, keys and derived keys of the vectors.

use crypto::{Cipher, Key, exchange::Secret, kdf};
use record::Nai;
use sa::{AgentPath, Exchange, MobileHome, Offer, realm_key_at_home};
use serde_json::Value;
use wire::mip::{
    Spi,
    part::Parts,
    share::{Group, KeyShare},
};

use super::{Vector, folder, hex, json, unhex};

/// The keys that the vectors were made with.
pub(crate) struct Keys(Value);

impl Keys {
    pub(crate) fn read() -> Self {
        Self(json(&folder().join("wire-key-schedule.json")))
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("no {name}"))
    }

    fn spi(&self, name: &str) -> Spi {
        let number = self.0[name].as_u64().unwrap_or_else(|| panic!("no {name}"));
        Spi(number.try_into().expect("32 bits"))
    }

    fn key(text: &str) -> Key {
        Key::from_hex(text).expect("64 digits")
    }

    fn nai(&self) -> Nai {
        Nai::parse(self.text("nai")).expect("a name")
    }

    pub(crate) fn mobile(&self, cipher: Cipher) -> MobileHome {
        let nai = self.nai();
        let key0 = Self::key(self.text("key0"));
        MobileHome::new(&nai, self.text("realm"), self.spi("mobile_spi"), cipher, key0)
    }

    pub(crate) fn agents(&self, cipher: Cipher) -> AgentPath {
        self.path(cipher, Self::key(self.text("agents_key")))
    }

    fn path(&self, cipher: Cipher, key: Key) -> AgentPath {
        let (foreign, home) = (self.text("foreign_agent"), self.text("home_agent"));
        AgentPath::new(foreign, home, self.spi("agents_spi"), cipher, key)
    }

    /// The name by which a foreign agent knows the mobile node, and KEY 3.
    pub(crate) fn visit(&self) -> (String, Key) {
        let key3 = Self::key(self.0["keys"]["3"].as_str().expect("KEY 3"));
        (self.text("visit_name").to_owned(), key3)
    }
}

/// The authentication key that KEY 3 gives in one direction, `spi` chosen by its receiver.
pub(crate) fn visit_auth((name, key3): (&str, &Key), agent: &str, label: &str, spi: Spi) -> Key {
    let mut context = Vec::new();
    kdf::length_prefixed(&mut context, name.as_bytes());
    kdf::length_prefixed(&mut context, agent.as_bytes());
    context.extend(spi.0.to_be_bytes());
    Key::new(kdf::derive(key3, None, label, &context))
}

/// What the parties to one message know.
pub(crate) struct Known {
    pub(crate) mobile: MobileHome,
    pub(crate) agents: AgentPath,
    /// The index of 32.
    pub(crate) spi: Spi,
    /// The mobile node's name at the foreign agent, and the KEY 3 of its 33.
    pub(crate) visit: (String, Key),
    pub(crate) mobile_exchange: Option<Exchange>,
    pub(crate) agents_exchange: Option<Exchange>,
    realm_secret: Option<Key>,
}

impl Known {
    pub(crate) fn of(vector: &Vector) -> Self {
        let said = &vector.expected["keys"];
        let keys = Keys::read();
        let text = |name: &str| said[name].as_str().unwrap_or_else(|| panic!("{}: no {name}", vector.name));
        let cipher = |name: &str| Cipher::from_name(text(name)).expect("a known cipher");
        let (mobile_cipher, agents_cipher) = (cipher("mobile_cipher"), cipher("agents_cipher"));
        if said.get("worked").is_none() {
            let mobile = keys.mobile(mobile_cipher);
            return Self {
                spi: mobile.spi(),
                mobile,
                agents: keys.agents(agents_cipher),
                visit: keys.visit(),
                mobile_exchange: None,
                agents_exchange: None,
                realm_secret: None,
            };
        }
        let key0 = Keys::key(text("key0"));
        let mobile = MobileHome::new(&keys.nai(), keys.text("realm"), Spi(512), mobile_cipher, key0);
        let spi = Spi(said["spi"].as_u64().and_then(|spi| spi.try_into().ok()).expect("an index"));
        // The number, not the index, is what a one-time index comes from.
        if let Some(number) = said["number"].as_u64() {
            assert_eq!(mobile.one_time_spi(number), spi, "{}: SPI({number})", vector.name);
        }
        let visit = said.get("before").unwrap_or(said);
        let visit = |name: &str| visit[name].as_str().expect("of a visit");
        Self {
            agents: keys.path(agents_cipher, Keys::key(text("agents_key"))),
            spi,
            visit: (visit("visit_name").to_owned(), Keys::key(visit("key3"))),
            mobile_exchange: Some(exchange(&said["mobile_share"])),
            agents_exchange: Some(exchange(&said["agents_share"])),
            realm_secret: said.get("realm_key").map(|_| Keys::key(text("realm_key"))),
            mobile,
        }
    }

    /// What seals a request under the realm's key; both ends agree on it.
    pub(crate) fn realm_key(&self, request: &Parts<'_>) -> Option<Key> {
        let realm = Keys::read().text("realm").to_owned();
        let share = request.mobile.key_share;
        let secret = self.realm_secret.as_ref()?;
        Some(realm_key_at_home(secret, share, &realm).expect("a share that serves"))
    }
}

/// Both halves from their private values, as the one that offered sees it.
fn exchange(share: &Value) -> Exchange {
    let secret = |name: &str| Secret::from_key(&Keys::key(share[name].as_str().expect("a private value")));
    let answer = secret("answer").public();
    let answer = KeyShare { group: Group::X25519, value: &answer };
    Offer::from(secret("secret")).complete(Some(answer)).expect("no low order")
}

#[test]
fn every_derived_key() {
    let keys = Keys::read();
    let derived = keys.0["derived"].as_array().expect("a list");
    assert!(derived.len() >= 20);
    for entry in derived {
        let field = |name: &str| entry[name].as_str().expect("a text");
        let out: [u8; 32] =
            kdf::derive(&Keys::key(field("key")), None, field("label"), &unhex(field("context")));
        assert_eq!(hex(&out), field("out"), "{} of {}", field("label"), field("root"));
    }
}

/// Every label has its own key in every context: nothing can be reflected or taken for something else.
#[test]
fn no_two_derived_keys_are_equal() {
    let keys = Keys::read();
    let derived = keys.0["derived"].as_array().expect("a list");
    let mut out: Vec<_> = derived.iter().map(|entry| entry["out"].as_str().expect("a text")).collect();
    out.sort_unstable();
    assert!(out.windows(2).all(|pair| pair[0] != pair[1]));
}
