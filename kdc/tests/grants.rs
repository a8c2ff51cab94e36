//! Grants stand in the store alone: what an administrator sees of them, and ends, before and after a restart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;

use installation::{Admin, HOME_AGENT, Installation, enrol, issue, register};
use proto::kdc::{
    IssueKeysBatch, ListAssociationsRequest, RevokeAssociationRequest, RevokeSubscriberRequest,
    ShowSubscriberRequest, issue_keys_stream_reply,
};
use tonic::Code;

async fn listed(admin: &mut Admin, user: &str, include_ended: bool) -> Vec<u64> {
    let subscriber = if user.is_empty() { String::new() } else { format!("{user}@home.example") };
    let request = ListAssociationsRequest { subscriber, include_ended };
    installation::all(admin.list_associations(request).await).await.iter().map(|it| it.id).collect()
}

async fn shown(admin: &mut Admin, user: &str) -> Vec<u64> {
    let request = ShowSubscriberRequest { nai: format!("{user}@home.example") };
    let reply = admin.show_subscriber(request).await.unwrap().into_inner();
    reply.associations.iter().map(|it| it.id).collect()
}

#[tokio::test]
async fn a_thousand_associations_are_listed_shown_and_revoked_out_of_the_store() {
    let installation = Installation::new();
    let mut server = installation.start();
    let holder = installation.certificate("home-agent", HOME_AGENT);
    let mut admin = server.admin(&installation.administrator());
    let mut agent = server.distribution(&holder);
    register(&mut admin, HOME_AGENT, "").await;
    enrol(&mut admin, "even", 50).await.unwrap();
    enrol(&mut admin, "odd", 51).await.unwrap();
    let user = |n: u32| if n.is_multiple_of(2) { "even" } else { "odd" };
    let requests: Vec<_> = (0..1000).map(|n| issue(user(n), n)).collect();
    let batches: Vec<_> = requests.chunks(250).map(|of| IssueKeysBatch { requests: of.to_vec() }).collect();
    let (mut ids, mut even) = (Vec::new(), Vec::new());
    for batch in installation::all(agent.issue_keys_stream(tokio_stream::iter(batches)).await).await {
        for reply in batch.replies {
            let Some(issue_keys_stream_reply::Result::Issued(issued)) = reply.result else { panic!() };
            ids.push(issued.association_id);
            if reply.request_id[3].is_multiple_of(2) {
                even.push(issued.association_id);
            }
        }
    }
    ids.sort_unstable();
    even.sort_unstable();
    assert_eq!((ids.len(), even.len()), (1000, 500));
    let of_one = RevokeAssociationRequest { id: even[0], ..RevokeAssociationRequest::default() };
    admin.revoke_association(of_one.clone()).await.unwrap();

    for _ in 0..2 {
        assert_eq!(
            admin.revoke_association(of_one.clone()).await.unwrap_err().code(),
            Code::FailedPrecondition
        );
        assert!(listed(&mut admin, "", true).await == ids, "all of them");
        assert!(listed(&mut admin, "even", true).await == even && shown(&mut admin, "even").await == even);
        assert!(listed(&mut admin, "even", false).await == even[1..], "all but the revoked one");
        assert_eq!(listed(&mut admin, "", false).await.len(), 999);
        server.kill();
        server = installation.start();
        admin = server.admin(&installation.administrator());
    }
    // The next is found with those from before the restart.
    let mut agent = server.distribution(&holder);
    let next = agent.issue_keys(issue("even", 1000)).await.unwrap().into_inner().association_id;
    assert_eq!(listed(&mut admin, "even", false).await, [&even[1..], &[next]].concat());
    let nai = "even@home.example".to_owned();
    let revoked =
        admin.revoke_subscriber(RevokeSubscriberRequest { nai, ..Default::default() }).await.unwrap();
    assert_eq!(revoked.into_inner().associations, 500);
    assert!(listed(&mut admin, "even", false).await.is_empty());
    assert_eq!(listed(&mut admin, "odd", false).await.len(), 500);
}
