//! `10.11.1.0/24`.

use std::{fmt, net::Ipv4Addr};

use serde::{Deserialize, Deserializer, de};

/// An IPv4 prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) network: Ipv4Addr,
    /// 8 to 30 bits.
    pub(crate) length: u8,
}

impl Prefix {
    /// Whether an address lies inside and can be a host's.
    pub(crate) fn has_host(self, address: Ipv4Addr) -> bool {
        let host = address.to_bits() & !self.mask();
        address.to_bits() & self.mask() == self.network.to_bits() && host != 0 && host != !self.mask()
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.length))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no prefix such as 10.11.1.0/24");
        let (network, length) = text.split_once('/').ok_or_else(wrong)?;
        let network = network.parse().map_err(|_| wrong())?;
        let length = length.parse().map_err(|_| wrong())?;
        if !(8..=30).contains(&length) {
            return Err(format!("`{text}`: a prefix has 8 to 30 bits"));
        }
        let prefix = Self { network, length };
        if network.to_bits() & !prefix.mask() != 0 {
            return Err(format!("`{text}` has bits behind the prefix"));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_inside_and_neither_first_nor_last() {
        let prefix = Prefix::parse("10.11.1.0/24").unwrap();
        assert!(prefix.has_host("10.11.1.50".parse().unwrap()));
        for address in ["10.11.1.0", "10.11.1.255", "10.11.2.1"] {
            assert!(!prefix.has_host(address.parse().unwrap()), "{address}");
        }
        for text in ["10.11.1.0", "10.11.1.1/24", "10.0.0.0/4", "10.11.1.0/31", "x/24"] {
            assert!(Prefix::parse(text).is_err(), "{text}");
        }
    }
}
