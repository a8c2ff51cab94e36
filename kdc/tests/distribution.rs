//! Home agents: taking over subscribers, and keys.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use std::collections::{BTreeMap, BTreeSet};

use installation::{Distribution, HOME_AGENT, Installation, PATIENCE, enrol, issue, register, shows};
use proto::kdc::{
    AcknowledgeChangesRequest, IssueKeysBatch, IssueKeysReply, ListAssociationsRequest,
    ListHomeAgentsRequest, ListRealmKeysRequest, RealmKeyRecord, RevokeAssociationRequest,
    RevokeSubscriberRequest, RotateRealmKeyRequest, RotateSubscriberRequest, State, SubscriberChange,
    WatchEventsRequest, WatchSubscribersRequest, issue_keys_stream_reply, subscriber_change::What,
};
use tokio::time::timeout;
use tonic::{Code, Streaming};

const OTHER_HOME_AGENT: &str = "ha-two@home.example";

async fn watch(agent: &mut Distribution, since: u64) -> Streaming<SubscriberChange> {
    agent.watch_subscribers(WatchSubscribersRequest { since }).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<SubscriberChange>) -> (u64, What) {
    let change = timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
    (change.change, change.what.unwrap())
}

/// What comes up to and without `caught_up`, its number, and whether it was complete. Keys of the realm come first,
/// each time, and are left out.
async fn backlog(stream: &mut Streaming<SubscriberChange>) -> (Vec<What>, u64, bool) {
    let (keys, whats, change, complete) = whole_backlog(stream).await;
    assert!(!keys.is_empty());
    (whats, change, complete)
}

/// The same with keys of the realm, by index.
async fn whole_backlog(
    stream: &mut Streaming<SubscriberChange>,
) -> (BTreeMap<u32, RealmKeyRecord>, Vec<What>, u64, bool) {
    let (mut keys, mut whats) = (BTreeMap::new(), Vec::new());
    loop {
        match next(stream).await {
            (change, What::CaughtUp(caught_up)) => return (keys, whats, change, caught_up.complete),
            (_, What::RealmKey(key)) => {
                assert!(whats.is_empty() && !key.ended);
                keys.insert(key.id, key);
            }
            (_, what) => whats.push(what),
        }
    }
}

#[tokio::test]
async fn a_home_agent_takes_over_the_backlog_then_each_change() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    register(&mut admin, HOME_AGENT, "").await;
    let first = enrol(&mut admin, "traveller-one", 50).await.unwrap();
    assert_eq!((&first.taken_over_by[..], &first.not_yet_at[..]), (&[][..], &[HOME_AGENT.to_owned()][..]));

    let mut stream = watch(&mut agent, 0).await;
    let (whats, at, complete) = backlog(&mut stream).await;
    assert!(complete && at == first.change);
    let [What::Subscriber(record)] = &whats[..] else { panic!("{whats:?}") };
    let enrolment = first.enrolment.unwrap();
    assert!(record.key0 == enrolment.key0 && record.spi == enrolment.spi && record.key0.len() == 32);
    assert!(!record.no_fs && record.one_time && record.state() == State::Active);
    agent.acknowledge_changes(AcknowledgeChangesRequest { change: at }).await.unwrap();

    // The answer to an enrolment waits for the connected home agent's word.
    let enrolling = tokio::spawn({
        let mut admin = admin.clone();
        async move { enrol(&mut admin, "traveller-two", 51).await.unwrap() }
    });
    let (change, What::Subscriber(record)) = next(&mut stream).await else { panic!() };
    assert_eq!(record.nai, "traveller-two@home.example");
    agent.acknowledge_changes(AcknowledgeChangesRequest { change }).await.unwrap();
    let second = timeout(PATIENCE, enrolling).await.unwrap().unwrap();
    assert_eq!(second.taken_over_by, [HOME_AGENT]);
    assert!(!shows(&server.log(), &enrolment.key0));

    // Later it resumes where it was.
    drop(stream);
    let mut stream = watch(&mut agent, change).await;
    let (whats, _, complete) = backlog(&mut stream).await;
    assert!(whats.is_empty() && !complete);
    let mut restored = watch(&mut agent, change + 100).await;
    let (whats, _, complete) = backlog(&mut restored).await;
    assert!(whats.len() == 2 && complete, "a number from the future counts as 0");
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_is_refused() {
    let installation = Installation::new();
    let server = installation.start();
    register(&mut server.admin(&installation.administrator()), HOME_AGENT, "").await;
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    let acknowledge = |change| AcknowledgeChangesRequest { change };
    assert_eq!(agent.acknowledge_changes(acknowledge(0)).await.unwrap_err().code(), Code::FailedPrecondition);
    let _stream = watch(&mut agent, 0).await;
    assert_eq!(agent.acknowledge_changes(acknowledge(2)).await.unwrap_err().code(), Code::InvalidArgument);
    agent.acknowledge_changes(acknowledge(0)).await.unwrap();
}

#[tokio::test]
async fn revocations_reach_the_home_agent() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    register(&mut admin, HOME_AGENT, "").await;
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    let one = agent.issue_keys(issue("traveller-one", 1)).await.unwrap().into_inner();
    let two = agent.issue_keys(issue("traveller-one", 2)).await.unwrap().into_inner();
    let mut stream = watch(&mut agent, 0).await;
    backlog(&mut stream).await;

    let request = RevokeAssociationRequest { id: one.association_id, ..Default::default() };
    // Nobody acknowledges here: the answer comes all the same, and says who does not know yet.
    let reply = admin.revoke_association(request).await.unwrap().into_inner();
    assert_eq!(reply.not_yet_at, [HOME_AGENT]);
    let (_, What::AssociationRevoked(revoked)) = next(&mut stream).await else { panic!() };
    assert_eq!(revoked.association_id, one.association_id);
    assert_eq!(revoked.key2.map(|spis| (spis.first, spis.second)), Some((2001, 2002)));
    let (change, What::Subscriber(record)) = next(&mut stream).await else { panic!() };
    assert_eq!(record.state(), State::Active);

    let request = RevokeSubscriberRequest {
        nai: "traveller-one@home.example".to_owned(),
        reason: "lost".to_owned(),
        dry_run: false,
    };
    let reply = admin.revoke_subscriber(request).await.unwrap().into_inner();
    assert_eq!(reply.associations, 1);
    let mut told = BTreeSet::new();
    loop {
        match next(&mut stream).await {
            (_, What::AssociationRevoked(revoked)) => drop(told.insert(revoked.association_id)),
            (_, What::Subscriber(record)) => {
                assert!(record.state() == State::Revoked && record.key0.is_empty());
                break;
            }
            (_, What::CaughtUp(_) | What::RealmKey(_)) => panic!("nothing of that changed"),
        }
    }
    assert!(told.contains(&two.association_id));
    // Whoever was away learns all of it.
    let (whats, _, _) = backlog(&mut watch(&mut agent, change - 1).await).await;
    assert_eq!(whats.len(), 3);
    let status = agent.issue_keys(issue("traveller-one", 3)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_home_agent_with_an_address_gets_its_own_subscribers_only() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut other = server.distribution(&installation.certificate("home-agent", OTHER_HOME_AGENT));
    register(&mut admin, OTHER_HOME_AGENT, "10.11.1.4").await;
    let elsewhere = enrol(&mut admin, "traveller-one", 50).await.unwrap();
    assert!(elsewhere.not_yet_at.is_empty(), "it need not know");
    let mut own = installation::enrolment("traveller-two", 51);
    own.home_agent = "10.11.1.4".to_owned();
    admin.enrol_subscriber(own).await.unwrap();
    let (whats, _, _) = backlog(&mut watch(&mut other, 0).await).await;
    let [What::Subscriber(record)] = &whats[..] else { panic!("{whats:?}") };
    assert_eq!(record.nai, "traveller-two@home.example");
    let status = other.issue_keys(issue("traveller-one", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("not a subscriber of"), "{}", status.message());
    other.issue_keys(issue("traveller-two", 2)).await.unwrap();
    let agents = installation::all(admin.list_home_agents(ListHomeAgentsRequest {}).await).await;
    assert_eq!(agents[0].address, "10.11.1.4");
}

fn keys(reply: &IssueKeysReply) -> [Vec<u8>; 3] {
    [reply.key1.clone(), reply.key2.clone(), reply.key3.clone()]
}

#[tokio::test]
async fn many_issues_in_flight_give_fresh_keys_and_a_refusal_does_not_end_the_stream() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    register(&mut admin, HOME_AGENT, "").await;
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    let mut requests: Vec<_> = (0..400).map(|n| issue("traveller-one", n)).collect();
    requests[200] = issue("nobody", 200);
    let batches: Vec<_> =
        requests.chunks(150).map(|part| IssueKeysBatch { requests: part.to_vec() }).collect();
    let batches = installation::all(agent.issue_keys_stream(tokio_stream::iter(batches)).await).await;
    let sizes: BTreeSet<_> = batches.iter().map(|batch| batch.replies.len()).collect();
    assert_eq!(sizes, BTreeSet::from([100, 150]));
    let replies: Vec<_> = batches.into_iter().flat_map(|batch| batch.replies).collect();
    assert_eq!(replies.len(), 400);
    let mut seen = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for reply in &replies {
        assert!(answered.insert(reply.request_id.clone()), "answered twice");
        match reply.result.as_ref().unwrap() {
            issue_keys_stream_reply::Result::Issued(issued) => {
                for key in keys(issued) {
                    assert_eq!(key.len(), 32);
                    assert!(seen.insert(key), "a key came twice");
                }
            }
            issue_keys_stream_reply::Result::Refusal(refusal) => {
                assert_eq!(reply.request_id, requests[200].request_id);
                assert_eq!(Code::from(i32::try_from(refusal.code).unwrap()), Code::NotFound);
            }
        }
    }
    assert_eq!(seen.len(), 399 * 3);
    let log = server.log();
    assert!(!seen.iter().any(|key| shows(&log, key)));

    let too_many = IssueKeysBatch { requests: vec![issue("traveller-one", 7); 513] };
    let mut stream = agent.issue_keys_stream(tokio_stream::iter([too_many])).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap_err().code(), Code::InvalidArgument);

    // Asked again, as after a lost answer.
    let again = agent.issue_keys(requests[7].clone()).await.unwrap().into_inner();
    assert!(keys(&again).iter().all(|key| seen.contains(key)));
    let mut other = requests[7].clone();
    other.lifetime_s = 60;
    assert_eq!(agent.issue_keys(other).await.unwrap_err().code(), Code::InvalidArgument);
    let request =
        ListAssociationsRequest { subscriber: "traveller-one@home.example".to_owned(), ..Default::default() };
    let list = installation::all(admin.list_associations(request).await).await;
    assert_eq!(list.len(), 399);
    assert!(list.iter().all(|it| it.keys.len() == 3 && it.state() == State::Active));

    let mut co_located = issue("traveller-one", 1000);
    (co_located.foreign_agent, co_located.key2, co_located.key3) = (String::new(), None, None);
    let reply = agent.issue_keys(co_located).await.unwrap().into_inner();
    assert!(reply.key1.len() == 32 && reply.key2.is_empty() && reply.key3.is_empty());
}

#[tokio::test]
async fn a_rotation_reaches_home_agents_before_its_file_is_given_out() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    register(&mut admin, HOME_AGENT, "").await;
    let first = enrol(&mut admin, "traveller-one", 50).await.unwrap().enrolment.unwrap();
    let mut stream = watch(&mut agent, 0).await;
    let (_, at, _) = backlog(&mut stream).await;
    agent.acknowledge_changes(AcknowledgeChangesRequest { change: at }).await.unwrap();

    let rotation = |overlap_s| RotateSubscriberRequest {
        nai: "traveller-one@home.example".to_owned(),
        overlap_s,
        dry_run: false,
    };
    let rotating = tokio::spawn({
        let mut admin = admin.clone();
        async move { admin.rotate_subscriber(rotation(600)).await.unwrap().into_inner() }
    });
    let (change, What::Subscriber(record)) = next(&mut stream).await else { panic!() };
    let old = record.retiring.clone().unwrap();
    assert!(old.key0 == first.key0 && old.spi == first.spi && (old.generation, record.generation) == (0, 1));
    assert!(!rotating.is_finished());
    agent.acknowledge_changes(AcknowledgeChangesRequest { change }).await.unwrap();
    let reply = timeout(PATIENCE, rotating).await.unwrap().unwrap();
    assert_eq!(reply.taken_over_by, [HOME_AGENT]);
    let second = reply.enrolment.unwrap();
    assert!(second.key0 == record.key0 && second.key0 != first.key0 && second.generation == 1);
    assert!(reply.ends_unix_s == old.ends_unix_s);
    assert!(!shows(&server.log(), &second.key0));

    // Who was away learns the outcome of all rotations at once.
    drop(stream);
    let third = admin.rotate_subscriber(rotation(0)).await.unwrap().into_inner().enrolment.unwrap();
    let (whats, _, complete) = backlog(&mut watch(&mut agent, change).await).await;
    let [What::Subscriber(record)] = &whats[..] else { panic!("{whats:?}") };
    assert!(!complete && record.retiring.is_none() && record.key0 == third.key0 && record.generation == 2);

    let refused = admin.rotate_subscriber(rotation(90 * 86_400 + 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("90 days"), "{}", refused.message());
}

#[tokio::test]
async fn realm_keys_reach_home_agents_and_enrolments() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    register(&mut admin, HOME_AGENT, "").await;
    let mut stream = watch(&mut agent, 0).await;
    let (keys, _, at, _) = whole_backlog(&mut stream).await;
    assert_eq!(keys.len(), 1);
    let first = keys.into_values().next().unwrap();
    assert!((256..=511).contains(&first.id) && first.secret.len() == 32 && first.ends_unix_s == 0);
    agent.acknowledge_changes(AcknowledgeChangesRequest { change: at }).await.unwrap();

    let rotation = RotateRealmKeyRequest { overlap_s: 600, dry_run: false };
    let rotating = tokio::spawn({
        let mut admin = admin.clone();
        async move { admin.rotate_realm_key(rotation).await.unwrap().into_inner() }
    });
    let (_, What::RealmKey(ending)) = next(&mut stream).await else { panic!() };
    assert!(ending.id == first.id && ending.ends_unix_s > 0 && ending.secret == first.secret);
    let (change, What::RealmKey(second)) = next(&mut stream).await else { panic!() };
    assert!(second.id != first.id && second.ends_unix_s == 0 && second.secret != first.secret);
    assert!(!rotating.is_finished());
    agent.acknowledge_changes(AcknowledgeChangesRequest { change }).await.unwrap();
    assert_eq!(timeout(PATIENCE, rotating).await.unwrap().unwrap().taken_over_by, [HOME_AGENT]);

    // A mobile node gets public halves that belong to them, newest first.
    let enrolment = enrol(&mut admin, "traveller-one", 50).await.unwrap().enrolment.unwrap();
    let listed = admin.list_realm_keys(ListRealmKeysRequest {}).await.unwrap().into_inner().keys;
    let listed: Vec<_> = listed.into_iter().map(|key| key.key.unwrap()).collect();
    assert_eq!(enrolment.realm_keys, listed);
    for (public, record) in listed.iter().zip([&second, &first]) {
        let secret = crypto::exchange::Secret::from_key(&crypto::Key::from_slice(&record.secret).unwrap());
        assert!(public.id == record.id && public.public == secret.public());
    }

    // Ended at once, they are gone from the next backlog, although nothing else changed.
    drop(stream);
    admin.rotate_realm_key(RotateRealmKeyRequest { overlap_s: 0, dry_run: false }).await.unwrap();
    let (keys, _, _, complete) = whole_backlog(&mut watch(&mut agent, change).await).await;
    assert!(!complete && keys.len() == 1 && !keys.contains_key(&first.id) && !keys.contains_key(&second.id));
    for key in [&first.secret, &second.secret] {
        assert!(!shows(&server.log(), key));
    }
}

#[tokio::test]
async fn what_happens_can_be_watched_and_taken_up_again() {
    let installation = Installation::new();
    let server = installation.start();
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&installation.certificate("home-agent", HOME_AGENT));
    let request = WatchEventsRequest { since: 0, follow: true };
    let mut events = admin.watch_events(request).await.unwrap().into_inner();
    register(&mut admin, HOME_AGENT, "").await;
    enrol(&mut admin, "traveller-one", 50).await.unwrap();
    let stream = watch(&mut agent, 0).await;
    agent.issue_keys(issue("traveller-one", 1)).await.unwrap();
    let mut stream = stream;
    backlog(&mut stream).await;
    drop(stream);
    let mut kinds = BTreeSet::new();
    let mut last = 0;
    while !kinds.contains("home-agent-disconnected") {
        let event = timeout(PATIENCE, events.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.number, last + 1);
        last = event.number;
        kinds.insert(event.kind);
    }
    for kind in [
        "home-agent-registered",
        "subscriber-enrolled",
        "association-issued",
        "home-agent-connected",
        "home-agent-caught-up",
    ] {
        assert!(kinds.contains(kind), "{kind} of {kinds:?}");
    }
    let request = WatchEventsRequest { since: last - 1, follow: false };
    let again = installation::all(admin.watch_events(request).await).await;
    assert_eq!(again.iter().map(|event| event.number).collect::<Vec<_>>(), [last]);
}
