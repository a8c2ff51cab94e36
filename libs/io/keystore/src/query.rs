//! What is asked on demand: grants and the audit trail.

use record::{AuditEntry, Grant, Nai};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::{
    ReadError, grant,
    row::{Reading, signed},
};

/// Which grants are asked for; the default is every grant, the first 1000 of them.
#[derive(Clone, Debug)]
pub struct GrantFilter {
    /// Those of this subscriber.
    pub nai: Option<Nai>,
    /// Those asked for by this home agent.
    pub home_agent: Option<String>,
    /// Those neither ended nor revoked at this time, in seconds since 1970.
    pub live_at: Option<u64>,
    /// Those that end after this time, in seconds since 1970, revoked or not.
    pub ends_after: Option<u64>,
    /// Those with a higher number, for the next page.
    pub after: u64,
    /// At most so many.
    pub limit: u32,
}

impl Default for GrantFilter {
    fn default() -> Self {
        Self { nai: None, home_agent: None, live_at: None, ends_after: None, after: 0, limit: 1000 }
    }
}

impl GrantFilter {
    fn query(&self) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new(GRANTS);
        query.push_bind(signed(self.after));
        if let Some(nai) = &self.nai {
            query.push(" AND nai = ").push_bind(nai.as_str().to_owned());
        }
        if let Some(home_agent) = &self.home_agent {
            query.push(" AND home_agent = ").push_bind(home_agent.clone());
        }
        if self.live_at.is_some() {
            query.push(" AND revoked IS NULL");
        }
        if let Some(time) = self.live_at.max(self.ends_after) {
            // Times above 2^63, which stand for "never", are stored as negative numbers.
            query.push(" AND (ends < 0 OR ends > ").push_bind(signed(time)).push(")");
        }
        query.push(" ORDER BY id LIMIT ").push_bind(i64::from(self.limit));
        query
    }
}

const GRANTS: &str = "SELECT id AS rowid, * FROM grants WHERE id > ";

/// Grants in order of number, with their keys.
pub(crate) async fn grants(
    connection: &mut SqliteConnection,
    filter: &GrantFilter,
) -> Result<Vec<Grant>, ReadError> {
    let rows = filter.query().build().fetch_all(connection).await?;
    rows.iter().map(|row| grant(&Reading::new("grants", row))).collect()
}

fn grant(row: &Reading<'_>) -> Result<Grant, ReadError> {
    let keys = grant::unpack(row.column("keys")?);
    Ok(Grant {
        id: row.u64("id")?,
        request: row.bytes("request")?,
        nai: row.nai("nai")?,
        home_agent: row.column("home_agent")?,
        foreign_agent: row.column("foreign_agent")?,
        care_of: row.column("care_of")?,
        keys: keys.ok_or_else(|| row.damaged("the keys have an unknown form"))?,
        issued: row.u64("issued")?,
        ends: row.u64("ends")?,
        revoked: row.optional_u64("revoked")?,
    })
}

/// Entries of the audit trail after `since`, in order of number.
pub(crate) async fn audit(
    connection: &mut SqliteConnection,
    since: u64,
    limit: u32,
) -> Result<Vec<AuditEntry>, ReadError> {
    let rows = sqlx::query("SELECT * FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2")
        .bind(signed(since))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| audit_entry(&Reading::new("audit", row))).collect()
}

fn audit_entry(row: &Reading<'_>) -> Result<AuditEntry, ReadError> {
    Ok(AuditEntry {
        number: row.u64("number")?,
        unix_ms: row.u64("unix_ms")?,
        actor: row.column("actor")?,
        role: row.column("role")?,
        action: row.column("action")?,
        subject: row.column("subject")?,
        outcome: row.column("outcome")?,
    })
}
