//! Changes as SQL.

use std::net::Ipv4Addr;

use crypto::Rng;
use record::{
    Association, AuditEntry, Binding, Change, CommitError, Grant, HomeAgent, Nai, RealmKey, Seen, Subscriber,
    SubscriberState, Visitor,
};
use rusqlite::{Connection, Params, ToSql, params};

use crate::{
    error, grant,
    packed::{GroupKeys, Row},
    row::{signed, tunnel_columns},
    seal::{Place, Vault},
};

/// Why a list stops: it is refused alone, or the whole transaction has failed.
pub(crate) enum Stop {
    Refused(CommitError),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(failure: rusqlite::Error) -> Self {
        if error::is_constraint(&failure) {
            return Self::Refused(CommitError::Unavailable(error::why(&failure)));
        }
        Self::Failed(failure)
    }
}

/// Executes changes inside the transaction that is open on a connection.
pub(crate) struct Changes<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) vault: &'a Vault,
    pub(crate) rng: &'a mut Rng,
    keys: &'a mut GroupKeys,
}

impl<'a> Changes<'a> {
    pub(crate) const fn new(
        connection: &'a Connection,
        vault: &'a Vault,
        rng: &'a mut Rng,
        keys: &'a mut GroupKeys,
    ) -> Self {
        Self { connection, vault, rng, keys }
    }

    /// Executes one change.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), Stop> {
        match change {
            Change::PutSubscriber(subscriber) => self.put_subscriber(subscriber),
            Change::SubscriberCursor(change) => self.run(PUT_CURSOR, [signed(*change)]),
            Change::Identification { nai, previous, next, generation, index } => {
                let seen =
                    Seen { nai: nai.clone(), identification: *next, generation: *generation, index: *index };
                self.put_seen(&seen, *previous)
            }
            Change::PutRealmKey(key) => self.put_realm_key(key),
            Change::RemoveRealmKey(id) => self.run(REMOVE_REALM_KEY, [i64::from(id.0)]),
            Change::PutBinding(binding) => {
                self.remove_bindings(binding.home_address)?;
                self.add_binding(binding)
            }
            Change::AddBinding(binding) => {
                self.remove_binding(binding.home_address, binding.care_of)?;
                self.add_binding(binding)
            }
            Change::RemoveBinding { home_address, care_of } => self.remove_binding(*home_address, *care_of),
            Change::RemoveBindings(home) => self.remove_bindings(*home),
            Change::AssignAddress { nai, home_address } => self.assign(nai, *home_address),
            Change::ReleaseAddress(nai) => {
                self.run("DELETE FROM home_addresses WHERE nai = ?1", [nai.as_str()])
            }
            Change::PutVisitor(visitor) => self.put_visitor(visitor),
            Change::RemoveVisitor(home) => self.run(REMOVE_VISITOR, [home.to_string()]),
            Change::PutRevocation(revocation) => self.put_revocation(revocation),
            Change::RemoveRevocation { home_address, care_of } => {
                self.remove_revocation(*home_address, *care_of)
            }
            Change::ReserveSequence { link, below } => self.run(PUT_SEQUENCE, [*link, *below]),
            Change::PutGrant(grant) => self.put_grant(grant),
            Change::Audit(entry) => self.append_audit(entry),
            Change::PutHomeAgent(home_agent) => self.put_home_agent(home_agent),
        }
    }

    /// Executes one statement, which stays prepared; returns how many rows it changed.
    fn execute(&self, sql: &str, values: impl Params) -> Result<usize, rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute(values)
    }

    pub(crate) fn run(&self, sql: &str, values: impl Params) -> Result<(), Stop> {
        self.execute(sql, values)?;
        Ok(())
    }

    /// Executes one statement that changes one row, or else refuses the list.
    fn one(&self, sql: &str, values: impl Params) -> Result<(), Stop> {
        match self.execute(sql, values)? {
            1 => Ok(()),
            _ => Err(Stop::Refused(CommitError::Conflict)),
        }
    }

    fn put_subscriber(&mut self, of: &Subscriber) -> Result<(), Stop> {
        let nai = of.nai.as_str();
        let sealed = self.vault.seal(self.rng, &Place::key0(nai), &of.key0);
        let retiring = of.retiring.as_ref();
        let state = match of.state {
            SubscriberState::Active => "active",
            SubscriberState::Revoked => "revoked",
        };
        let values = params![
            nai,
            sealed,
            i64::from(of.spi.0),
            of.cipher.name(),
            of.home_address.to_string(),
            i64::from(of.home_prefix_length),
            of.home_agent.to_string(),
            of.home_gateway.map(|address| address.to_string()),
            of.no_fs,
            state,
            of.max_lifetime.map(i64::from),
            signed(of.change),
            of.one_time,
            i64::from(of.generation),
            retiring.map(|old| self.vault.seal(self.rng, &Place::retiring_key0(nai, old), &old.key0)),
            retiring.map(|old| i64::from(old.spi.0)),
            retiring.map(|old| i64::from(old.generation)),
            retiring.map(|old| signed(old.ends)),
            of.plain.map(|plain| plain.nonces),
            of.plain.map(|plain| plain.md5),
        ];
        self.run(PUT_SUBSCRIBER, values)
    }

    fn put_realm_key(&mut self, of: &RealmKey) -> Result<(), Stop> {
        let values = params![
            i64::from(of.id.0),
            self.vault.seal(self.rng, &Place::realm_key(of), &of.secret),
            signed(of.made),
            of.ends.map(signed),
            signed(of.change),
        ];
        self.run(PUT_REALM_KEY, values)
    }

    fn put_seen(&mut self, of: &Seen, previous: Option<u64>) -> Result<(), Stop> {
        let (nai, next, index) = (of.nai.as_str(), signed(of.identification), signed(of.index));
        match previous {
            None => self.one(FIRST_IDENTIFICATION, params![nai, next, of.generation, index]),
            Some(previous) => {
                self.one(NEXT_IDENTIFICATION, params![nai, next, of.generation, index, signed(previous)])
            }
        }
    }

    /// Gives an address to whom it is free for; the same again changes nothing.
    fn assign(&mut self, nai: &Nai, home_address: Ipv4Addr) -> Result<(), Stop> {
        self.one(ASSIGN_ADDRESS, params![home_address.to_string(), nai.as_str()])
    }

    fn remove_binding(&mut self, home_address: Ipv4Addr, care_of: Ipv4Addr) -> Result<(), Stop> {
        let [home_address, care_of] = [home_address, care_of].map(|of| i64::from(of.to_bits()));
        self.run(REMOVE_BINDING, [home_address, care_of])
    }

    fn remove_bindings(&mut self, home_address: Ipv4Addr) -> Result<(), Stop> {
        self.run(REMOVE_BINDINGS, [home_address.to_bits()])
    }

    /// Where none stands with its care-of address.
    fn add_binding(&mut self, of: &Binding) -> Result<(), Stop> {
        let row = Row::of(of, self.vault, self.keys, self.rng);
        self.run(ADD_BINDING, params![row.home_address, row.care_of, row.nai, row.sealed_record])
    }

    fn put_visitor(&mut self, of: &Visitor) -> Result<(), Stop> {
        let home = of.home_address.to_string();
        self.run(REMOVE_VISITOR_ASSOCIATIONS, [&home])?;
        let (tunnel, address, port) = tunnel_columns(of.tunnel);
        let values = params![
            &home,
            i64::from(of.link),
            &of.link_address[..],
            of.home_agent.to_string(),
            of.care_of.to_string(),
            tunnel,
            address,
            port.map(i64::from),
            of.reverse_tunnel,
            i64::from(of.lifetime),
            signed(of.granted),
            of.encapsulating_delivery,
            of.broadcasts,
            of.revocation.map(|support| i64::from(support.timestamp)),
            of.revocation.is_some_and(|support| support.inform),
        ];
        self.run(PUT_VISITOR, values)?;
        self.put_associations("visitor_associations", PUT_VISITOR_ASSOCIATION, &[&home], &of.associations)
    }

    pub(crate) fn put_associations(
        &mut self,
        table: &str,
        sql: &'static str,
        owner: &[&str],
        associations: &[Association],
    ) -> Result<(), Stop> {
        for (position, of) in (0_i64..).zip(associations) {
            let place = Place::association(table, owner, position, of);
            let sealed = self.vault.seal(self.rng, &place, &of.key);
            let mut values: Vec<&dyn ToSql> = owner.iter().map(|part| part as &dyn ToSql).collect();
            let (kind, made, ends) = (of.kind.number(), signed(of.made), signed(of.ends));
            let (own, peer, retires) = (&*of.own, &*of.peer, of.retires.map(signed));
            let suite = of.suite.octets();
            values.extend_from_slice(params![
                position,
                kind,
                of.inbound.0,
                of.outbound.0,
                sealed,
                own,
                peer,
                made,
                ends,
                of.confirmed,
                retires,
                suite,
            ]);
            self.run(sql, &*values)?;
        }
        Ok(())
    }

    fn put_grant(&mut self, of: &Grant) -> Result<(), Stop> {
        let values = params![
            signed(of.id),
            &of.request[..],
            of.nai.as_str(),
            &*of.home_agent,
            of.foreign_agent.as_deref(),
            of.care_of.to_string(),
            signed(of.issued),
            signed(of.ends),
            of.revoked.map(signed),
            grant::pack(&of.keys),
            of.earlier.map(signed),
        ];
        if self.execute(ADD_GRANT, values)? == 0 {
            self.run(REPLACE_GRANT, values)?;
            self.run(TURN_CLOCK, [signed(of.id), signed(of.issued)])?;
        }
        Ok(())
    }

    fn append_audit(&mut self, of: &AuditEntry) -> Result<(), Stop> {
        let values = params![
            signed(of.number),
            signed(of.unix_ms),
            &*of.actor,
            &*of.role,
            &*of.action,
            &*of.subject,
            of.outcome,
        ];
        self.one(APPEND_AUDIT, values)
    }

    fn put_home_agent(&mut self, of: &HomeAgent) -> Result<(), Stop> {
        let values = params![&of.name, of.address.map(|address| address.to_string()), signed(of.registered),];
        self.run(PUT_HOME_AGENT, values)
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

pub(crate) const ADD_BINDING: &str =
    "INSERT INTO bindings (home_address, care_of, nai, sealed_record) VALUES (?1, ?2, ?3, ?4)";

const REMOVE_BINDING: &str = "DELETE FROM bindings WHERE home_address = ?1 AND care_of = ?2";

const REMOVE_BINDINGS: &str = "DELETE FROM bindings WHERE home_address = ?1";

/// Changes no row if the address is another one's, or the subscriber has another.
const ASSIGN_ADDRESS: &str = "INSERT INTO home_addresses (home_address, nai)
    SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM home_addresses WHERE (home_address = ?1) <> (nai = ?2))
    ON CONFLICT (home_address) DO UPDATE SET nai = ?2";

const REMOVE_VISITOR_ASSOCIATIONS: &str = "DELETE FROM visitor_associations WHERE home_address = ?1";

const PUT_VISITOR: &str =
    "INSERT INTO visitors (home_address, link, link_address, home_agent, care_of, tunnel, tunnel_address,
        tunnel_port, reverse_tunnel, lifetime, granted, encapsulating_delivery, broadcasts, revocation,
        revocation_inform)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (home_address) DO UPDATE SET link = ?2, link_address = ?3, home_agent = ?4, care_of = ?5,
        tunnel = ?6, tunnel_address = ?7, tunnel_port = ?8, reverse_tunnel = ?9, lifetime = ?10,
        granted = ?11, encapsulating_delivery = ?12, broadcasts = ?13, revocation = ?14,
        revocation_inform = ?15";

const REMOVE_VISITOR: &str = "DELETE FROM visitors WHERE home_address = ?1";

const PUT_VISITOR_ASSOCIATION: &str = "INSERT INTO visitor_associations (home_address, position, kind,
        inbound_spi, outbound_spi, sealed_key, own, peer, made, ends, confirmed, retires, suite)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const PUT_SEQUENCE: &str = "INSERT INTO sequences (link, below) VALUES (?1, ?2)
    ON CONFLICT (link) DO UPDATE SET below = ?2";

/// Changes no row if there is one of that number.
const ADD_GRANT: &str =
    "INSERT INTO grants (id, request, nai, home_agent, foreign_agent, care_of, issued, ends,
        revoked, keys, earlier, clock)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
        max(?7, coalesce((SELECT clock FROM grants WHERE id < ?1 ORDER BY id DESC LIMIT 1), 0)))
    ON CONFLICT (id) DO NOTHING";

const REPLACE_GRANT: &str = "UPDATE grants SET request = ?2, nai = ?3, home_agent = ?4, foreign_agent = ?5,
        care_of = ?6, issued = ?7, ends = ?8, revoked = ?9, keys = ?10, earlier = ?11
    WHERE id = ?1";

/// One that was issued again has a low number and a late time.
const TURN_CLOCK: &str = "UPDATE grants SET clock = ?2 WHERE id >= ?1 AND clock < ?2";

const APPEND_AUDIT: &str = "INSERT INTO audit (number, unix_ms, actor, role, action, subject, outcome)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (number) DO NOTHING";

const PUT_HOME_AGENT: &str = "INSERT INTO home_agents (name, address, registered) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET address = ?2, registered = ?3";
