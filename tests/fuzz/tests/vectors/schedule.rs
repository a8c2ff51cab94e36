//! The key schedule: the names, keys and derived keys of the vectors.

use crypto::{Cipher, Key, kdf};
use record::Nai;
use sa::{AgentPath, MobileHome};
use serde_json::Value;
use wire::mip::Spi;

use super::{folder, hex, json, unhex};

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

    pub(crate) fn mobile(&self, cipher: Cipher) -> MobileHome {
        let nai = Nai::parse(self.text("nai")).expect("a name");
        let key0 = Self::key(self.text("key0"));
        MobileHome::new(&nai, self.text("realm"), self.spi("mobile_spi"), cipher, key0)
    }

    pub(crate) fn agents(&self, cipher: Cipher) -> AgentPath {
        let key = Self::key(self.text("agents_key"));
        let (foreign, home) = (self.text("foreign_agent"), self.text("home_agent"));
        AgentPath::new(foreign, home, self.spi("agents_spi"), cipher, key)
    }

    /// The authentication key that KEY 3 gives in one direction, `spi` chosen by its receiver.
    pub(crate) fn visit_auth(&self, label: &str, spi: Spi) -> Key {
        let mut context = Vec::new();
        kdf::length_prefixed(&mut context, self.text("visit_name").as_bytes());
        kdf::length_prefixed(&mut context, self.text("foreign_agent").as_bytes());
        context.extend(spi.0.to_be_bytes());
        let key3 = Self::key(self.0["keys"]["3"].as_str().expect("KEY 3"));
        Key::new(kdf::derive(&key3, None, label, &context))
    }
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
