//! `kdc reseal`: another key-encryption key.
//!
//! Order: the new key is durable in its own file; the store is sealed anew in one transaction; the old key gets
//! another name; the new one is put in its place. Whenever this is cut off, the store opens under the key in one of
//! the two files, and the same command again goes on where it was.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use daemon::secret_file;
use keystore::Resealed;

use crate::{config::KdcConfig, init::say};

/// Arguments of `kdc reseal`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kdc reseal --config /etc/sojourn/kdc.toml --new-key /etc/sojourn/kdc.kek.new\n\n\
    If this is interrupted, give the same command again: it finds out how far it was.\n\
    Backups made before stay sealed under the old key, which is kept for them with the ending .old."
)]
pub(crate) struct Reseal {
    /// Configuration of the key distribution centre: where its store and its key-encryption key are.
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// The new key-encryption key: 64 hex digits, readable by you alone; made if there is no such file.
    #[arg(long, value_name = "FILE")]
    new_key: PathBuf,
}

impl Reseal {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = daemon::config::load::<KdcConfig>(&self.config)?;
        let mut kept = config.state_key.clone().into_os_string();
        kept.push(".old");
        let kept = PathBuf::from(kept);
        let old = secret_file::read_key(&config.state_key)?;
        let (new, _) = secret_file::create_if_absent(&self.new_key)?;
        let key = |bytes: &secret_file::KeyBytes| crypto::Key::new(*bytes.expose());
        let same = key(&old) == key(&new);
        // A kept key that is another one may still be needed for backups.
        if kept.exists() && !same {
            let before = secret_file::read_key(&kept)?;
            ensure!(
                key(&before) == key(&old),
                "{} keeps an earlier key: move it away first; nothing was changed",
                kept.display()
            );
        }
        let done = keystore::reseal(&config.state, key(&old), key(&new)).await?;
        if !same {
            if !kept.exists() {
                secret_file::write_key(&kept, &old)?;
            }
            secret_file::write_private(&config.state_key, new.to_hex().as_bytes())
                .context("the store is under the new key already; give the same command again")?;
        }
        match done {
            Resealed::Now(keys) => say(&format!("{keys} keys are sealed anew.")),
            Resealed::Before => say("The store was under the new key already."),
        }
        say(&format!(
            "{} holds the new key; {} is needed no more.",
            config.state_key.display(),
            self.new_key.display()
        ));
        if kept.exists() {
            say(&format!("{} opens backups made before; destroy it with them.", kept.display()));
        }
        Ok(())
    }
}
