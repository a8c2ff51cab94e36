//! Values that the configurations of several daemons hold, each checked as it is read.

use std::{
    fmt::{self, Display},
    net::Ipv4Addr,
    path::PathBuf,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Reading and writing a type as the text that its `FromStr` and `Display` use.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = <Self as FromStr>::Err;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// An IPv4 prefix, as in `10.11.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: Ipv4Addr,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits that `address` lies in; `None` above 32 bits.
    #[must_use]
    pub fn of(address: Ipv4Addr, length: u8) -> Option<Self> {
        let mask = mask(length)?;
        Some(Self { address: Ipv4Addr::from_bits(address.to_bits() & mask), length })
    }

    /// Its first address.
    #[must_use]
    pub const fn address(self) -> Ipv4Addr {
        self.address
    }

    /// Bits, at most 32.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// As a netmask.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.length).unwrap_or(u32::MAX))
    }

    /// True if `address` lies in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        Self::of(address, self.length) == Some(self)
    }
}

fn mask(length: u8) -> Option<u32> {
    let host_bits = 32u32.checked_sub(u32::from(length))?;
    Some(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

impl Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not an address, a slash and a length.
    #[error("expected an address and a length from 0 to 32, as in \"10.11.1.0/24\"")]
    Syntax,
    /// An address inside the prefix.
    #[error("bits behind the length are set: write \"{0}\"")]
    HostBits(Prefix),
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.split_once('/').ok_or(PrefixError::Syntax)?;
        let address = address.parse().map_err(|_| PrefixError::Syntax)?;
        let length = length.parse().map_err(|_| PrefixError::Syntax)?;
        let prefix = Self::of(address, length).ok_or(PrefixError::Syntax)?;
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits(prefix)) }
    }
}
as_text!(Prefix);

/// IPv4 addresses that follow each other: a prefix, as in `10.11.1.128/26`, or the first and the last, as in
/// `10.11.1.128-10.11.1.191`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

/// A text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRangeError {
    /// Neither a prefix nor two addresses.
    #[error(
        "expected a prefix, as in \"10.11.1.128/26\", or two addresses, as in \"10.11.1.128-10.11.1.191\""
    )]
    Syntax,
    /// Of two addresses the second is the lower one.
    #[error("{1} is below {0}: the lower address comes first")]
    Order(Ipv4Addr, Ipv4Addr),
    /// A prefix that is none.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
}

impl AddressRange {
    /// The first address.
    #[must_use]
    pub const fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The last address.
    #[must_use]
    pub const fn last(self) -> Ipv4Addr {
        self.last
    }
}

impl Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        if text.contains('/') {
            let prefix: Prefix = text.parse()?;
            let last = Ipv4Addr::from_bits(prefix.address.to_bits() | !prefix.mask().to_bits());
            return Ok(Self { first: prefix.address, last });
        }
        let (first, last) = text.split_once('-').ok_or(AddressRangeError::Syntax)?;
        let address = |text: &str| text.trim().parse().map_err(|_| AddressRangeError::Syntax);
        let (first, last) = (address(first)?, address(last)?);
        if first <= last { Ok(Self { first, last }) } else { Err(AddressRangeError::Order(first, last)) }
    }
}
as_text!(AddressRange);

/// The name of a realm, as in `home.example`: labels of letters, digits and hyphens (RFC 4282 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Realm(String);

/// A text is no realm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a realm of letters, digits, hyphens and dots, as in \"home.example\"")]
pub struct RealmError;

impl Realm {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Realm {
    type Err = RealmError;

    fn from_str(text: &str) -> Result<Self, RealmError> {
        let right = text.len() <= 253 && text.contains('.') && text.split('.').all(is_label);
        if right { Ok(Self(text.to_owned())) } else { Err(RealmError) }
    }
}
as_text!(Realm);

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A network access identifier, as in `fa-a@visited-a.example` (RFC 4282 §2.1, RFC 2794 §2): at most 255
/// octets, since an extension's length field has no room for more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nai(String);

/// A text is no NAI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NaiError {
    /// Not a user, an at sign and a realm.
    #[error("expected a name of the form user@realm, as in \"fa-a@visited-a.example\"")]
    Syntax,
    /// The part after the at sign.
    #[error("after the @: {0}")]
    Realm(#[from] RealmError),
    /// More than 255 octets.
    #[error("{0} octets are too long for a name: at most 255")]
    Length(usize),
}

impl Nai {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the at sign.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.split_once('@').map_or("", |(user, _)| user)
    }

    /// The part after the at sign.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, realm)| realm)
    }
}

impl Display for Nai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Nai {
    type Err = NaiError;

    fn from_str(text: &str) -> Result<Self, NaiError> {
        if text.len() > 255 {
            return Err(NaiError::Length(text.len()));
        }
        let (user, realm) = text.split_once('@').ok_or(NaiError::Syntax)?;
        let plain = |byte: u8| byte > b' ' && byte != 0x7f && !b"@\"(),:;<>[\\]".contains(&byte);
        if user.is_empty() || user.split('.').any(str::is_empty) || !user.bytes().all(plain) {
            return Err(NaiError::Syntax);
        }
        realm.parse::<Realm>()?;
        Ok(Self(text.to_owned()))
    }
}
as_text!(Nai);

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface(String);

/// A text cannot be the name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the name of a network interface: 1 to 15 characters without space, slash or colon, as in \"eth0\""
)]
pub struct InterfaceError;

impl Interface {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Interface {
    type Err = InterfaceError;

    fn from_str(text: &str) -> Result<Self, InterfaceError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
        let right = (1..=15).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != "..";
        if right { Ok(Self(text.to_owned())) } else { Err(InterfaceError) }
    }
}
as_text!(Interface);

/// What seals an association's payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cipher {
    /// AES-128-GCM.
    #[serde(rename = "aes-128-gcm")]
    Aes128Gcm,
    /// AES-256-GCM.
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl Cipher {
    /// The name in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }
}

/// How the path between two agents is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathKind {
    /// By an association that the operators configured at both ends and trust.
    #[serde(rename = "static")]
    Static,
    /// By nothing; only in a testbed.
    #[serde(rename = "insecure-testbed")]
    InsecureTestbed,
}

/// How tunnelled packets travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encapsulation {
    /// IP in IP (RFC 2003).
    #[default]
    #[serde(rename = "ipip")]
    IpIp,
    /// In UDP (RFC 3519), which passes a NAT.
    #[serde(rename = "udp")]
    Udp,
}

/// What to log, as after `--log`: `info`, or `info,mobility=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogDirectives(String);

impl LogDirectives {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LogDirectives {
    type Error = crate::log::LogError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        crate::log::check(&text)?;
        Ok(Self(text))
    }
}

/// A collector of OpenTelemetry spans: OTLP over gRPC, in clear.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Collector(String);

/// Why it is none.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// Not built in.
    #[error(
        "this program was built without OpenTelemetry: leave the key out, or build it with --features otlp"
    )]
    NotBuilt,
    /// Another scheme, or no port.
    #[error(
        "expected http:// with host and port, as in \"http://127.0.0.1:4317\"; for another host run a collector here that passes on"
    )]
    Address,
}

impl Collector {
    /// As written: `http://HOST:PORT`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Collector {
    type Error = CollectorError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !cfg!(feature = "otlp") {
            return Err(CollectorError::NotBuilt);
        }
        let place = text.strip_prefix("http://").and_then(|rest| rest.trim_end_matches('/').rsplit_once(':'));
        let named = |host: &str| !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
        match place {
            Some((host, port)) if named(host) && port.parse::<u16>().is_ok() => Ok(Self(text)),
            _ => Err(CollectorError::Address),
        }
    }
}

/// The table `[admin]` of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSection {
    /// Where the agent answers its operator: a Unix socket, made with mode 0600.
    pub socket: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_host_and_a_port_in_clear_if_it_was_built_in() {
        let read = |text: &str| Collector::try_from(text.to_owned()).map_err(|error| error.to_string());
        if cfg!(feature = "otlp") {
            for good in ["http://127.0.0.1:4317", "http://collector.example:4317/", "http://[::1]:1"] {
                assert_eq!(read(good).unwrap().as_str(), good);
            }
            for wrong in
                ["", "127.0.0.1:4317", "https://x:1", "http://x", "http://:1", "http://u@x:1", "http://x/y:1"]
            {
                assert!(read(wrong).unwrap_err().contains("as in \"http://127.0.0.1:4317\""), "{wrong}");
            }
        } else {
            assert!(read("http://127.0.0.1:4317").unwrap_err().contains("--features otlp"));
        }
    }

    #[test]
    fn ranges_of_addresses() {
        let at = |last| Ipv4Addr::new(10, 11, 1, last);
        for (text, first, last) in [
            ("10.11.1.128/26", 128, 191),
            ("10.11.1.128-10.11.1.191", 128, 191),
            ("10.11.1.7 - 10.11.1.7", 7, 7),
            ("10.11.1.7/32", 7, 7),
        ] {
            let range: AddressRange = text.parse().unwrap();
            assert_eq!((range.first(), range.last()), (at(first), at(last)), "{text}");
            assert_eq!(range.to_string().parse(), Ok(range));
        }
        let all: AddressRange = "0.0.0.0/0".parse().unwrap();
        assert_eq!((all.first(), all.last()), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
        for wrong in ["", "10.11.1.1", "10.11.1.1-", "-", "10.11.1.1-2", "10.11.1.1-10.11.1.256", "a-b"] {
            assert_eq!(wrong.parse::<AddressRange>(), Err(AddressRangeError::Syntax), "{wrong}");
        }
        assert_eq!(
            "10.11.1.9-10.11.1.8".parse::<AddressRange>(),
            Err(AddressRangeError::Order(at(9), at(8)))
        );
        assert!(matches!("10.11.1.129/26".parse::<AddressRange>(), Err(AddressRangeError::Prefix(_))));
    }

    #[test]
    fn prefixes() {
        let prefix: Prefix = "10.11.1.0/24".parse().unwrap();
        assert_eq!((prefix.address(), prefix.length()), (Ipv4Addr::new(10, 11, 1, 0), 24));
        assert_eq!(prefix.mask(), Ipv4Addr::new(255, 255, 255, 0));
        assert!(prefix.contains(Ipv4Addr::new(10, 11, 1, 255)));
        assert!(!prefix.contains(Ipv4Addr::new(10, 11, 2, 0)));
        assert_eq!(prefix.to_string(), "10.11.1.0/24");
        assert!("0.0.0.0/0".parse::<Prefix>().unwrap().contains(Ipv4Addr::BROADCAST));
        assert!(!"10.0.0.1/32".parse::<Prefix>().unwrap().contains(Ipv4Addr::new(10, 0, 0, 0)));
        for wrong in ["10.11.1.0", "10.11.1.0/33", "10.11.1/24", "/24", "10.11.1.0/", "10.11.1.0/-1", ""] {
            assert_eq!(wrong.parse::<Prefix>(), Err(PrefixError::Syntax), "{wrong}");
        }
        assert_eq!("10.11.1.1/24".parse::<Prefix>(), Err(PrefixError::HostBits(prefix)));
    }

    #[test]
    fn names() {
        let nai: Nai = "traveller.one@home.example".parse().unwrap();
        assert_eq!((nai.user(), nai.realm()), ("traveller.one", "home.example"));
        for wrong in
            ["", "home.example", "@home.example", "a b@home.example", "a..b@home.example", "a@b@c.example"]
        {
            assert!(wrong.parse::<Nai>().is_err(), "{wrong}");
        }
        for wrong in ["a@home", "a@-home.example", "a@home..example", "a@home.ex ample", "a@"] {
            assert_eq!(wrong.parse::<Nai>(), Err(NaiError::Realm(RealmError)), "{wrong}");
        }
        let long = format!("{}@home.example", "a".repeat(243));
        assert_eq!(long.parse::<Nai>(), Err(NaiError::Length(256)));
        assert!(long[1..].parse::<Nai>().is_ok());
    }

    #[test]
    fn interfaces() {
        for right in ["eth0", "wlp3s0.12", "a", "abcdefghijklmno"] {
            assert!(right.parse::<Interface>().is_ok(), "{right}");
        }
        for wrong in ["", "abcdefghijklmnop", "a b", "a/b", "..", "a:1", "\u{e9}"] {
            assert!(wrong.parse::<Interface>().is_err(), "{wrong}");
        }
    }
}
