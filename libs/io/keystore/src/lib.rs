//! The durable store: SQLite with sealed secrets and group commit.
