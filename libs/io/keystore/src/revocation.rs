//! Registrations that were ended here, as rows.

use std::net::{Ipv4Addr, SocketAddrV4};

use record::{Association, Revocation, RevocationSupport};
use rusqlite::params;
use sqlx::SqliteConnection;

use crate::{
    ReadError,
    load::association,
    row::{Reading, signed},
    seal::Vault,
    write::{Changes, Stop},
};

const TABLE: &str = "revocation_associations";

/// Names one: there is one of a home address and a care-of address.
pub(crate) fn registration(home_address: Ipv4Addr, care_of: Ipv4Addr) -> String {
    format!("{home_address} {care_of}")
}

impl Changes<'_> {
    pub(crate) fn put_revocation(&mut self, of: &Revocation) -> Result<(), Stop> {
        let registration = registration(of.home_address, of.care_of);
        self.run(REMOVE_ASSOCIATIONS, [&registration])?;
        let values = params![
            registration,
            of.home_address.to_string(),
            of.care_of.to_string(),
            of.home_agent.to_string(),
            of.peer.ip().to_string(),
            of.peer.port(),
            of.inform,
            of.ends.map(signed),
        ];
        self.run(PUT, values)?;
        self.put_associations(TABLE, PUT_ASSOCIATION, &[&registration], &of.associations)
    }

    pub(crate) fn remove_revocation(
        &mut self,
        home_address: Ipv4Addr,
        care_of: Ipv4Addr,
    ) -> Result<(), Stop> {
        self.run(REMOVE, [registration(home_address, care_of)])
    }
}

/// All of them, in order of home and care-of address.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    vault: &Vault,
) -> Result<Vec<Revocation>, ReadError> {
    let rows = sqlx::query("SELECT rowid, * FROM revocations").fetch_all(&mut *connection).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Reading::new("revocations", row);
        let name: &str = row.column("registration")?;
        let keys = sqlx::query(ASSOCIATIONS).bind(name).fetch_all(&mut *connection).await?;
        let keys = keys.iter().map(|key| association(TABLE, &Reading::new(TABLE, key), vault));
        found.push(revocation(&row, keys.collect::<Result<_, _>>()?)?);
    }
    found.sort_by_key(|of| (of.home_address, of.care_of));
    Ok(found)
}

fn revocation(row: &Reading<'_>, associations: Vec<Association>) -> Result<Revocation, ReadError> {
    Ok(Revocation {
        home_address: row.address("home_address")?,
        care_of: row.address("care_of")?,
        home_agent: row.address("home_agent")?,
        peer: SocketAddrV4::new(row.address("peer_address")?, row.number("peer_port")?),
        inform: row.column("inform")?,
        ends: row.optional_u64("ends")?,
        associations,
    })
}

/// What was agreed on with a binding or visitor.
pub(crate) fn support(row: &Reading<'_>) -> Result<Option<RevocationSupport>, ReadError> {
    let inform = row.column("revocation_inform")?;
    let timestamp = row.optional_number("revocation")?;
    Ok(timestamp.map(|timestamp| RevocationSupport { timestamp, inform }))
}

const REMOVE_ASSOCIATIONS: &str = "DELETE FROM revocation_associations WHERE registration = ?1";

const PUT: &str = "INSERT INTO revocations (registration, home_address, care_of, home_agent, peer_address, peer_port, inform, ends)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (registration) DO UPDATE SET home_agent = ?4, peer_address = ?5, peer_port = ?6, inform = ?7,
        ends = ?8";

const REMOVE: &str = "DELETE FROM revocations WHERE registration = ?1";

const PUT_ASSOCIATION: &str = "INSERT INTO revocation_associations (registration, position, kind,
        inbound_spi, outbound_spi, sealed_key, own, peer, made, ends, confirmed, retires, suite)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const ASSOCIATIONS: &str =
    "SELECT rowid, * FROM revocation_associations WHERE registration = ?1 ORDER BY position";
