//! A key distribution centre of one's own: made by `kdc init` in a temporary folder, served by the real binary.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use admin::client::Profile;
use proto::kdc::{
    EnrolSubscriberReply, EnrolSubscriberRequest, IssueKeysRequest, RegisterHomeAgentRequest, Spis,
    kdc_admin_client::KdcAdminClient, key_distribution_client::KeyDistributionClient,
};
use tempfile::TempDir;
use tonic::{Status, transport::Channel};

pub(crate) const REALM: &str = "home.example";
pub(crate) const SERVER: &str = "kdc.home.example";
pub(crate) const HOME_AGENT: &str = "ha@home.example";
pub(crate) const FOREIGN_AGENT: &str = "fa-a@visited-a.example";

pub(crate) type Admin = KdcAdminClient<Channel>;
pub(crate) type Distribution = KeyDistributionClient<Channel>;

/// How long anything may take that normally takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `kdc` to its end.
pub(crate) fn kdc<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kdc")).args(arguments).env_remove("SOJOURN_LOG").output().unwrap()
}

/// The folder that `kdc init` made, and certificates for callers.
pub(crate) struct Installation {
    folder: TempDir,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let made = kdc([
            OsStr::new("init"),
            OsStr::new("--directory"),
            this.directory().as_os_str(),
            OsStr::new("--realm"),
            OsStr::new(REALM),
            OsStr::new("--listen"),
            OsStr::new("127.0.0.1:0"),
            OsStr::new("--server-name"),
            OsStr::new(SERVER),
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("kdc")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Issues a client certificate with `kdc certificate`.
    pub(crate) fn certificate(&self, role: &str, name: &str) -> Holder {
        let folder = self.folder.path().join("certificates");
        let made = kdc([
            OsStr::new("certificate"),
            OsStr::new("--directory"),
            self.directory().as_os_str(),
            OsStr::new("--role"),
            OsStr::new(role),
            OsStr::new("--name"),
            OsStr::new(name),
            OsStr::new("--out"),
            folder.as_os_str(),
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Holder {
            ca: folder.join("ca.pem"),
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        }
    }

    /// The administrator that `kdc init` made.
    pub(crate) fn administrator(&self) -> Holder {
        Holder { ca: self.file("ca.pem"), certificate: self.file("admin.pem"), key: self.file("admin.key") }
    }

    /// Serves, as a person would start it.
    pub(crate) fn start(&self) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kdc"));
        command.arg("--config").arg(self.file("kdc.toml"));
        Server::spawn(command)
    }
}

/// The files of a certificate holder.
pub(crate) struct Holder {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A serving process; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts `command` and waits until it says that it is ready.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.env_remove("SOJOURN_LOG").args(["--log", "debug"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let (ready_to, ready) = mpsc::channel();
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("ready address=") {
                    let _ = ready_to.send(rest.split_whitespace().next().unwrap_or_default().to_owned());
                }
                let mut log = lines.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        match ready.recv_timeout(PATIENCE) {
            Ok(address) => Self { child, address, log },
            Err(_) => {
                let _ = child.kill();
                panic!("it did not get ready:\n{}", log.lock().unwrap());
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A connection of its own for `holder`.
    pub(crate) fn channel(&self, holder: &Holder) -> Channel {
        let profile = Profile {
            endpoint: format!("https://{}", self.address),
            server_name: SERVER.to_owned(),
            ca: holder.ca.clone(),
            certificate: holder.certificate.clone(),
            key: holder.key.clone(),
        };
        admin::client::channel(&profile).unwrap()
    }

    pub(crate) fn admin(&self, holder: &Holder) -> Admin {
        Admin::new(self.channel(holder))
    }

    pub(crate) fn distribution(&self, holder: &Holder) -> Distribution {
        Distribution::new(self.channel(holder))
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Enrols `user`@home.example at 10.11.1.`last`.
pub(crate) async fn enrol(admin: &mut Admin, user: &str, last: u8) -> Result<EnrolSubscriberReply, Status> {
    admin.enrol_subscriber(enrolment(user, last)).await.map(tonic::Response::into_inner)
}

pub(crate) fn enrolment(user: &str, last: u8) -> EnrolSubscriberRequest {
    EnrolSubscriberRequest {
        nai: format!("{user}@{REALM}"),
        home_address: format!("10.11.1.{last}"),
        home_prefix_length: 24,
        home_gateway: "10.11.1.1".to_owned(),
        home_agent: "10.11.1.2".to_owned(),
        ..EnrolSubscriberRequest::default()
    }
}

pub(crate) async fn register(admin: &mut Admin, name: &str, address: &str) {
    let request =
        RegisterHomeAgentRequest { name: name.to_owned(), address: address.to_owned(), dry_run: false };
    admin.register_home_agent(request).await.unwrap();
}

/// Keys for `user`@home.example through [`FOREIGN_AGENT`]; `number` makes the request another one.
pub(crate) fn issue(user: &str, number: u32) -> IssueKeysRequest {
    let mut request_id = vec![0; 16];
    request_id[..4].copy_from_slice(&number.to_be_bytes());
    let spis = |first, second| Some(Spis { first, second });
    IssueKeysRequest {
        seeded: vec![],
        request_id,
        trace: vec![7; 16],
        subscriber: format!("{user}@{REALM}"),
        foreign_agent: FOREIGN_AGENT.to_owned(),
        care_of: "10.51.1.2".to_owned(),
        lifetime_s: 600,
        key1: spis(1001, 1002),
        key2: spis(2001, 2002),
        key3: spis(3001, 3002),
    }
}

/// Every item of a stream that ends.
pub(crate) async fn all<T>(reply: Result<tonic::Response<tonic::Streaming<T>>, Status>) -> Vec<T> {
    let mut stream = reply.unwrap().into_inner();
    let mut items = Vec::new();
    while let Some(item) = stream.message().await.unwrap() {
        items.push(item);
    }
    items
}

/// True if `text` shows `key` in a way that a careless log line would.
pub(crate) fn shows(text: &str, key: &[u8]) -> bool {
    let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
    let list = format!("{key:?}");
    text.to_lowercase().contains(&hex) || text.contains(list.trim_matches(['[', ']']))
}

/// Permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
