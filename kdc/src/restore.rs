//! `kdc restore`: a backup takes the place of the store.
//!
//! What was done after the backup is lost here, and home agents may know of it. So the restored store begins a new
//! epoch of change numbers: every home agent takes over everything at its next connection and forgets the rest.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use daemon::secret_file;
use record::{AuditEntry, Change, State};

use crate::{config::KdcConfig, desk::Desk, init::say};

/// Arguments of `kdc restore`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kdc restore --config /etc/sojourn/kdc.toml kdc-2026-11-21.backup\n\n\
    The backup is checked to its last row first: it must be whole, of this product, and sealed under the\n\
    key-encryption key of the configuration. The store before is kept beside the new one.")]
pub(crate) struct Restore {
    /// Configuration of the key distribution centre: where its store and its key-encryption key are.
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// The backup, from `sojourn kdc backup`.
    #[arg(value_name = "FILE")]
    backup: PathBuf,
}

impl Restore {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = daemon::config::load::<KdcConfig>(&self.config)?;
        let kek = secret_file::read_key(&config.state_key)?;
        let kek = crypto::Key::new(*kek.expose());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let restored = keystore::restore(&config.state, &self.backup, kek, |state| {
            vec![Change::SubscriberCursor(epoch(state, now.as_secs())), audit(state, unix_ms)]
        });
        let restored = restored.await.context("nothing was changed")?;
        say(&format!(
            "{} is restored: {} subscribers, audit trail up to {}.",
            config.state.display(),
            restored.subscribers,
            restored.last_audit
        ));
        if let Some(aside) = restored.aside {
            say(&format!("The store before is {}.", aside.display()));
        }
        Ok(())
    }
}

fn epoch(state: &State, time: u64) -> u64 {
    let subscribers = state.subscribers.iter().map(|subscriber| subscriber.change);
    let keys = state.realm_keys.iter().map(|key| key.change);
    let last = subscribers.chain(keys).fold(state.subscriber_cursor, u64::max);
    authority::epoch_after(last, time)
}

fn audit(state: &State, unix_ms: u64) -> Change {
    let local = Desk::local();
    Change::Audit(AuditEntry {
        number: state.last_audit + 1,
        unix_ms,
        actor: local.name,
        role: local.role,
        action: "restore the store".into(),
        subject: format!("as of audit entry {}", state.last_audit).into(),
        outcome: "done".to_owned(),
    })
}
