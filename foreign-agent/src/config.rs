//! The configuration of a foreign agent: `foreign-agent.toml` beside this crate shows every key.

use sa::negotiation::{Named, Policy, test_group};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use crypto::{Cipher, Key};
use daemon::config::{
    self, AdminSection, AssociationPolicy, Check, Collector, Interface, LogDirectives, Nai, PathKind,
    Reloadable, Serves, Setting,
};
use mobility::foreign_agent::{self, Encapsulation, HomeAgent, Inform, PlainNode, ReverseTunnel};
use net::tunnel::{Encapsulations, Links};
use sansio::LinkId;
use serde::Deserialize;
use wire::mip::{
    Spi,
    ours::{DOCUMENTATION_VENDOR, MAX_AGENT_NAME},
};

use crate::limits::Limits;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) nai: Nai,
    pub(crate) care_of: Ipv4Addr,
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
    pub(crate) links: Vec<Link>,
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
    #[serde(default)]
    pub(crate) home_agents: Vec<Neighbour>,
    #[serde(default)]
    pub(crate) mobile_nodes: Vec<MobileNode>,
}

const fn documentation_vendor() -> u32 {
    DOCUMENTATION_VENDOR
}

/// What is allowed where associations are negotiated.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Negotiation {
    /// With mobile nodes: KEY 3.
    pub(crate) mobile_nodes: AssociationPolicy,
    /// It is the serving mobility manager of its visitors.
    pub(crate) serving_manager: bool,
    /// With home agents: KEY 2; without it nothing is offered.
    pub(crate) home_agents: Option<AssociationPolicy>,
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

/// A link that mobile nodes may visit. Its number is its place in the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) interface: Interface,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix_length: u8,
}

/// Whom it serves, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registration {
    pub(crate) max_lifetime: u16,
    pub(crate) max_visitors: usize,
    pub(crate) max_pending: usize,
    pub(crate) reverse_tunnel: Reverse,
    pub(crate) required: bool,
    pub(crate) inform: Informed,
    pub(crate) plain_nodes: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            max_lifetime: 1800,
            max_visitors: 1000,
            max_pending: 1000,
            reverse_tunnel: Reverse::Optional,
            required: false,
            inform: Informed::Always,
            plain_nodes: false,
        }
    }
}

/// Whether there are reverse tunnels.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reverse {
    Optional,
    Required,
    Off,
}

impl Reverse {
    const fn word(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

/// Whether a visitor whose registration was revoked is told.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Informed {
    Always,
    Never,
    HomeAgent,
}

impl Informed {
    const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::HomeAgent => "home-agent",
        }
    }
}

/// How it says that it is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Advertisement {
    pub(crate) interval_ms: u64,
    pub(crate) lifetime_s: u16,
}

impl Default for Advertisement {
    fn default() -> Self {
        Self { interval_ms: 1000, lifetime_s: 3 }
    }
}

/// The tunnels to home agents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tunnel {
    pub(crate) device: Interface,
    pub(crate) encapsulation: config::Encapsulation,
    /// Minimal encapsulation for who asks for it; not over UDP.
    pub(crate) minimal: bool,
    /// GRE for who asks for it; not over UDP.
    pub(crate) gre: bool,
    /// Visitors may hand their packets over encapsulated.
    pub(crate) encapsulating_delivery: bool,
    pub(crate) keepalive_s: u64,
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
            encapsulation: config::Encapsulation::IpIp,
            minimal: true,
            gre: true,
            encapsulating_delivery: true,
            keepalive_s: 110,
            offload: true,
            mss_clamp: true,
        }
    }
}

/// A home agent whose mobile nodes may visit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Neighbour {
    pub(crate) nai: Nai,
    pub(crate) address: Ipv4Addr,
    pub(crate) spi: u32,
    pub(crate) key: PathBuf,
    pub(crate) path: PathKind,
    #[serde(default)]
    pub(crate) no_fs: bool,
    #[serde(default)]
    pub(crate) cipher: config::Cipher,
}

/// A mobile node without our extensions that shares an association with this agent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MobileNode {
    pub(crate) home_address: Ipv4Addr,
    pub(crate) spi: u32,
    pub(crate) key: PathBuf,
    pub(crate) algorithm: Algorithm,
}

/// How the authenticators of such a node are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "hmac-sha-256")]
    HmacSha256,
    #[serde(rename = "hmac-md5")]
    HmacMd5,
}

impl config::Config for Config {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.state, &mut self.state_key, &mut self.admin.socket];
        paths.extend(self.negotiation.mobile_nodes.paths());
        paths.extend(self.negotiation.home_agents.iter_mut().flat_map(AssociationPolicy::paths));
        paths.extend(self.home_agents.iter_mut().map(|home| &mut home.key));
        paths.extend(self.mobile_nodes.iter_mut().map(|node| &mut node.key));
        paths
    }

    fn validate(&self, check: &mut Check) {
        check_name(check, "nai".to_owned(), &self.nai);
        if !host(self.care_of) {
            check.problem("care_of", format!("{} is no address of a host", self.care_of));
        }
        if self.vendor == DOCUMENTATION_VENDOR && !self.testbed {
            check.problem(
                "vendor",
                "32473 is for documentation: set your own enterprise number, or testbed = true",
            );
        }
        self.check_links(check);
        let registration = &self.registration;
        check.range("registration.max_lifetime", registration.max_lifetime, 1..=u16::MAX);
        check.range("registration.max_visitors", registration.max_visitors, 1..=1_000_000);
        check.range("registration.max_pending", registration.max_pending, 1..=1_000_000);
        // Of a visitor nobody knows yet who it is, and who asks brings the group itself.
        let serves = |hybrid| Serves { hybrid, peer_groups: false };
        self.negotiation.mobile_nodes.check("negotiation.mobile_nodes", serves(false), test_group, check);
        if let Some(policy) = &self.negotiation.home_agents {
            policy.check("negotiation.home_agents", serves(true), test_group, check);
        }
        self.limits.check(check);
        check.range("tunnel.keepalive_s", self.tunnel.keepalive_s, 10..=3600);
        self.check_advertisement(check);
        self.check_home_agents(check);
        self.check_mobile_nodes(check);
    }
}

impl Reloadable for Config {
    fn settings(&self) -> Vec<Setting> {
        let (registration, advertisement, tunnel) = (&self.registration, &self.advertisement, &self.tunnel);
        let udp = tunnel.encapsulation == config::Encapsulation::Udp;
        let mut settings = vec![
            Setting::fixed("nai", &self.nai),
            Setting::fixed("care_of", self.care_of),
            Setting::fixed("state", self.state.display()),
            Setting::fixed("state_key", self.state_key.display()),
            Setting::free("log", Setting::or_none(Reloadable::log(self))),
            Setting::fixed("metrics", Setting::or_none(self.metrics)),
            Setting::fixed("otlp", Setting::or_none(self.otlp.as_ref())),
            Setting::free("testbed", self.testbed),
            Setting::fixed("vendor", self.vendor),
            Setting::free("registration.max_lifetime", registration.max_lifetime),
            Setting::free("registration.max_visitors", registration.max_visitors),
            Setting::free("registration.max_pending", registration.max_pending),
            Setting::free("registration.reverse_tunnel", registration.reverse_tunnel.word()),
            Setting::free("registration.required", registration.required),
            Setting::free("registration.inform", registration.inform.word()),
            Setting::free("registration.plain_nodes", registration.plain_nodes),
            Setting::free("advertisement.interval_ms", advertisement.interval_ms),
            Setting::free("advertisement.lifetime_s", advertisement.lifetime_s),
            Setting::fixed("tunnel.device", &tunnel.device),
            Setting::fixed("tunnel.offload", tunnel.offload),
            Setting::fixed("tunnel.mss_clamp", tunnel.mss_clamp),
            Setting::fixed("tunnel.encapsulation", if udp { "udp" } else { "ipip" }),
            Setting::fixed("tunnel.minimal", tunnel.minimal),
            Setting::fixed("tunnel.gre", tunnel.gre),
            Setting::fixed("tunnel.encapsulating_delivery", tunnel.encapsulating_delivery),
            Setting::free("tunnel.keepalive_s", tunnel.keepalive_s),
            Setting::fixed("admin.socket", self.admin.socket.display()),
        ];
        let negotiation = &self.negotiation;
        settings.push(Setting::free("negotiation.serving_manager", negotiation.serving_manager));
        for (policy, at) in [
            (Some(&negotiation.mobile_nodes), "negotiation.mobile_nodes"),
            (negotiation.home_agents.as_ref(), "negotiation.home_agents"),
        ] {
            settings.extend(AssociationPolicy::settings(policy, at, true));
        }
        settings.extend(self.limits.settings());
        for (i, link) in self.links.iter().enumerate() {
            let key = |name: &str| format!("links[{i}].{name}");
            settings.push(Setting::fixed(key("interface"), &link.interface));
            settings.push(Setting::fixed(key("address"), link.address));
            settings.push(Setting::fixed(key("prefix_length"), link.prefix_length));
        }
        let homes = self.home_agents.iter().enumerate();
        settings.extend(homes.map(|(i, home)| Setting::element("home_agents", i, &home.nai, home.summary())));
        let nodes = self.mobile_nodes.iter().enumerate();
        settings.extend(
            nodes.map(|(i, node)| Setting::element("mobile_nodes", i, node.home_address, node.summary())),
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
    fn check_links(&self, check: &mut Check) {
        if self.links.is_empty() {
            check.problem("links", "at least one link is needed");
        }
        for (i, link) in self.links.iter().enumerate() {
            let key = |name: &str| format!("links[{i}].{name}");
            check.range(key("prefix_length"), link.prefix_length, 1..=32);
            if !host(link.address) {
                check.problem(key("address"), format!("{} is no address of a host", link.address));
            }
            if link.interface == self.tunnel.device {
                check.problem(key("interface"), "this is tunnel.device");
            }
        }
        let links = || self.links.iter().enumerate();
        check.unique(links().map(|(i, link)| (format!("links[{i}].interface"), link.interface.to_string())));
        check.unique(links().map(|(i, link)| (format!("links[{i}].address"), link.address)));
    }

    fn check_advertisement(&self, check: &mut Check) {
        let Advertisement { interval_ms, lifetime_s } = self.advertisement;
        check.range("advertisement.interval_ms", interval_ms, 20..=600_000);
        check.range("advertisement.lifetime_s", lifetime_s, 1..=9000);
        // RFC 5944 section 2.1: a mobile node may miss three.
        let least = interval_ms.saturating_mul(3).div_ceil(1000);
        if u64::from(lifetime_s) < least {
            check.problem(
                "advertisement.lifetime_s",
                format!("{lifetime_s} is not allowed: at least three intervals, here {least}"),
            );
        }
    }

    fn check_home_agents(&self, check: &mut Check) {
        if self.home_agents.is_empty() {
            check.problem(
                "home_agents",
                "at least one home agent is needed: nobody else's mobile nodes may visit",
            );
        }
        for (i, home) in self.home_agents.iter().enumerate() {
            let key = |name: &str| format!("home_agents[{i}].{name}");
            check_name(check, key("nai"), &home.nai);
            let ours = home.address == self.care_of || self.links.iter().any(|l| l.address == home.address);
            if ours || !host(home.address) {
                check.problem(key("address"), format!("{} is no address of another host", home.address));
            }
            check.range(key("spi"), home.spi, 256..=u32::MAX);
            check.key_file(key("key"), &home.key);
            if home.path == PathKind::InsecureTestbed && !self.testbed {
                check.problem(key("path"), "\"insecure-testbed\" needs testbed = true; else \"static\"");
            }
        }
        let homes = || self.home_agents.iter().enumerate();
        check.unique(homes().map(|(i, home)| (format!("home_agents[{i}].address"), home.address)));
        check.unique(homes().map(|(i, home)| (format!("home_agents[{i}].nai"), home.nai.clone())));
    }

    fn check_mobile_nodes(&self, check: &mut Check) {
        if !self.mobile_nodes.is_empty() && !self.registration.plain_nodes {
            check.problem("mobile_nodes", "nobody is served by them without registration.plain_nodes = true");
        }
        for (i, node) in self.mobile_nodes.iter().enumerate() {
            let key = |name: &str| format!("mobile_nodes[{i}].{name}");
            if !host(node.home_address) {
                let message = format!("{} is no address of a host", node.home_address);
                check.problem(key("home_address"), message);
            }
            check.range(key("spi"), node.spi, 256..=u32::MAX);
            check.short_key_file(key("key"), &node.key);
        }
        let nodes = self.mobile_nodes.iter().enumerate();
        check.unique(nodes.map(|(i, node)| (format!("mobile_nodes[{i}].home_address"), node.home_address)));
    }

    /// What the core is told.
    pub(crate) fn core(&self) -> anyhow::Result<foreign_agent::Config> {
        let numbered = (0..).zip(&self.links);
        let links = numbered.map(|(number, link)| foreign_agent::Link {
            id: LinkId(number),
            address: link.address,
            prefix_length: link.prefix_length,
        });
        Ok(foreign_agent::Config {
            negotiation: foreign_agent::Policies {
                mobile_nodes: policy(&self.negotiation.mobile_nodes)?,
                serving_manager: self.negotiation.serving_manager,
                home_agents: self.negotiation.home_agents.as_ref().map(policy).transpose()?,
            },
            nai: self.nai.as_str().to_owned(),
            care_of: self.care_of,
            vendor: self.vendor,
            links: links.collect(),
            max_lifetime: self.registration.max_lifetime,
            max_visitors: self.registration.max_visitors,
            max_pending: self.registration.max_pending,
            limits: self.limits.core(),
            reverse_tunnel: match self.registration.reverse_tunnel {
                Reverse::Optional => ReverseTunnel::Optional,
                Reverse::Required => ReverseTunnel::Required,
                Reverse::Off => ReverseTunnel::Off,
            },
            registration_required: self.registration.required,
            interval: Duration::from_millis(self.advertisement.interval_ms),
            advertisement_lifetime: self.advertisement.lifetime_s,
            encapsulation: match self.tunnel.encapsulation {
                config::Encapsulation::IpIp => Encapsulation::IpInIp,
                config::Encapsulation::Udp => Encapsulation::Udp,
            },
            minimal: self.tunnel.minimal,
            gre: self.tunnel.gre,
            encapsulating_delivery: self.tunnel.encapsulating_delivery,
            keepalive: Duration::from_secs(self.tunnel.keepalive_s),
            inform: match self.registration.inform {
                Informed::Always => Inform::Always,
                Informed::Never => Inform::Never,
                Informed::HomeAgent => Inform::HomeAgentDecides,
            },
            home_agents: self.home_agents.iter().map(Neighbour::core).collect::<anyhow::Result<_>>()?,
            plain_nodes: match self.registration.plain_nodes {
                true => Some(self.mobile_nodes.iter().map(MobileNode::core).collect::<anyhow::Result<_>>()?),
                false => None,
            },
        })
    }

    /// The encapsulations beside IP in IP and UDP.
    pub(crate) fn encapsulations(&self) -> Encapsulations {
        // What asks for UDP everywhere grants nothing else.
        let own = self.tunnel.encapsulation == config::Encapsulation::IpIp;
        Encapsulations { minimal: own && self.tunnel.minimal, gre: own && self.tunnel.gre }
    }

    /// Largest packet for the tunnels, in bytes: that of the roomiest, for each tunnel sees to its own.
    pub(crate) fn mtu(&self) -> u16 {
        match self.tunnel.encapsulation {
            config::Encapsulation::IpIp if self.tunnel.minimal => forward::MINIMAL_MTU,
            config::Encapsulation::IpIp => forward::IPIP_MTU,
            config::Encapsulation::Udp => forward::UDP_MTU,
        }
    }

    /// Where packets are taken from that visitors hand over encapsulated.
    pub(crate) fn handed_over(&self) -> Links {
        if !self.tunnel.encapsulating_delivery {
            return Links::None;
        }
        let on_links = self.links.iter().map(|link| link.address);
        let addresses: BTreeSet<Ipv4Addr> = on_links.chain([self.care_of]).collect();
        Links::Visited { interfaces: self.interfaces(), addresses: addresses.into_iter().collect() }
    }

    /// The names of the visited interfaces, by number of the link.
    pub(crate) fn interfaces(&self) -> Vec<String> {
        self.links.iter().map(|link| link.interface.to_string()).collect()
    }
}

/// The name of a key that is compared, for none of it may be shown.
fn fingerprint(key: Result<daemon::secret_file::KeyBytes, daemon::secret_file::SecretError>) -> String {
    let name = key.map(|key| Key::new(*key.expose()).fingerprint_hex());
    name.unwrap_or_else(|error| error.to_string())
}

impl Neighbour {
    /// All of it in words, the key by its fingerprint: to be compared.
    fn summary(&self) -> String {
        let Self { address, spi, key, path, no_fs, cipher, .. } = self;
        let key = fingerprint(daemon::secret_file::read_key(key));
        format!("{address} {spi} {key} {path:?} {no_fs} {}", cipher.as_str())
    }

    fn core(&self) -> anyhow::Result<HomeAgent> {
        let key = daemon::secret_file::read_key(&self.key)?;
        Ok(HomeAgent {
            nai: self.nai.as_str().to_owned(),
            address: self.address,
            spi: Spi(self.spi),
            cipher: Cipher::from_name(self.cipher.as_str()).context("cipher of a home agent")?,
            key: Key::new(*key.expose()),
            no_fs: self.no_fs,
        })
    }
}

impl MobileNode {
    /// As for a home agent.
    fn summary(&self) -> String {
        let key = fingerprint(daemon::secret_file::read_short_key(&self.key));
        format!("{} {key} {:?}", self.spi, self.algorithm)
    }

    fn core(&self) -> anyhow::Result<PlainNode> {
        let key = Key::new(*daemon::secret_file::read_short_key(&self.key)?.expose());
        let md5 = self.algorithm == Algorithm::HmacMd5;
        if md5 {
            tracing::warn!(home_address = %self.home_address, "HMAC-MD5 is weak: replace this mobile node's software");
        }
        Ok(PlainNode { home_address: self.home_address, spi: Spi(self.spi), key, md5 })
    }
}

fn check_name(check: &mut Check, key: String, nai: &Nai) {
    if nai.as_str().len() > MAX_AGENT_NAME {
        check.problem(key, format!("an agent's name has at most {MAX_AGENT_NAME} bytes"));
    }
}

/// True for an address that one host may have.
const fn host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast() || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    const EXAMPLE: &str = include_str!("../foreign-agent.toml");

    /// A folder with a key file, and the file to be checked in it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("foreign-agent-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            let key = path.join("fa-a.key");
            fs::write(&key, "ab".repeat(32)).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            Self(path)
        }

        fn load(&self, text: &str) -> Result<Config, String> {
            let file = self.0.join("foreign-agent.toml");
            fs::write(&file, text).unwrap();
            config::load(Path::new(&file)).map_err(|e| e.to_string())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_reload_compares_every_key() {
        let forgotten = config::keys_without_setting::<Config>(include_str!("../foreign-agent.toml"));
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }

    #[test]
    fn the_example_is_right_and_reaches_the_core() {
        let folder = Folder::new("example");
        let config = folder.load(EXAMPLE).unwrap();
        let core = config.core().unwrap();
        assert_eq!((core.nai.as_str(), core.max_lifetime), ("fa-a@visited-a.example", 600));
        assert_eq!(core.home_agents[0].spi, Spi(1001));
        assert!(core.home_agents[0].key == Key::new([0xab; 32]));
        assert!(!core.home_agents[0].no_fs);
        assert_eq!((core.links[0].id, core.links[0].prefix_length), (LinkId(0), 24));
        assert_eq!((config.mtu(), config.interfaces()), (1488, vec!["eth1".to_owned()]));
        assert_eq!(config.encapsulations(), Encapsulations { minimal: true, gre: true });
        let addresses = vec![Ipv4Addr::new(10, 21, 1, 1), Ipv4Addr::new(10, 51, 1, 2)];
        let handed_over = Links::Visited { interfaces: config.interfaces(), addresses };
        assert_eq!(config.handed_over(), handed_over);
        assert!(config.state.is_absolute());
    }

    #[test]
    fn what_may_be_left_out_has_defaults() {
        let folder = Folder::new("defaults");
        let tables = ["[registration]", "[limits]", "[advertisement]", "[tunnel]"];
        let mut text = EXAMPLE.to_owned();
        for table in tables {
            let from = text.find(table).unwrap();
            let to = from + text[from..].find("\n\n").unwrap();
            text.replace_range(from..to, "");
        }
        text = text.lines().filter(|line| !line.starts_with("no_fs")).collect::<Vec<_>>().join("\n");
        let config = folder.load(&text).unwrap();
        assert!(!config.home_agents[0].no_fs, "forward secrecy is the rule");
        assert_eq!(config.registration.max_lifetime, 1800);
        assert_eq!(config.tunnel.device.as_str(), "sojourn0");
        assert!(config.tunnel.offload && config.tunnel.mss_clamp);
    }

    #[test]
    fn what_is_not_offered_is_not_opened() {
        let folder = Folder::new("closed");
        let load = |from: &str, to: &str| {
            assert!(EXAMPLE.contains(from), "{from}");
            folder.load(&EXAMPLE.replacen(from, to, 1)).unwrap()
        };
        let both = Encapsulations { minimal: true, gre: true };
        let config = load("minimal = true", "minimal = false");
        assert_eq!(
            (config.mtu(), config.encapsulations()),
            (1480, Encapsulations { minimal: false, ..both })
        );
        let config = load("gre = true", "gre = false");
        assert_eq!((config.mtu(), config.encapsulations()), (1488, Encapsulations { gre: false, ..both }));
        let config = load("encapsulation = \"ipip\"", "encapsulation = \"udp\"");
        assert_eq!((config.mtu(), config.encapsulations()), (1468, Encapsulations::default()));
        let config = load("encapsulating_delivery = true", "encapsulating_delivery = false");
        assert_eq!(config.handed_over(), Links::None);
    }

    /// Each key wrong in turn: what stands there, what is put in its place, and what the message must hold.
    #[test]
    fn every_wrong_value_is_named_with_what_is_allowed() {
        let folder = Folder::new("wrong");
        for (right, wrong, key, words) in [
            ("nai = \"fa-a@visited-a.example\"", "nai = \"fa-a\"", "nai", "user@realm"),
            ("care_of = \"10.51.1.2\"", "care_of = \"10.51.1\"", "care_of", "IPv4"),
            ("care_of = \"10.51.1.2\"", "care_of = \"224.0.0.1\"", "care_of", "host"),
            ("state = \"fa.db\"", "state = 1", "state", "path"),
            ("state_key = \"fa.kek\"", "state_kye = \"x\"", "state_kye", "state_key"),
            ("testbed = true ", "testbed = false", "vendor", "enterprise number"),
            ("testbed = true ", "testbed = \"yes\"", "testbed", "true or false"),
            ("vendor = 32473", "vendor = -1", "vendor", "whole number"),
            ("interface = \"eth1\"", "interface = \"a b\"", "links[0].interface", "eth0"),
            ("interface = \"eth1\"", "interface = \"sojourn0\"", "links[0].interface", "tunnel.device"),
            ("address = \"10.21.1.1\"", "address = \"0.0.0.0\"", "links[0].address", "host"),
            ("prefix_length = 24", "prefix_length = 33", "links[0].prefix_length", "1 to 32"),
            ("max_lifetime = 600 ", "max_lifetime = 0", "registration.max_lifetime", "1 to 65535"),
            ("max_lifetime = 600 ", "max_lifetime = 70000", "registration.max_lifetime", "65535"),
            ("max_visitors = 1000", "max_visitors = 0", "registration.max_visitors", "from 1"),
            ("max_pending = 1000", "max_pending = 0", "registration.max_pending", "from 1"),
            ("rate_station = 100", "rate_station = -1", "limits.rate_station", "whole number"),
            (
                "pending_home_agent = 0",
                "pending_home_agent = 9999999",
                "limits.pending_home_agent",
                "1000000",
            ),
            ("\"optional\" ", "\"maybe\"", "registration.reverse_tunnel", "required"),
            ("required = false", "required = 0", "registration.required", "true or false"),
            ("inform = \"always\"", "inform = \"yes\"", "registration.inform", "home-agent"),
            ("interval_ms = 1000", "interval_ms = 1", "advertisement.interval_ms", "20"),
            ("interval_ms = 1000", "interval_ms = 1001", "advertisement.lifetime_s", "here 4"),
            ("lifetime_s = 3 ", "lifetime_s = 0", "advertisement.lifetime_s", "1 to 9000"),
            ("device = \"sojourn0\"", "device = \"\"", "tunnel.device", "interface"),
            ("encapsulation = \"ipip\"", "encapsulation = \"gre\"", "tunnel.encapsulation", "udp"),
            ("minimal = true", "minimal = 1", "tunnel.minimal", "true or false"),
            ("gre = true", "gre = \"on\"", "tunnel.gre", "true or false"),
            (
                "encapsulating_delivery = true",
                "encapsulating_delivery = 1",
                "tunnel.encapsulating_delivery",
                "true or false",
            ),
            ("keepalive_s = 110", "keepalive_s = 9", "tunnel.keepalive_s", "10 to 3600"),
            ("offload = true", "offload = 1", "tunnel.offload", "true or false"),
            ("mss_clamp = true", "mss_clamp = 1", "tunnel.mss_clamp", "true or false"),
            ("socket = \"fa.sock\"", "sock = \"x\"", "admin.sock", "socket"),
            ("nai = \"ha@home.example\"", "nai = 7", "home_agents[0].nai", "text"),
            ("address = \"10.11.1.2\"", "address = \"10.51.1.2\"", "home_agents[0].address", "another host"),
            ("spi = 1001", "spi = 255", "home_agents[0].spi", "256"),
            ("key = \"fa-a.key\"", "key = \"none.key\"", "home_agents[0].key", "none.key"),
            ("path = \"static\"", "path = \"ike\"", "home_agents[0].path", "static"),
            ("no_fs = false", "no_fs = 1", "home_agents[0].no_fs", "true or false"),
            ("cipher = \"aes-256-gcm\"", "cipher = \"des\"", "home_agents[0].cipher", "aes-128-gcm"),
        ] {
            assert!(EXAMPLE.contains(right), "{right}");
            let message = folder.load(&EXAMPLE.replacen(right, wrong, 1)).unwrap_err();
            assert!(message.contains(&format!(": {key}: ")), "{key}: {message}");
            assert!(message.contains(words), "{words}: {message}");
            assert!(message.contains("foreign-agent.toml:"), "{message}");
        }
    }

    /// Of a visitor nobody knows who it is when it is answered, and who asks a home agent brings the group itself.
    #[test]
    fn a_foreign_agent_takes_no_groups_of_others() {
        let folder = Folder::new("peers");
        for (table, at) in [
            ("[negotiation.mobile_nodes]", "negotiation.mobile_nodes"),
            ("[negotiation.home_agents]", "negotiation.home_agents"),
        ] {
            let line = EXAMPLE.lines().find(|line| line.starts_with(table)).unwrap();
            let taking = EXAMPLE.replacen(line, &format!("{line}\nallow_peer_groups = true"), 1);
            let message = folder.load(&taking).unwrap_err();
            assert!(message.contains(&format!(": {at}.allow_peer_groups: only home agents")), "{message}");
        }
    }

    #[test]
    fn nodes_without_our_extensions_are_served_by_policy_only() {
        let folder = Folder::new("plain");
        assert!(folder.load(EXAMPLE).unwrap().core().unwrap().plain_nodes.is_none());
        let served = EXAMPLE.replace("plain_nodes = false", "plain_nodes = true");
        assert!(folder.load(&served).unwrap().core().unwrap().plain_nodes.is_some_and(|it| it.is_empty()));

        let shown: Vec<&str> = EXAMPLE.lines().collect();
        let from = shown.iter().position(|line| line.starts_with("# [[mobile_nodes]]")).unwrap();
        let table: String = shown[from..].iter().map(|line| format!("{}\n", &line[2..])).collect();
        let table = table.replace("traveller-two.key", "fa-a.key");
        let core = folder.load(&format!("{served}{table}")).unwrap().core().unwrap();
        let nodes = core.plain_nodes.unwrap();
        assert_eq!((nodes[0].home_address, nodes[0].spi), (Ipv4Addr::new(10, 11, 1, 60), Spi(700)));
        assert!(nodes[0].key == Key::new([0xab; 32]) && !nodes[0].md5);
        for (right, wrong, key, words) in [
            ("10.11.1.60", "0.0.0.0", "mobile_nodes[0].home_address", "host"),
            ("spi = 700", "spi = 255", "mobile_nodes[0].spi", "from 256"),
            ("fa-a.key", "nowhere.key", "mobile_nodes[0].key", "does not exist"),
            ("\"hmac-sha-256\"", "\"md5\"", "mobile_nodes[0].algorithm", "hmac-md5"),
        ] {
            let message = folder.load(&format!("{served}{}", table.replace(right, wrong))).unwrap_err();
            assert!(message.contains(&format!(": {key}: ")) && message.contains(words), "{message}");
        }
        let message = folder.load(&format!("{served}{table}{table}")).unwrap_err();
        assert!(message.contains("mobile_nodes[1].home_address"), "{message}");
        let message = folder.load(&format!("{EXAMPLE}{table}")).unwrap_err();
        assert!(message.contains("plain_nodes = true"), "{message}");
    }

    #[test]
    fn what_must_be_unique_and_what_may_not_be_empty() {
        let folder = Folder::new("lists");
        let from = EXAMPLE.find("[[home_agents]]").unwrap();
        let twice = format!("{EXAMPLE}\n{}", &EXAMPLE[from..]);
        let message = folder.load(&twice).unwrap_err();
        assert!(message.contains("home_agents[1].address") && message.contains("home_agents[1].nai"));
        let message = folder.load(&EXAMPLE[..from]).unwrap_err();
        assert!(message.contains("at least one home agent"), "{message}");
        let insecure = EXAMPLE
            .replace("\"static\" ", "\"insecure-testbed\"")
            .replace("testbed = true ", "testbed = false")
            .replace("vendor = 32473", "vendor = 1");
        let message = folder.load(&insecure).unwrap_err();
        assert!(message.contains("home_agents[0].path"), "{message}");
    }
}
