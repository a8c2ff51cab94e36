//! `kdc init`: everything that a key distribution centre needs, in one folder, in one command.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use authority::Ask;
use daemon::{config::Realm, secret_file};

use crate::{
    ca::Authority,
    config::{EXAMPLE_VENDOR, lower_case},
    desk::{self, Desk},
};

/// Arguments of `kdc init`.
#[derive(clap::Args)]
pub(crate) struct Init {
    /// Folder to make it in.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Realm of the mobile nodes and home agents, as in home.example.
    #[arg(long)]
    realm: Realm,
    /// Address and port to offer gRPC at.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Host name in the server's certificate, as in kdc.home.example.
    #[arg(long, value_name = "NAME")]
    server_name: String,
    /// Register this home agent too, as in ha@home.example; may be given several times.
    #[arg(long, value_name = "NAI")]
    home_agent: Vec<String>,
    /// Private enterprise number of the vendor extensions; the number of examples makes it a testbed.
    #[arg(long, value_name = "NUMBER", default_value_t = EXAMPLE_VENDOR)]
    vendor: u32,
}

/// Everything that is made; nothing of it may be there before.
const FILES: [&str; 10] = [
    "kdc.toml",
    "kdc.db",
    "kdc.kek",
    "ca.pem",
    "ca.key",
    "server.pem",
    "server.key",
    "admin.pem",
    "admin.key",
    "admin.toml",
];
/// What the store makes beside its file.
const LEFTOVERS: [&str; 3] = ["kdc.db.lock", "kdc.db-wal", "kdc.db-shm"];
/// Name of the first administrator.
const ADMINISTRATOR: &str = "admin";

impl Init {
    /// Makes the installation, or nothing.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        lower_case(&self.realm).map_err(anyhow::Error::msg).context("--realm")?;
        for name in FILES {
            let path = self.directory.join(name);
            ensure!(!path.exists(), "{} exists already; nothing was changed", path.display());
        }
        let new = !self.directory.exists();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .with_context(|| self.directory.display().to_string())?;
        if let Err(error) = self.fill().await {
            for name in FILES.iter().chain(&LEFTOVERS) {
                let _ = fs::remove_file(self.directory.join(name));
            }
            if new {
                let _ = fs::remove_dir(&self.directory);
            }
            return Err(error);
        }
        self.tell();
        Ok(())
    }

    async fn fill(&self) -> anyhow::Result<()> {
        let realm = self.realm.as_str();
        let (authority, ca_key) = Authority::create(realm)?;
        let server = authority.server(&self.server_name, self.listen.ip())?;
        let admin = authority.client(admin::Role::Administrator, ADMINISTRATOR)?;
        self.secret("ca.key", &ca_key)?;
        self.secret("server.key", &server.key)?;
        self.secret("admin.key", &admin.key)?;
        self.public("ca.pem", authority.certificate())?;
        self.public("server.pem", &server.certificate)?;
        self.public("admin.pem", &admin.certificate)?;
        self.public("kdc.toml", &self.kdc_toml())?;
        self.public("admin.toml", &self.admin_toml())?;
        self.make_store().await
    }

    async fn make_store(&self) -> anyhow::Result<()> {
        let (kek, _) = secret_file::create_if_absent(&self.directory.join("kdc.kek"))?;
        let kek = crypto::Key::new(*kek.expose());
        let store = keystore::Store::open(&self.directory.join("kdc.db"), kek).await?;
        let registered = self.register(store.clone()).await;
        store.close().await;
        registered
    }

    async fn register(&self, store: keystore::Store) -> anyhow::Result<()> {
        let desk = Desk::open(self.realm.as_str(), store).await?;
        let caller = Desk::local();
        for name in &self.home_agent {
            let ask = Ask::RegisterHomeAgent { name: name.clone(), address: String::new(), dry_run: false };
            desk.ask(caller.clone(), ask).await.map_err(desk::Failure::into_error).context("--home-agent")?;
        }
        Ok(())
    }

    fn kdc_toml(&self) -> String {
        format!(
            "# Key distribution centre of {realm}. Check with `kdc --config kdc.toml --check`.\n\
             realm = \"{realm}\"\n\
             listen = \"{}\"\n\
             state = \"kdc.db\"\n\
             # The key-encryption key of the store: back it up apart from kdc.db.\n\
             state_key = \"kdc.kek\"\n\
             # {EXAMPLE_VENDOR} is a number for examples and needs testbed = true.\n\
             vendor = {}\n\
             testbed = {}\n\
             # /metrics, /health/live and /health/ready over HTTP; nobody is asked who he is.\n\
             # metrics = \"127.0.0.1:9433\"\n\
             \n\
             # ca.key is only for `kdc certificate`: keep it off this machine if you can.\n\
             [tls]\n\
             ca = \"ca.pem\"\n\
             certificate = \"server.pem\"\n\
             key = \"server.key\"\n",
            self.listen,
            self.vendor,
            self.vendor == EXAMPLE_VENDOR,
            realm = self.realm,
        )
    }

    fn admin_toml(&self) -> String {
        let host = if self.listen.ip().is_unspecified() {
            format!("{}:{}", self.server_name, self.listen.port())
        } else {
            self.listen.to_string()
        };
        format!(
            "# How `sojourn kdc` reaches the key distribution centre of {}.\n\
             endpoint = \"https://{host}\"\n\
             server_name = \"{}\"\n\
             ca = \"ca.pem\"\n\
             certificate = \"admin.pem\"\n\
             key = \"admin.key\"\n",
            self.realm, self.server_name,
        )
    }

    fn secret(&self, name: &str, text: &str) -> anyhow::Result<()> {
        Ok(secret_file::write_private(&self.directory.join(name), text.as_bytes())?)
    }

    fn public(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    fn tell(&self) {
        let path = |name: &str| Path::new(&self.directory).join(name).display().to_string();
        say(&format!("{} is ready. Next:", self.directory.display()));
        say(&format!("  kdc --config {}", path("kdc.toml")));
        say(&format!(
            "  kdc certificate --directory {} --role home-agent --name ha@{} --out DIR",
            self.directory.display(),
            self.realm
        ));
        say(&format!("  sojourn --profile {} kdc enrol …", path("admin.toml")));
    }
}

/// A line for the person at the terminal.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
