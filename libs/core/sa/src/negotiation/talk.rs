//! The side that offers, round after round.

use std::fmt;

use crypto::{Key, Rng};
use record::Suite;
use thiserror::Error;
use wire::{
    Error as Malformed,
    negotiation::{Between, Negotiation, Tree},
};

use super::{Half, MAX_ROUNDS, Method, NotAnAnswer, Policy, Rounds, Terms, accept};

/// What is offered in the next request, and what was said before.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Talk {
    rounds: Rounds,
    policies: Vec<(Between, Policy)>,
}

/// An offer that went out, with the private halves of its public values.
pub struct Offered {
    rounds: Rounds,
    policies: Vec<(Between, Policy)>,
    body: Vec<u8>,
    halves: Vec<(Between, Method, Half)>,
}

/// Without the secrets.
impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an offer of {} octets with {} public values", self.body.len(), self.halves.len())
    }
}

/// What the answer settles for one kind of association.
pub struct Settled {
    /// Between whom.
    pub between: Between,
    /// Algorithms, and the way to the key.
    pub suite: Suite,
    /// Seconds that the association lives.
    pub lifetime: u32,
    /// Where keys are exchanged.
    pub exchange: Option<Exchanged>,
}

/// What the answer settles for one kind of association, with the work of its exchange still to be done.
pub struct Answered {
    between: Between,
    suite: Suite,
    lifetime: u32,
    exchange: Option<Open>,
}

/// An exchange of which both values are there.
struct Open {
    half: Half,
    theirs: Vec<u8>,
    /// We are the second of the two.
    second: bool,
}

impl Answered {
    /// True if [`finish`](Self::finish) takes so long that an event loop should leave it to others.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.exchange.as_ref().is_some_and(|open| open.half.is_heavy())
    }

    /// Does the work.
    ///
    /// # Errors
    /// [`End::Value`] if the other side's value does not serve.
    pub fn finish(self) -> Result<Settled, End> {
        let Self { between, suite, lifetime, exchange } = self;
        let exchange = exchange.map(|Open { half, theirs, second }| {
            let shared = if second { half.respond(&theirs) } else { half.complete(&theirs) };
            Ok(Exchanged { own: half.value(), shared: shared.ok_or(End::Value)?, theirs })
        });
        Ok(Settled { between, suite, lifetime, exchange: exchange.transpose()? })
    }
}

/// Both values of an exchange, and what came of it.
pub struct Exchanged {
    /// Our public value.
    pub own: Vec<u8>,
    /// The other side's.
    pub theirs: Vec<u8>,
    /// The secret of both.
    pub shared: Key,
}

/// Why a talk ends without an agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum End {
    /// The reply does not go on where the request ended: somebody kept something back.
    #[error("the reply does not answer what was offered")]
    OtherTalk,
    /// Trees that nobody can read.
    #[error("the reply cannot be read: {0}")]
    Malformed(Malformed),
    /// Nothing is allowed by both sides.
    #[error("nothing is allowed by both sides")]
    NothingInCommon,
    /// Too many rounds.
    #[error("no agreement within {MAX_ROUNDS} rounds")]
    Rounds,
    /// Something in the answer was not offered.
    #[error("not an answer to the offer: {0}")]
    NotAnAnswer(NotAnAnswer),
    /// A public value of the other side that does not serve.
    #[error("a public value does not serve")]
    Value,
}

impl Talk {
    /// The first round, with these policies.
    #[must_use]
    pub fn new(policies: Vec<(Between, Policy)>) -> Self {
        Self { rounds: Rounds::default(), policies }
    }

    /// Rounds that are over.
    #[must_use]
    pub const fn over(&self) -> u8 {
        self.rounds.over()
    }

    /// What is allowed now.
    #[must_use]
    pub fn policies(&self) -> &[(Between, Policy)] {
        &self.policies
    }

    /// The next offer, with a value for the first method of each policy that needs one. `None` if there is nothing to
    /// offer.
    #[must_use]
    pub fn offer(&self, rng: &mut Rng) -> Option<Offered> {
        self.offer_with(|_, policy| {
            let method = policy.first_method()?;
            Some((method.clone(), policy.half(method, rng)?))
        })
    }

    /// The same with the value that `choice` gives for each policy.
    #[must_use]
    pub fn offer_with(
        &self,
        mut choice: impl FnMut(Between, &Policy) -> Option<(Method, Half)>,
    ) -> Option<Offered> {
        if self.policies.is_empty() {
            return None;
        }
        let mut halves = Vec::new();
        for (between, policy) in &self.policies {
            if let Some((method, half)) = choice(*between, policy) {
                halves.push((*between, method, half));
            }
        }
        let values: Vec<Vec<(Method, Vec<u8>)>> = self
            .policies
            .iter()
            .map(|(between, _)| {
                let own = halves.iter().filter(|(of, ..)| of == between);
                own.map(|(_, method, half)| (method.clone(), half.value())).collect()
            })
            .collect();
        let offers = self.policies.iter().zip(&values);
        let trees: Vec<Tree<'_>> =
            offers.map(|((between, policy), values)| policy.offer(*between, values)).collect();
        let (round, digest) = self.rounds.next();
        let body = Negotiation::emit(round, &digest, &trees).ok()?;
        Some(Offered { rounds: self.rounds.clone(), policies: self.policies.clone(), body, halves })
    }

    /// The next round after a counter-proposal to a request without an offer: these policies as far as they are
    /// allowed.
    ///
    /// # Errors
    /// [`End`] if there is none.
    pub fn invited(policies: Vec<(Between, Policy)>, reply: &Negotiation<'_>) -> Result<Self, End> {
        narrowed(&Rounds::default(), &policies, &[], reply)
    }
}

impl Offered {
    /// The first round of another negotiation about what is offered here.
    #[must_use]
    pub fn again(&self) -> Talk {
        Talk::new(self.policies.clone())
    }

    /// The body of the extension.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Rounds that were over before it.
    #[must_use]
    pub const fn over(&self) -> u8 {
        self.rounds.over()
    }

    /// The next round after a counter-proposal, which somebody must have authenticated.
    ///
    /// # Errors
    /// [`End`] if there is none.
    pub fn countered(&self, reply: &Negotiation<'_>) -> Result<Talk, End> {
        narrowed(&self.rounds, &self.policies, &self.body, reply)
    }

    /// What an acceptance settles, which somebody must have authenticated: one for each offer that was not refused. In
    /// `responding` we are the second of the two, though both offered.
    ///
    /// # Errors
    /// [`End`] if it is not an answer to all that was offered, or a value in it does not serve.
    pub fn answered(
        &self,
        reply: Option<&Negotiation<'_>>,
        responding: &[Between],
    ) -> Result<Vec<Settled>, End> {
        self.answers(reply, responding)?.into_iter().map(Answered::finish).collect()
    }

    /// The same without the work of the exchanges.
    ///
    /// # Errors
    /// [`End`] if it is not an answer to all that was offered.
    pub fn answers(
        &self,
        reply: Option<&Negotiation<'_>>,
        responding: &[Between],
    ) -> Result<Vec<Answered>, End> {
        let reply = reply.filter(|reply| self.rounds.answered_by(&self.body, reply)).ok_or(End::OtherTalk)?;
        let answers = reply.trees().map_err(End::Malformed)?;
        let sent = Negotiation::parse(&self.body).and_then(|own| own.trees()).map_err(End::Malformed)?;
        let kinds = |trees: &[Tree<'_>]| trees.iter().map(|tree| tree.between).collect::<Vec<_>>();
        if kinds(&answers) != kinds(&sent) {
            return Err(End::OtherTalk);
        }
        let mut answered = Vec::new();
        for (offer, answer) in sent.iter().zip(&answers) {
            let accepted = match accept(offer, answer) {
                Ok(accepted) => accepted,
                Err(NotAnAnswer::Refusal) => continue,
                Err(why) => return Err(End::NotAnAnswer(why)),
            };
            let exchange = accepted.exchange.map(|(method, theirs)| {
                let mut own = self.halves.iter().filter(|(of, by, _)| (*of, by) == (offer.between, &method));
                let (.., half) = own.next().ok_or(End::NotAnAnswer(NotAnAnswer::Exchange))?;
                let second = responding.contains(&offer.between);
                Ok(Open { half: half.duplicate(), theirs: theirs.to_vec(), second })
            });
            answered.push(Answered {
                between: offer.between,
                suite: accepted.suite,
                lifetime: accepted.lifetime,
                exchange: exchange.transpose()?,
            });
        }
        Ok(answered)
    }

    /// True if the default suite is allowed for this kind of association, or nothing was offered for it.
    #[must_use]
    pub fn allows_default(&self, between: Between) -> bool {
        let own = self.policies.iter().find(|(of, _)| *of == between);
        own.is_none_or(|(_, policy)| policy.allows(&Suite::default()))
    }
}

fn narrowed(
    rounds: &Rounds,
    policies: &[(Between, Policy)],
    request: &[u8],
    reply: &Negotiation<'_>,
) -> Result<Talk, End> {
    if !rounds.answered_by(request, reply) {
        return Err(End::OtherTalk);
    }
    if rounds.over() + 1 >= MAX_ROUNDS {
        return Err(End::Rounds);
    }
    let counters = reply.trees().map_err(End::Malformed)?;
    let narrowed = policies.iter().map(|(between, policy)| {
        let counter = counters.iter().find(|tree| tree.between == *between);
        // What is not spoken of was not the trouble.
        let Some(counter) = counter else { return Some((*between, policy.clone())) };
        Some((*between, policy.narrowed(&Terms::from(counter))?))
    });
    let policies = narrowed.collect::<Option<Vec<_>>>().ok_or(End::NothingInCommon)?;
    Ok(Talk { rounds: rounds.after(request, reply.body()), policies })
}
