//! The configuration of a mobile node: `mobile-node.toml` beside this crate shows every key.

use daemon::config::{AssociationPolicy, Serves};
use sa::negotiation::{Named, Policy, Talk, test_group};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use crypto::{Cipher, Key, Rng};
use daemon::{
    config::{self, AdminSection, Check, Collector, Interface, LogDirectives, Reloadable, Setting},
    enrolment::{Enrolment, Numbers as Carried},
};
use mobility::mobile_node;
use net::tunnel::Encapsulations;
use record::Nai;
use serde::Deserialize;
use wire::{
    mip::{
        Spi,
        ours::{DOCUMENTATION_VENDOR, Numbers},
    },
    negotiation::Between,
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) enrolment: PathBuf,
    pub(crate) state: PathBuf,
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
    pub(crate) links: Vec<Link>,
    #[serde(default)]
    pub(crate) registration: Registration,
    #[serde(default)]
    pub(crate) tunnel: Tunnel,
    #[serde(default)]
    pub(crate) negotiation: Negotiation,
    pub(crate) admin: AdminSection,
}

/// What is offered for associations; without a table nothing is, and keys are made as the home agent makes them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Negotiation {
    /// For KEY 1.
    pub(crate) home_agent: Option<AssociationPolicy>,
    /// For KEY 3.
    pub(crate) foreign_agents: Option<AssociationPolicy>,
    /// For KEY 3 with a serving mobility manager.
    pub(crate) serving_managers: Option<AssociationPolicy>,
}

/// Octets of a UDP payload that fit into a packet of 1,500 octets, and of a request without an offer at most.
const PAYLOAD: usize = 1472;
const REQUEST: usize = 700;

impl Negotiation {
    /// Octets of a request that offers all of it.
    fn request_length(&self) -> Option<usize> {
        let kinds = [Between::MN_HA, Between::MN_FA, Between::MN_SMM];
        let policies = kinds.into_iter().zip(self.all());
        let policies = policies.filter_map(|(between, (policy, ..))| Some((between, policy?)));
        let policies = policies.map(|(between, of)| Some((between, policy(of).ok()?)));
        let talk = Talk::new(policies.collect::<Option<Vec<_>>>()?);
        // What values it has does not matter here.
        talk.offer(&mut Rng::from_seed([0; 32])).map(|offered| REQUEST + offered.body().len())
    }

    /// What the core is told.
    fn core(&self) -> anyhow::Result<mobile_node::Policies> {
        let of = |wished: &Option<AssociationPolicy>| wished.as_ref().map(policy).transpose();
        Ok(mobile_node::Policies {
            home_agent: of(&self.home_agent)?,
            foreign_agents: of(&self.foreign_agents)?,
            serving_managers: of(&self.serving_managers)?,
        })
    }

    /// All of them, where they stand, and whether X25519 with ML-KEM-768 can serve.
    fn all(&self) -> [(Option<&AssociationPolicy>, &'static str, bool); 3] {
        [
            (self.home_agent.as_ref(), "negotiation.home_agent", true),
            (self.foreign_agents.as_ref(), "negotiation.foreign_agents", false),
            (self.serving_managers.as_ref(), "negotiation.serving_managers", false),
        ]
    }
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

/// An interface that may be used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) interface: Interface,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registration {
    pub(crate) lifetime: u16,
    pub(crate) reverse_tunnel: bool,
    pub(crate) simultaneous: bool,
    pub(crate) encapsulation: Encapsulation,
    pub(crate) delivery: Delivery,
    pub(crate) broadcasts: bool,
    pub(crate) revocation: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            lifetime: 600,
            reverse_tunnel: true,
            simultaneous: false,
            encapsulation: Encapsulation::IpIp,
            delivery: Delivery::Direct,
            broadcasts: false,
            revocation: true,
        }
    }
}

/// The tunnel that is wished for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encapsulation {
    IpIp,
    Minimal,
    Gre,
}

impl Encapsulation {
    const fn word(self) -> &'static str {
        match self {
            Self::IpIp => "ipip",
            Self::Minimal => "minimal",
            Self::Gre => "gre",
        }
    }
}

/// How packets are handed to foreign agents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Delivery {
    Direct,
    Encapsulating,
}

/// The tunnel device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tunnel {
    pub(crate) device: Interface,
    pub(crate) keepalive_s: u64,
    /// Packets are exchanged with the kernel many in one.
    pub(crate) offload: bool,
    /// Segment sizes of TCP connections are lowered to what the tunnel takes.
    pub(crate) mss_clamp: bool,
}

impl Default for Tunnel {
    fn default() -> Self {
        let device = Interface::try_from("sojourn0".to_owned());
        let device = device.unwrap_or_else(|_| unreachable!("sojourn0 is an interface name"));
        Self { device, keepalive_s: 110, offload: true, mss_clamp: true }
    }
}

impl config::Config for Config {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.enrolment, &mut self.state, &mut self.admin.socket];
        let Negotiation { home_agent, foreign_agents, serving_managers } = &mut self.negotiation;
        let policies = [home_agent, foreign_agents, serving_managers].into_iter().flatten();
        paths.extend(policies.flat_map(AssociationPolicy::paths));
        paths
    }

    fn validate(&self, check: &mut Check) {
        if self.links.is_empty() {
            check.problem("links", "at least one [[links]] with an interface is needed");
        }
        let names = self.links.iter().enumerate();
        check.unique(names.map(|(i, l)| (format!("links[{i}].interface"), l.interface.as_str().to_owned())));
        for (policy, at, hybrid) in self.negotiation.all() {
            if let Some(policy) = policy {
                // Who asks brings the group itself.
                policy.check(at, Serves { hybrid, peer_groups: false }, test_group, check);
            }
        }
        if let Some(length) = self.negotiation.request_length().filter(|length| *length > PAYLOAD) {
            let message = format!(
                "offers need up to {length} bytes, and {PAYLOAD} fit into a packet: shorten lists, or put a smaller group first"
            );
            check.problem("negotiation", message);
        }
        // Shorter ones would be renewed all the time.
        check.range("registration.lifetime", self.registration.lifetime, 30..=u16::MAX);
        let registration = &self.registration;
        let wanted = if registration.broadcasts { "broadcasts" } else { "delivery" };
        if !registration.reverse_tunnel
            && (registration.broadcasts || registration.delivery == Delivery::Encapsulating)
        {
            check.problem(
                format!("registration.{wanted}"),
                "needs reverse_tunnel = true: packets are handed over encapsulated into a reverse tunnel",
            );
        }
        check.range("tunnel.keepalive_s", self.tunnel.keepalive_s, 5..=3600);
        match Enrolment::load(&self.enrolment) {
            Ok(enrolment) if enrolment.vendor == DOCUMENTATION_VENDOR && !self.testbed => check.problem(
                "testbed",
                "the enrolment has vendor 32473, which is for documentation: only with testbed = true",
            ),
            Ok(enrolment) if enrolment.plain.is_some() => check.problem(
                "enrolment",
                "it is for a mobile node without our extensions ([plain]), and this one always uses them",
            ),
            Ok(_) => {}
            Err(error) => check.problem("enrolment", error.to_string()),
        }
    }
}

impl Reloadable for Config {
    fn settings(&self) -> Vec<Setting> {
        let (registration, tunnel) = (&self.registration, &self.tunnel);
        // Its content too: what is enrolled holds from start to end.
        let enrolled = Enrolment::load(&self.enrolment)
            .map(|enrolment| Key::new(*enrolment.key0.expose()).fingerprint_hex())
            .unwrap_or_else(|error| error.to_string());
        let encapsulating = registration.delivery == Delivery::Encapsulating;
        let mut settings = vec![
            Setting::fixed("enrolment", format!("{} with KEY 0 {enrolled}", self.enrolment.display())),
            Setting::fixed("state", self.state.display()),
            Setting::free("log", Setting::or_none(Reloadable::log(self))),
            Setting::fixed("metrics", Setting::or_none(self.metrics)),
            Setting::fixed("otlp", Setting::or_none(self.otlp.as_ref())),
            Setting::free("testbed", self.testbed),
            Setting::free("registration.lifetime", registration.lifetime),
            Setting::free("registration.reverse_tunnel", registration.reverse_tunnel),
            Setting::free("registration.simultaneous", registration.simultaneous),
            Setting::fixed("registration.encapsulation", registration.encapsulation.word()),
            Setting::free("registration.delivery", if encapsulating { "encapsulating" } else { "direct" }),
            Setting::free("registration.broadcasts", registration.broadcasts),
            Setting::free("registration.revocation", registration.revocation),
            Setting::fixed("tunnel.device", &tunnel.device),
            Setting::fixed("tunnel.offload", tunnel.offload),
            Setting::fixed("tunnel.mss_clamp", tunnel.mss_clamp),
            Setting::free("tunnel.keepalive_s", tunnel.keepalive_s),
            Setting::fixed("admin.socket", self.admin.socket.display()),
        ];
        let links = self.links.iter().enumerate();
        for (policy, at, _) in self.negotiation.all() {
            settings.extend(AssociationPolicy::settings(policy, at, true));
        }
        settings.extend(links.map(|(i, it)| Setting::fixed(format!("links[{i}].interface"), &it.interface)));
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
    /// What the core is told while it runs.
    pub(crate) fn preferences(&self) -> anyhow::Result<mobile_node::Preferences> {
        let registration = &self.registration;
        Ok(mobile_node::Preferences {
            lifetime: registration.lifetime,
            reverse_tunnel: registration.reverse_tunnel,
            simultaneous: registration.simultaneous,
            delivery: match registration.delivery {
                Delivery::Direct => mobile_node::Delivery::Direct,
                Delivery::Encapsulating => mobile_node::Delivery::Encapsulating,
            },
            broadcasts: registration.broadcasts,
            revocation: registration.revocation,
            keepalive: Duration::from_secs(self.tunnel.keepalive_s),
            negotiation: self.negotiation.core()?,
        })
    }

    /// What the core is told.
    pub(crate) fn core(&self, enrolment: &Enrolment) -> anyhow::Result<mobile_node::Config> {
        let Carried::Vendor = enrolment.numbers;
        Ok(mobile_node::Config {
            negotiation: self.negotiation.core()?,
            nai: Nai::parse(enrolment.nai.as_str()).context("nai of the enrolment")?,
            home_realm: enrolment.home_realm.as_str().to_owned(),
            home_address: enrolment.home_address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            home_agent: enrolment.home_agent,
            spi: Spi(enrolment.spi),
            one_time: enrolment.one_time,
            realm_keys: enrolment.realm_keys.iter().map(|key| (Spi(key.id), key.public)).collect(),
            no_fs: enrolment.no_fs,
            cipher: Cipher::from_name(enrolment.cipher.as_str()).context("cipher of the enrolment")?,
            key0: Key::new(*enrolment.key0.expose()),
            numbers: Numbers::Vendor(enrolment.vendor),
            lifetime: self.registration.lifetime,
            reverse_tunnel: self.registration.reverse_tunnel,
            simultaneous: self.registration.simultaneous,
            encapsulation: match self.registration.encapsulation {
                Encapsulation::IpIp => mobile_node::Encapsulation::IpInIp,
                Encapsulation::Minimal => mobile_node::Encapsulation::Minimal,
                Encapsulation::Gre => mobile_node::Encapsulation::Gre,
            },
            delivery: match self.registration.delivery {
                Delivery::Direct => mobile_node::Delivery::Direct,
                Delivery::Encapsulating => mobile_node::Delivery::Encapsulating,
            },
            broadcasts: self.registration.broadcasts,
            revocation: self.registration.revocation,
            keepalive: Duration::from_secs(self.tunnel.keepalive_s),
        })
    }

    /// The encapsulations beside IP in IP and UDP that may come to be used.
    pub(crate) fn encapsulations(&self) -> Encapsulations {
        let wished = |encapsulation| self.registration.encapsulation == encapsulation;
        Encapsulations { minimal: wished(Encapsulation::Minimal), gre: wished(Encapsulation::Gre) }
    }

    /// Names of the interfaces, in the order of their links.
    pub(crate) fn interfaces(&self) -> Vec<&str> {
        self.links.iter().map(|link| link.interface.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ENROLMENT: &str = "nai = \"traveller-one@home.example\"\nhome_realm = \"home.example\"\n\
        home_address = \"10.11.1.50\"\nhome_prefix_length = 24\nhome_agent = \"10.11.1.2\"\nspi = 1234\n\
        key0 = \"0707070707070707070707070707070707070707070707070707070707070707\"\n";

    /// The example of this crate, changed, beside a right enrolment file.
    fn load(folder: &Path, change: impl FnOnce(String) -> String) -> Result<Config, String> {
        let enrolment = folder.join("mn.enrolment.toml");
        daemon::secret_file::write_private(&enrolment, ENROLMENT.as_bytes()).unwrap();
        let path = folder.join("mobile-node.toml");
        std::fs::write(&path, change(include_str!("../mobile-node.toml").to_owned())).unwrap();
        config::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn offers_fit_into_one_packet() {
        let length = |text: &str| toml::from_str::<Negotiation>(text).unwrap().request_length();
        assert_eq!(length(""), None);
        let all = "[home_agent]\n[foreign_agents]\n";
        assert!(length(all).unwrap() <= PAYLOAD, "{:?}", length(all));
        let large = "[home_agent]\ngroups = ['modp-8192']\n";
        assert!(length(large).unwrap() > PAYLOAD, "{:?}", length(large));
        let later = "[home_agent]\ngroups = ['x25519', 'modp-8192']\n";
        assert!(length(later).unwrap() <= PAYLOAD, "a value is made for the first one only");
    }

    /// A safe prime of 2,048 bits (openssl prime -generate -safe -bits 2048 -hex).
    const SAFE: &str = "dd6a1452d8ca4cb5fd95f79002d6b6203133390fb1702536462f0682a3fdf22f815aae446080499a013568306ff0\
                        3819d9f7c1ef9350c6f26d151f5f1b28ac48171a12339c44382bf0801b139cc0ee83e12d88854fb00447198df9ee\
                        09f6ebb826ee649d8dafd2dc3ea5515f62c3d47d1cbff56ebac3d3a9886077c772cec48a6771d1dfdf1d82f3f0f9\
                        0711e4f99ab3a55bcfda38c95163550e6e699953de064ee50f4ae1fcc8a8c776e1ec7b91cb65f5dad3db7053ad6e\
                        3fa914b82421c3dfd7c172bfbab0be62fbd83e90aebcb0915e9158297cc7424373688192ff62fafff0ebf7a1706c\
                        97cce9dc269b6fcccae118d246a0dde5fe7a07202eb607b7759b";

    #[test]
    fn a_group_of_ones_own_reaches_the_core_and_leaves_room_in_one_packet() {
        let folder = tempfile::tempdir().unwrap();
        let offering = |more: &str| {
            load(folder.path(), |text| {
                let own = format!("groups = [\"own\"]\nown_group = {{ prime = \"{SAFE}\" }}\n{more}");
                let keys = "modes = [\"stateless\"]\nencryption = [\"aes-256-gcm\"]\nauthentication = [\"hmac-sha-256\"]";
                let (before, after) = text.split_once("[negotiation.home_agent]").unwrap();
                let (_, after) = after.split_once("[negotiation.foreign_agents]").unwrap();
                let (_, after) = after.split_once("[admin]").unwrap();
                format!("{before}[negotiation.home_agent]\n{keys}\n{own}\n[admin]{after}")
            })
        };
        let config = offering("").unwrap();
        let core = config.core(&Enrolment::load(&config.enrolment).unwrap()).unwrap();
        let policy = core.negotiation.home_agent.unwrap();
        assert_eq!(policy.methods, [sa::negotiation::Method::own(&policy.own[0])]);
        assert_eq!((policy.own[0].bits(), policy.own[0].generator()), (2048, &[2][..]));
        assert!(!policy.others_groups);
        let refused = offering("allow_peer_groups = true").unwrap_err();
        assert!(
            refused.contains(": negotiation.home_agent.allow_peer_groups: only home agents"),
            "{refused}"
        );
    }

    #[test]
    fn a_reload_compares_every_key() {
        let forgotten = config::keys_without_setting::<Config>(include_str!("../mobile-node.toml"));
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }

    #[test]
    fn the_example_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let config = load(folder.path(), |text| text).unwrap();
        assert_eq!(config.interfaces(), ["eth0"]);
        assert_eq!(config.state, folder.path().join("mn.state"));
        let core = config.core(&Enrolment::load(&config.enrolment).unwrap()).unwrap();
        assert_eq!((core.lifetime, core.spi), (600, Spi(1234)));
        assert!(!core.one_time && core.no_fs && core.realm_keys.is_empty(), "an enrolment from before them");
    }

    #[test]
    fn the_enrolment_names_the_indices_and_the_realms_keys() {
        let folder = tempfile::tempdir().unwrap();
        let config = load(folder.path(), |text| text).unwrap();
        let more = format!(
            "{ENROLMENT}one_time = true\nno_fs = false\ngeneration = 2\n[[realm_keys]]\nid = 300\npublic = \"{}\"\n\
             [[realm_keys]]\nid = 256\npublic = \"{}\"\n",
            "0b".repeat(32),
            "0c".repeat(32),
        );
        daemon::secret_file::write_private(&config.enrolment, more.as_bytes()).unwrap();
        let core = config.core(&Enrolment::load(&config.enrolment).unwrap()).unwrap();
        assert!(core.one_time && !core.no_fs);
        assert_eq!(core.realm_keys, [(Spi(300), [0xb; 32]), (Spi(256), [0xc; 32])]);
    }

    #[test]
    fn an_enrolment_may_leave_the_home_address_to_the_home_agent() {
        let folder = tempfile::tempdir().unwrap();
        let config =
            load(folder.path(), |text| text.replace("simultaneous = false", "simultaneous = true")).unwrap();
        let without = ENROLMENT.replace("home_address = \"10.11.1.50\"\n", "");
        daemon::secret_file::write_private(&config.enrolment, without.as_bytes()).unwrap();
        let core = config.core(&Enrolment::load(&config.enrolment).unwrap()).unwrap();
        assert!(core.home_address.is_unspecified() && core.simultaneous);
    }

    #[test]
    fn an_enrolment_without_our_extensions_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = load(folder.path(), |text| text).unwrap();
        let plain = format!("{ENROLMENT}[plain]\nnonces = false\nmd5 = false\n");
        daemon::secret_file::write_private(&config.enrolment, plain.as_bytes()).unwrap();
        let refused = config::load::<Config>(&folder.path().join("mobile-node.toml")).err().unwrap();
        assert!(refused.to_string().contains("without our extensions"), "{refused}");
    }

    #[test]
    fn wishes_reach_the_core_and_need_a_reverse_tunnel() {
        let folder = tempfile::tempdir().unwrap();
        let wish = |text: String| {
            let text = text.replace("broadcasts = false", "broadcasts = true");
            text.replace("\"ipip\"", "\"gre\"").replace("\"direct\"", "\"encapsulating\"")
        };
        let config = load(folder.path(), wish).unwrap();
        assert_eq!(config.encapsulations(), Encapsulations { minimal: false, gre: true });
        let core = config.core(&Enrolment::load(&config.enrolment).unwrap()).unwrap();
        let wished = (core.encapsulation, core.delivery, core.broadcasts);
        assert_eq!(wished, (mobile_node::Encapsulation::Gre, mobile_node::Delivery::Encapsulating, true));
        for (from, to, key) in [
            ("broadcasts = false", "broadcasts = true", "registration.broadcasts"),
            ("\"direct\"", "\"encapsulating\"", "registration.delivery"),
        ] {
            let message = load(folder.path(), |text| {
                text.replace("reverse_tunnel = true", "reverse_tunnel = false").replace(from, to)
            });
            let message = message.err().unwrap();
            assert!(message.contains(key) && message.contains("reverse_tunnel = true"), "{message}");
        }
    }

    #[test]
    fn every_wrong_key_is_named() {
        for (right, wrong, key) in [
            ("lifetime = 600", "lifetime = 29", "registration.lifetime"),
            ("lifetime = 600", "lifetime = 65536", "lifetime"),
            ("reverse_tunnel = true", "reverse_tunnel = 1", "reverse_tunnel"),
            ("simultaneous = false", "simultaneous = 2", "simultaneous"),
            ("encapsulation = \"ipip\"", "encapsulation = \"udp\"", "registration.encapsulation"),
            ("delivery = \"direct\"", "delivery = \"plain\"", "registration.delivery"),
            ("broadcasts = false", "broadcasts = \"no\"", "registration.broadcasts"),
            ("revocation = true", "revocation = 1", "revocation"),
            ("keepalive_s = 110", "keepalive_s = 0", "tunnel.keepalive_s"),
            ("offload = true", "offload = \"on\"", "tunnel.offload"),
            ("mss_clamp = true", "mss_clamp = 1440", "tunnel.mss_clamp"),
            ("device = \"sojourn0\"", "device = \"a name that is too long\"", "device"),
            ("interface = \"eth0\"", "interface = \"\"", "interface"),
            (
                "interface = \"eth0\"",
                "interface = \"eth0\"\n[[links]]\ninterface = \"eth0\"",
                "links[1].interface",
            ),
            ("testbed = true", "testbed = false", "testbed"),
            ("\"mn.enrolment.toml\"", "\"elsewhere.toml\"", "enrolment"),
            ("state = \"mn.state\"", "stat = \"mn.state\"", "stat"),
            ("socket = \"mn.sock\"", "", "socket"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let replaced = |text: String| {
                assert!(text.contains(right), "{right}");
                text.replace(right, wrong)
            };
            let message = load(folder.path(), replaced).err().unwrap();
            assert!(message.contains(key), "{wrong}: {message}");
            assert!(message.contains("mobile-node.toml:"), "{message}");
        }
    }
}
