//! What is kept of grants does not grow with registrations, and what people see of them is as if all were kept.

use super::*;

/// Issue number `n`, all of them different.
fn numbered(n: u64, lifetime: u32) -> Issue {
    let mut issue = issue(0).with_lifetime(lifetime);
    issue.request = u128::from(n).to_be_bytes().to_vec();
    issue
}

fn all(include_ended: bool) -> Ask {
    Ask::Grants { after: 0, limit: usize::MAX, nai: String::new(), include_ended }
}

impl Desk {
    fn listed(&mut self, ask: Ask) -> Vec<u64> {
        let Answer::Grants(page) = self.done(admin(), ask) else { panic!("grants are expected") };
        page.items.iter().map(|grant| grant.id).collect()
    }

    fn shown(&mut self) -> Vec<u64> {
        let Answer::Subscriber { grants, .. } =
            self.done(admin(), Ask::Subscriber { nai: MOBILE_NODE.into() })
        else {
            panic!("a subscriber is expected")
        };
        grants.iter().map(|grant| grant.id).collect()
    }

    /// Everything in memory that could grow with grants.
    fn entries(&self) -> usize {
        let waiting = self.kdc.queue.len() + self.kdc.reads.len();
        self.kdc.ledger.grants().entries() + self.kdc.remembered.entries() + waiting
    }
}

#[test]
fn many_thousand_registrations_leave_nothing_in_memory() {
    let mut desk = Desk::furnished();
    let (mut most, mut made) = (0, Vec::new());
    for n in 0..40_000 {
        made.push(issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(numbered(n, 600)))).id);
        if n % 100 == 99 {
            desk.pass(1);
        }
        most = most.max(desk.entries());
    }
    // A minute of issues, each with its end; the ends of 600 s; one subscriber.
    assert!(most <= 2 * 6_100 + 601 + 1, "{most} entries for 40,000 grants");
    // Hardly one of them is in memory.
    assert!(desk.listed(all(false)) == made && desk.shown() == made, "none of them has ended yet");
    assert_eq!(desk.kdc.held(), [1, 2, 40_000]);
    desk.pass(300);
    assert!(desk.listed(all(false)) == made[10_100..] && desk.listed(all(true)) == made);
    assert_eq!(desk.kdc.held(), [1, 2, 29_900]);
    assert!(desk.entries() <= 302, "{}", desk.entries());
    let Answer::Revoked { associations, .. } = desk.done(admin(), revocation(MOBILE_NODE)) else { panic!() };
    assert_eq!(associations, 29_900);
    assert!(desk.listed(all(false)).is_empty());
    desk.pass(300 + 3_700);
    assert!(desk.listed(all(true)).is_empty() && desk.shown().is_empty());
    assert_eq!((desk.entries(), desk.kdc.held()), (1, [1, 2, 0]));
}

#[test]
fn the_longest_grant_is_seen_until_an_hour_after_its_end() {
    let mut desk = Desk::furnished();
    let id = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(numbered(0, 65_535)))).id;
    desk.done(home_agent(HOME_AGENT), Ask::Issue(numbered(1, 1)));
    desk.pass(3_602);
    for passed in [0, 65_534 - 3_602] {
        desk.pass(passed);
        desk.restart();
        assert_eq!((desk.listed(all(false)), desk.shown()), (vec![id], vec![id]));
    }
    desk.pass(1);
    assert_eq!((desk.listed(all(false)), desk.shown()), (vec![], vec![id]));
    desk.pass(3_600);
    assert_eq!((desk.listed(all(true)), desk.shown()), (vec![id], vec![id]));
    desk.pass(1);
    assert_eq!((desk.listed(all(true)), desk.shown()), (vec![], vec![]));
}

#[test]
fn pages_of_grants_follow_each_other() {
    let mut desk = Desk::furnished();
    let ids: Vec<u64> =
        (0..5).map(|n| issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(numbered(n, 600)))).id).collect();
    for nai in ["", MOBILE_NODE] {
        let page = |after| Ask::Grants { after, limit: 2, nai: nai.to_owned(), include_ended: false };
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let Answer::Grants(page) = desk.done(admin(), page(after)) else { panic!() };
            assert_eq!(page.more, found.len() + page.items.len() < ids.len());
            found.extend(page.items.iter().map(|grant| grant.id));
            after = found.last().copied().unwrap_or_default();
            if !page.more {
                break;
            }
        }
        assert_eq!(found, ids);
    }
}

/// The machine asks for grants to revoke and is answered by hand.
#[test]
fn nothing_comes_between_what_is_read_and_what_is_revoked() {
    let mut desk = Desk::furnished();
    let first = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)))).id;
    let now = desk.now();
    let ask = |ticket, caller, ask| Input::Request(Request::Ask { ticket: Ticket(ticket), caller, ask });
    desk.kdc.handle(ask(900, admin(), revocation(MOBILE_NODE)), now);
    let Output::Effect(Effect::Read { read, wanted }) = desk.kdc.poll() else { panic!("a read is expected") };
    assert!(wanted.holds(&desk.durable.grants[&first]));
    desk.kdc.handle(ask(901, home_agent(HOME_AGENT), Ask::Issue(issue(2))), now);
    desk.kdc.handle(Input::Tick, now);
    desk.kdc.poll_wait();
    let result = Ok(vec![desk.durable.grants[&first].clone()]);
    desk.kdc.handle(Input::Request(Request::Grants { read, result }), now);
    desk.settle();
    assert!(matches!(desk.answers.remove(&Ticket(900)), Some(Ok(Answer::Revoked { associations: 1, .. }))));
    assert!(matches!(desk.answers.remove(&Ticket(901)), Some(Err(Refusal::RevokedSubscriber(_)))));
    assert!(desk.durable.grants[&first].revoked.is_some());
}

#[test]
fn a_store_that_cannot_be_read_refuses_whoever_has_to_see_grants_and_nobody_else() {
    let mut desk = Desk::furnished();
    let id = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)))).id;
    let before = desk.seen();
    let now = desk.now();
    let revoke = Ask::RevokeAssociation { id, reason: String::new(), dry_run: false };
    for (number, asked) in [revocation(MOBILE_NODE), revoke, all(true)].into_iter().enumerate() {
        let ticket = Ticket(900 + number as u64);
        desk.kdc.handle(Input::Request(Request::Ask { ticket, caller: admin(), ask: asked }), now);
        let Output::Effect(Effect::Read { read, .. }) = desk.kdc.poll() else { panic!("a read is expected") };
        let result = Err("the disk is gone".to_owned());
        desk.kdc.handle(Input::Request(Request::Grants { read, result }), now);
        desk.settle();
        let refusal = desk.answers.remove(&ticket).expect("answered").err().expect("refused");
        assert!(refusal.to_string().contains("the disk is gone"), "{refusal}");
        desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    }
    assert_eq!(desk.seen(), before);
}
