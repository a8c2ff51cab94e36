//! Everything that a start finds.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use crypto::{Cipher, Key};
use record::{
    Association, AssociationKind, Binding, HomeAgent, Nai, Plain, RealmKey, RetiringKey, Seen, State,
    Subscriber, SubscriberState, Suite, Visitor,
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteRow};
use wire::mip::Spi;

use crate::{
    ReadError,
    packed::Bindings,
    query::{self, Granted},
    revocation,
    row::Reading,
    seal::{Place, Vault},
};

/// Associations by the columns that name whose they are.
pub(crate) type Associations<Owner> = BTreeMap<Owner, Vec<Association>>;
/// Home address and care-of address.
pub(crate) type BindingId = (Ipv4Addr, Ipv4Addr);

/// What a store holds of one subscriber.
pub struct Held {
    /// What was seen of him.
    pub seen: Option<Seen>,
    /// His bindings, in order of home address and care-of address.
    pub bindings: Vec<Binding>,
    /// The home address that was assigned to him.
    pub assigned: Option<Ipv4Addr>,
}

/// Reads the whole state at one point of time; of grants what matters at `now`, in seconds since 1970.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    vault: &Arc<Vault>,
    now: u64,
) -> Result<State, ReadError> {
    let mut snapshot = connection.begin().await?;
    let state = load_in(&mut snapshot, vault, Some(now)).await?;
    snapshot.commit().await?;
    Ok(state)
}

/// The same inside a transaction that is open already. Without a time no grant is in it.
pub(crate) async fn load_in(
    connection: &mut SqliteConnection,
    vault: &Arc<Vault>,
    now: Option<u64>,
) -> Result<State, ReadError> {
    Load { connection, vault }.state(now).await
}

/// What is held of one subscriber.
pub(crate) async fn held(
    connection: &mut SqliteConnection,
    vault: &Arc<Vault>,
    nai: &Nai,
) -> Result<Held, ReadError> {
    let mut snapshot = connection.begin().await?;
    let of = |sql| sqlx::query(sql).bind(nai.as_str());
    let row =
        of("SELECT rowid, * FROM identifications WHERE nai = ?1").fetch_optional(&mut *snapshot).await?;
    let seen = row.map(|row| seen(&Reading::new("identifications", &row))).transpose()?;
    let row = of("SELECT rowid, * FROM home_addresses WHERE nai = ?1").fetch_optional(&mut *snapshot).await?;
    let assigned = row.map(|row| assigned(&Reading::new("home_addresses", &row))).transpose()?;
    let bindings = Bindings::new(vault).of(&mut snapshot, nai).await?;
    snapshot.commit().await?;
    Ok(Held { seen, bindings, assigned: assigned.map(|(_, home_address)| home_address) })
}

struct Load<'a> {
    connection: &'a mut SqliteConnection,
    vault: &'a Arc<Vault>,
}

impl Load<'_> {
    async fn state(mut self, now: Option<u64>) -> Result<State, ReadError> {
        let Granted { lately, newest, ending, longest } = match now {
            Some(now) => query::granted(self.connection, now).await?,
            None => Granted::default(),
        };
        Ok(State {
            subscribers: self.subscribers().await?,
            subscriber_cursor: self.number("SELECT change FROM subscriber_cursor").await?,
            seen: self.rows("identifications", IDENTIFICATIONS, seen).await?,
            realm_keys: self.realm_keys().await?,
            assigned: self.assigned().await?,
            bindings: Bindings::new(self.vault).all(self.connection).await?,
            visitors: self.visitors().await?,
            revocations: revocation::load(self.connection, self.vault).await?,
            sequences: self.rows("sequences", SEQUENCES, sequence).await?,
            grants: lately,
            newest_grants: newest,
            grants_ending: ending,
            longest_grant: longest,
            last_audit: self.number("SELECT max(number) FROM audit").await?,
            home_agents: self.rows("home_agents", HOME_AGENTS, home_agent).await?,
        })
    }

    /// The number that a statement yields, 0 if it yields none.
    async fn number(&mut self, sql: &'static str) -> Result<u64, ReadError> {
        let number: Option<Option<i64>> =
            sqlx::query_scalar(sql).fetch_optional(&mut *self.connection).await?;
        Ok(number.flatten().unwrap_or_default().cast_unsigned())
    }

    async fn fetch(&mut self, sql: &'static str) -> Result<Vec<SqliteRow>, ReadError> {
        Ok(sqlx::query(sql).fetch_all(&mut *self.connection).await?)
    }

    async fn rows<T>(
        &mut self,
        table: &'static str,
        sql: &'static str,
        read: fn(&Reading<'_>) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let rows = self.fetch(sql).await?;
        rows.iter().map(|row| read(&Reading::new(table, row))).collect()
    }

    async fn subscribers(&mut self) -> Result<Vec<Subscriber>, ReadError> {
        let rows = self.fetch("SELECT rowid, * FROM subscribers ORDER BY nai").await?;
        rows.iter().map(|row| subscriber(&Reading::new("subscribers", row), self.vault)).collect()
    }

    async fn realm_keys(&mut self) -> Result<Vec<RealmKey>, ReadError> {
        let rows = self.fetch("SELECT rowid, * FROM realm_keys ORDER BY id").await?;
        rows.iter().map(|row| realm_key(&Reading::new("realm_keys", row), self.vault)).collect()
    }

    async fn assigned(&mut self) -> Result<Vec<(Nai, Ipv4Addr)>, ReadError> {
        let mut all = self.rows("home_addresses", HOME_ADDRESSES, assigned).await?;
        all.sort_by_key(|(_, home_address)| *home_address);
        Ok(all)
    }

    async fn visitors(&mut self) -> Result<Vec<Visitor>, ReadError> {
        let rows = self.fetch(VISITOR_ASSOCIATIONS).await?;
        let home_address = |row: &Reading<'_>| row.address("home_address");
        let mut associations = grouped("visitor_associations", &rows, home_address, self.vault)?;
        let rows = self.fetch("SELECT rowid, * FROM visitors").await?;
        let read = |row| visitor(&Reading::new("visitors", row), &mut associations);
        let mut visitors = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        visitors.sort_by_key(|visitor| visitor.home_address);
        Ok(visitors)
    }
}

/// Associations, in order of position, by whose they are.
pub(crate) fn grouped<Owner: Ord>(
    table: &'static str,
    rows: &[SqliteRow],
    owner: fn(&Reading<'_>) -> Result<Owner, ReadError>,
    vault: &Vault,
) -> Result<Associations<Owner>, ReadError> {
    let mut associations = Associations::new();
    for row in rows {
        let row = Reading::new(table, row);
        associations.entry(owner(&row)?).or_default().push(association(table, &row, vault)?);
    }
    Ok(associations)
}

const IDENTIFICATIONS: &str = "SELECT rowid, * FROM identifications ORDER BY nai";
const SEQUENCES: &str = "SELECT rowid, * FROM sequences ORDER BY link";
const HOME_AGENTS: &str = "SELECT rowid, * FROM home_agents ORDER BY name";
const HOME_ADDRESSES: &str = "SELECT rowid, * FROM home_addresses";
const VISITOR_ASSOCIATIONS: &str =
    "SELECT rowid, * FROM visitor_associations ORDER BY home_address, position";

fn subscriber(row: &Reading<'_>, vault: &Vault) -> Result<Subscriber, ReadError> {
    let nai = row.nai("nai")?;
    let key0 = unsealed(row, vault, &Place::key0(nai.as_str()), "sealed_key0")?;
    let cipher = Cipher::from_name(row.column("cipher")?);
    let state = match row.column("state")? {
        "active" => SubscriberState::Active,
        "revoked" => SubscriberState::Revoked,
        _ => return Err(row.damaged("the state is unknown")),
    };
    let retiring = retiring(row, vault, nai.as_str())?;
    Ok(Subscriber {
        nai,
        key0,
        spi: Spi(row.number("spi")?),
        one_time: row.column("one_time")?,
        generation: row.number("generation")?,
        retiring,
        plain: plain(row)?,
        cipher: cipher.ok_or_else(|| row.damaged("the cipher is unknown"))?,
        home_address: row.address("home_address")?,
        home_prefix_length: row.number("home_prefix_length")?,
        home_agent: row.address("home_agent")?,
        home_gateway: row.optional_address("home_gateway")?,
        no_fs: row.column("no_fs")?,
        state,
        max_lifetime: row.optional_number("max_lifetime")?,
        change: row.u64("change")?,
    })
}

fn retiring(row: &Reading<'_>, vault: &Vault, nai: &str) -> Result<Option<RetiringKey>, ReadError> {
    if row.column::<Option<&[u8]>>("sealed_retiring_key0")?.is_none() {
        return Ok(None);
    }
    let mut retiring = RetiringKey {
        key0: Key::new([0; Key::LEN]),
        spi: Spi(row.number("retiring_spi")?),
        generation: row.number("retiring_generation")?,
        ends: row.u64("retiring_ends")?,
    };
    retiring.key0 = unsealed(row, vault, &Place::retiring_key0(nai, &retiring), "sealed_retiring_key0")?;
    Ok(Some(retiring))
}

fn plain(row: &Reading<'_>) -> Result<Option<Plain>, ReadError> {
    match row.column::<Option<bool>>("plain_nonces")? {
        None => Ok(None),
        Some(nonces) => Ok(Some(Plain { nonces, md5: row.column("plain_md5")? })),
    }
}

fn realm_key(row: &Reading<'_>, vault: &Vault) -> Result<RealmKey, ReadError> {
    let mut key = RealmKey {
        id: Spi(row.number("id")?),
        secret: Key::new([0; Key::LEN]),
        made: row.u64("made")?,
        ends: row.optional_u64("ends")?,
        change: row.u64("change")?,
    };
    key.secret = unsealed(row, vault, &Place::realm_key(&key), "sealed_secret")?;
    Ok(key)
}

fn seen(row: &Reading<'_>) -> Result<Seen, ReadError> {
    Ok(Seen {
        nai: row.nai("nai")?,
        identification: row.u64("identification")?,
        generation: row.number("generation")?,
        index: row.u64("highest_index")?,
    })
}

fn sequence(row: &Reading<'_>) -> Result<(u32, u32), ReadError> {
    Ok((row.number("link")?, row.number("below")?))
}

fn home_agent(row: &Reading<'_>) -> Result<HomeAgent, ReadError> {
    Ok(HomeAgent {
        name: row.column("name")?,
        address: row.optional_address("address")?,
        registered: row.u64("registered")?,
    })
}

fn assigned(row: &Reading<'_>) -> Result<(Nai, Ipv4Addr), ReadError> {
    Ok((row.nai("nai")?, row.address("home_address")?))
}

fn visitor(row: &Reading<'_>, associations: &mut Associations<Ipv4Addr>) -> Result<Visitor, ReadError> {
    let home_address = row.address("home_address")?;
    Ok(Visitor {
        home_address,
        link: row.number("link")?,
        link_address: row.bytes("link_address")?,
        home_agent: row.address("home_agent")?,
        care_of: row.address("care_of")?,
        tunnel: row.tunnel()?,
        reverse_tunnel: row.column("reverse_tunnel")?,
        encapsulating_delivery: row.column("encapsulating_delivery")?,
        broadcasts: row.column("broadcasts")?,
        revocation: revocation::support(row)?,
        lifetime: row.number("lifetime")?,
        granted: row.u64("granted")?,
        associations: associations.remove(&home_address).unwrap_or_default(),
    })
}

/// An association of what `of` names.
pub(crate) fn association(table: &str, row: &Reading<'_>, vault: &Vault) -> Result<Association, ReadError> {
    let kind = AssociationKind::from_number(row.number("kind")?);
    let suite = match row.optional_column::<&[u8]>("suite")? {
        None => Some(Suite::default()),
        Some(octets) => octets.try_into().ok().and_then(Suite::from_octets),
    };
    let mut association = Association {
        kind: kind.ok_or_else(|| row.damaged("the kind of key is unknown"))?,
        inbound: Spi(row.number("inbound_spi")?),
        outbound: Spi(row.number("outbound_spi")?),
        suite: suite.ok_or_else(|| row.damaged("the suite is unknown"))?,
        key: Key::new([0; Key::LEN]),
        own: row.column::<&str>("own")?.into(),
        peer: row.column::<&str>("peer")?.into(),
        made: row.u64("made")?,
        ends: row.u64("ends")?,
        confirmed: row.column("confirmed")?,
        retires: row.optional_u64("retires")?,
    };
    let position = row.column("position")?;
    if let Some(registration) = row.optional_column("registration")? {
        let place = Place::association(table, &[registration], position, &association);
        association.key = unsealed(row, vault, &place, "sealed_key")?;
        return Ok(association);
    }
    let home_address = row.column("home_address")?;
    let of_home = Place::association(table, &[home_address], position, &association);
    let place = match row.optional_column("care_of")? {
        None => of_home,
        Some(care_of) => {
            let place = Place::association(table, &[home_address, care_of], position, &association);
            // Before a home address could have several bindings, it alone named the place.
            let old = vault.open(&place, row.column("sealed_key")?).is_none();
            if old { of_home } else { place }
        }
    };
    association.key = unsealed(row, vault, &place, "sealed_key")?;
    Ok(association)
}

fn unsealed(row: &Reading<'_>, vault: &Vault, place: &Place, column: &str) -> Result<Key, ReadError> {
    let key = vault.open(place, row.column(column)?);
    key.ok_or_else(|| row.damaged(format!("{column} does not open; the row was changed or its key moved")))
}
