//! The real key distribution centre on one side; our line, the machine and a real store on the other.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use keystore::Store;
use mobility::home_agent::{Effect, HomeAgent};
use net::clock::Clock;
use proto::kdc::{
    EnrolSubscriberRequest, RotateRealmKeyRequest, RotateSubscriberRequest, kdc_admin_client::KdcAdminClient,
};
use record::State as Stored;
use sansio::{Input, Machine as _, Output};
use tempfile::TempDir;

use super::*;

/// How long anything may take that normally takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon stands beside the tests' folder; built if it is not there, as after `cargo test -p home-agent` alone.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(Path::parent).unwrap().join("kdc");
    if !program.is_file() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "kdc"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    program
}

struct Centre {
    folder: TempDir,
    serving: Child,
    endpoint: String,
}

impl Drop for Centre {
    fn drop(&mut self) {
        let _ = self.serving.kill();
        let _ = self.serving.wait();
    }
}

impl Centre {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("kdc");
        let run = |arguments: &[&str]| {
            let mut command = Command::new(program());
            command.arg(arguments[0]).arg("--directory").arg(&directory).args(&arguments[1..]);
            assert!(command.output().unwrap().status.success(), "{arguments:?}");
        };
        let name = "kdc.home.example";
        let listen = "127.0.0.1:0";
        let home_agent = "ha@home.example";
        run(&[
            "init",
            "--realm",
            "home.example",
            "--listen",
            listen,
            "--server-name",
            name,
            "--home-agent",
            home_agent,
        ]);
        let out = directory.to_str().unwrap();
        run(&["certificate", "--role", "home-agent", "--name", home_agent, "--out", out]);
        let mut command = Command::new(program());
        command
            .arg("--config")
            .arg(directory.join("kdc.toml"))
            .env_remove("SOJOURN_LOG")
            .stderr(Stdio::piped());
        let mut serving = command.spawn().unwrap();
        let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find_map(|line| line.split_once("ready address=").map(|(_, rest)| rest.to_owned()));
        let endpoint = format!("https://{}", ready.unwrap().split_whitespace().next().unwrap());
        std::thread::spawn(move || lines.for_each(drop));
        Self { folder, serving, endpoint }
    }

    fn file(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.folder.path().join("kdc").join(name.as_ref())
    }

    fn profile(&self, name: &str) -> Profile {
        Profile {
            endpoint: self.endpoint.clone(),
            server_name: "kdc.home.example".to_owned(),
            ca: self.file("ca.pem"),
            certificate: self.file(format!("{name}.pem")),
            key: self.file(format!("{name}.key")),
        }
    }

    fn admin(&self) -> KdcAdminClient<Channel> {
        KdcAdminClient::new(admin::client::channel(&self.profile("admin")).unwrap())
    }

    async fn enrol(&self, user: &str, last: u8) -> u64 {
        let request = EnrolSubscriberRequest {
            nai: format!("{user}@home.example"),
            home_address: format!("10.11.1.{last}"),
            home_prefix_length: 24,
            home_agent: "10.11.1.2".to_owned(),
            ..EnrolSubscriberRequest::default()
        };
        self.admin().enrol_subscriber(request).await.unwrap().into_inner().change
    }

    /// Takes over on the store at `path` until `enough` is acknowledged, then goes away.
    async fn taken_over(&self, path: &Path, enough: impl Fn(u64) -> bool) {
        let store = Store::open(path, Key::new([7; 32])).await.unwrap();
        let state = store.load().await.unwrap();
        let cursor = state.subscriber_cursor;
        let mut core = HomeAgent::new(configuration(self), [1; 32], state, Clock.now());
        let (to_core, mut requests) = mpsc::channel(64);
        let (acknowledge, acknowledged) = mpsc::unbounded_channel();
        let kdc = Kdc::new(&self.profile("ha@home.example")).unwrap();
        let line = tokio::spawn(kdc.follow(cursor, to_core, acknowledged, watch::channel(String::new()).0));
        let mut done = false;
        while !done {
            let request = tokio::time::timeout(PATIENCE, requests.recv()).await.unwrap().unwrap();
            core.handle(Input::Request(request), Clock.now());
            loop {
                match core.poll() {
                    Output::Effect(Effect::Persist { ticket, changes }) => {
                        let result = store.commit(changes).await;
                        core.handle(Input::Request(Request::Persisted { ticket, result }), Clock.now());
                    }
                    Output::Effect(Effect::Acknowledge(number)) => {
                        acknowledge.send(number).unwrap();
                        done = enough(number);
                    }
                    Output::Effect(_) | Output::Send(_) => {}
                    Output::Wait(_) => break,
                }
            }
        }
        line.abort();
        let _ = line.await;
        store.close().await;
    }
}

/// By the file that an operator would write, so that it has every key.
fn configuration(centre: &Centre) -> mobility::home_agent::Config {
    let path = centre.file("ha.toml");
    let text = "nai = \"ha@home.example\"\nrealm = \"home.example\"\naddress = \"10.11.1.2\"\nstate = \"ha.db\"\n\
        state_key = \"ha.kek\"\ntestbed = true\n[home_link]\ninterface = \"home0\"\nprefix = \"10.11.1.0/24\"\n\
        [admin]\nsocket = \"ha.sock\"\n[kdc]\nendpoint = \"https://127.0.0.1:1\"\nserver_name = \"kdc.home.example\"\n\
        ca = \"ca.pem\"\ncertificate = \"ha@home.example.pem\"\nkey = \"ha@home.example.key\"\n";
    fs::write(&path, text).unwrap();
    let config: crate::config::Config = daemon::config::load(&path).unwrap_or_else(|error| panic!("{error}"));
    config.core().unwrap()
}

/// Subscribers and keys of the realm as text: keys by fingerprint.
fn shown(state: &Stored) -> Vec<String> {
    let subscribers = state.subscribers.iter().map(|s| {
        let old =
            s.retiring.as_ref().map(|old| (old.key0.fingerprint_hex(), old.spi, old.generation, old.ends));
        let key0 = s.key0.fingerprint_hex();
        format!("{} {key0} {} {} {:?} {old:?}", s.nai, s.spi, s.generation, s.state)
    });
    let keys = state.realm_keys.iter();
    let keys = keys.map(|k| format!("{} {} {} {:?}", k.id, k.secret.fingerprint_hex(), k.made, k.ends));
    subscribers.chain(keys).collect()
}

#[tokio::test]
async fn after_any_absence_our_store_holds_what_the_centre_holds() {
    let mut centre = Centre::start();
    let path = centre.file("ha.db");
    let first = centre.enrol("traveller-one", 50).await;
    centre.taken_over(&path, |number| number >= first).await;

    // While we are away: KEY 0 twice, the realm's key so that one is gone that we know and one has an end.
    let rotation = |overlap_s| RotateSubscriberRequest {
        nai: "traveller-one@home.example".to_owned(),
        overlap_s,
        dry_run: false,
    };
    let mut admin = centre.admin();
    admin.rotate_subscriber(rotation(600)).await.unwrap();
    admin.rotate_subscriber(rotation(900)).await.unwrap();
    for overlap_s in [0, 600] {
        admin.rotate_realm_key(RotateRealmKeyRequest { overlap_s, dry_run: false }).await.unwrap();
    }
    let last = centre.enrol("traveller-two", 51).await;
    centre.taken_over(&path, |number| number >= last).await;

    let ours = Store::open(&path, Key::new([7; 32])).await.unwrap().load().await.unwrap();
    centre.serving.kill().unwrap();
    centre.serving.wait().unwrap();
    let kek = daemon::secret_file::read_key(&centre.file("kdc.kek")).unwrap();
    let theirs = Store::open(&centre.file("kdc.db"), Key::new(*kek.expose())).await.unwrap();
    let theirs = theirs.load().await.unwrap();
    assert_eq!(shown(&ours), shown(&theirs));
    assert_eq!((ours.subscribers.len(), ours.realm_keys.len()), (2, 2));
    assert_eq!(ours.subscribers[0].retiring.as_ref().unwrap().generation, 1);
}
