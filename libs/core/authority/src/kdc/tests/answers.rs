//! What is answered to whom, and that a refusal changes nothing.

use super::*;
use record::AssociationKind;

#[test]
fn enrolment_makes_a_key_an_index_and_an_audit_entry() {
    let mut desk = Desk::new();
    let Answer::Enrolled(first) = desk.done(admin(), Ask::Enrol(enrolment(MOBILE_NODE, "10.11.1.50"))) else {
        panic!()
    };
    let Answer::Enrolled(second) =
        desk.done(admin(), Ask::Enrol(enrolment("traveller-two@home.example", "10.11.1.51")))
    else {
        panic!()
    };
    assert!(first.spi >= Spi(512) && second.spi >= Spi(512) && first.spi != second.spi);
    assert!(first.key0 != second.key0 && first.one_time && !first.no_fs);
    assert_eq!((first.change, second.change), (1, 2));
    assert_eq!(desk.published, [1, 2]);
    let entry = desk.last_entry();
    assert_eq!((&*entry.actor, &*entry.action), ("alice", "enrol subscriber"));
    assert!(entry.outcome.starts_with("done: home address 10.11.1.51"), "{}", entry.outcome);
    let key: String = second.key0.expose().iter().map(|b| format!("{b:02x}")).collect();
    assert!(!entry.outcome.contains(&key));
}

#[test]
fn the_home_address_may_be_left_to_the_home_agent() {
    let mut desk = Desk::furnished();
    // As many as there are: nobody has 0.0.0.0. The home agent may be the router of the home link.
    for (n, gateway) in ["10.11.1.1", "10.11.1.2", ""].into_iter().enumerate() {
        let mut asked = enrolment(&format!("wanderer-{n}@home.example"), "");
        asked.home_gateway = gateway.to_owned();
        let Answer::Enrolled(subscriber) = desk.done(admin(), Ask::Enrol(asked)) else {
            panic!("an enrolment is answered with the subscriber");
        };
        assert!(subscriber.home_address.is_unspecified());
        assert!(desk.last_entry().outcome.contains("home address from its home agent"));
    }
    desk.restart();
    desk.done(admin(), revocation("wanderer-0@home.example"));
    desk.done(admin(), Ask::Enrol(enrolment("wanderer-3@home.example", "")));
    // The home agent's link is the home link.
    let mut elsewhere = enrolment("wanderer-4@home.example", "");
    elsewhere.home_gateway = "10.11.2.1".to_owned();
    assert!(matches!(desk.refused(admin(), Ask::Enrol(elsewhere)), Refusal::Address { .. }));
}

#[test]
fn every_refused_enrolment_says_why_and_changes_nothing() {
    let mut desk = Desk::furnished();
    let before = desk.seen();
    let good = enrolment("traveller-two@home.example", "10.11.1.51");
    let with = |change: fn(&mut Enrol)| {
        let mut enrol = good.clone();
        change(&mut enrol);
        enrol
    };
    let wrong: [(Enrol, &str, Class); 21] = [
        (with(|e| e.nai = String::new()), "user@realm", Class::Invalid),
        (with(|e| e.nai = "@home.example".into()), "user@realm", Class::Invalid),
        (with(|e| e.nai = "two..b@home.example".into()), "user@realm", Class::Invalid),
        (with(|e| e.nai = "two@home@example".into()), "one @", Class::Invalid),
        (with(|e| e.nai = format!("{}@home.example", "x".repeat(241))), "253 bytes", Class::Invalid),
        (with(|e| e.nai = "two@other.example".into()), "home.example", Class::Invalid),
        (with(|e| e.nai = "two@HOME.example".into()), "lower case", Class::Invalid),
        (with(|e| e.nai = MOBILE_NODE.into()), "enrolled already", Class::Exists),
        (with(|e| e.home_address = "10.11.1.50".into()), MOBILE_NODE, Class::Exists),
        (with(|e| e.home_address = "home".into()), "IPv4", Class::Invalid),
        (with(|e| e.home_address = "10.11.1.0".into()), "first address", Class::Invalid),
        (with(|e| e.home_address = "10.11.1.255".into()), "broadcast", Class::Invalid),
        (with(|e| e.home_address = "224.0.0.1".into()), "multicast", Class::Invalid),
        (with(|e| e.home_prefix_length = 0), "1 to 32", Class::Invalid),
        (with(|e| e.home_prefix_length = 33), "1 to 32", Class::Invalid),
        (with(|e| e.home_gateway = "10.11.2.1".into()), "not on the home link", Class::Invalid),
        (with(|e| e.home_gateway = "10.11.1.51".into()), "home address itself", Class::Invalid),
        (with(|e| e.home_agent = "0.0.0.0".into()), "belong to no host", Class::Invalid),
        (with(|e| e.home_agent = "10.11.1.51".into()), "home address itself", Class::Invalid),
        (with(|e| e.cipher = None), "chacha20-poly1305", Class::Invalid),
        (with(|e| e.max_lifetime = 65_536), "65535", Class::Invalid),
    ];
    for (enrol, told, class) in wrong {
        let refusal = desk.refused(admin(), Ask::Enrol(enrol));
        assert!(refusal.to_string().contains(told), "{refusal}");
        assert_eq!(refusal.class(), class, "{refusal}");
        assert!(desk.last_entry().outcome.starts_with("refused: "), "{:?}", desk.last_entry());
        assert_eq!(desk.seen(), before);
    }
}

#[test]
fn every_refused_issue_says_why_and_changes_nothing() {
    let mut desk = Desk::furnished();
    let mut limited = enrolment("limited@home.example", "10.11.1.60");
    limited.max_lifetime = 300;
    desk.done(admin(), Ask::Enrol(limited));
    desk.done(admin(), Ask::Enrol(enrolment("gone@home.example", "10.11.1.61")));
    desk.done(admin(), revocation("gone@home.example"));
    desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    let before = desk.seen();
    let with = |change: fn(&mut Issue)| {
        let mut issue = issue(2);
        change(&mut issue);
        issue
    };
    let wrong: [(Issue, &str, Class); 21] = [
        (with(|i| i.request = vec![0; 15]), "15 octets", Class::Invalid),
        (with(|i| i.request = vec![1; 16]).with_lifetime(599), "used before", Class::Invalid),
        (with(|i| i.nai = "nobody@home.example".into()), "not enrolled", Class::NotFound),
        (with(|i| i.nai = "traveller-one".into()), "user@realm", Class::Invalid),
        (with(|i| i.nai = "traveller-one@else.example".into()), "realm", Class::Invalid),
        (with(|i| i.nai = "gone@home.example".into()), "revoked", Class::State),
        (with(|i| i.nai = "limited@home.example".into()), "300 s at most", Class::Invalid),
        (with(|i| i.foreign_agent = "fa".into()), "user@realm", Class::Invalid),
        (with(|i| i.foreign_agent = HOME_AGENT.into()), "cannot be", Class::Invalid),
        (with(|i| i.foreign_agent = format!("{}@a.example", "f".repeat(60))), "at most 64", Class::Invalid),
        (with(|i| i.care_of = "0.0.0.0".into()), "care-of", Class::Invalid),
        (with(|i| i.lifetime = 0), "from 1", Class::Invalid),
        (with(|i| i.lifetime = 65_536), "65535", Class::Invalid),
        (with(|i| (i.key1, i.key2, i.key3) = (None, None, None)), "missing", Class::Invalid),
        (with(|i| (i.key3, i.seeded) = (None, vec![3])), "missing", Class::Invalid),
        (with(|i| i.key2 = pair(255, 2002)), "reserved", Class::Invalid),
        (with(|i| i.key3 = pair(1001, 3002)), "mobile node", Class::Invalid),
        (with(|i| i.key2 = pair(2001, 1002)), "home agent", Class::Invalid),
        (with(|i| i.key3 = pair(3001, 2001)), "foreign agent", Class::Invalid),
        (with(|i| i.foreign_agent = String::new()), "KEY 1 only", Class::Invalid),
        (with(|i| (i.foreign_agent, i.key2) = (String::new(), None)), "KEY 1 only", Class::Invalid),
    ];
    for (issue, told, class) in wrong {
        let refusal = desk.refused(home_agent(HOME_AGENT), Ask::Issue(issue));
        assert!(refusal.to_string().contains(told), "{refusal}");
        assert_eq!(refusal.class(), class, "{refusal}");
        assert_eq!(desk.seen(), before);
    }
    for (caller, told) in
        [("stranger@home.example", "not a registered"), (OTHER_HOME_AGENT, "not a subscriber of")]
    {
        let refusal = desk.refused(home_agent(caller), Ask::Issue(issue(3)));
        assert!(refusal.to_string().contains(told), "{refusal}");
        assert_eq!(refusal.class(), Class::Denied);
        assert_eq!(desk.seen(), before);
    }
}

impl Issue {
    pub(super) fn with_lifetime(mut self, lifetime: u32) -> Self {
        self.lifetime = lifetime;
        self
    }
}

#[test]
fn a_rehearsal_checks_and_changes_nothing_not_even_the_audit_trail() {
    let mut desk = Desk::furnished();
    let id = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)))).id;
    let (before, entries) = (desk.seen(), desk.durable.audit.len());
    let mut enrol = enrolment("traveller-two@home.example", "10.11.1.51");
    enrol.dry_run = true;
    let mut twice = enrolment(MOBILE_NODE, "10.11.1.50");
    twice.dry_run = true;
    for (ask, allowed) in [
        (Ask::Enrol(enrol), true),
        (Ask::Enrol(twice), false),
        (Ask::RevokeSubscriber { nai: MOBILE_NODE.into(), reason: String::new(), dry_run: true }, true),
        (Ask::RevokeAssociation { id, reason: String::new(), dry_run: true }, true),
        (Ask::RevokeAssociation { id: id + 1, reason: String::new(), dry_run: true }, false),
        (
            Ask::RegisterHomeAgent {
                name: "ha-3@home.example".into(),
                address: String::new(),
                dry_run: true,
            },
            true,
        ),
    ] {
        match desk.ask(admin(), ask) {
            Ok(Answer::WouldDo) => assert!(allowed),
            Ok(_) => panic!("something was done"),
            Err(refusal) => assert!(!allowed, "{refusal}"),
        }
    }
    assert_eq!((desk.seen(), desk.durable.audit.len()), (before, entries));
}

#[test]
fn keys_are_fresh_in_every_issue_and_only_their_names_are_kept() {
    let mut desk = Desk::furnished();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..=200 {
        let made = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(number))));
        assert!(made.seed.is_none());
        for key in [made.key1, made.key2, made.key3].map(|key| key.expect("three keys")) {
            assert!(seen.insert(*key.expose()), "a key came twice");
        }
        let grant = &desk.durable.grants[&made.id];
        assert_eq!(grant.keys.len(), 3);
        assert_eq!(desk.last_entry().number, made.id);
    }
    let mut co_located = issue(201);
    (co_located.foreign_agent, co_located.key2, co_located.key3) = (String::new(), None, None);
    let made = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(co_located)));
    assert!(made.key2.is_none() && made.key3.is_none() && seen.insert(*made.key1.unwrap().expose()));
    assert_eq!(desk.durable.grants[&made.id].keys.len(), 1);
}

#[test]
fn of_a_seed_only_the_seed_is_given_and_the_names_of_its_parts_are_kept() {
    let mut desk = Desk::furnished();
    let seeded = |number, kinds: &[AssociationKind]| Issue {
        seeded: kinds.iter().map(|kind| kind.number().into()).collect(),
        ..issue(number)
    };
    let all = [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3];
    let made = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(seeded(1, &all))));
    let seed = made.seed.expect("a seed");
    assert!(made.key1.is_none() && made.key2.is_none() && made.key3.is_none());
    let kept = &desk.durable.grants[&made.id].keys;
    for (key, kind) in kept.iter().zip(all) {
        let part = crypto::kdf::part_of(&seed, kind.pair());
        assert_eq!((key.kind, key.fingerprint), (kind, u64::from_be_bytes(part.fingerprint().0)));
    }
    // One of them of a seed, the others as ever, one left out.
    let mut mixed = seeded(2, &all[1..2]);
    mixed.key3 = None;
    let made = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(mixed.clone())));
    assert!(made.key1.is_some() && made.key2.is_none() && made.key3.is_none());
    assert!(made.seed.as_ref().is_some_and(|other| *other != seed), "a fresh seed each time");
    assert_eq!(desk.durable.grants[&made.id].keys.len(), 2);
    // The same again gives the same, another way is another request.
    let again = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(mixed.clone())));
    assert!(again.seed == made.seed && again.key1 == made.key1);
    let other = Issue { seeded: vec![1], ..mixed.clone() };
    assert!(matches!(desk.ask(home_agent(HOME_AGENT), Ask::Issue(other)), Err(Refusal::RequestReused)));
    for wrong in [
        Issue { seeded: vec![3], request: vec![5; 16], ..mixed.clone() },
        Issue { seeded: vec![0], request: vec![6; 16], ..mixed.clone() },
        Issue { seeded: vec![4], request: vec![3; 16], ..mixed.clone() },
        Issue { key1: None, key2: None, seeded: vec![], request: vec![4; 16], ..mixed },
    ] {
        assert!(matches!(desk.ask(home_agent(HOME_AGENT), Ask::Issue(wrong)), Err(Refusal::Spi { .. })));
    }
}

#[test]
fn the_same_request_gets_the_same_keys_for_a_minute_and_is_a_new_one_afterwards() {
    let mut desk = Desk::furnished();
    let ask = || Ask::Issue(issue(1));
    let first = issued(desk.done(home_agent(HOME_AGENT), ask()));
    desk.pass(59);
    let again = issued(desk.done(home_agent(HOME_AGENT), ask()));
    assert!(again.key1 == first.key1 && again.id == first.id);
    desk.pass(1);
    let later = issued(desk.done(home_agent(HOME_AGENT), ask()));
    assert!(later.key1 != first.key1 && later.id != first.id);
    assert_eq!(desk.durable.grants.len(), 2);
}

#[test]
fn the_same_request_gets_new_keys_and_the_same_grant_if_the_machine_started_anew_meanwhile() {
    let mut desk = Desk::furnished();
    let ask = || Ask::Issue(issue(1));
    let first = issued(desk.done(home_agent(HOME_AGENT), ask()));
    desk.restart();
    let restarted = issued(desk.done(home_agent(HOME_AGENT), ask()));
    assert!(restarted.key1 != first.key1 && restarted.id == first.id);
    assert_eq!(desk.last_entry().action, "issue keys again");
    let fingerprint = u64::from_be_bytes(restarted.key1.as_ref().unwrap().fingerprint().0);
    assert_eq!(
        (desk.durable.grants.len(), desk.durable.grants[&first.id].keys[0].fingerprint),
        (1, fingerprint)
    );
    // Its minute begins with the last answer.
    desk.pass(59);
    assert!(issued(desk.done(home_agent(HOME_AGENT), ask())).key1 == restarted.key1);
    assert!(matches!(
        desk.refused(home_agent(HOME_AGENT), Ask::Issue(issue(1).with_lifetime(599))),
        Refusal::RequestReused
    ));
}

#[test]
fn revocation_ends_everything_and_the_name_may_be_enrolled_anew() {
    let mut desk = Desk::furnished();
    let first = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1))));
    let old_key = desk.durable.subscribers.values().next().unwrap().key0.duplicate();
    let Answer::Revoked { change, associations: 1, .. } = desk.done(admin(), revocation(MOBILE_NODE)) else {
        panic!()
    };
    assert!(desk.durable.grants[&first.id].revoked.is_some());
    assert!(desk.durable.subscribers.values().next().unwrap().key0.expose() == &[0; 32], "KEY 0 is wiped");
    assert!(matches!(
        desk.refused(home_agent(HOME_AGENT), Ask::Issue(issue(1))),
        Refusal::RevokedSubscriber(_)
    ));
    assert!(matches!(desk.refused(admin(), revocation(MOBILE_NODE)), Refusal::RevokedSubscriber(_)));

    let page = changes(desk.done(home_agent(HOME_AGENT), since(change - 1)));
    assert_eq!((page.revoked.len(), page.revoked[0].grant.id), (1, first.id));
    assert_eq!(page.subscribers[0].state, record::SubscriberState::Revoked);

    desk.done(admin(), Ask::Enrol(enrolment(MOBILE_NODE, "10.11.1.50")));
    let anew = desk.durable.subscribers.values().next().unwrap();
    assert!(anew.key0 != old_key && anew.state == record::SubscriberState::Active);
    assert!(matches!(
        desk.refused(home_agent(HOME_AGENT), Ask::Issue(issue(1))),
        Refusal::AssociationOver { how: "revoked", .. }
    ));
    desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(2)));
}

#[test]
fn a_revoked_association_is_told_to_the_home_agent_until_it_would_have_ended() {
    let mut desk = Desk::furnished();
    let id = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)))).id;
    let kept = issued(desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(2)))).id;
    let revoke = |id| Ask::RevokeAssociation { id, reason: "stolen".into(), dry_run: false };
    desk.done(admin(), revoke(id));
    assert_eq!(*desk.last_entry().subject, format!("{id} (stolen)"));
    assert!(matches!(desk.refused(admin(), revoke(id)), Refusal::AssociationOver { how: "revoked", .. }));
    let page = changes(desk.done(home_agent(HOME_AGENT), since(1)));
    assert_eq!((page.revoked.len(), page.revoked[0].grant.id, page.subscribers.len()), (1, id, 1));
    assert_eq!(page.subscribers[0].state, record::SubscriberState::Active);
    desk.pass(601);
    assert!(changes(desk.done(home_agent(HOME_AGENT), since(1))).revoked.is_empty());
    assert!(matches!(desk.refused(admin(), revoke(kept)), Refusal::AssociationOver { how: "ended", .. }));
    desk.pass(3601);
    assert!(matches!(desk.refused(admin(), revoke(kept)), Refusal::UnknownAssociation(_)));
}

#[test]
fn a_home_agent_takes_over_its_own_subscribers_page_by_page() {
    let mut desk = Desk::furnished();
    for n in 0..5 {
        let mut enrol = enrolment(&format!("second-{n}@home.example"), &format!("10.11.1.{}", 100 + n));
        enrol.home_agent = "10.11.1.4".into();
        desk.done(admin(), Ask::Enrol(enrol));
    }
    let (mut at, mut names) = (0, Vec::new());
    loop {
        let page = changes(
            desk.done(home_agent(OTHER_HOME_AGENT), Ask::ChangesSince { since: at, limit: 2, first: false }),
        );
        names.extend(page.subscribers.iter().map(|s| s.nai.to_string()));
        assert_eq!(page.from_beginning, at == 0);
        at = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| name.starts_with("second-")));
    assert_eq!(at, desk.kdc.published());
    assert_eq!(changes(desk.done(home_agent(HOME_AGENT), since(0))).subscribers.len(), 6);
    let unknown = changes(desk.done(home_agent(HOME_AGENT), since(99)));
    assert!(unknown.from_beginning && unknown.subscribers.len() == 6);
    let refusal = desk.refused(home_agent("stranger@home.example"), Ask::Watch { since: 0 });
    assert!(matches!(refusal, Refusal::NotRegistered(_)));
    assert!(desk.last_entry().outcome.contains("stranger@home.example"));
}

#[test]
fn lists_come_in_pages_and_by_subscriber() {
    let mut desk = Desk::furnished();
    for n in 0..4 {
        desk.done(
            admin(),
            Ask::Enrol(enrolment(&format!("user-{n}@home.example"), &format!("10.11.1.{}", 80 + n))),
        );
    }
    let list = |after: &str| Ask::Subscribers { after: after.into(), limit: 3, include_revoked: false };
    let Answer::Subscribers(first) = desk.done(admin(), list("")) else { panic!() };
    let Answer::Subscribers(rest) = desk.done(admin(), list(&first.items[2].nai)) else { panic!() };
    assert_eq!((first.items.len(), first.more, rest.items.len(), rest.more), (3, true, 2, false));
    assert_eq!(first.items[0].nai, MOBILE_NODE);

    desk.done(home_agent(HOME_AGENT), Ask::Issue(issue(1)));
    let of = |nai: &str| Ask::Grants { after: 0, limit: 9, nai: nai.into(), include_ended: false };
    let Answer::Grants(one) = desk.done(admin(), of(MOBILE_NODE)) else { panic!() };
    let Answer::Grants(none) = desk.done(admin(), of("user-1@home.example")) else { panic!() };
    assert_eq!((one.items.len(), none.items.len()), (1, 0));
    assert!(matches!(desk.refused(admin(), of("user-9@home.example")), Refusal::UnknownSubscriber(_)));
    desk.pass(600);
    let Answer::Grants(ended) = desk.done(admin(), of(MOBILE_NODE)) else { panic!() };
    assert!(ended.items.is_empty());
    let Answer::Subscriber { grants, .. } = desk.done(admin(), Ask::Subscriber { nai: MOBILE_NODE.into() })
    else {
        panic!()
    };
    assert_eq!(grants.len(), 1);
}

#[test]
fn refusals_of_one_caller_are_limited_and_what_is_left_out_is_counted() {
    let mut desk = Desk::new();
    let refuse = |name: &str| {
        let caller = Caller { name: name.into(), role: "auditor".into() };
        (caller, Ask::Refuse { action: "EnrolSubscriber".into(), why: "needs administrator".into() })
    };
    for _ in 0..100 {
        let (caller, ask) = refuse("mallory");
        desk.done(caller, ask);
    }
    assert_eq!(desk.durable.audit.len(), 30);
    let (caller, ask) = refuse("bob");
    desk.done(caller, ask);
    assert_eq!(desk.durable.audit.len(), 31);
    desk.pass(60);
    let (caller, ask) = refuse("mallory");
    desk.done(caller, ask);
    assert!(desk.last_entry().outcome.contains("70 more"), "{:?}", desk.last_entry());
}

#[test]
fn a_home_agent_that_comes_and_goes_does_not_fill_the_audit_trail() {
    let mut desk = Desk::furnished();
    let entries = desk.durable.audit.len();
    for _ in 0..50 {
        desk.done(home_agent(HOME_AGENT), Ask::Watch { since: 0 });
    }
    assert_eq!(desk.durable.audit.len(), entries + 30);
    desk.pass(60);
    desk.done(home_agent(HOME_AGENT), Ask::Watch { since: 0 });
    assert!(desk.last_entry().outcome.contains("20 more"), "{:?}", desk.last_entry());
}
