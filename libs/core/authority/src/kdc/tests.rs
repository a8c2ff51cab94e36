//! The machine at a desk: a store that can be told to fail, and restarts.

mod answers;
mod durability;
mod grants;
mod rotating;

use std::{collections::BTreeMap, time::Duration};

use crypto::Cipher;
use record::{AuditEntry, Change, CommitError, Grant, HomeAgent, Nai, RealmKey, Subscriber};
use wire::mip::Spi;

use super::*;

const HOME_AGENT: &str = "ha@home.example";
const OTHER_HOME_AGENT: &str = "ha-two@home.example";
const FOREIGN_AGENT: &str = "fa-a@visited-a.example";
const MOBILE_NODE: &str = "traveller-one@home.example";

/// What a store would hold.
#[derive(Default)]
struct Durable {
    subscribers: BTreeMap<Nai, Subscriber>,
    grants: BTreeMap<u64, Grant>,
    home_agents: BTreeMap<String, HomeAgent>,
    realm_keys: BTreeMap<Spi, RealmKey>,
    cursor: u64,
    audit: Vec<AuditEntry>,
    commits: usize,
}

impl Durable {
    fn apply(&mut self, changes: Vec<Change>) {
        self.commits += 1;
        for change in changes {
            match change {
                Change::PutSubscriber(s) => drop(self.subscribers.insert(s.nai.clone(), s)),
                Change::PutGrant(g) => drop(self.grants.insert(g.id, g)),
                Change::PutHomeAgent(a) => drop(self.home_agents.insert(a.name.clone(), a)),
                Change::PutRealmKey(key) => drop(self.realm_keys.insert(key.id, key)),
                Change::RemoveRealmKey(id) => drop(self.realm_keys.remove(&id)),
                Change::SubscriberCursor(change) => self.cursor = change,
                Change::Audit(entry) => self.audit.push(entry),
                _ => panic!("a change that is not the key distribution centre's"),
            }
        }
    }

    fn newest_grants(&self) -> Vec<(Nai, u64)> {
        let newest: BTreeMap<Nai, u64> = self.grants.values().map(|g| (g.nai.clone(), g.id)).collect();
        newest.into_iter().collect()
    }

    fn grants_ending(&self, time: u64) -> Vec<(u64, u64)> {
        let mut ending = BTreeMap::<u64, u64>::new();
        for grant in self.grants.values().filter(|grant| grant.ends > time) {
            *ending.entry(grant.ends).or_default() += 1;
        }
        ending.into_iter().collect()
    }

    /// Whoever knows the newest grant of a subscriber finds all of them.
    fn assert_chained(&self) {
        for (nai, newest) in self.newest_grants() {
            let of: Vec<u64> = self.grants.values().filter(|g| g.nai == nai).map(|g| g.id).collect();
            let chain = std::iter::successors(Some(newest), |id| self.grants[id].earlier);
            assert!(chain.eq(of.into_iter().rev()), "{nai}");
        }
    }

    fn state(&self, time: u64) -> State {
        State {
            subscribers: self.subscribers.values().map(Subscriber::duplicate).collect(),
            realm_keys: self.realm_keys.values().map(RealmKey::duplicate).collect(),
            subscriber_cursor: self.cursor,
            grants: self.grants.values().cloned().collect(),
            newest_grants: self.newest_grants(),
            grants_ending: self.grants_ending(time),
            longest_grant: self.grants.values().map(|g| g.ends - g.issued).max().unwrap_or_default(),
            home_agents: self.home_agents.values().cloned().collect(),
            last_audit: self.audit.last().map_or(0, |entry| entry.number),
            ..State::default()
        }
    }
}

/// A machine with its store.
struct Desk {
    kdc: Kdc,
    durable: Durable,
    /// What the store says to the next commits.
    refuses: Option<CommitError>,
    /// Commits wait here while set.
    holds: bool,
    held: Option<(u64, Vec<Change>)>,
    answers: BTreeMap<Ticket, Result<Answer, Refusal>>,
    published: Vec<u64>,
    events: Vec<Event>,
    seconds: u64,
    tickets: u64,
    starts: u8,
}

impl Desk {
    fn new() -> Self {
        Self {
            kdc: Kdc::new("home.example", [0; 32], State::default()),
            durable: Durable::default(),
            refuses: None,
            holds: false,
            held: None,
            answers: BTreeMap::new(),
            published: Vec::new(),
            events: Vec::new(),
            seconds: 1_000_000,
            tickets: 0,
            starts: 0,
        }
    }

    /// With two home agents, the second for its own subscribers only, and one subscriber of the first.
    fn furnished() -> Self {
        let mut desk = Self::new();
        desk.done(admin(), register(HOME_AGENT, ""));
        desk.done(admin(), register(OTHER_HOME_AGENT, "10.11.1.4"));
        desk.done(admin(), Ask::Enrol(enrolment(MOBILE_NODE, "10.11.1.50")));
        desk
    }

    fn now(&self) -> Now {
        let unix = Duration::from_secs(self.seconds);
        Now { mono: Instant::new(unix), unix }
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.kdc.handle(Input::Tick, self.now());
        self.settle();
    }

    /// The process dies and starts again on what is durable.
    fn restart(&mut self) {
        self.starts += 1;
        self.held = None;
        self.kdc = Kdc::new("home.example", [self.starts; 32], self.durable.state(self.seconds));
    }

    fn submit(&mut self, caller: Caller, ask: Ask) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.kdc.handle(Input::Request(Request::Ask { ticket, caller, ask }), self.now());
        self.settle();
        ticket
    }

    fn ask(&mut self, caller: Caller, ask: Ask) -> Result<Answer, Refusal> {
        let ticket = self.submit(caller, ask);
        self.answers.remove(&ticket).expect("answered at once")
    }

    fn done(&mut self, caller: Caller, ask: Ask) -> Answer {
        self.ask(caller, ask).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    fn refused(&mut self, caller: Caller, ask: Ask) -> Refusal {
        self.ask(caller, ask).err().expect("refused")
    }

    fn settle(&mut self) {
        loop {
            match self.kdc.poll() {
                Output::Effect(Effect::Persist { commit, changes }) => {
                    assert!(!changes.is_empty());
                    assert!(self.held.replace((commit, changes)).is_none(), "one commit at a time");
                    if !self.holds {
                        self.commit();
                    }
                }
                Output::Effect(Effect::Read { read, wanted }) => {
                    assert!(self.held.is_none(), "what is read is durable");
                    let found = self.durable.grants.values().filter(|grant| wanted.holds(grant));
                    let result = Ok(found.take(wanted.limit).cloned().collect());
                    self.kdc.handle(Input::Request(Request::Grants { read, result }), self.now());
                }
                Output::Effect(Effect::Answer { ticket, answer }) => {
                    assert!(self.answers.insert(ticket, answer).is_none(), "answered once");
                }
                Output::Effect(Effect::Publish { change }) => self.published.push(change),
                Output::Effect(Effect::Audited { number }) => {
                    assert_eq!(self.durable.audit.last().map(|entry| entry.number), Some(number));
                }
                Output::Effect(Effect::Notify(event)) => self.events.push(event),
                Output::Send(_) => panic!("it sends nothing"),
                Output::Wait(_) => return,
            }
        }
    }

    /// Lets the held commit through, or refuses it.
    fn commit(&mut self) {
        let Some((commit, changes)) = self.held.take() else {
            return;
        };
        let result = self.refuses.clone().map_or(Ok(()), Err);
        if result.is_ok() {
            self.durable.apply(changes);
        }
        self.kdc.handle(Input::Request(Request::Persisted { commit, result }), self.now());
        self.settle();
    }

    /// Everything that an administrator and a home agent can see, except the audit trail, as text.
    fn seen(&mut self) -> String {
        let mut text = String::new();
        let all = Ask::Subscribers { after: String::new(), limit: usize::MAX, include_revoked: true };
        if let Answer::Subscribers(page) = self.done(admin(), all) {
            text += &format!("{:#?}", page.items);
        }
        let all = Ask::Grants { after: 0, limit: usize::MAX, nai: String::new(), include_ended: true };
        if let Answer::Grants(page) = self.done(admin(), all) {
            text += &format!("{:#?}", page.items);
        }
        if let Answer::HomeAgents(agents) = self.done(admin(), Ask::HomeAgents) {
            text += &format!("{agents:#?}");
        }
        if let Answer::RealmKeys(keys) = self.done(admin(), Ask::RealmKeys) {
            text += &format!("{keys:#?}");
        }
        text + &format!("change {}", self.kdc.published())
    }

    fn last_entry(&self) -> &AuditEntry {
        self.durable.audit.last().expect("an entry")
    }
}

fn admin() -> Caller {
    Caller { name: "alice".into(), role: "administrator".into() }
}

fn home_agent(name: &str) -> Caller {
    Caller { name: name.into(), role: "home-agent".into() }
}

fn register(name: &str, address: &str) -> Ask {
    Ask::RegisterHomeAgent { name: name.to_owned(), address: address.to_owned(), dry_run: false }
}

fn enrolment(nai: &str, home_address: &str) -> Enrol {
    Enrol {
        nai: nai.to_owned(),
        home_address: home_address.to_owned(),
        home_prefix_length: 24,
        home_gateway: "10.11.1.1".to_owned(),
        home_agent: "10.11.1.2".to_owned(),
        cipher: Some(Cipher::Aes256Gcm),
        max_lifetime: 0,
        static_spi: false,
        no_fs: false,
        plain: None,
        dry_run: false,
    }
}

fn revocation(nai: &str) -> Ask {
    Ask::RevokeSubscriber { nai: nai.to_owned(), reason: "lost".to_owned(), dry_run: false }
}

fn pair(first: u32, second: u32) -> Option<Pair> {
    Some(Pair { first: Spi(first), second: Spi(second) })
}

/// Keys for [`MOBILE_NODE`] through [`FOREIGN_AGENT`]; `number` makes the request another one.
fn issue(number: u8) -> Issue {
    Issue {
        request: vec![number; 16],
        nai: MOBILE_NODE.to_owned(),
        foreign_agent: FOREIGN_AGENT.to_owned(),
        care_of: "10.51.1.2".to_owned(),
        lifetime: 600,
        key1: pair(1001, 1002),
        key2: pair(2001, 2002),
        key3: pair(3001, 3002),
        seeded: vec![],
    }
}

fn issued(answer: Answer) -> Issued {
    match answer {
        Answer::Issued(issued) => issued,
        _ => panic!("keys are expected"),
    }
}

fn changes(answer: Answer) -> ChangesPage {
    match answer {
        Answer::Changes(page) => page,
        _ => panic!("changes are expected"),
    }
}

fn since(since: u64) -> Ask {
    Ask::ChangesSince { since, limit: 100, first: false }
}

impl Kdc {
    /// When it wants to be woken, with nothing left to do.
    fn poll_wait(&mut self) -> Option<Instant> {
        match self.poll() {
            Output::Wait(wake) => wake,
            _ => panic!("something is left to do"),
        }
    }
}
