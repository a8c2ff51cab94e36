//! Which grants a filter finds.

use keystore::{GrantFilter, Store};
use record::{Change, Grant};

use crate::sample::{grant, nai, open, place};

async fn ids(store: &Store, filter: GrantFilter) -> Vec<u64> {
    store.grants(&filter).await.unwrap().iter().map(|grant| grant.id).collect()
}

fn ending(id: u64, ends: u64, revoked: Option<u64>) -> Grant {
    Grant { ends, revoked, ..grant(id) }
}

#[tokio::test]
async fn filters_narrow_and_pages_follow() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let other = Grant { nai: nai(51), earlier: None, ..ending(4, 100, None) };
    let grants = [
        ending(1, 50, None),
        ending(2, 100, None),
        ending(3, 100, Some(60)),
        other,
        Grant { earlier: Some(3), ..ending(5, u64::MAX, None) },
    ];
    store.commit(grants.clone().map(Change::PutGrant).into()).await.unwrap();

    let all = GrantFilter::default;
    assert_eq!(store.grants(&all()).await.unwrap(), grants);
    assert_eq!(ids(&store, GrantFilter { newest: Some(5), ..all() }).await, [1, 2, 3, 5]);
    assert_eq!(ids(&store, GrantFilter { newest: Some(3), ..all() }).await, [1, 2, 3]);
    assert_eq!(ids(&store, GrantFilter { newest: Some(4), ..all() }).await, [4]);
    assert_eq!(ids(&store, GrantFilter { newest: Some(6), ..all() }).await, []);
    assert_eq!(ids(&store, GrantFilter { live_at: Some(49), ..all() }).await, [1, 2, 4, 5]);
    assert_eq!(ids(&store, GrantFilter { live_at: Some(50), ..all() }).await, [2, 4, 5]);
    assert_eq!(ids(&store, GrantFilter { live_at: Some(100), ..all() }).await, [5]);
    assert_eq!(ids(&store, GrantFilter { ends_after: Some(50), ..all() }).await, [2, 3, 4, 5]);
    assert_eq!(ids(&store, GrantFilter { limit: 2, ..all() }).await, [1, 2]);
    assert_eq!(ids(&store, GrantFilter { after: 2, limit: 2, ..all() }).await, [3, 4]);
    let several = GrantFilter { newest: Some(5), live_at: Some(60), after: 1, limit: 1, ..all() };
    assert_eq!(ids(&store, several).await, [2]);
}

#[tokio::test]
async fn what_was_issued_long_ago_is_passed_over() {
    let (_folder, path) = place();
    let store = open(&path).await;
    // With gaps: audit entries of other kinds have numbers between them.
    let grants = (1..=60).map(|n| Grant {
        issued: 1000 + n,
        earlier: (n > 2).then(|| (n - 2) * 7),
        nai: nai(u8::try_from(50 + n % 2).unwrap()),
        ..grant(n * 7)
    });
    store.commit(grants.map(Change::PutGrant).collect()).await.unwrap();
    let since = |issued_since| GrantFilter { issued_since, ..GrantFilter::default() };
    for (time, first) in [(0, 7), (1001, 7), (1002, 14), (1030, 210), (1060, 420)] {
        let expected: Vec<u64> = (first..=420).step_by(7).collect();
        assert_eq!(ids(&store, since(time)).await, expected, "{time}");
        assert_eq!(ids(&store, GrantFilter { after: first, ..since(time) }).await, expected[1..], "{time}");
    }
    assert_eq!(ids(&store, since(1061)).await, []);
    let of = GrantFilter { newest: Some(420), ..since(1055) };
    assert_eq!(ids(&store, of).await, [56 * 7, 58 * 7, 420]);
}

#[tokio::test]
async fn a_clock_that_is_turned_hides_nothing() {
    let (_folder, path) = place();
    let store = open(&path).await;
    // Turned back for three grants, then right again, then ahead for one.
    let times = [5000, 5010, 3, 4, 5020, 2, 5030, 90_000, 5040, 5050];
    let grants = times.iter().zip(1..).map(|(issued, id)| Grant {
        issued: *issued,
        ends: issued + 600,
        revoked: None,
        earlier: (id > 1).then(|| id - 1),
        ..grant(id)
    });
    let mut grants: Vec<Grant> = grants.collect();
    store.commit(grants.iter().cloned().map(Change::PutGrant).collect()).await.unwrap();
    let check = async |grants: &[Grant]| {
        for time in [0, 4, 603, 5000, 5605, 5625, 5650, 90_599, 90_600] {
            let filter = GrantFilter {
                live_at: Some(time),
                issued_since: time.saturating_sub(600),
                ..GrantFilter::default()
            };
            let live: Vec<u64> =
                grants.iter().filter(|grant| grant.ends > time).map(|grant| grant.id).collect();
            assert_eq!(ids(&store, filter.clone()).await, live, "{time}");
            assert_eq!(
                ids(&store, GrantFilter { newest: Some(10), ..filter }).await,
                live,
                "{time}, by the chain"
            );
        }
    };
    check(&grants).await;
    // Issued again, later than all that have a higher number.
    for (id, issued) in [(6, 5045), (2, 90_500)] {
        let grant = &mut grants[id - 1];
        (grant.issued, grant.ends) = (issued, issued + 600);
        store.commit(vec![Change::PutGrant(grant.clone())]).await.unwrap();
        check(&grants).await;
    }
}
