//! What somebody allows: his own policy as configured, or what another one's tree says he allows.

use std::sync::Arc;

use crypto::{Cipher, Integrity};
use record::{Mode, Suite};
use wire::{
    Error, Writer,
    mip::{Spi, share::Group},
    negotiation::{Between, KeyExchange, Proposal, Protocol, Tree},
};

use super::numbers;

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
    /// A group that the peer brings along is allowed too, once it is checked.
    pub others_groups: bool,
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
            others_groups: false,
            lifetime: u32::MAX,
        }
    }
}

impl Policy {
    /// Of names in configuration files; `None` if one of them is not known. A lifetime of 0 is for ever.
    #[must_use]
    pub fn named(
        modes: &[&str],
        encryption: &[&str],
        integrity: &[&str],
        groups: &[&str],
        lifetime: u32,
    ) -> Option<Self> {
        fn all<T>(names: &[&str], of: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
            names.iter().map(|name| of(name)).collect()
        }
        let method = |name: &str| {
            let group: crypto::group::Group = name.parse().ok()?;
            Some(Method::Known(Group(group.number())))
        };
        Some(Self {
            modes: all(modes, Mode::from_name)?,
            encryption: all(encryption, Cipher::from_name)?,
            integrity: all(integrity, Integrity::from_name)?,
            methods: all(groups, method)?,
            others_groups: false,
            lifetime: if lifetime == 0 { u32::MAX } else { lifetime },
        })
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
            others_groups: self.others_groups,
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
        let method = Method::Known(suite.group);
        self.modes.contains(&suite.mode)
            && self.encryption.contains(&suite.encryption)
            && self.integrity.contains(&suite.integrity)
            && (suite.mode != Mode::Stateless
                || suite.group == Suite::OWN_GROUP
                || self.methods.contains(&method))
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
            others_groups: self.others_groups,
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
