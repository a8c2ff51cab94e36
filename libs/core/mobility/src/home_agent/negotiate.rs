//! Negotiated associations at the home agent (docs/wire.md, negotiation).
//!
//! The home agent answers all trees. Its own policy has a say in KEY 1 and KEY 2; in KEY 3 it chooses what mobile node
//! and foreign agent both allow. Whoever says nothing allows the default suite. What was said is kept for 30 s, so that
//! the next round can be held against it.

use std::{collections::BTreeMap, time::Duration};

use crypto::{
    Key,
    group::{CheckedGroup, UserGroup, Verdicts as Tested, WhyNot},
};
use record::{AssociationKind, Mode, Suite};
use sa::{
    Material, Own,
    negotiation::{
        Choice, Chosen, Ends, Finished, MAX_ROUNDS, Policy, Rounds, Terms, Unfinished, begin, choose,
        group_name, pair_seed, suite_names,
    },
};
use sansio::{Instant, Now};
use wire::{
    Writer,
    mip::{
        code::{Code, DetailCode},
        part::Parts,
    },
    negotiation::{Between, Negotiation, Tree},
};

use super::{
    HomeAgent, Keys,
    bind::{Step, Work},
    intake::{Asked, Denial, denial},
};
use crate::{Event, EventKind, Negotiated, Ticket};

/// How long rounds are kept for the next one.
const KEPT: Duration = Duration::from_secs(30);
/// Most negotiations that are kept at a time.
const MOST: usize = 1024;
/// Most primes of which is kept what was found out about them: up to 8 KB each.
const TESTED: usize = 64;
/// Most requests that wait for the test of a prime at a time.
const TESTING: usize = 4;

/// What is allowed for the associations that end here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// With mobile nodes: KEY 1.
    pub mobile_nodes: Policy,
    /// With foreign agents: KEY 2.
    pub foreign_agents: Policy,
}

/// What was said in one part of a request, and in the rounds before it.
#[derive(Clone)]
struct Said {
    rounds: Rounds,
    body: Vec<u8>,
}

impl Said {
    /// The beginning of the body of a reply.
    fn begin(&self) -> Writer {
        let (round, _) = self.rounds.next();
        let mut w = Writer::with_capacity(256);
        w.u8(round).u8(0).put(&self.rounds.digest_after(&self.body));
        w
    }

    /// The body of a reply: the answer to each tree with the value of the other side, or a refusal.
    fn answer<'t>(
        &self,
        trees: &'t [Tree<'t>],
        answered: impl Fn(Between) -> (Option<&'t Chosen<'t>>, &'t [u8]),
    ) -> Option<Vec<u8>> {
        let mut w = self.begin();
        for tree in trees {
            match answered(tree.between) {
                (Some(chosen), value) => chosen.answer(tree, value).emit(&mut w).ok()?,
                (None, _) => Tree { between: tree.between, proposals: Vec::new() }.emit(&mut w).ok()?,
            }
        }
        Some(w.into_bytes())
    }

    fn trees(&self) -> Vec<Tree<'_>> {
        // It was read before.
        Negotiation::parse(&self.body).and_then(|n| n.trees()).unwrap_or_default()
    }
}

/// What was agreed on for one key.
#[derive(Default)]
struct Agreement {
    suite: Suite,
    /// By a group that nobody should use any more.
    legacy: bool,
    /// The exchange that makes it, with us as the second.
    exchange: Option<Unfinished>,
    /// What came of it: our value and the secret.
    exchanged: Option<(Vec<u8>, Key)>,
}

/// Exchanges that wait for somebody with time to work at them.
pub struct Exchanges {
    key1: Option<Unfinished>,
    key2: Option<Unfinished>,
}

/// What came of them.
pub struct Exchanged {
    key1: Option<Finished>,
    key2: Option<Finished>,
}

impl Exchanges {
    /// Does the work: up to a tenth of a second each (docs/performance.md), and up to four seconds more where a prime is
    /// tested; best on a thread beside.
    #[must_use]
    pub fn finish(&self) -> Exchanged {
        let finish = |one: &Option<Unfinished>| one.as_ref().map(Unfinished::finish);
        Exchanged { key1: finish(&self.key1), key2: finish(&self.key2) }
    }

    /// True if the work takes so long that an event loop should leave it to others.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        [&self.key1, &self.key2].into_iter().flatten().any(Unfinished::is_heavy)
    }

    /// True if a prime has to be tested, for which other exchanges should not wait.
    #[must_use]
    pub fn tests_a_group(&self) -> bool {
        [&self.key1, &self.key2].into_iter().flatten().any(Unfinished::tests_a_group)
    }
}

impl Exchanged {
    /// What was found out about groups that peers brought along.
    fn take_found(&mut self) -> Vec<(UserGroup, Result<CheckedGroup, WhyNot>)> {
        let all = [&mut self.key1, &mut self.key2].into_iter().flatten();
        all.filter_map(|finished| finished.found.take()).collect()
    }
}

/// What was found out about groups that peers brought along; of a full memory the oldest goes.
pub(super) struct Groups(Tested);

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self(Tested::new(TESTED))
    }
}

/// What the parts of a request said, and what was agreed on.
#[derive(Default)]
pub(super) struct Agreed {
    /// By which it was chosen: they may be others when the answer is written.
    policies: Option<Policies>,
    mobile: Option<Said>,
    agent: Option<Said>,
    key1: Agreement,
    key2: Agreement,
    key3: Agreement,
    /// Bodies for the reply: to the mobile node, to the agent.
    pub(super) replies: [Option<Vec<u8>>; 2],
}

impl Agreed {
    fn of(&self, kind: AssociationKind) -> &Agreement {
        match kind {
            AssociationKind::Key1 => &self.key1,
            AssociationKind::Key2 => &self.key2,
            AssociationKind::Key3 => &self.key3,
        }
    }

    pub(super) fn suite(&self, kind: AssociationKind) -> Suite {
        self.of(kind).suite
    }

    /// True if a prime has to be tested for it.
    fn tests_a_group(&self) -> bool {
        let exchanges = [&self.key1.exchange, &self.key2.exchange];
        exchanges.into_iter().flatten().any(Unfinished::tests_a_group)
    }

    /// Whether the key distribution centre has a part in a key, and if so, whether it makes a seed of it.
    pub(super) fn seeded(&self, kind: AssociationKind) -> Option<bool> {
        match self.suite(kind).mode {
            Mode::Stateful => Some(false),
            Mode::SemiStateful => Some(true),
            Mode::Stateless => None,
        }
    }

    /// What the ends of a key are told of it; `None` if the key distribution centre left it out.
    pub(super) fn material(&self, kind: AssociationKind, keys: &Keys) -> Option<Material> {
        let given = match kind {
            AssociationKind::Key1 => &keys.key1,
            AssociationKind::Key2 => &keys.key2,
            AssociationKind::Key3 => &keys.key3,
        };
        match self.suite(kind).mode {
            Mode::Stateful => given.as_ref().map(|key| Material::Key(key.duplicate())),
            Mode::SemiStateful => keys.seed.as_ref().map(|seed| Material::Seed(pair_seed(seed, kind))),
            Mode::Stateless => Some(Material::Exchanged),
        }
    }
}

/// What comes of one offer.
enum Verdict<'a> {
    /// Nothing was offered, and the default suite is allowed.
    Default,
    /// This.
    Agreed(Chosen<'a>),
    /// This, if the offer had a value for it.
    Asks(Chosen<'a>),
    /// Nothing that was offered is allowed.
    Nothing,
}

impl<'a> Verdict<'a> {
    fn of(offer: Option<&Tree<'a>>, terms: &Terms) -> Self {
        let Some(offer) = offer else {
            return if terms.allow_default() { Self::Default } else { Self::Nothing };
        };
        match choose(offer, &[terms]) {
            Choice::Chosen(chosen) => Self::Agreed(chosen),
            Choice::NeedsValue(chosen) => Self::Asks(chosen),
            Choice::Nothing => Self::Nothing,
        }
    }

    const fn settled(&self) -> bool {
        matches!(self, Self::Default | Self::Agreed(_))
    }

    const fn chosen(&self) -> Option<&Chosen<'a>> {
        match self {
            Self::Agreed(chosen) | Self::Asks(chosen) => Some(chosen),
            Self::Default | Self::Nothing => None,
        }
    }

    fn suite(&self) -> Suite {
        self.chosen().map_or_else(Suite::default, |chosen| chosen.suite)
    }

    fn is_legacy(&self) -> bool {
        let exchange = self.chosen().and_then(|chosen| chosen.exchange.as_ref());
        exchange.is_some_and(|(method, _)| method.is_legacy())
    }

    fn lifetime(&self) -> u32 {
        self.chosen().map_or(u32::MAX, |chosen| chosen.lifetime)
    }
}

/// What comes of all offers of a request.
struct Verdicts<'a> {
    key1: Verdict<'a>,
    key2: Verdict<'a>,
    /// Between the mobile node and the agent, in which of its roles.
    role: Between,
    /// Of the mobile node's offer, and of the agent's.
    key3: [Verdict<'a>; 2],
    /// What the agent allows.
    agents_terms: Terms,
}

fn find<'t, 'a>(trees: &'t [Tree<'a>], between: Between) -> Option<&'t Tree<'a>> {
    trees.iter().find(|tree| tree.between == between)
}

impl<'a> Verdicts<'a> {
    fn of(policies: &Policies, mobile: &[Tree<'a>], agent: &[Tree<'a>], served: bool) -> Self {
        let key1 = Verdict::of(find(mobile, Between::MN_HA), &Terms::from(&policies.mobile_nodes));
        let key2 = match served {
            true => Verdict::of(find(agent, Between::HA_FA), &Terms::from(&policies.foreign_agents)),
            false => Verdict::Default,
        };
        let both = |between| find(mobile, between).is_some() && find(agent, between).is_some();
        let role = if both(Between::MN_SMM) { Between::MN_SMM } else { Between::MN_FA };
        let (offered, allowed) = (find(mobile, role), find(agent, role));
        let agents_terms = allowed.map(Terms::from).unwrap_or_default();
        let mobiles = if served { Verdict::of(offered, &agents_terms) } else { Verdict::Default };
        let agents = match (&mobiles, allowed) {
            (Verdict::Agreed(chosen), Some(tree)) => Verdict::of(Some(tree), &Terms::exactly(chosen)),
            (Verdict::Default, Some(tree)) if served => Verdict::of(Some(tree), &Terms::default()),
            _ => Verdict::Default,
        };
        Self { key1, key2, role, key3: [mobiles, agents], agents_terms }
    }

    fn settled(&self) -> bool {
        self.key1.settled() && self.key2.settled() && self.key3.iter().all(Verdict::settled)
    }

    fn lifetime(&self) -> u32 {
        let all = [&self.key1, &self.key2, &self.key3[0], &self.key3[1]];
        all.into_iter().map(Verdict::lifetime).min().unwrap_or(u32::MAX)
    }
}

/// Negotiations that may go on.
#[derive(Default)]
pub(super) struct Talks {
    open: BTreeMap<(u32, Option<usize>), Talk>,
}

struct Talk {
    until: Instant,
    mobile: Rounds,
    agent: Rounds,
}

impl Talks {
    fn take(&mut self, of: (u32, Option<usize>), now: Now) -> (Rounds, Rounds) {
        let talk = self.open.get(&of).filter(|talk| talk.until > now.mono);
        talk.map_or_else(Default::default, |talk| (talk.mobile.clone(), talk.agent.clone()))
    }

    fn keep(&mut self, of: (u32, Option<usize>), (mobile, agent): (Rounds, Rounds), now: Now) {
        self.open.retain(|_, talk| talk.until > now.mono);
        if self.open.len() >= MOST
            && let Some(oldest) = self.open.iter().min_by_key(|(_, talk)| talk.until).map(|(of, _)| *of)
        {
            self.open.remove(&oldest);
        }
        self.open.insert(of, Talk { until: now.mono + KEPT, mobile, agent });
    }
}

const COUNTER_PROPOSAL: Denial = (Code::HA_UNSPECIFIED, Some(DetailCode::COUNTER_PROPOSAL));
const VALUE_REFUSED: Denial = (Code::HA_UNSPECIFIED, Some(DetailCode::SHARE_REFUSED));
const NO_PROPOSAL: Denial = (Code::HA_UNSPECIFIED, Some(DetailCode::NO_PROPOSAL));
const ROUNDS_EXHAUSTED: Denial = (Code::HA_UNSPECIFIED, Some(DetailCode::ROUNDS_EXHAUSTED));

/// What one part of a request said; it must go on where the rounds before it ended.
fn said(negotiation: Option<Negotiation<'_>>, kept: Rounds) -> Result<Option<Said>, Denial> {
    let Some(negotiation) = negotiation else {
        return Ok(None);
    };
    negotiation.trees().map_err(|_| denial(Code::HA_BAD_REQUEST))?;
    if negotiation.round > MAX_ROUNDS {
        return Err(ROUNDS_EXHAUSTED);
    }
    // Whoever begins anew is answered anew.
    let rounds = if negotiation.round == 1 { Rounds::default() } else { kept };
    if !rounds.continued_by(&negotiation) {
        return Err(NO_PROPOSAL);
    }
    Ok(Some(Said { rounds, body: negotiation.body().to_vec() }))
}

/// The other side's value in what was chosen.
fn value_of<'a>(chosen: Option<&Chosen<'a>>) -> &'a [u8] {
    chosen.and_then(|chosen| chosen.exchange.as_ref()).map_or(&[], |(_, value)| value)
}

/// The body of a counter-proposal: for each offer what would be chosen, or all that is allowed; `None` if it would say
/// nothing.
fn counter(
    said: Option<&Said>,
    all: [(Option<&Tree<'_>>, &Verdict<'_>, &Terms, Between); 2],
) -> Option<Vec<u8>> {
    let silent = Said { rounds: Rounds::default(), body: Vec::new() };
    let mut w = said.unwrap_or(&silent).begin();
    let head = w.len();
    for (offer, verdict, terms, between) in all {
        match (verdict, offer) {
            (Verdict::Agreed(chosen) | Verdict::Asks(chosen), Some(offer)) => {
                chosen.answer(offer, &[]).emit(&mut w).ok()?;
            }
            (Verdict::Nothing, _) => terms.emit(between, &mut w).ok()?,
            _ => {}
        }
    }
    (w.len() > head).then(|| w.into_bytes())
}

impl HomeAgent {
    /// Chooses from all that was offered; what is chosen is written into `asked`. A denial may carry a
    /// counter-proposal.
    pub(super) fn negotiate(&mut self, asked: &mut Asked, parts: &Parts<'_>, now: Now) -> Result<(), Denial> {
        let served = asked.serving_agent().is_some();
        let agents = parts.foreign.negotiation.filter(|_| served);
        let policies = &self.config.negotiation;
        let default_is_allowed = policies.mobile_nodes.allows(&Suite::default())
            && (!served || policies.foreign_agents.allows(&Suite::default()));
        if parts.mobile.negotiation.is_none() && agents.is_none() && default_is_allowed {
            return Ok(());
        }
        let of = (asked.who.number, asked.agent.as_ref().map(|agent| agent.path));
        let (mobile_rounds, agent_rounds) = self.talks.take(of, now);
        let mobile = said(parts.mobile.negotiation, mobile_rounds)?;
        let agent = said(agents, agent_rounds)?;
        let (mobile_trees, agent_trees) = (
            mobile.as_ref().map_or_else(Vec::new, Said::trees),
            agent.as_ref().map_or_else(Vec::new, Said::trees),
        );
        let of_mobile = [Between::MN_HA, Between::MN_FA, Between::MN_SMM];
        let of_agent = [Between::HA_FA, Between::MN_FA, Between::MN_SMM];
        if mobile_trees.iter().any(|tree| !of_mobile.contains(&tree.between))
            || agent_trees.iter().any(|tree| !of_agent.contains(&tree.between))
        {
            return Err(denial(Code::HA_BAD_REQUEST));
        }
        let verdicts = Verdicts::of(&self.config.negotiation, &mobile_trees, &agent_trees, served);
        if !verdicts.settled() {
            let over = [&mobile, &agent].into_iter().flatten().map(|said| said.rounds.over()).max();
            if over.is_some_and(|over| over + 1 >= MAX_ROUNDS) {
                return Err(ROUNDS_EXHAUSTED);
            }
            let (mobiles_terms, agents_terms) = (
                Terms::from(&self.config.negotiation.mobile_nodes),
                Terms::from(&self.config.negotiation.foreign_agents),
            );
            let replies = [
                counter(
                    mobile.as_ref(),
                    [
                        (find(&mobile_trees, Between::MN_HA), &verdicts.key1, &mobiles_terms, Between::MN_HA),
                        (
                            find(&mobile_trees, verdicts.role),
                            &verdicts.key3[0],
                            &verdicts.agents_terms,
                            verdicts.role,
                        ),
                    ],
                ),
                counter(
                    agent.as_ref(),
                    [
                        (find(&agent_trees, Between::HA_FA), &verdicts.key2, &agents_terms, Between::HA_FA),
                        (
                            find(&agent_trees, verdicts.role),
                            &verdicts.key3[1],
                            &verdicts.agents_terms,
                            verdicts.role,
                        ),
                    ],
                ),
            ];
            let after = |said: &Option<Said>, reply: &Option<Vec<u8>>| match (said, reply) {
                (Some(said), Some(reply)) => said.rounds.after(&said.body, reply),
                (None, Some(reply)) => Rounds::default().after(&[], reply),
                _ => Rounds::default(),
            };
            let rounds = (after(&mobile, &replies[0]), after(&agent, &replies[1]));
            self.talks.keep(of, rounds, now);
            self.count("counter-proposals");
            asked.agreed.replies = replies;
            return Err(COUNTER_PROPOSAL);
        }
        let policies = &self.config.negotiation;
        let groups = &self.groups.0;
        let mut refused = None;
        let mut agreement = |verdict: &Verdict<'_>, policy: &Policy| {
            let exchange = match verdict.chosen().and_then(|chosen| chosen.exchange.as_ref()) {
                None => None,
                Some((method, theirs)) => match begin(method, theirs, policy, groups, &mut self.rng) {
                    Ok(begun) => Some(begun),
                    Err(why) => {
                        refused = Some(why);
                        return Err(VALUE_REFUSED);
                    }
                },
            };
            let (suite, legacy) = (verdict.suite(), verdict.is_legacy());
            Ok::<_, Denial>(Agreement { suite, legacy, exchange, exchanged: None })
        };
        let key1 = agreement(&verdicts.key1, &policies.mobile_nodes);
        let key2 = agreement(&verdicts.key2, &policies.foreign_agents);
        if let Some(why) = refused {
            self.tell_refused(asked, &why);
        }
        let (key1, key2) = (key1?, key2?);
        let mobiles = &verdicts.key3[0];
        let key3 = Agreement { suite: mobiles.suite(), legacy: mobiles.is_legacy(), ..Agreement::default() };
        let most = u16::try_from(verdicts.lifetime()).unwrap_or(u16::MAX);
        asked.lifetime = asked.lifetime.min(most);
        let policies = Some(self.config.negotiation.clone());
        asked.agreed = Agreed { policies, mobile, agent, key1, key2, key3, replies: [None, None] };
        if asked.agreed.tests_a_group() && !self.has_room_to_test(asked) {
            return Err(denial(Code::HA_RESOURCES));
        }
        Ok(())
    }

    /// True if the test of a prime may be waited for: of each mobile node for one.
    fn has_room_to_test(&self, asked: &Asked) -> bool {
        let waiting: Vec<_> = self
            .work
            .values()
            .filter_map(|work| match &work.step {
                Step::Exchange(other) if other.agreed.tests_a_group() => Some(other.who.number),
                _ => None,
            })
            .collect();
        waiting.len() < TESTING && !waiting.contains(&asked.who.number)
    }

    /// A public value or a group was refused: the peer is told no more than that.
    fn tell_refused(&mut self, asked: &Asked, why: &str) {
        self.count("public values refused");
        let text = format!("a public value was refused: {why}");
        self.notify(Event::new(EventKind::Denied, text).of(asked.identification));
    }

    /// The exchanges that are to be worked at before keys can be made; `None` for none.
    pub(super) fn exchanges(asked: &Asked) -> Option<Exchanges> {
        let work = |agreement: &Agreement| agreement.exchange.as_ref().map(Unfinished::duplicate);
        let exchanges = Exchanges { key1: work(&asked.agreed.key1), key2: work(&asked.agreed.key2) };
        (exchanges.key1.is_some() || exchanges.key2.is_some()).then_some(exchanges)
    }

    /// They were worked at.
    pub(super) fn exchanged(&mut self, ticket: Ticket, mut results: Exchanged, now: Now) {
        let mut refused = None;
        // Also for a request that nobody waits for any more: the next one need not be tested.
        for (group, verdict) in results.take_found() {
            self.groups.0.remember(&group, &verdict);
            self.count("groups tested");
            refused = verdict.err().or(refused);
        }
        let Some(Work { step: Step::Exchange(mut asked), .. }) = self.work.remove(ticket) else {
            return;
        };
        let useless = |one: &Option<Finished>| one.as_ref().is_some_and(|one| one.answer.is_none());
        if useless(&results.key1) || useless(&results.key2) {
            let why = refused.map_or_else(|| "it does not serve".to_owned(), |why| why.to_string());
            self.tell_refused(&asked, &why);
            let (code, detail) = VALUE_REFUSED;
            return self.deny(&asked, code, detail, now);
        }
        let done = |result: Option<Finished>| {
            let (shared, value) = result?.answer?.into_parts();
            Some((value, shared.key().duplicate()))
        };
        asked.agreed.key1.exchanged = done(results.key1);
        asked.agreed.key2.exchanged = done(results.key2);
        self.ask_keys(*asked, now);
    }

    /// The answers to all offers, once the exchanges are done.
    pub(super) fn answers(asked: &Asked) -> [Option<Vec<u8>>; 2] {
        let Agreed { policies: Some(policies), mobile, agent, key1, key2, .. } = &asked.agreed else {
            return [None, None];
        };
        let served = asked.serving_agent().is_some();
        let mobile_trees = mobile.as_ref().map_or_else(Vec::new, Said::trees);
        let agent_trees = agent.as_ref().map_or_else(Vec::new, Said::trees);
        // The same as before: it depends on nothing but what was said and the policies.
        let verdicts = Verdicts::of(policies, &mobile_trees, &agent_trees, served);
        let own = |agreement: &Agreement| {
            agreement.exchanged.as_ref().map_or_else(Vec::new, |(value, _)| value.clone())
        };
        let (value1, value2) = (own(key1), own(key2));
        let role = verdicts.role;
        let values3 = verdicts.key3.each_ref().map(|verdict| value_of(verdict.chosen()));
        let to_mobile = mobile.as_ref().and_then(|said| {
            said.answer(&mobile_trees, |between| match between {
                Between::MN_HA => (verdicts.key1.chosen(), value1.as_slice()),
                _ if between == role => (verdicts.key3[0].chosen(), values3[1]),
                _ => (None, &[]),
            })
        });
        let to_agent = agent.as_ref().and_then(|said| {
            said.answer(&agent_trees, |between| match between {
                Between::HA_FA => (verdicts.key2.chosen(), value2.as_slice()),
                _ if between == role => (verdicts.key3[1].chosen(), values3[0]),
                _ => (None, &[]),
            })
        });
        [to_mobile, to_agent]
    }

    /// What was negotiated, in words.
    pub(super) fn negotiated(asked: &Asked) -> Vec<Negotiated> {
        let Agreed { policies: Some(policies), mobile, agent, .. } = &asked.agreed else {
            return Vec::new();
        };
        let served = asked.serving_agent().is_some();
        let mobile_trees = mobile.as_ref().map_or_else(Vec::new, Said::trees);
        let agent_trees = agent.as_ref().map_or_else(Vec::new, Said::trees);
        let verdicts = Verdicts::of(policies, &mobile_trees, &agent_trees, served);
        let told = |said: &Option<Said>, trees: &[Tree<'_>], between: Between, verdict: &Verdict<'_>| {
            let (said, tree) = (said.as_ref()?, find(trees, between)?);
            let suite = verdict.chosen()?.suite;
            Some(Negotiated {
                association: between.meaning(),
                offered: Terms::from(tree).to_string(),
                agreed: suite_names(&suite),
                rounds: said.rounds.over() + 1,
                mode: suite.mode,
            })
        };
        let key1 = told(mobile, &mobile_trees, Between::MN_HA, &verdicts.key1);
        let key2 = told(agent, &agent_trees, Between::HA_FA, &verdicts.key2);
        let key3 = told(mobile, &mobile_trees, verdicts.role, &verdicts.key3[0]).filter(|_| served);
        [key1, key2, key3].into_iter().flatten().collect()
    }

    /// A group that nobody should use any more was agreed on, which somebody allowed.
    pub(super) fn tell_legacy(&mut self, asked: &Asked) {
        let kinds = [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3];
        for kind in kinds.into_iter().filter(|kind| asked.agreed.of(*kind).legacy) {
            let group = group_name(asked.agreed.suite(kind).group);
            self.count("legacy groups");
            let text = format!("{} is made by {group}, which is breakable", kind.name());
            self.notify(Event::new(EventKind::WeakAlgorithm, text).of(asked.identification));
        }
    }

    /// What the home agent adds to a key that it holds itself.
    pub(super) fn own_part<'a>(
        &self,
        asked: &'a Asked,
        kind: AssociationKind,
        ends: Ends<'a>,
    ) -> Option<Own<'a>> {
        let agreement = asked.agreed.of(kind);
        match agreement.suite.mode {
            Mode::Stateful => Some(Own::Nothing),
            Mode::SemiStateful => Some(Own::Ends(ends)),
            Mode::Stateless => {
                let (_, shared) = agreement.exchanged.as_ref()?;
                let key = match kind {
                    AssociationKind::Key1 => {
                        let known = self.known.of(&asked.who)?;
                        let mut credentials = known.credentials.iter();
                        let credential = credentials.find(|c| c.generation == asked.generation)?;
                        credential.keys.stateless_key(&asked.t1, shared)
                    }
                    AssociationKind::Key2 => {
                        let path = self.paths.get(asked.serving_agent()?.path)?;
                        path.keys.stateless_key(asked.t2.as_ref()?, shared)
                    }
                    AssociationKind::Key3 => return None,
                };
                Some(Own::Exchanged(key))
            }
        }
    }
}
