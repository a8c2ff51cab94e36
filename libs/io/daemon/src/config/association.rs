//! What a daemon allows where security associations are negotiated.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use super::own_group::{GroupFault, GroupTest, OwnGroup};
use super::{Check, Cipher, Setting};

/// An enumeration of names in configuration files.
macro_rules! names {
    ($(#[$doc:meta])* $kind:ident; $($(#[$of:meta])* $name:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $kind {
            $($(#[$of])* #[serde(rename = $text)] $name,)*
        }

        impl $kind {
            /// The name in configuration files.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    /// How the key of an association is made.
    Mode;
    /// By the key distribution centre.
    Stateful = "stateful",
    /// By both ends, of a seed of the key distribution centre.
    SemiStateful = "semi-stateful",
    /// By both ends, of a key exchange.
    Stateless = "stateless",
}

names! {
    /// What authenticates messages.
    Authentication;
    /// HMAC-SHA-256.
    HmacSha256 = "hmac-sha-256",
    /// HMAC-SHA-512, cut to 256 bits.
    HmacSha512 = "hmac-sha-512",
}

names! {
    /// How keys are exchanged.
    Group;
    /// 768 bits: breakable.
    Modp768 = "modp-768",
    /// 1,024 bits: breakable by whoever can afford it.
    Modp1024 = "modp-1024",
    /// 2,048 bits.
    Modp2048 = "modp-2048",
    /// 3,072 bits.
    Modp3072 = "modp-3072",
    /// 4,096 bits.
    Modp4096 = "modp-4096",
    /// 6,144 bits.
    Modp6144 = "modp-6144",
    /// 8,192 bits.
    Modp8192 = "modp-8192",
    /// The curve P-256.
    P256 = "p-256",
    /// The curve P-384.
    P384 = "p-384",
    /// X25519.
    X25519 = "x25519",
    /// X25519 and ML-KEM-768 in one.
    X25519MlKem768 = "x25519-ml-kem-768",
    /// The group of the table `own_group`.
    Own = "own",
}

impl Group {
    /// True for what nobody uses who was not told to.
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Modp768 | Self::Modp1024)
    }
}

/// What is allowed for one kind of association, each list in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssociationPolicy {
    /// Ways to make its key.
    pub modes: Vec<Mode>,
    /// What seals.
    pub encryption: Vec<Cipher>,
    /// What authenticates.
    pub authentication: Vec<Authentication>,
    /// Groups for stateless keys.
    pub groups: Vec<Group>,
    /// Seconds that it may live; 0 for as long as the registration.
    pub lifetime: u32,
    /// The group called `own` in that list.
    pub own_group: Option<OwnGroup>,
    /// A group that the other end brings along is taken, once it is tested.
    pub allow_peer_groups: bool,
    /// Groups below 2,048 bits may stand in the list.
    pub allow_legacy_groups: bool,
}

/// What an association can be made by besides what serves everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// X25519 with ML-KEM-768: not where both ends offer.
    pub hybrid: bool,
    /// Groups that the other end brings along: only where it asks, and has proved who it is before it is answered.
    pub peer_groups: bool,
}

impl Default for AssociationPolicy {
    fn default() -> Self {
        Self {
            modes: vec![Mode::Stateful, Mode::SemiStateful, Mode::Stateless],
            encryption: vec![Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm],
            authentication: vec![Authentication::HmacSha256, Authentication::HmacSha512],
            groups: vec![Group::X25519, Group::P256, Group::P384, Group::Modp2048],
            lifetime: 0,
            own_group: None,
            allow_peer_groups: false,
            allow_legacy_groups: false,
        }
    }
}

impl AssociationPolicy {
    /// The file in it, if there is one.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.own_group.iter_mut().filter_map(|own| own.prime_file.as_mut())
    }

    /// Reports what is wrong with it. `test` looks at a group of one's own.
    pub fn check(&self, at: &str, serves: Serves, test: GroupTest, check: &mut Check) {
        let mut list = |key: &str, names: Vec<&str>| {
            let key = format!("{at}.{key}");
            let different: BTreeSet<_> = names.iter().collect();
            if names.is_empty() {
                check.problem(key, "must name at least one");
            } else if different.len() < names.len() {
                check.problem(key, "names something twice");
            }
        };
        let names = self.names();
        list("modes", names.modes);
        list("encryption", names.encryption);
        list("authentication", names.authentication);
        if self.modes.contains(&Mode::Stateless) {
            list("groups", names.groups);
        }
        let key = format!("{at}.groups");
        if let Some(legacy) = self.groups.iter().find(|group| group.is_legacy() && !self.allow_legacy_groups)
        {
            let name = legacy.as_str();
            check.problem(key.clone(), format!("{name} is breakable: it needs allow_legacy_groups = true"));
        }
        if self.groups.contains(&Group::X25519MlKem768) && !serves.hybrid {
            check.problem(key.clone(), "x25519-ml-kem-768 is for associations with the home agent only");
        }
        if self.allow_peer_groups && !serves.peer_groups {
            let why = "only home agents take a group that the other end brings along: false";
            check.problem(format!("{at}.allow_peer_groups"), why);
        }
        let named = self.groups.contains(&Group::Own);
        match &self.own_group {
            None if named => check.problem(key, "\"own\" needs a table own_group with prime and generator"),
            None => {}
            Some(own) if named => {
                own.check(&format!("{at}.own_group"), self.allow_legacy_groups, test, check);
            }
            Some(_) => {
                let why = "it is used only if \"own\" stands in groups, where it is preferred";
                check.problem(format!("{at}.own_group"), why);
            }
        }
    }

    /// The keys of one below `at`, or of none; they may change while a daemon runs, or not.
    #[must_use]
    pub fn settings(of: Option<&Self>, at: &str, may_change: bool) -> Vec<Setting> {
        let names = of.map(Self::names);
        let list = |list: fn(&AssociationNames) -> &Vec<&'static str>| {
            Setting::or_none(names.as_ref().map(|names| list(names).join(", ")))
        };
        let values = [
            ("modes", list(|names| &names.modes)),
            ("encryption", list(|names| &names.encryption)),
            ("authentication", list(|names| &names.authentication)),
            ("groups", list(|names| &names.groups)),
            ("lifetime", Setting::or_none(of.map(|of| of.lifetime))),
            ("own_group", Setting::or_none(of.and_then(|of| of.own_group.as_ref()))),
            ("allow_peer_groups", Setting::or_none(of.map(|of| of.allow_peer_groups))),
            ("allow_legacy_groups", Setting::or_none(of.map(|of| of.allow_legacy_groups))),
        ];
        let setting = |(key, value): (&str, String)| {
            let key = format!("{at}.{key}");
            if may_change { Setting::free(key, value) } else { Setting::fixed(key, value) }
        };
        values.into_iter().map(setting).collect()
    }

    /// Its lists by name.
    #[must_use]
    pub fn names(&self) -> AssociationNames {
        AssociationNames {
            modes: self.modes.iter().map(|of| of.as_str()).collect(),
            encryption: self.encryption.iter().map(|of| of.as_str()).collect(),
            authentication: self.authentication.iter().map(|of| of.as_str()).collect(),
            groups: self.groups.iter().map(|of| of.as_str()).collect(),
        }
    }
}

/// The lists of an [`AssociationPolicy`] by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationNames {
    /// Ways to make its key.
    pub modes: Vec<&'static str>,
    /// What seals.
    pub encryption: Vec<&'static str>,
    /// What authenticates.
    pub authentication: Vec<&'static str>,
    /// Groups for stateless keys.
    pub groups: Vec<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(policy: &AssociationPolicy, hybrid: bool) -> Vec<String> {
        let mut check = Check::default();
        let serves = Serves { hybrid, peer_groups: hybrid };
        policy.check("negotiation.mobile_nodes", serves, |_, _, _, _| Ok(()), &mut check);
        check.problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    fn read(text: &str) -> AssociationPolicy {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert!(problems(&AssociationPolicy::default(), false).is_empty());
        for (text, told) in [
            ("modes = []", "modes: must name at least one"),
            ("encryption = ['aes-256-gcm', 'aes-256-gcm']", "encryption: names something twice"),
            ("authentication = []", "authentication: must name"),
            ("groups = []", "groups: must name"),
            ("groups = ['x25519', 'modp-1024']", "allow_legacy_groups = true"),
            ("groups = ['x25519-ml-kem-768']", "with the home agent only"),
            ("groups = ['own']", "groups: \"own\" needs a table own_group"),
            ("own_group = { prime = 'fb' }", "own_group: it is used only if \"own\" stands in groups"),
            ("allow_peer_groups = true", "allow_peer_groups: only home agents take"),
        ] {
            let found = problems(&read(text), false);
            assert!(found.len() == 1 && found[0].contains(told), "{text}: {found:?}");
        }
        assert!(problems(&read("modes = ['stateful']\ngroups = []"), false).is_empty());
        assert!(problems(&read("groups = ['modp-768']\nallow_legacy_groups = true"), false).is_empty());
        assert!(problems(&read("groups = ['x25519-ml-kem-768']"), true).is_empty());
        assert!(problems(&read("allow_peer_groups = true"), true).is_empty());
        assert!(toml::from_str::<AssociationPolicy>("groups = ['modp-1536']").is_err());
    }
}
