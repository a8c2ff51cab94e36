//! Nothing is answered before it is durable, and a store that fails leaves nothing behind.

use crypto::Rng;

use super::*;

fn disk_full() -> CommitError {
    CommitError::Unavailable("no space left on device".to_owned())
}

#[test]
fn nothing_is_answered_before_it_is_durable_and_a_burst_costs_two_commits() {
    let mut desk = Desk::furnished();
    let commits = desk.durable.commits;
    desk.holds = true;
    let tickets: Vec<Ticket> =
        (0..50).map(|n| desk.submit(home_agent(HOME_AGENT), Ask::Issue(issue(n)))).collect();
    assert!(desk.answers.is_empty(), "answered before the commit");
    desk.commit();
    assert_eq!(desk.answers.len(), 1, "only what was in the first commit");
    desk.commit();
    assert!(tickets.iter().all(|ticket| desk.answers[ticket].is_ok()));
    assert_eq!(desk.durable.commits, commits + 2);
}

#[test]
fn a_refused_commit_refuses_everything_in_it_and_puts_all_back() {
    let mut desk = Desk::furnished();
    let before = desk.seen();
    desk.holds = true;
    // The first opens a commit; the others share the next one, and see each other's outcome.
    let first = desk.submit(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    let twice = enrolment("traveller-two@home.example", "10.11.1.51");
    let asks = [
        (home_agent(HOME_AGENT), Ask::Issue(issue(1))),
        (admin(), Ask::Enrol(twice.clone())),
        (admin(), Ask::Enrol(twice)),
        (admin(), revocation(MOBILE_NODE)),
        (admin(), register("ha-3@home.example", "")),
    ];
    let tickets: Vec<Ticket> = asks.into_iter().map(|(caller, ask)| desk.submit(caller, ask)).collect();
    desk.refuses = Some(disk_full());
    desk.commit();
    let refusal = desk.answers.remove(&first).unwrap().err().unwrap();
    assert_eq!(refusal.class(), Class::Unavailable);
    assert!(refusal.to_string().contains("no space left"), "{refusal}");
    // What is revoked has to be durable: a revocation waits for the commit before it.
    desk.commit();
    desk.commit();
    for (number, ticket) in tickets.iter().enumerate() {
        let refusal = desk.answers.remove(ticket).unwrap().err().unwrap();
        // Enrolled twice stays what it is; the rest is refused because of the disk.
        let expected = if number == 2 { Class::Exists } else { Class::Unavailable };
        assert_eq!(refusal.class(), expected, "{refusal}");
    }
    desk.holds = false;
    assert_eq!(desk.seen(), before, "reading works although the disk is full");
    desk.refuses = None;
    desk.done(admin(), revocation(MOBILE_NODE));
    assert!(desk.durable.audit.windows(2).all(|w| w[1].number == w[0].number + 1), "no gap");
}

#[test]
fn a_repeat_that_shares_the_commit_gets_the_same_keys() {
    let mut desk = Desk::furnished();
    desk.holds = true;
    desk.submit(admin(), Ask::Refuse { action: "x".into(), why: "y".into() });
    let a = desk.submit(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    let b = desk.submit(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    desk.commit();
    desk.commit();
    let a = issued(desk.answers.remove(&a).unwrap().unwrap_or_else(|r| panic!("{r}")));
    let b = issued(desk.answers.remove(&b).unwrap().unwrap_or_else(|r| panic!("{r}")));
    assert!(a.id == b.id && a.key1 == b.key1);
}

#[test]
fn an_answer_to_another_commit_is_ignored() {
    let mut desk = Desk::furnished();
    desk.holds = true;
    let ticket = desk.submit(admin(), revocation(MOBILE_NODE));
    let (commit, _) = desk.held.as_ref().unwrap();
    let stray = Request::Persisted { commit: commit + 1, result: Ok(()) };
    desk.kdc.handle(Input::Request(stray), desk.now());
    desk.settle();
    assert!(!desk.answers.contains_key(&ticket));
}

/// Random asks, a store that fails now and then, restarts: after every step memory equals what is durable.
#[test]
fn memory_always_equals_what_is_durable() {
    for seed in 0..40u8 {
        let mut rng = Rng::from_seed([seed; 32]);
        let mut desk = Desk::furnished();
        for step in 0..120 {
            desk.refuses = (rng.below(4) == 0).then(disk_full);
            let user = rng.below(6);
            let nai = format!("user-{user}@home.example");
            let (caller, ask) = match rng.below(12) {
                0..=2 => (admin(), Ask::Enrol(enrolment(&nai, &format!("10.11.1.{}", 60 + rng.below(6))))),
                3 => (admin(), revocation(&nai)),
                4 => {
                    let id = rng.below(desk.durable.audit.len() as u64 + 2);
                    (admin(), Ask::RevokeAssociation { id, reason: String::new(), dry_run: false })
                }
                10 => (admin(), Ask::Rotate { nai, overlap: 7_000_000, dry_run: false }),
                11 => (admin(), Ask::RotateRealmKey { overlap: 7_000_000, dry_run: false }),
                5 => (admin(), register(&format!("ha-{user}@home.example"), "")),
                _ => {
                    let mut issue = issue(u8::try_from(rng.below(40)).unwrap());
                    issue.nai = nai;
                    (home_agent(HOME_AGENT), Ask::Issue(issue))
                }
            };
            desk.holds = rng.below(3) == 0;
            desk.submit(caller, ask);
            if rng.below(2) == 0 {
                desk.commit();
            }
            match rng.below(12) {
                0 => desk.restart(),
                1 => desk.pass(rng.below(700)),
                _ => {}
            }
            if desk.held.is_none() {
                let memory = (desk.seen(), desk.kdc.held());
                let mut fresh = Desk::new();
                fresh.seconds = desk.seconds;
                fresh.kdc = Kdc::new("home.example", [0; 32], desk.durable.state(desk.seconds));
                fresh.durable = std::mem::take(&mut desk.durable);
                assert_eq!(memory, (fresh.seen(), fresh.kdc.held()), "seed {seed} step {step}");
                desk.durable = fresh.durable;
                desk.durable.assert_chained();
            }
        }
    }
}
