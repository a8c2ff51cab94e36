//! Many lists of changes in few statements.
//!
//! A daemon under load commits hundreds of lists at a time, nearly all of the same few kinds. Statements with many
//! rows write those; every other change is a statement of its own, as ever. Where two changes touch the same row, the
//! first is written before the second is looked at, so the order of changes counts as it stands.
//!
//! A list that is refused cannot be told apart here: then nothing is committed, and the caller applies the lists one
//! by one.

use std::{collections::BTreeSet, net::Ipv4Addr};

use record::{AuditEntry, Binding, Change, CommitError, Grant};
use sqlx::{QueryBuilder, Sqlite};

use crate::{
    grant,
    packed::Row,
    row::signed,
    write::{Changes, Stop},
};

/// Rows of one statement. Only statements of these sizes are prepared, so that they stay prepared.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// An identification that is compared and set.
struct Identification<'a> {
    nai: &'a str,
    previous: Option<u64>,
    next: u64,
    generation: u32,
    index: u64,
}

/// Changes that wait to be written together.
#[derive(Default)]
struct Group<'a> {
    identifications: Vec<Identification<'a>>,
    subscribers: BTreeSet<&'a str>,
    /// Home addresses that lose all bindings.
    unbound: BTreeSet<Ipv4Addr>,
    bindings: Vec<&'a Binding>,
    audit: Vec<&'a AuditEntry>,
    grants: Vec<&'a Grant>,
    granted: BTreeSet<u64>,
}

impl<'a> Group<'a> {
    /// Takes a change; false if it has to be written by itself, or after what waits.
    fn take(&mut self, change: &'a Change) -> bool {
        match change {
            Change::Identification { nai, previous, next, generation, index } => {
                let (generation, index, next, previous) = (*generation, *index, *next, *previous);
                let new = self.subscribers.insert(nai.as_str());
                if new {
                    let nai = nai.as_str();
                    self.identifications.push(Identification { nai, previous, next, generation, index });
                }
                new
            }
            Change::PutBinding(binding) => {
                let new = self.unbound.insert(binding.home_address);
                if new {
                    self.bindings.push(binding);
                }
                new
            }
            Change::RemoveBindings(home_address) => self.unbound.insert(*home_address),
            Change::Audit(entry) => {
                self.audit.push(entry);
                true
            }
            Change::PutGrant(grant) => {
                let new = self.granted.insert(grant.id);
                if new {
                    self.grants.push(grant);
                }
                new
            }
            _ => false,
        }
    }
}

/// Applies all lists inside the transaction that is open.
///
/// # Errors
/// The first refusal or failure: the transaction is of no use any more.
pub(crate) async fn apply(changes: &mut Changes<'_>, lists: &[Vec<Change>]) -> Result<(), Stop> {
    let mut group = Group::default();
    for change in lists.iter().flatten() {
        if group.take(change) {
            continue;
        }
        write(changes, std::mem::take(&mut group)).await?;
        if !group.take(change) {
            changes.apply(change).await?;
        }
    }
    write(changes, group).await
}

async fn write(changes: &mut Changes<'_>, group: Group<'_>) -> Result<(), Stop> {
    let Group { identifications, unbound, bindings, audit, grants, .. } = group;
    let (next, first): (Vec<_>, Vec<_>) = identifications.into_iter().partition(|i| i.previous.is_some());
    for rows in chunks(&first) {
        set_first(changes, rows).await?;
    }
    for rows in chunks(&next) {
        set_next(changes, rows).await?;
    }
    let unbound: Vec<_> = unbound.into_iter().collect();
    for rows in chunks(&unbound) {
        remove_bindings(changes, rows).await?;
    }
    let mut sealed: Vec<Row> = bindings.into_iter().map(|binding| changes.row(binding)).collect();
    // In the order of the table.
    sealed.sort_unstable_by_key(|row| (row.home_address, row.care_of));
    for rows in chunks(&sealed) {
        add_bindings(changes, rows).await?;
    }
    for rows in chunks(&audit) {
        append(changes, rows).await?;
    }
    for rows in chunks(&grants) {
        put_grants(changes, rows).await?;
    }
    Ok(())
}

/// Cuts into pieces of [`SIZES`].
fn chunks<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= all.len())?;
        let (piece, rest) = all.split_at(size);
        all = rest;
        Some(piece)
    })
}

async fn execute(changes: &mut Changes<'_>, mut query: QueryBuilder<Sqlite>) -> Result<u64, Stop> {
    Ok(query.build().execute(&mut *changes.connection).await?.rows_affected())
}

/// Refused unless all of them were written.
async fn all_of(changes: &mut Changes<'_>, query: QueryBuilder<Sqlite>, rows: usize) -> Result<(), Stop> {
    match execute(changes, query).await? {
        written if written == rows as u64 => Ok(()),
        _ => Err(Stop::Refused(CommitError::Conflict)),
    }
}

async fn set_first(changes: &mut Changes<'_>, rows: &[Identification<'_>]) -> Result<(), Stop> {
    let mut query =
        QueryBuilder::new("INSERT INTO identifications (nai, identification, generation, highest_index) ");
    query.push_values(rows, |mut row, of| {
        row.push_bind(of.nai.to_owned())
            .push_bind(signed(of.next))
            .push_bind(i64::from(of.generation))
            .push_bind(signed(of.index));
    });
    query.push(" ON CONFLICT (nai) DO NOTHING");
    all_of(changes, query, rows.len()).await
}

async fn set_next(changes: &mut Changes<'_>, rows: &[Identification<'_>]) -> Result<(), Stop> {
    let mut query = QueryBuilder::new("WITH new (nai, next, generation, highest_index, previous) AS (");
    query.push_values(rows, |mut row, of| {
        row.push_bind(of.nai.to_owned())
            .push_bind(signed(of.next))
            .push_bind(i64::from(of.generation))
            .push_bind(signed(of.index))
            .push_bind(of.previous.map(signed));
    });
    query.push(
        ") UPDATE identifications SET identification = new.next, generation = new.generation,
            highest_index = new.highest_index FROM new
        WHERE identifications.nai = new.nai AND identifications.identification = new.previous",
    );
    all_of(changes, query, rows.len()).await
}

async fn remove_bindings(changes: &mut Changes<'_>, rows: &[Ipv4Addr]) -> Result<(), Stop> {
    let mut query = QueryBuilder::new("DELETE FROM bindings WHERE home_address IN (");
    let mut values = query.separated(", ");
    for home_address in rows {
        values.push_bind(i64::from(home_address.to_bits()));
    }
    query.push(")");
    execute(changes, query).await.map(drop)
}

async fn add_bindings(changes: &mut Changes<'_>, rows: &[Row]) -> Result<(), Stop> {
    let mut query = QueryBuilder::new("INSERT INTO bindings (home_address, care_of, nai, sealed_record) ");
    query.push_values(rows, |mut row, of| {
        row.push_bind(of.home_address)
            .push_bind(of.care_of)
            .push_bind(of.nai.clone())
            .push_bind(of.sealed_record.clone());
    });
    all_of(changes, query, rows.len()).await
}

async fn append(changes: &mut Changes<'_>, rows: &[&AuditEntry]) -> Result<(), Stop> {
    let mut query =
        QueryBuilder::new("INSERT INTO audit (number, unix_ms, actor, role, action, subject, outcome) ");
    query.push_values(rows, |mut row, of| {
        row.push_bind(signed(of.number))
            .push_bind(signed(of.unix_ms))
            .push_bind(of.actor.to_string())
            .push_bind(of.role.to_string())
            .push_bind(of.action.to_string())
            .push_bind(of.subject.to_string())
            .push_bind(of.outcome.clone());
    });
    query.push(" ON CONFLICT (number) DO NOTHING");
    all_of(changes, query, rows.len()).await
}

async fn put_grants(changes: &mut Changes<'_>, rows: &[&Grant]) -> Result<(), Stop> {
    let mut query = QueryBuilder::new(
        "INSERT INTO grants (id, request, nai, home_agent, foreign_agent, care_of, issued, ends, revoked, keys, earlier) ",
    );
    query.push_values(rows, |mut row, of| {
        row.push_bind(signed(of.id))
            .push_bind(of.request.to_vec())
            .push_bind(of.nai.to_string())
            .push_bind(of.home_agent.to_string())
            .push_bind(of.foreign_agent.as_deref().map(str::to_owned))
            .push_bind(of.care_of.to_string())
            .push_bind(signed(of.issued))
            .push_bind(signed(of.ends))
            .push_bind(of.revoked.map(signed))
            .push_bind(grant::pack(&of.keys))
            .push_bind(of.earlier.map(signed));
    });
    query.push(
        " ON CONFLICT (id) DO UPDATE SET request = excluded.request, nai = excluded.nai,
            home_agent = excluded.home_agent, foreign_agent = excluded.foreign_agent,
            care_of = excluded.care_of, issued = excluded.issued, ends = excluded.ends,
            revoked = excluded.revoked, keys = excluded.keys, earlier = excluded.earlier",
    );
    execute(changes, query).await.map(drop)
}
