//! Changes as SQL.

use std::net::Ipv4Addr;

use crypto::Rng;
use record::{
    Association, AuditEntry, Binding, Change, CommitError, Grant, HomeAgent, Nai, RealmKey, Seen, Subscriber,
    SubscriberState, Visitor,
};
use sqlx::{
    Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteQueryResult},
};

use crate::{
    error, grant,
    packed::{GroupKeys, Row},
    row::{signed, tunnel_columns},
    seal::{Place, Vault},
};

/// Why a list stops: it is refused alone, or the whole transaction has failed.
pub(crate) enum Stop {
    Refused(CommitError),
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(failure: sqlx::Error) -> Self {
        if error::is_constraint(&failure) {
            return Self::Refused(CommitError::Unavailable(error::reason(&failure)));
        }
        Self::Failed(failure)
    }
}

/// Executes changes inside the transaction that is open on a connection.
pub(crate) struct Changes<'a> {
    pub(crate) connection: &'a mut SqliteConnection,
    pub(crate) vault: &'a Vault,
    pub(crate) rng: &'a mut Rng,
    keys: GroupKeys,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(connection: &'a mut SqliteConnection, vault: &'a Vault, rng: &'a mut Rng) -> Self {
        Self { connection, vault, rng, keys: GroupKeys::default() }
    }

    /// The row of a binding.
    pub(crate) fn row(&mut self, binding: &Binding) -> Row {
        Row::of(binding, self.vault, &mut self.keys, self.rng)
    }

    /// Executes one change.
    pub(crate) async fn apply(&mut self, change: &Change) -> Result<(), Stop> {
        match change {
            Change::PutSubscriber(subscriber) => self.put_subscriber(subscriber).await,
            Change::SubscriberCursor(change) => self.run(sqlx::query(PUT_CURSOR).bind(signed(*change))).await,
            Change::Identification { nai, previous, next, generation, index } => {
                let seen =
                    Seen { nai: nai.clone(), identification: *next, generation: *generation, index: *index };
                self.put_seen(&seen, *previous).await
            }
            Change::PutRealmKey(key) => self.put_realm_key(key).await,
            Change::RemoveRealmKey(id) => self.run(sqlx::query(REMOVE_REALM_KEY).bind(i64::from(id.0))).await,
            Change::PutBinding(binding) => {
                self.remove_bindings(binding.home_address).await?;
                self.add_binding(binding).await
            }
            Change::AddBinding(binding) => {
                self.remove_binding(binding.home_address, binding.care_of).await?;
                self.add_binding(binding).await
            }
            Change::RemoveBinding { home_address, care_of } => {
                self.remove_binding(*home_address, *care_of).await
            }
            Change::RemoveBindings(home) => self.remove_bindings(*home).await,
            Change::AssignAddress { nai, home_address } => self.assign(nai, *home_address).await,
            Change::ReleaseAddress(nai) => {
                self.run(sqlx::query("DELETE FROM home_addresses WHERE nai = ?1").bind(nai.as_str())).await
            }
            Change::PutVisitor(visitor) => self.put_visitor(visitor).await,
            Change::RemoveVisitor(home) => self.run(sqlx::query(REMOVE_VISITOR).bind(home.to_string())).await,
            Change::PutRevocation(revocation) => self.put_revocation(revocation).await,
            Change::RemoveRevocation { home_address, care_of } => {
                self.remove_revocation(*home_address, *care_of).await
            }
            Change::ReserveSequence { link, below } => {
                self.run(sqlx::query(PUT_SEQUENCE).bind(i64::from(*link)).bind(i64::from(*below))).await
            }
            Change::PutGrant(grant) => self.put_grant(grant).await,
            Change::Audit(entry) => self.append_audit(entry).await,
            Change::PutHomeAgent(home_agent) => self.put_home_agent(home_agent).await,
        }
    }

    async fn execute(
        &mut self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<SqliteQueryResult, sqlx::Error> {
        query.execute(&mut *self.connection).await
    }

    pub(crate) async fn run(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<(), Stop> {
        self.execute(query).await?;
        Ok(())
    }

    async fn put_subscriber(&mut self, of: &Subscriber) -> Result<(), Stop> {
        let nai = of.nai.as_str();
        let sealed = self.vault.seal(self.rng, &Place::key0(nai), &of.key0);
        let retiring = of.retiring.as_ref();
        let state = match of.state {
            SubscriberState::Active => "active",
            SubscriberState::Revoked => "revoked",
        };
        let query = sqlx::query(PUT_SUBSCRIBER)
            .bind(nai)
            .bind(sealed)
            .bind(i64::from(of.spi.0))
            .bind(of.cipher.name())
            .bind(of.home_address.to_string())
            .bind(i64::from(of.home_prefix_length))
            .bind(of.home_agent.to_string())
            .bind(of.home_gateway.map(|address| address.to_string()))
            .bind(of.no_fs)
            .bind(state)
            .bind(of.max_lifetime.map(i64::from))
            .bind(signed(of.change))
            .bind(of.one_time)
            .bind(i64::from(of.generation))
            .bind(retiring.map(|old| self.vault.seal(self.rng, &Place::retiring_key0(nai, old), &old.key0)))
            .bind(retiring.map(|old| i64::from(old.spi.0)))
            .bind(retiring.map(|old| i64::from(old.generation)))
            .bind(retiring.map(|old| signed(old.ends)))
            .bind(of.plain.map(|plain| plain.nonces))
            .bind(of.plain.map(|plain| plain.md5));
        self.run(query).await
    }

    async fn put_realm_key(&mut self, of: &RealmKey) -> Result<(), Stop> {
        let query = sqlx::query(PUT_REALM_KEY)
            .bind(i64::from(of.id.0))
            .bind(self.vault.seal(self.rng, &Place::realm_key(of), &of.secret))
            .bind(signed(of.made))
            .bind(of.ends.map(signed))
            .bind(signed(of.change));
        self.run(query).await
    }

    async fn put_seen(&mut self, of: &Seen, previous: Option<u64>) -> Result<(), Stop> {
        let query = sqlx::query(if previous.is_some() { NEXT_IDENTIFICATION } else { FIRST_IDENTIFICATION })
            .bind(of.nai.as_str())
            .bind(signed(of.identification))
            .bind(i64::from(of.generation))
            .bind(signed(of.index));
        let query = match previous {
            Some(previous) => query.bind(signed(previous)),
            None => query,
        };
        match self.execute(query).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(Stop::Refused(CommitError::Conflict)),
        }
    }

    /// Gives an address to whom it is free for; the same again changes nothing.
    async fn assign(&mut self, nai: &Nai, home_address: Ipv4Addr) -> Result<(), Stop> {
        let query = sqlx::query(ASSIGN_ADDRESS).bind(home_address.to_string()).bind(nai.as_str());
        match self.execute(query).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(Stop::Refused(CommitError::Conflict)),
        }
    }

    async fn remove_binding(&mut self, home_address: Ipv4Addr, care_of: Ipv4Addr) -> Result<(), Stop> {
        let [home_address, care_of] = [home_address, care_of].map(|of| i64::from(of.to_bits()));
        self.run(sqlx::query(REMOVE_BINDING).bind(home_address).bind(care_of)).await
    }

    async fn remove_bindings(&mut self, home_address: Ipv4Addr) -> Result<(), Stop> {
        self.run(sqlx::query(REMOVE_BINDINGS).bind(i64::from(home_address.to_bits()))).await
    }

    /// Where none stands with its care-of address.
    pub(crate) async fn add_binding(&mut self, of: &Binding) -> Result<(), Stop> {
        let Row { home_address, care_of, nai, sealed_record } = self.row(of);
        let query = sqlx::query(ADD_BINDING).bind(home_address).bind(care_of).bind(nai).bind(sealed_record);
        self.run(query).await
    }

    async fn put_visitor(&mut self, of: &Visitor) -> Result<(), Stop> {
        let home = of.home_address.to_string();
        let (tunnel, address, port) = tunnel_columns(of.tunnel);
        let query = sqlx::query(PUT_VISITOR)
            .bind(&home)
            .bind(i64::from(of.link))
            .bind(&of.link_address[..])
            .bind(of.home_agent.to_string())
            .bind(of.care_of.to_string())
            .bind(tunnel)
            .bind(address)
            .bind(port.map(i64::from))
            .bind(of.reverse_tunnel)
            .bind(i64::from(of.lifetime))
            .bind(signed(of.granted))
            .bind(of.encapsulating_delivery)
            .bind(of.broadcasts)
            .bind(of.revocation.map(|support| i64::from(support.timestamp)))
            .bind(of.revocation.is_some_and(|support| support.inform));
        self.run(query).await?;
        self.put_associations("visitor_associations", PUT_VISITOR_ASSOCIATION, &[&home], &of.associations)
            .await
    }

    pub(crate) async fn put_associations(
        &mut self,
        table: &str,
        sql: &'static str,
        owner: &[&str],
        associations: &[Association],
    ) -> Result<(), Stop> {
        for (position, of) in (0_i64..).zip(associations) {
            let place = Place::association(table, owner, position, of);
            let query = owner
                .iter()
                .fold(sqlx::query(sql), |query, part| query.bind(*part))
                .bind(position)
                .bind(i64::from(of.kind.number()))
                .bind(i64::from(of.inbound.0))
                .bind(i64::from(of.outbound.0))
                .bind(self.vault.seal(self.rng, &place, &of.key))
                .bind(&of.own)
                .bind(&of.peer)
                .bind(signed(of.made))
                .bind(signed(of.ends))
                .bind(of.confirmed)
                .bind(of.retires.map(signed));
            self.run(query).await?;
        }
        Ok(())
    }

    async fn put_grant(&mut self, of: &Grant) -> Result<(), Stop> {
        let query = sqlx::query(PUT_GRANT)
            .bind(signed(of.id))
            .bind(&of.request[..])
            .bind(of.nai.as_str())
            .bind(&*of.home_agent)
            .bind(of.foreign_agent.as_deref())
            .bind(of.care_of.to_string())
            .bind(signed(of.issued))
            .bind(signed(of.ends))
            .bind(of.revoked.map(signed))
            .bind(grant::pack(&of.keys))
            .bind(of.earlier.map(signed));
        self.run(query).await
    }

    async fn append_audit(&mut self, of: &AuditEntry) -> Result<(), Stop> {
        let query = sqlx::query(APPEND_AUDIT)
            .bind(signed(of.number))
            .bind(signed(of.unix_ms))
            .bind(&*of.actor)
            .bind(&*of.role)
            .bind(&*of.action)
            .bind(&*of.subject)
            .bind(&of.outcome);
        match self.execute(query).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(Stop::Refused(CommitError::Conflict)),
        }
    }

    async fn put_home_agent(&mut self, of: &HomeAgent) -> Result<(), Stop> {
        let query = sqlx::query(PUT_HOME_AGENT)
            .bind(&of.name)
            .bind(of.address.map(|address| address.to_string()))
            .bind(signed(of.registered));
        self.run(query).await
    }
}

const PUT_SUBSCRIBER: &str = "INSERT INTO subscribers (nai, sealed_key0, spi, cipher, home_address,
        home_prefix_length, home_agent, home_gateway, no_fs, state, max_lifetime, change, one_time, generation,
        sealed_retiring_key0, retiring_spi, retiring_generation, retiring_ends, plain_nonces, plain_md5)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
    ON CONFLICT (nai) DO UPDATE SET sealed_key0 = ?2, spi = ?3, cipher = ?4, home_address = ?5,
        home_prefix_length = ?6, home_agent = ?7, home_gateway = ?8, no_fs = ?9, state = ?10,
        max_lifetime = ?11, change = ?12, one_time = ?13, generation = ?14, sealed_retiring_key0 = ?15,
        retiring_spi = ?16, retiring_generation = ?17, retiring_ends = ?18, plain_nonces = ?19,
        plain_md5 = ?20";

const PUT_REALM_KEY: &str = "INSERT INTO realm_keys (id, sealed_secret, made, ends, change)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (id) DO UPDATE SET sealed_secret = ?2, made = ?3, ends = ?4, change = ?5";

const REMOVE_REALM_KEY: &str = "DELETE FROM realm_keys WHERE id = ?1";

const PUT_CURSOR: &str = "INSERT INTO subscriber_cursor (id, change) VALUES (1, ?1)
    ON CONFLICT (id) DO UPDATE SET change = ?1";

const FIRST_IDENTIFICATION: &str =
    "INSERT INTO identifications (nai, identification, generation, highest_index)
    VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (nai) DO NOTHING";

const NEXT_IDENTIFICATION: &str = "UPDATE identifications
    SET identification = ?2, generation = ?3, highest_index = ?4
    WHERE nai = ?1 AND identification = ?5";

const ADD_BINDING: &str =
    "INSERT INTO bindings (home_address, care_of, nai, sealed_record) VALUES (?1, ?2, ?3, ?4)";

const REMOVE_BINDING: &str = "DELETE FROM bindings WHERE home_address = ?1 AND care_of = ?2";

const REMOVE_BINDINGS: &str = "DELETE FROM bindings WHERE home_address = ?1";

/// Changes no row if the address is another one's, or the subscriber has another.
const ASSIGN_ADDRESS: &str = "INSERT INTO home_addresses (home_address, nai)
    SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM home_addresses WHERE (home_address = ?1) <> (nai = ?2))
    ON CONFLICT (home_address) DO UPDATE SET nai = ?2";

const PUT_VISITOR: &str = "DELETE FROM visitor_associations WHERE home_address = ?1;
    INSERT INTO visitors (home_address, link, link_address, home_agent, care_of, tunnel, tunnel_address,
        tunnel_port, reverse_tunnel, lifetime, granted, encapsulating_delivery, broadcasts, revocation,
        revocation_inform)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (home_address) DO UPDATE SET link = ?2, link_address = ?3, home_agent = ?4, care_of = ?5,
        tunnel = ?6, tunnel_address = ?7, tunnel_port = ?8, reverse_tunnel = ?9, lifetime = ?10,
        granted = ?11, encapsulating_delivery = ?12, broadcasts = ?13, revocation = ?14,
        revocation_inform = ?15";

const REMOVE_VISITOR: &str = "DELETE FROM visitors WHERE home_address = ?1";

const PUT_VISITOR_ASSOCIATION: &str = "INSERT INTO visitor_associations (home_address, position, kind,
        inbound_spi, outbound_spi, sealed_key, own, peer, made, ends, confirmed, retires)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

const PUT_SEQUENCE: &str = "INSERT INTO sequences (link, below) VALUES (?1, ?2)
    ON CONFLICT (link) DO UPDATE SET below = ?2";

const PUT_GRANT: &str =
    "INSERT INTO grants (id, request, nai, home_agent, foreign_agent, care_of, issued, ends, revoked, keys, earlier)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (id) DO UPDATE SET request = ?2, nai = ?3, home_agent = ?4, foreign_agent = ?5, care_of = ?6,
        issued = ?7, ends = ?8, revoked = ?9, keys = ?10, earlier = ?11";

const APPEND_AUDIT: &str = "INSERT INTO audit (number, unix_ms, actor, role, action, subject, outcome)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (number) DO NOTHING";

const PUT_HOME_AGENT: &str = "INSERT INTO home_agents (name, address, registered) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET address = ?2, registered = ?3";
