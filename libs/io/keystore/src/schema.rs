//! The migrations, carried in the program so that a daemon needs no other file.

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

/// Every schema: number, name, statements; the same numbers as the files in migrations/sqlite.
const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "initial", include_str!("../../../../migrations/sqlite/0001_initial.sql")),
    (2, "rotation", include_str!("../../../../migrations/sqlite/0002_rotation.sql")),
    (3, "revocations", include_str!("../../../../migrations/sqlite/0003_revocations.sql")),
    (4, "addresses", include_str!("../../../../migrations/sqlite/0004_addresses.sql")),
    (5, "compact", include_str!("../../../../migrations/sqlite/0005_compact.sql")),
    (6, "chained_grants", include_str!("../../../../migrations/sqlite/0006_chained_grants.sql")),
    (7, "grant_clock", include_str!("../../../../migrations/sqlite/0007_grant_clock.sql")),
    (8, "suites", include_str!("../../../../migrations/sqlite/0008_suites.sql")),
];

/// The newest schema known.
pub(crate) const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// `application_id` of a store, "Sjrn", set by the first migration.
pub(crate) const APPLICATION: i64 = 0x536a_726e;

/// Brings a database to the newest schema.
pub(crate) fn migrator() -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.into_iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_carried() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../migrations/sqlite");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let carried: Vec<String> =
            MIGRATIONS.iter().map(|(n, name, _)| format!("{n:04}_{name}.sql")).collect();
        assert_eq!(files, carried);
    }
}
