//! The enrolment file: all that a mobile node has to know of its home, with the secret it shares with it.
//!
//! The key distribution centre's operator makes it once and brings it to the mobile node; its mode is 0600.

use std::{
    fmt::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    config::{self, Check, Cipher, Config, ConfigError, Nai, Prefix, Realm},
    secret_file::{self, KeyBytes, SecretError},
};

/// Vendor number of examples in documentation (RFC 5612), which stands in until the product has its own.
pub const TESTBED_VENDOR: u32 = 32473;

/// Which extension numbers the mobile node uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// Inside vendor-specific extensions (RFC 3115).
    #[default]
    Vendor,
}

/// The public half of a key of the realm (X25519): a mobile node whose one-time indices are lost seals its name
/// to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmKey {
    /// Its security parameter index, 256 to 511.
    pub id: u32,
    /// 32 octets, as 64 hex digits.
    #[serde(deserialize_with = "public")]
    pub public: [u8; 32],
}

fn public<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let bytes: Option<Vec<u8>> = (text.len() == 64).then(|| digits.collect()).flatten();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| serde::de::Error::custom("64 hex digits are expected"))
}

/// For a mobile node that does not know our extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Replays are kept out by nonces instead of timestamps.
    pub nonces: bool,
    /// The authenticator is HMAC-MD5.
    pub md5: bool,
}

/// What a mobile node is enrolled with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Its name.
    pub nai: Nai,
    /// The realm it is at home in.
    pub home_realm: Realm,
    /// Its address wherever it is; without one the home agent assigns it.
    pub home_address: Option<Ipv4Addr>,
    /// Length of the home link's prefix, 1 to 32.
    pub home_prefix_length: u8,
    /// The router of the home link, used while at home.
    pub home_gateway: Option<Ipv4Addr>,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// Security parameter index of the association under KEY 0, above 511. With `one_time` it is only KEY 0's name.
    pub spi: u32,
    /// It names itself by one-time indices derived from KEY 0.
    #[serde(default)]
    pub one_time: bool,
    /// Key shares are not asked of it.
    #[serde(default = "yes")]
    pub no_fs: bool,
    /// Which KEY 0 this is: rises by one with each. What was kept under another one does not count.
    #[serde(default)]
    pub generation: u32,
    /// What seals its extensions.
    #[serde(default)]
    pub cipher: Cipher,
    /// KEY 0.
    pub key0: KeyBytes,
    /// Vendor number of the extensions.
    #[serde(default = "testbed_vendor")]
    pub vendor: u32,
    /// Which numbers the extensions use.
    #[serde(default)]
    pub numbers: Numbers,
    /// The valid keys of the realm, newest first.
    #[serde(default)]
    pub realm_keys: Vec<RealmKey>,
    /// How it registers without our extensions.
    #[serde(default)]
    pub plain: Option<Plain>,
}

/// A file without the word is one from before key shares.
const fn yes() -> bool {
    true
}

const fn testbed_vendor() -> u32 {
    TESTBED_VENDOR
}

impl Config for Enrolment {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    fn validate(&self, check: &mut Check) {
        check.range("spi", self.spi, 512..=u32::MAX);
        check.range("home_prefix_length", self.home_prefix_length, 1..=32);
        for (number, key) in self.realm_keys.iter().enumerate() {
            check.range(format!("realm_keys[{number}].id"), key.id, 256..=511);
        }
        let ids = self.realm_keys.iter().enumerate();
        check.unique(ids.map(|(number, key)| (format!("realm_keys[{number}].id"), key.id)));
        if self.plain.is_some() && (self.one_time || !self.no_fs) {
            check
                .problem("plain", "without our extensions there are neither one-time indices nor key shares");
        }
        if self.nai.realm() != self.home_realm.as_str() {
            check.problem("home_realm", format!("{} is not the realm of {}", self.home_realm, self.nai));
        }
        let addresses = [("home_address", self.home_address), ("home_agent", Some(self.home_agent))];
        for (key, address) in addresses.into_iter().filter_map(|(key, address)| Some((key, address?))) {
            if !is_host(address) {
                check.problem(key, format!("{address} is not the address of a host"));
            }
        }
        if self.home_address == Some(self.home_agent) {
            check.problem("home_address", "the home agent has this address itself");
        }
        let home = Prefix::of(self.home_address.unwrap_or(self.home_agent), self.home_prefix_length);
        if let (Some(home), Some(gateway)) = (home, self.home_gateway)
            && (!home.contains(gateway) || Some(gateway) == self.home_address)
        {
            check.problem("home_gateway", format!("{gateway} is not another host of the home link {home}"));
        }
    }
}

/// False for addresses that no single host can have.
const fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast() || address.is_loopback())
}

impl Enrolment {
    /// Reads the file at `path`, which only its owner may be able to read.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        config::load_private(path)
    }

    /// Puts it into a file of mode 0600, whole or not at all.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn write(&self, path: &Path) -> Result<(), SecretError> {
        secret_file::write_private(path, self.to_toml().as_bytes())
    }

    /// The file's text, wiped when dropped.
    #[must_use]
    pub fn to_toml(&self) -> Zeroizing<String> {
        // Room for all of it: growing would leave copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(4096 + 128 * self.realm_keys.len()));
        let line = |key, address: Option<Ipv4Addr>| {
            address.map_or(String::new(), |address| format!("{key} = \"{address}\"\n"))
        };
        let gateway = line("home_gateway", self.home_gateway);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# Enrolment of a mobile node. Secret: whoever reads this file can be this node.\n{}\
             nai = \"{}\"\nhome_realm = \"{}\"\n{}home_prefix_length = {}\n{gateway}\
             home_agent = \"{}\"\nspi = {}\ncipher = \"{}\"\nkey0 = \"{}\"\nvendor = {}\nnumbers = \"vendor\"\n\
             one_time = {}\nno_fs = {}\ngeneration = {}\n",
            *self.instructions(),
            self.nai,
            self.home_realm,
            line("home_address", self.home_address),
            self.home_prefix_length,
            self.home_agent,
            self.spi,
            self.cipher.as_str(),
            *self.key0.to_hex(),
            self.vendor,
            self.one_time,
            self.no_fs,
            self.generation,
        );
        if let Some(Plain { nonces, md5 }) = self.plain {
            let _ = write!(text, "\n[plain]\nnonces = {nonces}\nmd5 = {md5}\n");
        }
        text.push_str(&realm_keys_toml(&self.realm_keys));
        text
    }

    /// What the software of a mobile node of another make has to be told (RFC 5944 section 3.5.1), as comments.
    fn instructions(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(1024));
        let Some(Plain { nonces, md5 }) = self.plain else {
            return text;
        };
        let whole = self.key0.to_hex();
        let (algorithm, key) =
            if md5 { ("HMAC-MD5, 128 bits", &whole[..32]) } else { ("HMAC-SHA-256, 256 bits", &whole[..]) };
        let style = if nonces { "nonces" } else { "timestamps, within 7 s" };
        let _ = write!(
            text,
            "#\n# It is of another make and does not know our extensions. Its software has to be told:\n\
             #   home address        {}\n#   home agent          {}\n\
             #   SPI                 {spi} (0x{spi:08x}), in both directions\n\
             #   algorithm           {algorithm}\n#   key (hex)           {key}\n\
             #   replay protection   {style}\n\
             # Our own mobile node refuses this file.\n#\n",
            self.home_address.map_or("0.0.0.0, until it is given one".to_owned(), |it| it.to_string()),
            self.home_agent,
            spi = self.spi,
        );
        text
    }
}

/// Keys of the realm as they stand at the end of an enrolment file.
#[must_use]
pub fn realm_keys_toml(keys: &[RealmKey]) -> String {
    let mut text = String::new();
    for key in keys {
        let _ = write!(text, "\n[[realm_keys]]\nid = {}\npublic = \"", key.id);
        for byte in key.public {
            let _ = write!(text, "{byte:02x}");
        }
        text.push_str("\"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn example() -> Enrolment {
        Enrolment {
            nai: "traveller-one@home.example".parse().unwrap(),
            home_realm: "home.example".parse().unwrap(),
            home_address: Some(Ipv4Addr::new(10, 11, 1, 50)),
            home_prefix_length: 24,
            home_gateway: Some(Ipv4Addr::new(10, 11, 1, 1)),
            home_agent: Ipv4Addr::new(10, 11, 1, 2),
            spi: 512,
            cipher: Cipher::ChaCha20Poly1305,
            key0: KeyBytes::new([0xab; 32]),
            vendor: TESTBED_VENDOR,
            numbers: Numbers::Vendor,
            one_time: true,
            no_fs: false,
            generation: 3,
            realm_keys: vec![
                RealmKey { id: 511, public: [0xcd; 32] },
                RealmKey { id: 256, public: std::array::from_fn(|n| u8::try_from(n).unwrap()) },
            ],
            plain: None,
        }
    }

    #[test]
    fn a_node_of_another_make_is_told_what_its_software_asks_for() {
        let key = "ab".repeat(32);
        let plain = |nonces, md5| {
            let mut it = example();
            (it.one_time, it.no_fs, it.plain) = (false, true, Some(Plain { nonces, md5 }));
            it
        };
        let text = plain(false, false).to_toml();
        assert!(text.contains(&format!("#   key (hex)           {key}\n")), "{}", *text);
        assert!(text.contains("SPI                 512 (0x00000200)") && text.contains("timestamps"));
        let text = plain(true, true).to_toml();
        assert!(text.contains(&format!("#   key (hex)           {}\n", &key[..32])), "{}", *text);
        assert!(text.contains("HMAC-MD5, 128 bits") && text.contains("nonces\n"));
        assert!(text.len() < 4096 && !example().to_toml().contains("key (hex)"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain.toml");
        plain(true, true).write(&path).unwrap();
        assert_eq!(Enrolment::load(&path).unwrap().plain, Some(Plain { nonces: true, md5: true }));
    }

    fn refusal(change: impl FnOnce(&mut Enrolment)) -> String {
        let mut enrolment = example();
        change(&mut enrolment);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.toml");
        enrolment.write(&path).unwrap();
        match Enrolment::load(&path) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.toml");
        let own = Some(Ipv4Addr::new(10, 11, 1, 50));
        for (home_address, gateway) in
            [(own, None), (own, Some(Ipv4Addr::new(10, 11, 1, 1))), (None, Some(Ipv4Addr::new(10, 11, 1, 2)))]
        {
            let mut written = example();
            (written.home_address, written.home_gateway) = (home_address, gateway);
            written.write(&path).unwrap();
            let read = Enrolment::load(&path).unwrap();
            assert_eq!(*read.to_toml(), *written.to_toml());
            assert_eq!(read.key0.expose(), &[0xab; 32]);
            assert_eq!(read.realm_keys, written.realm_keys);
            assert_eq!(read.home_address, home_address);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.toml");
        example().write(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Enrolment::load(&path), Err(ConfigError::Private(_))));
    }

    #[test]
    fn wrong_values_are_named() {
        for (message, key) in [
            (refusal(|it| it.spi = 511), ":8:1: spi"),
            (refusal(|it| it.home_prefix_length = 0), ":5:1: home_prefix_length"),
            (refusal(|it| it.home_realm = "other.example".parse().unwrap()), ":3:1: home_realm"),
            (refusal(|it| it.home_agent = Ipv4Addr::BROADCAST), ":7:1: home_agent"),
            (refusal(|it| it.home_address = Some(it.home_agent)), ":4:1: home_address"),
            (refusal(|it| it.realm_keys[1].id = 512), "realm_keys[1].id"),
            (refusal(|it| it.realm_keys[1].id = 511), "realm_keys[1].id"),
            (refusal(|it| it.plain = Some(Plain { nonces: false, md5: false })), "plain"),
            (refusal(|it| it.home_gateway = Some(Ipv4Addr::new(10, 11, 2, 1))), ":6:1: home_gateway"),
        ] {
            assert!(message.contains(key), "{message}");
        }
    }

    #[test]
    fn a_file_from_before_key_shares_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.toml");
        let text = example().to_toml();
        let (old, _) = text.split_once("one_time").unwrap();
        secret_file::write_private(&path, old.as_bytes()).unwrap();
        let read = Enrolment::load(&path).unwrap();
        assert!(!read.one_time && read.no_fs && read.generation == 0 && read.realm_keys.is_empty());
    }

    #[test]
    fn a_public_half_must_have_64_digits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.toml");
        let good = example().to_toml();
        for wrong in ["cd".repeat(31), "cd".repeat(33), "+d".repeat(32), "é".repeat(32)] {
            let text = good.replace(&"cd".repeat(32), &wrong);
            secret_file::write_private(&path, text.as_bytes()).unwrap();
            let message = Enrolment::load(&path).err().unwrap().to_string();
            assert!(message.contains("64 hex digits are expected"), "{message}");
        }
    }

    #[test]
    fn a_wrong_key_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mn.toml");
        let good = example().to_toml();
        let key = "ab".repeat(32);
        for wrong in [format!("\"{}\"", &key[1..]), format!("\"{key}0\""), key.clone(), "1234".to_owned()] {
            let text = good.replace(&format!("\"{key}\""), &wrong);
            secret_file::write_private(&path, text.as_bytes()).unwrap();
            let message = Enrolment::load(&path).err().unwrap().to_string();
            assert!(message.contains(":10:"), "{message}");
            assert!(!message.contains("abab") && !message.contains("1234"), "{message}");
        }
    }
}
