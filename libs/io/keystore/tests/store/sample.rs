//! Values to store, and texts to compare them by: keys have no `Debug`, so fingerprints stand for them.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
};

use crypto::{Cipher, Key};
use keystore::Store;
use record::{
    Association, AssociationKind, AuditEntry, Binding, Grant, GrantKey, Mode, Nai, Plain, RealmKey,
    RetiringKey, Revocation, RevocationSupport, State, Subscriber, SubscriberState, Suite, Tunnel, Visitor,
};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use wire::mip::Spi;

pub(crate) const KEK: [u8; 32] = [0x4b; 32];

/// A folder that goes away, and a path in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ha.db");
    (folder, path)
}

pub(crate) async fn open(path: &Path) -> Store {
    Store::open(path, Key::new(KEK)).await.unwrap()
}

/// A connection that is not the store's: another program.
pub(crate) async fn other_program(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

pub(crate) async fn sql(connection: &mut SqliteConnection, text: &'static str) {
    sqlx::query(text).execute(connection).await.unwrap();
}

pub(crate) async fn count(path: &Path, text: &'static str) -> i64 {
    let mut connection = other_program(path).await;
    sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap()
}

pub(crate) fn nai(n: u8) -> Nai {
    Nai::parse(&format!("traveller-{n}@home.example")).unwrap()
}

pub(crate) const fn home(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 11, 1, n)
}

pub(crate) fn subscriber(n: u8) -> Subscriber {
    Subscriber {
        nai: nai(n),
        key0: Key::new([n; 32]),
        spi: Spi(u32::MAX - u32::from(n)),
        one_time: n.is_multiple_of(2),
        generation: u32::MAX - u32::from(n % 2),
        retiring: n.is_multiple_of(2).then(|| RetiringKey {
            key0: Key::new([n ^ 0x55; 32]),
            spi: Spi(u32::MAX - 256 - u32::from(n)),
            generation: u32::MAX - 1,
            ends: u64::MAX,
        }),
        plain: (n % 3 < 2).then_some(Plain { nonces: n.is_multiple_of(3), md5: !n.is_multiple_of(3) }),
        cipher: Cipher::ChaCha20Poly1305,
        home_address: home(n),
        home_prefix_length: 24,
        home_agent: home(2),
        home_gateway: n.is_multiple_of(2).then(|| home(1)),
        no_fs: n.is_multiple_of(2),
        state: if n.is_multiple_of(2) { SubscriberState::Active } else { SubscriberState::Revoked },
        max_lifetime: (!n.is_multiple_of(2)).then_some(u16::MAX),
        change: u64::MAX - u64::from(n),
    }
}

pub(crate) fn association(kind: AssociationKind, n: u8) -> Association {
    Association {
        kind,
        inbound: Spi(0xf000_0000 + u32::from(n)),
        outbound: Spi(600 + u32::from(n)),
        suite: Suite {
            mode: if n.is_multiple_of(3) { Mode::Stateless } else { Mode::default() },
            group: wire::mip::share::Group(if n.is_multiple_of(3) { 31 } else { 0 }),
            ..Suite::default()
        },
        key: Key::new([n ^ 0xa0 ^ kind.number(); 32]),
        own: "ha@home.example".into(),
        peer: format!("peer-{n}@home.example").into(),
        made: 1_790_000_000,
        ends: u64::MAX,
        confirmed: n.is_multiple_of(2),
        retires: n.is_multiple_of(2).then_some(u64::MAX),
    }
}

pub(crate) fn realm_key(n: u8) -> RealmKey {
    RealmKey {
        id: Spi(256 + u32::from(n)),
        secret: Key::new([n ^ 0x77; 32]),
        made: 1_790_000_000,
        ends: n.is_multiple_of(2).then_some(u64::MAX),
        change: u64::MAX,
    }
}

/// One of the four encapsulations to `address`.
fn tunnel(n: u8, address: Ipv4Addr) -> Tunnel {
    match n % 4 {
        0 => Tunnel::Minimal(address),
        1 => Tunnel::Udp(SocketAddrV4::new(address, 61_434)),
        2 => Tunnel::IpInIp(address),
        _ => Tunnel::Gre(address),
    }
}

pub(crate) fn binding(n: u8) -> Binding {
    let through_agent = n.is_multiple_of(2);
    let mut associations = vec![association(AssociationKind::Key1, n)];
    if through_agent {
        associations.push(association(AssociationKind::Key2, n));
    }
    Binding {
        nai: nai(n),
        home_address: home(n),
        care_of: Ipv4Addr::new(10, 51, 1, 2),
        tunnel: tunnel(n, Ipv4Addr::new(10, 51, 1, 2)),
        reverse_tunnel: !through_agent,
        broadcasts: through_agent,
        revocation: through_agent
            .then_some(RevocationSupport { timestamp: u32::MAX, inform: n.is_multiple_of(4) }),
        foreign_agent: through_agent.then(|| "fa-a@visited-a.example".into()),
        lifetime: if through_agent { 600 } else { u16::MAX },
        granted: 1_790_000_000 + u64::from(n),
        associations,
    }
}

/// Another binding of the same mobile node, at another care-of address.
pub(crate) fn beside(n: u8) -> Binding {
    let care_of = Ipv4Addr::new(10, 52, 1, 2);
    let associations = vec![association(AssociationKind::Key1, n ^ 0x80)];
    let granted = 1_790_000_500;
    Binding {
        care_of,
        tunnel: tunnel(n + 1, care_of),
        foreign_agent: None,
        granted,
        associations,
        ..binding(n)
    }
}

pub(crate) fn visitor(n: u8) -> Visitor {
    Visitor {
        home_address: home(n),
        link: u32::MAX,
        link_address: [2, 0, 0, 0, 0xff, n],
        home_agent: home(2),
        care_of: Ipv4Addr::new(10, 51, 1, 2),
        tunnel: tunnel(n, home(2)),
        reverse_tunnel: n.is_multiple_of(2),
        encapsulating_delivery: !n.is_multiple_of(2),
        broadcasts: n.is_multiple_of(2),
        revocation: (!n.is_multiple_of(2)).then_some(RevocationSupport { timestamp: 0, inform: n % 4 == 1 }),
        lifetime: 600,
        granted: 1_790_000_000,
        associations: vec![association(AssociationKind::Key2, n), association(AssociationKind::Key3, n)],
    }
}

pub(crate) fn revocation(n: u8) -> Revocation {
    let kind = if n.is_multiple_of(2) { AssociationKind::Key2 } else { AssociationKind::Key1 };
    Revocation {
        home_address: home(n),
        care_of: Ipv4Addr::new(10, 51, 1, n),
        home_agent: home(2),
        peer: SocketAddrV4::new(
            Ipv4Addr::new(10, 51, 1, 2),
            if n.is_multiple_of(2) { 434 } else { u16::MAX },
        ),
        inform: n.is_multiple_of(2),
        ends: n.is_multiple_of(2).then_some(u64::MAX),
        associations: vec![association(kind, n), association(kind, n ^ 1)],
    }
}

pub(crate) fn grant(id: u64) -> Grant {
    let key =
        |kind| GrantKey { kind, first: Spi(700), second: Spi(u32::MAX), fingerprint: 0x0123_4567_89ab_cdef };
    let through_agent = id.is_multiple_of(2);
    Grant {
        id,
        request: [7; 16],
        nai: nai(50),
        earlier: (id > 1).then(|| id - 1),
        home_agent: "ha@home.example".into(),
        foreign_agent: through_agent.then(|| "fa-a@visited-a.example".into()),
        care_of: Ipv4Addr::new(10, 51, 1, 2),
        keys: match through_agent {
            true => [AssociationKind::Key1, AssociationKind::Key2, AssociationKind::Key3].map(key).into(),
            false => vec![key(AssociationKind::Key1)],
        },
        // Always lately.
        issued: i64::MAX.cast_unsigned(),
        ends: u64::MAX,
        revoked: (!through_agent).then_some(1_790_000_100),
    }
}

pub(crate) fn audit(number: u64) -> AuditEntry {
    AuditEntry {
        number,
        unix_ms: 1_790_000_000_123,
        actor: "admin".into(),
        role: "administrator".into(),
        action: "EnrolSubscriber".into(),
        subject: "traveller-50@home.example".into(),
        outcome: "done".into(),
    }
}

pub(crate) fn show_association(of: &Association) -> String {
    let Association { kind, inbound, outbound, suite, key, own, peer, made, ends, confirmed, retires } = of;
    let key = key.fingerprint_hex();
    format!(
        "{kind:?} {inbound} {outbound} {suite:?} {key} {own} {peer} {made} {ends} {confirmed} {retires:?}"
    )
}

fn show_associations(of: &[Association]) -> String {
    of.iter().map(show_association).collect::<Vec<_>>().join(" + ")
}

pub(crate) fn show_subscriber(of: &Subscriber) -> String {
    let Subscriber { nai, key0, spi, cipher, home_address, home_prefix_length, .. } = of;
    let Subscriber { home_agent, home_gateway, no_fs, state, max_lifetime, change, .. } = of;
    let Subscriber { one_time, generation, retiring, plain, .. } = of;
    let key0 = key0.fingerprint_hex();
    let retiring = retiring.as_ref().map(|old| {
        let RetiringKey { key0, spi, generation, ends } = old;
        format!("{} {spi} {generation} {ends}", key0.fingerprint_hex())
    });
    format!(
        "{nai} {key0} {spi} {cipher:?} {home_address}/{home_prefix_length} {home_agent} {home_gateway:?} {no_fs} \
         {state:?} {max_lifetime:?} {change} {one_time} {generation} {retiring:?} {plain:?}"
    )
}

fn show_realm_key(of: &RealmKey) -> String {
    let RealmKey { id, secret, made, ends, change } = of;
    format!("{id} {} {made} {ends:?} {change}", secret.fingerprint_hex())
}

pub(crate) fn show_binding(of: &Binding) -> String {
    let Binding {
        nai, home_address, care_of, tunnel, reverse_tunnel, foreign_agent, lifetime, granted, ..
    } = of;
    let Binding { broadcasts, revocation, .. } = of;
    let keys = show_associations(&of.associations);
    format!(
        "{nai} {home_address} {care_of} {tunnel:?} {reverse_tunnel} {broadcasts} {revocation:?} {foreign_agent:?} \
         {lifetime} {granted} {keys}"
    )
}

pub(crate) fn show_visitor(of: &Visitor) -> String {
    let Visitor { home_address, link, link_address, home_agent, care_of, tunnel, .. } = of;
    let Visitor { reverse_tunnel, encapsulating_delivery, broadcasts, revocation, lifetime, granted, .. } =
        of;
    let keys = show_associations(&of.associations);
    format!(
        "{home_address} {link} {link_address:?} {home_agent} {care_of} {tunnel:?} {reverse_tunnel} \
         {encapsulating_delivery} {broadcasts} {revocation:?} {lifetime} {granted} {keys}"
    )
}

fn show_revocation(of: &Revocation) -> String {
    let Revocation { home_address, care_of, home_agent, peer, inform, ends, associations } = of;
    let keys = show_associations(associations);
    format!("{home_address} {care_of} {home_agent} {peer} {inform} {ends:?} {keys}")
}

/// Every field of a state.
pub(crate) fn show(of: &State) -> Vec<String> {
    let State { subscribers, subscriber_cursor, seen, realm_keys, bindings, .. } = of;
    let State { visitors, revocations, sequences, grants, last_audit, home_agents, assigned, .. } = of;
    let State { newest_grants, grants_ending, .. } = of;
    let mut lines = vec![format!(
        "{subscriber_cursor} {last_audit} {seen:?} {sequences:?} {assigned:?} {newest_grants:?} {grants_ending:?}"
    )];
    lines.extend(subscribers.iter().map(show_subscriber));
    lines.extend(realm_keys.iter().map(show_realm_key));
    lines.extend(bindings.iter().map(show_binding));
    lines.extend(visitors.iter().map(show_visitor));
    lines.extend(revocations.iter().map(show_revocation));
    lines.extend(grants.iter().map(|grant| format!("{grant:?}")));
    lines.extend(home_agents.iter().map(|home_agent| format!("{home_agent:?}")));
    lines
}
