//! What is asked on demand: grants and the audit trail.

use std::{borrow::Cow, sync::Arc};

use record::{AuditEntry, Grant, Nai};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::{
    ReadError, grant,
    row::{Reading, signed},
};

/// Seconds for which a grant that has ended is of interest.
const SHOWN: u64 = 60 * 60;
/// The longest lifetime of a grant in seconds.
const LONGEST: u64 = u16::MAX as u64;
/// Seconds in which whoever asked for a grant may ask again, and so many grants at most.
const LATELY: u64 = 60;
const LATELY_MOST: i64 = 65_536;

/// Which grants are asked for; the default is every grant, the first 1000 of them.
#[derive(Clone, Debug)]
pub struct GrantFilter {
    /// Those of one subscriber, whose newest has this number.
    pub newest: Option<u64>,
    /// Those neither ended nor revoked at this time, in seconds since 1970.
    pub live_at: Option<u64>,
    /// Those that end after this time, in seconds since 1970, revoked or not.
    pub ends_after: Option<u64>,
    /// Those issued at this time or later, in seconds since 1970, and what has a higher number than one of them. Saves
    /// looking at all that are older.
    pub issued_since: u64,
    /// Those with a higher number, for the next page.
    pub after: u64,
    /// At most so many.
    pub limit: u32,
}

impl Default for GrantFilter {
    fn default() -> Self {
        Self { newest: None, live_at: None, ends_after: None, issued_since: 0, after: 0, limit: 1000 }
    }
}

impl GrantFilter {
    fn query(&self) -> QueryBuilder<Sqlite> {
        let mut query = match self.newest {
            None => QueryBuilder::new("SELECT id AS rowid, * FROM grants"),
            Some(newest) => {
                let mut query = QueryBuilder::new("WITH RECURSIVE chain (number) AS (SELECT ");
                query.push_bind(signed(newest));
                query
                    .push(" UNION ALL SELECT earlier FROM chain JOIN grants ON id = number WHERE earlier > ");
                query.push_bind(signed(self.after)).push(" AND clock >= ");
                query.push_bind(signed(self.issued_since));
                query.push(") SELECT id AS rowid, grants.* FROM chain JOIN grants ON id = number");
                query
            }
        };
        query.push(" WHERE id > ").push_bind(signed(self.after));
        query.push(" AND clock >= ").push_bind(signed(self.issued_since));
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

/// Grants in order of number, with their keys.
pub(crate) async fn grants(
    connection: &mut SqliteConnection,
    filter: &GrantFilter,
) -> Result<Vec<Grant>, ReadError> {
    let mut filter = filter.clone();
    if filter.newest.is_none() && filter.after == 0 && filter.issued_since > 0 {
        filter.after = first_since(connection, filter.issued_since).await?.saturating_sub(1);
    }
    let rows = filter.query().build().fetch_all(connection).await?;
    rows.iter().map(|row| grant(&Reading::new("grants", row))).collect()
}

/// The first number at which the clock had reached `time`: none before it was issued then or later. Few rows are looked
/// at.
async fn first_since(connection: &mut SqliteConnection, time: u64) -> Result<u64, ReadError> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT max(id) FROM grants").fetch_one(&mut *connection).await?;
    let (mut low, mut high) = (1, last.unwrap_or_default().cast_unsigned().saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        // The one at the middle or above it; there is one, because the middle is not above the last.
        let row: (i64, i64) =
            sqlx::query_as("SELECT id, clock FROM grants WHERE id >= ?1 ORDER BY id LIMIT 1")
                .bind(signed(middle))
                .fetch_one(&mut *connection)
                .await?;
        let (id, clock) = (row.0.cast_unsigned(), row.1.cast_unsigned());
        if clock >= time {
            high = middle;
        } else {
            low = id + 1;
        }
    }
    Ok(low)
}

/// What a start has to know of grants.
#[derive(Default)]
pub(crate) struct Granted {
    pub(crate) lately: Vec<Grant>,
    pub(crate) newest: Vec<(Nai, u64)>,
    pub(crate) ending: Vec<(u64, u64)>,
    pub(crate) longest: u64,
}

/// As of `now`, in seconds since 1970.
pub(crate) async fn granted(connection: &mut SqliteConnection, now: u64) -> Result<Granted, ReadError> {
    let shown = now.saturating_sub(SHOWN);
    let from = first_since(connection, now.saturating_sub(LATELY)).await?;
    let rows = sqlx::query(
        "SELECT id AS rowid, * FROM (SELECT * FROM grants WHERE id >= ?1 ORDER BY id DESC LIMIT ?2)
        UNION SELECT id AS rowid, * FROM grants WHERE revoked IS NOT NULL AND (ends < 0 OR ends >= ?3)
        ORDER BY id",
    )
    .bind(signed(from))
    .bind(LATELY_MOST)
    .bind(signed(shown))
    .fetch_all(&mut *connection)
    .await?;
    let lately = rows.iter().map(|row| grant(&Reading::new("grants", row))).collect::<Result<_, _>>()?;
    let last: Option<i64> = sqlx::query_scalar("SELECT clock FROM grants ORDER BY id DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    // A clock that is ahead today may be right tomorrow.
    let reached = now.min(last.unwrap_or_default().cast_unsigned());
    let from = first_since(connection, reached.saturating_sub(SHOWN + LONGEST)).await?;
    let rows =
        sqlx::query("SELECT max(id) AS rowid, nai FROM grants WHERE id >= ?1 GROUP BY nai ORDER BY nai")
            .bind(signed(from))
            .fetch_all(&mut *connection)
            .await?;
    let newest = |row: &SqliteRow| {
        let row = Reading::new("grants", row);
        Ok((row.nai("nai")?, row.u64("rowid")?))
    };
    let newest = rows.iter().map(newest).collect::<Result<_, ReadError>>()?;
    let longest: Option<i64> =
        sqlx::query_scalar("SELECT max(ends - issued) FROM grants WHERE id >= ?1 AND ends >= issued")
            .bind(signed(from))
            .fetch_one(&mut *connection)
            .await?;
    let longest = longest.unwrap_or_default().cast_unsigned();
    let ending: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT ends, count(*) FROM grants WHERE id >= ?1 AND (ends < 0 OR ends > ?2) GROUP BY ends ORDER BY ends",
    )
    .bind(signed(from))
    .bind(signed(now))
    .fetch_all(connection)
    .await?;
    let ending = ending.into_iter().map(|(ends, count)| (ends.cast_unsigned(), count.cast_unsigned()));
    Ok(Granted { lately, newest, ending: ending.collect(), longest })
}

fn grant(row: &Reading<'_>) -> Result<Grant, ReadError> {
    let keys = grant::unpack(row.column("keys")?);
    Ok(Grant {
        id: row.u64("id")?,
        request: row.bytes("request")?,
        nai: row.nai("nai")?,
        earlier: row.optional_u64("earlier")?,
        home_agent: row.shared("home_agent")?,
        foreign_agent: row.column::<Option<&str>>("foreign_agent")?.map(Arc::from),
        care_of: row.address("care_of")?,
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
        actor: row.shared("actor")?,
        role: row.shared("role")?,
        action: Cow::Owned(row.column("action")?),
        subject: row.shared("subject")?,
        outcome: row.column("outcome")?,
    })
}
