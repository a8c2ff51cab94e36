//! The configuration of a home agent: `home-agent.toml` beside this crate shows every key.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use admin::client::Profile;
use anyhow::{Context as _, anyhow};
use crypto::{Cipher, Key};
use daemon::config::{
    self, AddressRange, AdminSection, AssociationPolicy, Check, Collector, Interface, LogDirectives, Nai,
    PathKind, Prefix, Realm, Reloadable, Serves, Setting,
};
use mobility::home_agent::{self, Neighbour, Pool};
use net::tunnel::{Encapsulations, Links};
use sa::negotiation::{Named, Policy, test_group};
use sansio::LinkId;
use serde::Deserialize;
use wire::mip::{Spi, ours::DOCUMENTATION_VENDOR};

use crate::limits::Limits;

/// The one home link.
pub(crate) const HOME_LINK: LinkId = LinkId(0);

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) nai: Nai,
    pub(crate) realm: Realm,
    pub(crate) address: Ipv4Addr,
    pub(crate) state: PathBuf,
    pub(crate) state_key: PathBuf,
    #[serde(default)]
    pub(crate) log: Option<LogDirectives>,
    /// Where programs watch it over HTTP.
    #[serde(default)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Where steps of registrations are collected.
    #[serde(default)]
    pub(crate) otlp: Option<Collector>,
    #[serde(default)]
    pub(crate) testbed: bool,
    #[serde(default = "documentation_vendor")]
    pub(crate) vendor: u32,
    pub(crate) home_link: HomeLink,
    #[serde(default)]
    pub(crate) registration: Registration,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) advertisement: Advertisement,
    #[serde(default)]
    pub(crate) tunnel: Tunnel,
    #[serde(default)]
    pub(crate) negotiation: Negotiation,
    pub(crate) admin: AdminSection,
    pub(crate) kdc: Profile,
    #[serde(default)]
    pub(crate) foreign_agents: Vec<ForeignAgent>,
}

const fn documentation_vendor() -> u32 {
    DOCUMENTATION_VENDOR
}

/// The link whose addresses it looks after.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeLink {
    pub(crate) interface: Interface,
    pub(crate) prefix: Prefix,
    /// The router of the link, whose address nobody is given.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// With fewer octets than these, mobile nodes would do little else than register.
const LEAST_OCTETS: u64 = 100_000;

/// What it grants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registration {
    pub(crate) max_lifetime: u16,
    pub(crate) timestamp_window: u32,
    pub(crate) max_bindings: usize,
    /// Of one mobile node.
    pub(crate) max_simultaneous_bindings: usize,
    /// For subscribers that were enrolled without a home address.
    pub(crate) home_addresses: Option<AddressRange>,
    pub(crate) keepalive: u16,
    /// Registrations may be revoked, by us and by foreign agents.
    pub(crate) revocation: bool,
    /// Foreign agents that leave it to us shall tell the mobile node.
    pub(crate) inform: bool,
    /// Octets after which associations end; 0 for any number.
    pub(crate) max_octets: u64,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            max_lifetime: 1800,
            timestamp_window: 7,
            max_bindings: 100_000,
            max_simultaneous_bindings: 3,
            home_addresses: None,
            keepalive: 110,
            revocation: true,
            inform: true,
            max_octets: 0,
        }
    }
}

/// How often it says that it is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Advertisement {
    pub(crate) interval_ms: u64,
}

impl Default for Advertisement {
    fn default() -> Self {
        Self { interval_ms: 1000 }
    }
}

/// The tunnel device, and what goes through it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tunnel {
    pub(crate) device: Interface,
    /// Minimal encapsulation for who asks for it.
    pub(crate) minimal: bool,
    /// GRE for who asks for it.
    pub(crate) gre: bool,
    /// Broadcasts and multicasts of the home link for who asks for them.
    pub(crate) broadcasts: bool,
    /// Packets are exchanged with the kernel many in one.
    pub(crate) offload: bool,
    /// Segment sizes of TCP connections are lowered to what the tunnel takes.
    pub(crate) mss_clamp: bool,
}

impl Default for Tunnel {
    fn default() -> Self {
        let device = Interface::try_from("sojourn0".to_owned());
        Self {
            device: device.unwrap_or_else(|_| unreachable!("sojourn0 is an interface name")),
            minimal: true,
            gre: true,
            broadcasts: true,
            offload: true,
            mss_clamp: true,
        }
    }
}

/// What is allowed where associations are negotiated.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Negotiation {
    /// With mobile nodes: KEY 1.
    pub(crate) mobile_nodes: AssociationPolicy,
    /// With foreign agents: KEY 2.
    pub(crate) foreign_agents: AssociationPolicy,
}

/// A policy for the core. A group of one's own was tested when the file was read.
fn policy(of: &AssociationPolicy) -> anyhow::Result<Policy> {
    let names = of.names();
    let own = of.own_group.as_ref().map(|own| own.numbers().map_err(|(key, why)| anyhow!("{key}: {why}")));
    let own = own.transpose()?;
    let named = Named {
        modes: &names.modes,
        encryption: &names.encryption,
        authentication: &names.authentication,
        groups: &names.groups,
        own_group: own.as_ref().map(|(prime, generator)| (prime.as_slice(), generator.as_slice())),
        others_groups: of.allow_peer_groups,
        legacy_groups: of.allow_legacy_groups,
        lifetime: of.lifetime,
    };
    Policy::named(&named).context("a name in negotiation")
}

/// A foreign agent that may relay.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeignAgent {
    pub(crate) nai: Nai,
    pub(crate) address: Ipv4Addr,
    pub(crate) spi: u32,
    pub(crate) key: PathBuf,
    pub(crate) path: PathKind,
    /// It may leave its key share out.
    #[serde(default)]
    pub(crate) no_fs: bool,
    #[serde(default)]
    pub(crate) cipher: config::Cipher,
}

impl config::Config for Config {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.state, &mut self.state_key, &mut self.admin.socket];
        paths.extend(self.kdc.paths());
        paths.extend(self.negotiation.mobile_nodes.paths());
        paths.extend(self.negotiation.foreign_agents.paths());
        paths.extend(self.foreign_agents.iter_mut().map(|agent| &mut agent.key));
        paths
    }

    fn validate(&self, check: &mut Check) {
        if !self.home_link.prefix.contains(self.address) {
            check.problem("address", format!("must lie in home_link.prefix, {}", self.home_link.prefix));
        }
        if let Some(gateway) = self.home_link.gateway.filter(|it| !self.home_link.prefix.contains(*it)) {
            let prefix = self.home_link.prefix;
            check.problem(
                "home_link.gateway",
                format!("{gateway} does not lie in home_link.prefix, {prefix}"),
            );
        }
        if let Some(range) = self.registration.home_addresses
            && ![range.first(), range.last()].iter().all(|it| self.home_link.prefix.contains(*it))
        {
            let message = format!("must lie in home_link.prefix, {}, as a whole", self.home_link.prefix);
            check.problem("registration.home_addresses", message);
        }
        if self.nai.as_str().len() > 64 {
            check.problem("nai", "an agent's name has at most 64 bytes");
        }
        if self.vendor == DOCUMENTATION_VENDOR && !self.testbed {
            check.problem(
                "vendor",
                "32473 is for documentation: set your own enterprise number, or testbed = true",
            );
        }
        check.range("registration.max_lifetime", self.registration.max_lifetime, 1..=u16::MAX);
        check.range("registration.timestamp_window", self.registration.timestamp_window, 4..=300);
        check.range("registration.max_bindings", self.registration.max_bindings, 1..=10_000_000);
        let most = self.registration.max_simultaneous_bindings;
        check.range("registration.max_simultaneous_bindings", most, 1..=16);
        if !matches!(self.registration.max_octets, 0 | LEAST_OCTETS..) {
            let octets = self.registration.max_octets;
            check.problem(
                "registration.max_octets",
                format!("{octets} is not allowed: from {LEAST_OCTETS} up, or 0 for any number"),
            );
        }
        check.range("registration.keepalive", self.registration.keepalive, 5..=3600);
        let serves = Serves { hybrid: true, peer_groups: true };
        let Negotiation { mobile_nodes, foreign_agents } = &self.negotiation;
        mobile_nodes.check("negotiation.mobile_nodes", serves, test_group, check);
        foreign_agents.check("negotiation.foreign_agents", serves, test_group, check);
        self.limits.check(check);
        check.range("advertisement.interval_ms", self.advertisement.interval_ms, 20..=600_000);
        for (key, message) in self.kdc.problems() {
            check.problem(format!("kdc.{key}"), message);
        }
        for (i, agent) in self.foreign_agents.iter().enumerate() {
            let key = |name: &str| format!("foreign_agents[{i}].{name}");
            if agent.nai.as_str().len() > 64 {
                check.problem(key("nai"), "an agent's name has at most 64 bytes");
            }
            check.range(key("spi"), agent.spi, 256..=u32::MAX);
            check.key_file(key("key"), &agent.key);
            if agent.path == PathKind::InsecureTestbed && !self.testbed {
                check.problem(key("path"), "\"insecure-testbed\" needs testbed = true; else \"static\"");
            }
        }
        let spis = self.foreign_agents.iter().enumerate();
        check.unique(spis.map(|(i, a)| (format!("foreign_agents[{i}].spi"), a.spi)));
        let names = self.foreign_agents.iter().enumerate();
        check.unique(names.map(|(i, a)| (format!("foreign_agents[{i}].nai"), a.nai.as_str().to_owned())));
    }
}

impl Reloadable for Config {
    fn settings(&self) -> Vec<Setting> {
        let (link, registration, tunnel, kdc) =
            (&self.home_link, &self.registration, &self.tunnel, &self.kdc);
        let mut settings = vec![
            Setting::fixed("nai", &self.nai),
            Setting::fixed("realm", &self.realm),
            Setting::fixed("address", self.address),
            Setting::fixed("state", self.state.display()),
            Setting::fixed("state_key", self.state_key.display()),
            Setting::free("log", Setting::or_none(Reloadable::log(self))),
            Setting::fixed("metrics", Setting::or_none(self.metrics)),
            Setting::fixed("otlp", Setting::or_none(self.otlp.as_ref())),
            Setting::free("testbed", self.testbed),
            Setting::fixed("vendor", self.vendor),
            Setting::fixed("home_link.interface", &link.interface),
            Setting::fixed("home_link.prefix", link.prefix),
            Setting::free("home_link.gateway", Setting::or_none(link.gateway)),
            Setting::free("registration.max_lifetime", registration.max_lifetime),
            Setting::free("registration.timestamp_window", registration.timestamp_window),
            Setting::free("registration.max_bindings", registration.max_bindings),
            Setting::free("registration.max_simultaneous_bindings", registration.max_simultaneous_bindings),
            Setting::free("registration.home_addresses", Setting::or_none(registration.home_addresses)),
            Setting::free("registration.keepalive", registration.keepalive),
            Setting::free("registration.revocation", registration.revocation),
            Setting::free("registration.inform", registration.inform),
            Setting::free("registration.max_octets", registration.max_octets),
            Setting::free("advertisement.interval_ms", self.advertisement.interval_ms),
            Setting::fixed("tunnel.device", &tunnel.device),
            Setting::fixed("tunnel.offload", tunnel.offload),
            Setting::fixed("tunnel.mss_clamp", tunnel.mss_clamp),
            Setting::fixed("tunnel.minimal", tunnel.minimal),
            Setting::fixed("tunnel.gre", tunnel.gre),
            Setting::fixed("tunnel.broadcasts", tunnel.broadcasts),
            Setting::fixed("admin.socket", self.admin.socket.display()),
            Setting::fixed("kdc.endpoint", &kdc.endpoint),
            Setting::fixed("kdc.server_name", &kdc.server_name),
            Setting::fixed("kdc.ca", kdc.ca.display()),
            Setting::fixed("kdc.certificate", kdc.certificate.display()),
            Setting::fixed("kdc.key", kdc.key.display()),
        ];
        for (policy, at) in [
            (&self.negotiation.mobile_nodes, "negotiation.mobile_nodes"),
            (&self.negotiation.foreign_agents, "negotiation.foreign_agents"),
        ] {
            settings.extend(AssociationPolicy::settings(Some(policy), at, true));
        }
        settings.extend(self.limits.settings());
        let agents = self.foreign_agents.iter().enumerate();
        settings.extend(
            agents.map(|(i, agent)| Setting::element("foreign_agents", i, &agent.nai, agent.summary())),
        );
        settings
    }

    fn log(&self) -> Option<&str> {
        self.log.as_ref().map(LogDirectives::as_str)
    }

    fn otlp(&self) -> Option<&Collector> {
        self.otlp.as_ref()
    }
}

impl Config {
    /// The encapsulations beside IP in IP and UDP.
    pub(crate) const fn encapsulations(&self) -> Encapsulations {
        Encapsulations { minimal: self.tunnel.minimal, gre: self.tunnel.gre }
    }

    /// Where broadcasts for mobile nodes come from; prefixes of 31 and 32 bits have none.
    pub(crate) fn broadcasts(&self) -> Links {
        let HomeLink { interface, prefix, .. } = &self.home_link;
        let length = prefix.length();
        if !self.tunnel.broadcasts || length > 30 {
            return Links::None;
        }
        let broadcast = Ipv4Addr::from_bits(self.address.to_bits() | (u32::MAX >> length));
        Links::Home { interface: interface.as_str().to_owned(), broadcast, local_control: false }
    }

    /// What the core is told.
    pub(crate) fn core(&self) -> anyhow::Result<home_agent::Config> {
        Ok(home_agent::Config {
            negotiation: home_agent::Policies {
                mobile_nodes: policy(&self.negotiation.mobile_nodes)?,
                foreign_agents: policy(&self.negotiation.foreign_agents)?,
            },
            nai: self.nai.as_str().to_owned(),
            realm: self.realm.as_str().to_owned(),
            address: self.address,
            vendor: self.vendor,
            home_link: HOME_LINK,
            home_prefix_length: self.home_link.prefix.length(),
            max_lifetime: self.registration.max_lifetime,
            timestamp_window: self.registration.timestamp_window,
            max_bindings: self.registration.max_bindings,
            max_simultaneous_bindings: self.registration.max_simultaneous_bindings,
            home_addresses: self.registration.home_addresses.map(|range| Pool {
                first: range.first(),
                last: range.last(),
                never: self.home_link.gateway.into_iter().collect(),
            }),
            advertisement_interval: Duration::from_millis(self.advertisement.interval_ms),
            minimal: self.tunnel.minimal,
            gre: self.tunnel.gre,
            broadcasts: self.tunnel.broadcasts,
            revocation: self.registration.revocation,
            inform: self.registration.inform,
            keepalive: self.registration.keepalive,
            max_octets: self.registration.max_octets,
            limits: self.limits.core(),
            neighbours: self.foreign_agents.iter().map(ForeignAgent::core).collect::<anyhow::Result<_>>()?,
        })
    }
}

impl ForeignAgent {
    /// All of it in words, the key by its fingerprint: to be compared.
    fn summary(&self) -> String {
        let Self { address, spi, key, path, no_fs, cipher, .. } = self;
        let key = daemon::secret_file::read_key(key).map(|key| Key::new(*key.expose()).fingerprint_hex());
        let key = key.unwrap_or_else(|error| error.to_string());
        format!("{address} {spi} {key} {path:?} {no_fs} {}", cipher.as_str())
    }

    fn core(&self) -> anyhow::Result<Neighbour> {
        let key = daemon::secret_file::read_key(&self.key)?;
        let cipher = Cipher::from_name(self.cipher.as_str()).context("cipher of a foreign agent")?;
        Ok(Neighbour {
            nai: self.nai.as_str().to_owned(),
            address: self.address,
            spi: Spi(self.spi),
            key: Key::new(*key.expose()),
            cipher,
            no_fs: self.no_fs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_compares_every_key() {
        let forgotten = config::keys_without_setting::<Config>(include_str!("../home-agent.toml"));
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }
}
