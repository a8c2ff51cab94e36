//! Who may roam.

use std::net::Ipv4Addr;

use crypto::{Cipher, Key};
use wire::mip::Spi;

use crate::Nai;

/// Whether a subscriber may register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriberState {
    /// May register.
    Active,
    /// May not, and has no bindings.
    Revoked,
}

/// A mobile node as the key distribution centre enrolled it and the home agent knows it.
pub struct Subscriber {
    /// Identity.
    pub nai: Nai,
    /// KEY 0, shared by mobile node, home agent and key distribution centre.
    pub key0: Key,
    /// Static security parameter index, above 511.
    pub spi: Spi,
    /// Cipher of what is sealed under KEY 0.
    pub cipher: Cipher,
    /// Home address.
    pub home_address: Ipv4Addr,
    /// Bits of the home link's prefix.
    pub home_prefix_length: u8,
    /// Home agent.
    pub home_agent: Ipv4Addr,
    /// Router of the home link, if any.
    pub home_gateway: Option<Ipv4Addr>,
    /// Key shares are not asked of this subscriber.
    pub no_fs: bool,
    /// Whether it may register.
    pub state: SubscriberState,
    /// Longest lifetime granted, in seconds; `None` leaves it to the home agent.
    pub max_lifetime: Option<u16>,
    /// Rises with every change of any subscriber of the realm.
    pub change: u64,
}

impl Subscriber {
    /// A second copy, on purpose and by name, because it holds a key.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            nai: self.nai.clone(),
            key0: self.key0.duplicate(),
            spi: self.spi,
            cipher: self.cipher,
            home_address: self.home_address,
            home_prefix_length: self.home_prefix_length,
            home_agent: self.home_agent,
            home_gateway: self.home_gateway,
            no_fs: self.no_fs,
            state: self.state,
            max_lifetime: self.max_lifetime,
            change: self.change,
        }
    }
}
