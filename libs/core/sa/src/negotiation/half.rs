//! One side of a key exchange.

use crypto::{
    Key, Rng,
    group::{self, Answer, CheckedGroup, Offer, UserGroup, Verdicts, WhyNot},
};

use super::{Method, Policy};

/// The private half of an exchange, wiped on drop, and its public value.
pub struct Half(Offer);

impl Half {
    /// A fresh one.
    #[must_use]
    pub fn new(group: impl Into<group::Method>, rng: &mut Rng) -> Self {
        Self(Offer::new(rng, group))
    }

    /// The public value.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        self.0.value().to_vec()
    }

    /// True if the rest of the exchange takes so long that an event loop should leave it to others.
    #[must_use]
    pub const fn is_heavy(&self) -> bool {
        self.0.method().is_heavy()
    }

    /// The secret of both, as the one who began; `None` for a value that does not serve.
    #[must_use]
    pub fn complete(&self, theirs: &[u8]) -> Option<Key> {
        self.0.complete(theirs).ok().map(|shared| shared.key().duplicate())
    }

    /// The secret of both, as the other one.
    #[must_use]
    pub fn respond(&self, theirs: &[u8]) -> Option<Key> {
        self.0.respond(theirs).ok().map(|shared| shared.key().duplicate())
    }

    /// A second copy, on purpose and by name, because it holds a secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

/// The answer to a value of which the work is still to be done, wherever there is time for it.
pub struct Unfinished(Begun);

enum Begun {
    /// In a group that serves.
    Tested(group::Unfinished),
    /// In a group that a peer brought along and nobody has tested. What the private half is drawn from is wiped on drop.
    Untested { group: UserGroup, offered: Vec<u8>, seed: Key },
}

/// What came of it.
pub struct Finished {
    /// The value that answers, and the secret; `None` if group or value do not serve.
    pub answer: Option<Answer>,
    /// What was found out about a group.
    pub found: Option<(UserGroup, Result<CheckedGroup, WhyNot>)>,
}

/// Begins to answer a value by a method that this policy allows, without the work of it.
///
/// A group that the peer brought along is looked up in what was `found` out before. Else no more is looked at than its
/// sizes and the range of the value: whether its prime is a safe one is part of the work.
///
/// # Errors
/// Why neither value nor group serves, for the log.
pub fn begin(
    method: &Method,
    offered: &[u8],
    policy: &Policy,
    found: &Verdicts,
    rng: &mut Rng,
) -> Result<Unfinished, String> {
    let group = match (policy.group(method), method) {
        (Some(group), _) => group,
        (None, Method::Known(group)) => return Err(format!("group {} is not known here", group.0)),
        (None, Method::Own { prime, generator }) => {
            let group =
                UserGroup::new(prime, generator, policy.legacy_groups).map_err(|why| why.to_string())?;
            group.check_value(offered).map_err(|why| why.to_string())?;
            match found.of(&group) {
                Some(verdict) => verdict.map_err(|why| why.to_string())?.into(),
                None => {
                    let (offered, seed) = (offered.to_vec(), rng.key());
                    return Ok(Unfinished(Begun::Untested { group, offered, seed }));
                }
            }
        }
    };
    let begun = group::Unfinished::begin(rng, group, offered).map_err(|why| why.to_string())?;
    Ok(Unfinished(Begun::Tested(begun)))
}

impl Unfinished {
    /// True if the work takes so long that an event loop should leave it to others.
    #[must_use]
    pub const fn is_heavy(&self) -> bool {
        match &self.0 {
            Begun::Tested(begun) => begun.method().is_heavy(),
            Begun::Untested { .. } => true,
        }
    }

    /// True if a prime has to be tested, which takes a hundred times as long as an exchange.
    #[must_use]
    pub const fn tests_a_group(&self) -> bool {
        matches!(self.0, Begun::Untested { .. })
    }

    /// Does the work. The same comes of it each time.
    #[must_use]
    pub fn finish(&self) -> Finished {
        match &self.0 {
            Begun::Tested(begun) => Finished { answer: begun.finish().ok(), found: None },
            Begun::Untested { group, offered, seed } => {
                let mut rng = Rng::from_seed(*seed.expose());
                let verdict = group.check(&mut rng);
                let begun = verdict.clone().ok().map(|of| group::Unfinished::begin(&mut rng, of, offered));
                let answer = begun.and_then(Result::ok).and_then(|begun| begun.finish().ok());
                Finished { answer, found: Some((group.clone(), verdict)) }
            }
        }
    }

    /// A second copy, on purpose and by name, because it holds a secret. Both finish to the same.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(match &self.0 {
            Begun::Tested(begun) => Begun::Tested(begun.duplicate()),
            Begun::Untested { group, offered, seed } => {
                Begun::Untested { group: group.clone(), offered: offered.clone(), seed: seed.duplicate() }
            }
        })
    }
}
