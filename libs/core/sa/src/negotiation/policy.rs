//! What somebody allows: his own policy as configured, or what another one's tree says he allows.

use std::{fmt, sync::Arc};

use crypto::{
    Cipher, Integrity, Rng,
    group::{self, CheckedGroup, UserGroup, WhyNot},
};
use record::{Mode, Suite};
use wire::{
    Error, Writer,
    mip::{Spi, share::Group},
    negotiation::{Between, KeyExchange, Proposal, Protocol, Tree},
};

use super::{Half, numbers};

/// How a key is exchanged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// By a group that has a number.
    Known(Group),
    /// By a group that one of the peers brought along.
    Own {
        /// The prime, without leading zeros.
        prime: Arc<[u8]>,
        /// The generator, without leading zeros.
        generator: Arc<[u8]>,
    },
}

impl Method {
    /// As it stands in a suite.
    #[must_use]
    pub const fn group(&self) -> Group {
        match self {
            Self::Known(group) => *group,
            Self::Own { .. } => Suite::OWN_GROUP,
        }
    }

    /// The method of a group that was checked.
    #[must_use]
    pub fn own(group: &CheckedGroup) -> Self {
        Self::Own { prime: group.prime().into(), generator: group.generator().into() }
    }

    /// True for what nobody should use any more: groups 1 and 2, and primes below 2,048 bits.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        match self {
            Self::Known(group) => group::Group::from_number(group.0).is_some_and(group::Group::is_legacy),
            // It has no leading zeros.
            Self::Own { prime, .. } => {
                let shorter = prime.first().is_none_or(|first| *first < 0x80);
                prime.len() < 256 || prime.len() == 256 && shorter
            }
        }
    }

    /// As a payload with this value.
    pub(super) fn with<'a>(&'a self, value: &'a [u8]) -> KeyExchange<'a> {
        match self {
            Self::Known(group) => KeyExchange::Group { group: *group, value },
            Self::Own { prime, generator } => KeyExchange::Own { prime, generator, value },
        }
    }

    /// The method of a payload and the value in it; `None` for a secret, which is no public value.
    #[must_use]
    pub fn of<'a>(exchange: &KeyExchange<'a>) -> Option<(Self, &'a [u8])> {
        match exchange {
            KeyExchange::Group { group, value } => Some((Self::Known(*group), value)),
            KeyExchange::Own { prime, generator, value } => {
                Some((Self::Own { prime: (*prime).into(), generator: (*generator).into() }, value))
            }
            KeyExchange::Secret { .. } | KeyExchange::Sealed { .. } => None,
        }
    }
}

/// What is allowed for one kind of association, each list in order of preference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Ways to make its key.
    pub modes: Vec<Mode>,
    /// What seals.
    pub encryption: Vec<Cipher>,
    /// What authenticates.
    pub integrity: Vec<Integrity>,
    /// How keys are exchanged, in [`Mode::Stateless`].
    pub methods: Vec<Method>,
    /// The groups of one's own among them, checked.
    pub own: Vec<CheckedGroup>,
    /// A group that the peer brings along is allowed too, once it is checked.
    pub others_groups: bool,
    /// It may have a prime below 2,048 bits.
    pub legacy_groups: bool,
    /// Most seconds that it lives, at least 1.
    pub lifetime: u32,
}

impl Default for Policy {
    /// Everything that is strong.
    fn default() -> Self {
        Self {
            modes: vec![Mode::Stateful, Mode::SemiStateful, Mode::Stateless],
            encryption: vec![Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm],
            integrity: vec![Integrity::HmacSha256, Integrity::HmacSha512],
            methods: [Group::X25519, Group(19), Group(20), Group(14), Group(15), Group(16)]
                .map(Method::Known)
                .to_vec(),
            own: Vec::new(),
            others_groups: false,
            legacy_groups: false,
            lifetime: u32::MAX,
        }
    }
}

/// A policy as a configuration file spells it, each list in order of preference.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Ways to make a key.
    pub modes: &'a [&'a str],
    /// What seals.
    pub encryption: &'a [&'a str],
    /// What authenticates.
    pub authentication: &'a [&'a str],
    /// Groups; [`OWN`] is the one below.
    pub groups: &'a [&'a str],
    /// Prime and generator of a group of one's own, which passed [`test_group`].
    pub own_group: Option<(&'a [u8], &'a [u8])>,
    /// A group that the peer brings along is allowed.
    pub others_groups: bool,
    /// Groups below 2,048 bits are allowed.
    pub legacy_groups: bool,
    /// Most seconds that an association lives; 0 for ever.
    pub lifetime: u32,
}

/// What a group of one's own is called in a list of groups.
pub const OWN: &str = "own";

/// Tests a group of one's own as one that a peer brings along is tested: sizes, range of the generator, and whether the
/// prime is a safe one, which takes from 0.06 s at 2,048 bits to 4 s at 8,192.
///
/// # Errors
/// Which of both is wrong, "prime" or "generator", and what is allowed.
pub fn test_group(
    prime: &[u8],
    generator: &[u8],
    legacy_groups: bool,
    seed: [u8; 32],
) -> Result<(), (&'static str, String)> {
    let tested = UserGroup::new(prime, generator, legacy_groups)
        .and_then(|group| group.check(&mut Rng::from_seed(seed)));
    tested.map(drop).map_err(|why| match why {
        WhyNot::Generator => ("generator", why.to_string()),
        WhyNot::Short { is, least } if !legacy_groups && is >= 768 => {
            ("prime", format!("{why}; below {least} it is breakable and needs allow_legacy_groups = true"))
        }
        _ => ("prime", why.to_string()),
    })
}

impl Policy {
    /// Of names in configuration files; `None` if one of them is not known.
    #[must_use]
    pub fn named(of: &Named<'_>) -> Option<Self> {
        fn all<T>(names: &[&str], of: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
            names.iter().map(|name| of(name)).collect()
        }
        let own = match of.own_group {
            None => None,
            Some((prime, generator)) => {
                Some(UserGroup::new(prime, generator, of.legacy_groups).ok()?.vouched().ok()?)
            }
        };
        let method = |name: &str| {
            if name == OWN {
                return own.as_ref().map(Method::own);
            }
            let group: group::Group = name.parse().ok()?;
            Some(Method::Known(Group(group.number())))
        };
        Some(Self {
            modes: all(of.modes, Mode::from_name)?,
            encryption: all(of.encryption, Cipher::from_name)?,
            integrity: all(of.authentication, Integrity::from_name)?,
            methods: all(of.groups, method)?,
            own: own.into_iter().collect(),
            others_groups: of.others_groups,
            legacy_groups: of.legacy_groups,
            lifetime: if of.lifetime == 0 { u32::MAX } else { of.lifetime },
        })
    }

    /// How one of its methods is worked with; `None` for a group without a number that is not its own, or with one that
    /// is not known here.
    #[must_use]
    pub fn group(&self, method: &Method) -> Option<group::Method> {
        match method {
            Method::Known(group) => group::Group::from_number(group.0).map(Into::into),
            Method::Own { prime, generator } => {
                let mut own = self.own.iter();
                own.find(|own| own.prime() == &**prime && own.generator() == &**generator)
                    .map(|own| own.clone().into())
            }
        }
    }

    /// A fresh value by one of its methods.
    #[must_use]
    pub fn half(&self, method: &Method, rng: &mut Rng) -> Option<Half> {
        self.group(method).map(|group| Half::new(group, rng))
    }

    /// The method to make a value for, if keys may be exchanged.
    #[must_use]
    pub fn first_method(&self) -> Option<&Method> {
        self.methods.first().filter(|_| self.modes.contains(&Mode::Stateless))
    }

    /// An offer of all of it, with the public values that were made for some of its methods.
    #[must_use]
    pub fn offer<'a>(&'a self, between: Between, values: &'a [(Method, Vec<u8>)]) -> Tree<'a> {
        let mut proposals = Vec::new();
        for (mode, number) in self.modes.iter().zip(1..) {
            let proposal = |protocol_number, protocol, transforms| Proposal {
                number,
                protocol_number,
                protocol,
                lifetime: self.lifetime,
                spi: Spi(0),
                transforms,
                exchanges: Vec::new(),
            };
            let integrity = self.integrity.iter().zip(1..).map(|(of, n)| numbers::of_integrity(n, *of));
            let encryption = self.encryption.iter().zip(1..).map(|(of, n)| numbers::of_cipher(n, *of));
            let mut first = proposal(1, Protocol::AUTHENTICATION, integrity.collect());
            if *mode == Mode::Stateless {
                let value = |method: &'a Method| {
                    let made = values.iter().find(|(of, _)| of == method);
                    method.with(made.map_or(&[], |(_, value)| value.as_slice()))
                };
                first.exchanges = self.methods.iter().map(value).collect();
            }
            proposals.push(first);
            proposals.push(proposal(2, Protocol::ENCRYPTION, encryption.collect()));
            if *mode == Mode::SemiStateful {
                proposals.push(proposal(3, Protocol::PRF, vec![numbers::prf(1)]));
            }
        }
        Tree { between, proposals }
    }

    /// What is left of it where the peer allows only this; `None` if nothing is.
    #[must_use]
    pub fn narrowed(&self, peer: &Terms) -> Option<Self> {
        let in_some = |allows: &dyn Fn(&Term) -> bool| peer.0.iter().any(allows);
        let mut kept = Self {
            modes: self.modes.iter().copied().filter(|m| in_some(&|t| t.mode == *m)).collect(),
            encryption: self
                .encryption
                .iter()
                .copied()
                .filter(|c| in_some(&|t| t.encryption.contains(c)))
                .collect(),
            integrity: self
                .integrity
                .iter()
                .copied()
                .filter(|i| in_some(&|t| t.integrity.contains(i)))
                .collect(),
            methods: self.methods.iter().filter(|m| in_some(&|t| t.allows_method(m))).cloned().collect(),
            own: self.own.clone(),
            others_groups: self.others_groups,
            legacy_groups: self.legacy_groups,
            lifetime: self.lifetime,
        };
        if kept.methods.is_empty() {
            kept.modes.retain(|mode| *mode != Mode::Stateless);
        }
        let whole = !kept.modes.is_empty() && !kept.encryption.is_empty() && !kept.integrity.is_empty();
        whole.then_some(kept)
    }

    /// True if a suite that was agreed on, or the default, is allowed by it.
    #[must_use]
    pub fn allows(&self, suite: &Suite) -> bool {
        let brought = self.others_groups && suite.group == Suite::OWN_GROUP;
        self.modes.contains(&suite.mode)
            && self.encryption.contains(&suite.encryption)
            && self.integrity.contains(&suite.integrity)
            && (suite.mode != Mode::Stateless
                || brought
                || self.methods.iter().any(|method| method.group() == suite.group))
    }
}

/// What somebody allows, as alternatives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms(pub(super) Vec<Term>);

/// One alternative.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Term {
    pub(super) mode: Mode,
    pub(super) encryption: Vec<Cipher>,
    pub(super) integrity: Vec<Integrity>,
    pub(super) methods: Vec<Method>,
    pub(super) others_groups: bool,
    pub(super) lifetime: u32,
}

impl Term {
    fn policy(&self) -> Policy {
        Policy {
            modes: vec![self.mode],
            encryption: self.encryption.clone(),
            integrity: self.integrity.clone(),
            methods: self.methods.clone(),
            own: Vec::new(),
            others_groups: self.others_groups,
            legacy_groups: false,
            lifetime: self.lifetime,
        }
    }

    pub(super) fn allows_method(&self, method: &Method) -> bool {
        self.methods.contains(method) || self.others_groups && matches!(method, Method::Own { .. })
    }

    pub(super) fn allows(
        &self,
        mode: Mode,
        encryption: Cipher,
        integrity: Integrity,
        method: Option<&Method>,
    ) -> bool {
        self.mode == mode
            && self.encryption.contains(&encryption)
            && self.integrity.contains(&integrity)
            && method.is_none_or(|method| self.allows_method(method))
    }
}

impl Default for Terms {
    /// Of one who negotiates nothing: the default suite.
    fn default() -> Self {
        let Suite { encryption, integrity, mode, .. } = Suite::default();
        Self(vec![Term {
            mode,
            encryption: vec![encryption],
            integrity: vec![integrity],
            methods: Vec::new(),
            others_groups: false,
            lifetime: u32::MAX,
        }])
    }
}

impl Terms {
    /// True if the default suite is allowed.
    #[must_use]
    pub fn allow_default(&self) -> bool {
        let Suite { encryption, integrity, mode, .. } = Suite::default();
        self.0.iter().any(|term| term.allows(mode, encryption, integrity, None))
    }

    /// Appends all of it as a tree, without public values.
    ///
    /// # Errors
    /// [`Error::Length`] if it does not fit its length fields.
    pub fn emit(&self, between: Between, w: &mut Writer) -> Result<(), Error> {
        let policies: Vec<Policy> = self.0.iter().map(Term::policy).collect();
        let mut tree = Tree { between, proposals: Vec::new() };
        for (policy, number) in policies.iter().zip(1..) {
            let proposals = policy.offer(between, &[]).proposals.into_iter();
            tree.proposals.extend(proposals.map(|proposal| Proposal { number, ..proposal }));
        }
        tree.emit(w)
    }
}

/// For a person: every alternative with its mode.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
            names.collect::<Vec<_>>().join(" ")
        }
        for (n, term) in self.0.iter().enumerate() {
            let between = if n == 0 { "" } else { "; or " };
            let encryption = list(term.encryption.iter().map(|of| of.name()));
            let integrity = list(term.integrity.iter().map(|of| of.name()));
            write!(f, "{between}{}: {encryption}, {integrity}", term.mode.name())?;
            if term.mode == Mode::Stateless {
                let groups = term.methods.iter().map(|of| group_name(of.group()));
                write!(f, ", {}", groups.collect::<Vec<_>>().join(" "))?;
            }
        }
        Ok(())
    }
}

/// The name of a group in configuration files, or its number.
#[must_use]
pub fn group_name(group: Group) -> String {
    if group == Suite::OWN_GROUP {
        return "a group of a peer's own".to_owned();
    }
    let known = group::Group::from_number(group.0);
    known.map_or_else(|| format!("group {}", group.0), |known| known.name().to_owned())
}

/// The algorithms of a suite for a person, as in "aes-256-gcm, hmac-sha-256, x25519".
#[must_use]
pub fn suite_names(suite: &Suite) -> String {
    let algorithms = format!("{}, {}", suite.encryption.name(), suite.integrity.name());
    if suite.mode == Mode::Stateless {
        return format!("{algorithms}, {}", group_name(suite.group));
    }
    algorithms
}

impl From<&Policy> for Terms {
    fn from(policy: &Policy) -> Self {
        let term = |mode: &Mode| Term {
            mode: *mode,
            encryption: policy.encryption.clone(),
            integrity: policy.integrity.clone(),
            methods: policy.methods.clone(),
            others_groups: policy.others_groups,
            lifetime: policy.lifetime,
        };
        Self(policy.modes.iter().map(term).collect())
    }
}

impl From<&Tree<'_>> for Terms {
    /// Of the alternatives that are known here.
    fn from(tree: &Tree<'_>) -> Self {
        Self(tree.alternatives().filter_map(Alternative::read).map(|a| a.term()).collect())
    }
}

/// An alternative of a tree that is known here: one protocol each for authentication and encryption, perhaps one for a
/// pseudo-random function, and at least one transform of each that is known.
pub(super) struct Alternative<'t, 'a> {
    pub(super) proposals: &'t [Proposal<'a>],
    pub(super) mode: Mode,
    pub(super) encryption: Vec<(Cipher, u8)>,
    pub(super) integrity: Vec<(Integrity, u8)>,
    pub(super) prf: Option<u8>,
    /// Methods with their values.
    pub(super) exchanges: Vec<(Method, &'a [u8])>,
    pub(super) lifetime: u32,
}

impl<'t, 'a> Alternative<'t, 'a> {
    pub(super) fn read(proposals: &'t [Proposal<'a>]) -> Option<Self> {
        let of = |protocol| {
            let mut found = proposals.iter().filter(move |p| p.protocol == protocol);
            let one = found.next();
            // Two of a kind would be two algorithms for one thing.
            if found.next().is_some() { None } else { Some(one) }
        };
        let encryption: Vec<_> = of(Protocol::ENCRYPTION)??
            .transforms
            .iter()
            .filter_map(|t| Some((numbers::cipher(t)?, t.number)))
            .collect();
        let integrity: Vec<_> = of(Protocol::AUTHENTICATION)??
            .transforms
            .iter()
            .filter_map(|t| Some((numbers::integrity(t)?, t.number)))
            .collect();
        let prf = of(Protocol::PRF)?;
        let prf_number = prf.map(|p| p.transforms.iter().find(|t| numbers::is_prf(t)).map(|t| t.number));
        let exchanges = proposals.iter().flat_map(|p| &p.exchanges);
        // A secret has no place in the clear.
        let exchanges: Vec<_> = exchanges.map(Method::of).collect::<Option<_>>()?;
        let mode = match (prf_number, exchanges.is_empty()) {
            (None, true) => Mode::Stateful,
            (Some(Some(_)), true) => Mode::SemiStateful,
            (None, false) => Mode::Stateless,
            // No function that is known, or two ways to one key.
            (Some(_), _) => return None,
        };
        let lifetime = proposals.iter().map(|p| p.lifetime).min()?;
        let indexed = proposals.iter().any(|p| p.spi != Spi(0));
        if encryption.is_empty() || integrity.is_empty() || indexed {
            return None;
        }
        Some(Self { proposals, mode, encryption, integrity, prf: prf_number.flatten(), exchanges, lifetime })
    }

    fn term(&self) -> Term {
        Term {
            mode: self.mode,
            encryption: self.encryption.iter().map(|(cipher, _)| *cipher).collect(),
            integrity: self.integrity.iter().map(|(integrity, _)| *integrity).collect(),
            methods: self.exchanges.iter().map(|(method, _)| method.clone()).collect(),
            others_groups: false,
            lifetime: self.lifetime,
        }
    }
}
