//! Keys in the file are of no use to who reads it or edits it.

use std::{fs, path::Path};

use crypto::Key;
use keystore::{OpenError, ReadError, Store};
use record::Change;

use crate::sample::{KEK, binding, nai, open, other_program, place, realm_key, sql, subscriber, visitor};

#[tokio::test]
async fn another_key_encryption_key_is_refused_at_open() {
    let (_folder, path) = place();
    let store = open(&path).await;
    store.commit(vec![Change::PutSubscriber(subscriber(50))]).await.unwrap();
    store.close().await;
    let mut nearly = KEK;
    nearly[31] ^= 1;
    let refusal = Store::open(&path, Key::new(nearly)).await.err().unwrap();
    assert!(matches!(refusal, OpenError::WrongKey { .. }));
    assert!(refusal.to_string().contains("restore the key file"), "{refusal}");
    assert_eq!(open(&path).await.load().await.unwrap().subscribers.len(), 1);
}

/// Lets another program execute `edit` on a store with two of everything; the store refuses the `table`.
async fn refused_after(edit: &'static str, table: &str) {
    let (_folder, path) = place();
    let store = open(&path).await;
    let list = [8, 50].into_iter().flat_map(|n| {
        [
            Change::PutSubscriber(subscriber(n)),
            Change::PutBinding(binding(n)),
            Change::PutVisitor(visitor(n)),
            Change::PutRealmKey(realm_key(n)),
        ]
    });
    store.commit(list.collect()).await.unwrap();
    store.load().await.unwrap();
    store.close().await;
    sql(&mut other_program(&path).await, edit).await;
    let refusal = open(&path).await.load().await.err().unwrap();
    let ReadError::Damaged { table: found, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!(*found, table, "{refusal}");
    let text = refusal.to_string();
    assert!(text.contains("does not open") && !text.contains(nai(50).as_str()), "{text}");
}

#[tokio::test]
async fn a_sealed_key_moved_to_another_row_is_refused() {
    let edit = "UPDATE subscribers SET sealed_key0 =
        (SELECT sealed_key0 FROM subscribers WHERE nai = 'traveller-8@home.example')";
    refused_after(edit, "subscribers").await;
    // 10.11.1.8 and 10.11.1.50, whose keys belong to one group.
    let edit = "UPDATE bindings SET sealed_record =
        (SELECT sealed_record FROM bindings WHERE home_address = 168493320) WHERE home_address = 168493362";
    refused_after(edit, "bindings").await;
    let edit = "UPDATE visitor_associations SET sealed_key =
        (SELECT sealed_key FROM visitor_associations WHERE home_address = '10.11.1.8' AND position = 1)
        WHERE home_address = '10.11.1.8' AND position = 0";
    refused_after(edit, "visitor_associations").await;
    let edit = "UPDATE visitor_associations SET sealed_key =
        (SELECT substr(sealed_record, 1, 60) FROM bindings WHERE home_address = 168493320)
        WHERE home_address = '10.11.1.8' AND position = 0";
    refused_after(edit, "visitor_associations").await;
}

#[tokio::test]
async fn a_sealed_key_put_to_another_use_is_refused() {
    for edit in [
        "UPDATE bindings SET care_of = care_of + 1",
        "UPDATE bindings SET home_address = home_address + 1",
        "UPDATE bindings SET nai = 'x' || nai",
        "UPDATE bindings SET sealed_record = x''",
        "UPDATE bindings SET sealed_record = substr(sealed_record, 1, length(sealed_record) - 1)",
    ] {
        refused_after(edit, "bindings").await;
    }
    refused_after("UPDATE visitor_associations SET outbound_spi = 999", "visitor_associations").await;
    refused_after("UPDATE subscribers SET nai = 'x' || nai", "subscribers").await;
    refused_after("UPDATE subscribers SET sealed_key0 = x'00'", "subscribers").await;
    refused_after("UPDATE subscribers SET sealed_retiring_key0 = sealed_key0", "subscribers").await;
    refused_after("UPDATE subscribers SET retiring_ends = 1", "subscribers").await;
    refused_after("UPDATE realm_keys SET id = id + 1 WHERE id = 306", "realm_keys").await;
    refused_after("UPDATE realm_keys SET ends = NULL", "realm_keys").await;
}

/// All files of the store, one after the other.
fn files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    bytes
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn no_key_is_in_any_file() {
    let (folder, path) = place();
    let store = open(&path).await;
    let mut next = 0_u8;
    let mut fresh = || {
        next += 1;
        std::array::from_fn(|i| u8::try_from(i).unwrap().wrapping_mul(37) ^ next.wrapping_mul(101))
    };
    let (mut one, mut two, mut three) = (subscriber(50), binding(50), visitor(50));
    let mut keys: Vec<[u8; 32]> = vec![KEK];
    let others = two.associations.iter_mut().chain(&mut three.associations).map(|a| &mut a.key);
    let mut four = realm_key(50);
    let retiring = one.retiring.as_mut().map(|old| &mut old.key0);
    for key in others.chain([&mut one.key0, &mut four.secret]).chain(retiring) {
        let bytes = fresh();
        keys.push(bytes);
        *key = Key::new(bytes);
    }
    assert_eq!(keys.len(), 8);
    let list = vec![
        Change::PutSubscriber(one),
        Change::PutBinding(two),
        Change::PutVisitor(three),
        Change::PutRealmKey(four),
    ];
    store.commit(list).await.unwrap();

    let open_files = files(folder.path());
    store.close().await;
    let closed_files = files(folder.path());
    for bytes in [open_files, closed_files] {
        // The search would find what is there.
        assert!(holds(&bytes, nai(50).as_str().as_bytes()));
        for key in &keys {
            let hex: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!holds(&bytes, &key[..8]) && !holds(&bytes, &key[24..]));
            assert!(!holds(&bytes, hex.as_bytes()) && !holds(&bytes, hex.to_uppercase().as_bytes()));
        }
    }
}
