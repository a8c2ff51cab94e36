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
    let foreign = Grant { nai: nai(51), home_agent: "ha2@home.example".into(), ..ending(4, 100, None) };
    let grants = [
        ending(1, 50, None),
        ending(2, 100, None),
        ending(3, 100, Some(60)),
        foreign,
        ending(5, u64::MAX, None),
    ];
    store.commit(grants.clone().map(Change::PutGrant).into()).await.unwrap();

    let all = GrantFilter::default;
    assert_eq!(store.grants(&all()).await.unwrap(), grants);
    assert_eq!(ids(&store, GrantFilter { nai: Some(nai(50)), ..all() }).await, [1, 2, 3, 5]);
    assert_eq!(ids(&store, GrantFilter { nai: Some(nai(52)), ..all() }).await, []);
    let home_agent = Some("ha2@home.example".to_owned());
    assert_eq!(ids(&store, GrantFilter { home_agent, ..all() }).await, [4]);
    assert_eq!(ids(&store, GrantFilter { live_at: Some(49), ..all() }).await, [1, 2, 4, 5]);
    assert_eq!(ids(&store, GrantFilter { live_at: Some(50), ..all() }).await, [2, 4, 5]);
    assert_eq!(ids(&store, GrantFilter { live_at: Some(100), ..all() }).await, [5]);
    assert_eq!(ids(&store, GrantFilter { ends_after: Some(50), ..all() }).await, [2, 3, 4, 5]);
    assert_eq!(ids(&store, GrantFilter { limit: 2, ..all() }).await, [1, 2]);
    assert_eq!(ids(&store, GrantFilter { after: 2, limit: 2, ..all() }).await, [3, 4]);
    let both =
        GrantFilter { nai: Some(nai(50)), live_at: Some(60), after: 1, limit: 1, home_agent: None, ..all() };
    assert_eq!(ids(&store, both).await, [2]);
}
