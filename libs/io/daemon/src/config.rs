//! Configuration files: TOML, every key known, every value checked, every fault told with file, line, column,
//! key and what is allowed.
//!
//! A message never repeats a value that could be a secret, only what kind of value was found.

mod association;
mod explain;
mod locate;
mod own_group;
mod settings;
mod spoil;
mod types;

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use crate::secret_file::{self, SecretError};
pub use association::{
    AssociationNames, AssociationPolicy, Authentication, Group, GroupFault, GroupTest, Mode, OwnGroup, Serves,
};
use locate::{Document, Position};
pub use settings::{Reloadable, Reloaded, Setting, keys_without_setting, reload};
pub use spoil::{Spoiled, spoil};
pub use types::{
    AddressRange, AddressRangeError, AdminSection, Cipher, Collector, CollectorError, Encapsulation,
    Interface, InterfaceError, LogDirectives, Nai, NaiError, PathKind, Prefix, PrefixError, Realm,
    RealmError,
};

/// What a configuration file is read into: a struct with `#[serde(deny_unknown_fields)]`.
pub trait Config: DeserializeOwned {
    /// Every path in it; [`load`] makes the relative ones relative to the file's folder.
    fn paths(&mut self) -> Vec<&mut PathBuf>;

    /// Reports to `check` what the types alone cannot say. Runs when all paths are resolved.
    fn validate(&self, check: &mut Check);
}

/// One thing that is wrong, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, as in `registration.max_lifetime` or `foreign_agents[1].spi`, counted from 0.
    pub key: String,
    /// What is wrong and what is allowed, for a person.
    pub message: String,
}

/// Collects what is wrong with the values of a configuration.
#[derive(Debug, Default)]
pub struct Check {
    problems: Vec<Problem>,
}

impl Check {
    /// Says that the value of `key` is wrong.
    pub fn problem(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { key: key.into(), message: message.into() });
    }

    /// `value` must lie in `allowed`.
    pub fn range<T: PartialOrd + Display>(
        &mut self,
        key: impl Into<String>,
        value: T,
        allowed: RangeInclusive<T>,
    ) {
        if !allowed.contains(&value) {
            let (low, high) = (allowed.start(), allowed.end());
            self.problem(key, format!("{value} is not allowed: from {low} to {high}"));
        }
    }

    /// A key file must stand at `path`: 64 hex digits, for its owner alone.
    pub fn key_file(&mut self, key: impl Into<String>, path: &Path) {
        if let Err(error) = secret_file::read_key(path) {
            self.problem(key, error.to_string());
        }
    }

    /// The key of a mobile node of another make, 128 to 256 bits, must stand in the file at `path`.
    pub fn short_key_file(&mut self, key: impl Into<String>, path: &Path) {
        if let Err(error) = secret_file::read_short_key(path) {
            self.problem(key, error.to_string());
        }
    }

    /// A file that can be read must stand at `path`.
    pub fn readable(&mut self, key: impl Into<String>, path: &Path) {
        if let Err(error) = fs::File::open(path) {
            self.problem(key, format!("{}: {error}", path.display()));
        }
    }

    /// No value may stand twice; `values` are pairs of key and value in the order of the file.
    pub fn unique<T: Ord + Display>(&mut self, values: impl IntoIterator<Item = (String, T)>) {
        let mut seen = BTreeMap::new();
        for (key, value) in values {
            if let Some(first) = seen.get(&value) {
                self.problem(key, format!("{value} stands already at {first}"));
            } else {
                seen.insert(value, key);
            }
        }
    }

    /// What was reported.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file holds secrets and is not for its owner alone.
    #[error(transparent)]
    Private(#[from] SecretError),
    /// What is in it is wrong.
    #[error("{}", list(.path, .faults))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// At least one.
        faults: Vec<Fault>,
    },
}

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key; empty if the file as a whole is meant.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

fn list(path: &Path, faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect();
    lines.join("\n")
}

/// Reads and checks the configuration at `path`.
///
/// # Errors
/// Everything that [`Config::validate`] finds, or the first thing that stops the file from being understood.
pub fn load<C: Config>(path: &Path) -> Result<C, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    parse(path, &text)
}

/// As [`load`], for a file that holds secrets: it is refused if others than its owner may read it.
///
/// # Errors
/// As [`load`].
pub fn load_private<C: Config>(path: &Path) -> Result<C, ConfigError> {
    let text = secret_file::read_private(path).map_err(|error| match error {
        SecretError::Missing(path) => {
            ConfigError::Unreadable { path, reason: std::io::ErrorKind::NotFound.into() }
        }
        SecretError::Io { path, reason } => ConfigError::Unreadable { path, reason },
        other => ConfigError::Private(other),
    })?;
    parse(path, &text)
}

fn parse<C: Config>(path: &Path, text: &str) -> Result<C, ConfigError> {
    let wrong = |faults| ConfigError::Wrong { path: path.to_owned(), faults };
    let document = Document::parse(text).map_err(|error| {
        let at = Position::of(text, error.span().map_or(0, |span| span.start));
        wrong(vec![Fault {
            line: at.line,
            column: at.column,
            key: String::new(),
            message: explain::syntax(error.message()),
        }])
    })?;
    let mut config: C = toml::from_str(text).map_err(|error| wrong(vec![fault_of(&document, &error)]))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for path in config.paths() {
        *path = folder.join(&*path);
    }
    let mut check = Check::default();
    config.validate(&mut check);
    if check.problems.is_empty() {
        return Ok(config);
    }
    let mut faults: Vec<Fault> = check
        .problems
        .into_iter()
        .map(|problem| {
            let at = document.position_of(&problem.key);
            Fault { line: at.line, column: at.column, key: problem.key, message: problem.message }
        })
        .collect();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    Err(wrong(faults))
}

fn fault_of(document: &Document<'_>, error: &toml::de::Error) -> Fault {
    let span = error.span().unwrap_or_default();
    let at = document.position(span.start);
    let (mut key, mut message) = (document.key_at(&span), explain::value(error.message()));
    if let Some(name) = explain::missing(error.message()) {
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(name);
        message = "this key is missing".to_owned();
    }
    Fault { line: at.line, column: at.column, key, message }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[expect(dead_code, reason = "only its parsing matters")]
        address: Ipv4Addr,
        state: PathBuf,
        #[serde(default)]
        cipher: Cipher,
        registration: Registration,
        #[serde(default)]
        peers: Vec<Peer>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Registration {
        max_lifetime: u16,
        #[expect(dead_code, reason = "only its parsing matters")]
        prefix: Prefix,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Peer {
        nai: Nai,
        spi: u32,
    }

    impl Config for Example {
        fn paths(&mut self) -> Vec<&mut PathBuf> {
            vec![&mut self.state]
        }

        fn validate(&self, check: &mut Check) {
            check.range("registration.max_lifetime", self.registration.max_lifetime, 1..=65534);
            for (n, peer) in self.peers.iter().enumerate() {
                check.range(format!("peers[{n}].spi"), peer.spi, 256..=u32::MAX);
            }
            check.unique(
                self.peers.iter().enumerate().map(|(n, peer)| (format!("peers[{n}].nai"), peer.nai.clone())),
            );
        }
    }

    const GOOD: &str = r#"address = "10.11.1.2"
state = "ha.db"
cipher = "aes-128-gcm"

[registration]
max_lifetime = 600
prefix = "10.11.1.0/24"

[[peers]]
nai = "fa-a@visited-a.example"
spi = 1001

[[peers]]
nai = "fa-b@visited-b.example"
spi = 1002
"#;

    fn message(text: &str) -> String {
        match parse::<Example>(Path::new("/etc/ha.toml"), text) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    /// The complaint about [`GOOD`] with one line replaced.
    fn with(line: &str, replacement: &str) -> String {
        assert!(GOOD.contains(line));
        message(&GOOD.replace(line, replacement))
    }

    #[test]
    fn a_right_file_is_read_and_paths_are_resolved() {
        let config: Example = parse(Path::new("/etc/ha.toml"), GOOD).unwrap();
        assert_eq!(config.state, Path::new("/etc/ha.db"));
        assert_eq!(config.cipher, Cipher::Aes128Gcm);
        let config: Example = parse(Path::new("/etc/ha.toml"), &GOOD.replace("ha.db", "/var/ha.db")).unwrap();
        assert_eq!(config.state, Path::new("/var/ha.db"));
    }

    #[test]
    fn an_unknown_key_is_named_with_what_is_allowed() {
        let message = with("max_lifetime = 600", "max_lifetme = 600");
        assert_eq!(
            message,
            "/etc/ha.toml:6:1: registration.max_lifetme: this key is not known here: \
             did you mean max_lifetime? Allowed are: max_lifetime, prefix"
        );
    }

    #[test]
    fn a_missing_key_is_named_with_its_table() {
        let message = with("prefix = \"10.11.1.0/24\"\n", "");
        assert_eq!(message, "/etc/ha.toml:5:1: registration.prefix: this key is missing");
        let message = with("address = \"10.11.1.2\"\n", "");
        assert_eq!(message, "/etc/ha.toml:1:1: address: this key is missing");
        let message = with("spi = 1002\n", "");
        assert_eq!(message, "/etc/ha.toml:13:1: peers[1].spi: this key is missing");
    }

    #[test]
    fn a_wrong_type_says_what_is_expected_and_never_what_stood_there() {
        let message = with("max_lifetime = 600", "max_lifetime = \"soon\"");
        assert_eq!(
            message,
            "/etc/ha.toml:6:16: registration.max_lifetime: expected a whole number from 0 to 65535, found text"
        );
        let message = with("max_lifetime = 600", "max_lifetime = 70000");
        assert_eq!(
            message,
            "/etc/ha.toml:6:16: registration.max_lifetime: \
             expected a whole number from 0 to 65535, found a whole number"
        );
        let message = with("state = \"ha.db\"", "state = 7");
        assert_eq!(message, "/etc/ha.toml:2:9: state: expected a path in quotes, found a whole number");
    }

    #[test]
    fn addresses_prefixes_names_and_choices_have_their_own_words() {
        assert_eq!(
            with("\"10.11.1.2\"", "\"10.11.1\""),
            "/etc/ha.toml:1:11: address: expected an IPv4 address, as in \"10.11.1.2\""
        );
        let message = with("10.11.1.0/24", "10.11.1.5/24");
        assert!(message.starts_with("/etc/ha.toml:7:10: registration.prefix: "), "{message}");
        assert!(message.contains("10.11.1.0/24"), "{message}");
        let message = with("aes-128-gcm", "des");
        assert_eq!(
            message,
            "/etc/ha.toml:3:10: cipher: \"des\" is not allowed: aes-128-gcm, aes-256-gcm or chacha20-poly1305"
        );
        let message = with("fa-b@visited-b.example", "fa-b");
        assert!(message.starts_with("/etc/ha.toml:14:7: peers[1].nai: "), "{message}");
    }

    #[test]
    fn what_types_cannot_say_is_told_with_lines_all_at_once() {
        let text = GOOD.replace("max_lifetime = 600", "max_lifetime = 0").replace("spi = 1002", "spi = 255");
        assert_eq!(
            message(&text),
            "/etc/ha.toml:6:1: registration.max_lifetime: 0 is not allowed: from 1 to 65534\n\
             /etc/ha.toml:15:1: peers[1].spi: 255 is not allowed: from 256 to 4294967295"
        );
        assert_eq!(
            with("fa-b@visited-b.example", "fa-a@visited-a.example"),
            "/etc/ha.toml:14:1: peers[1].nai: fa-a@visited-a.example stands already at peers[0].nai"
        );
    }

    #[test]
    fn text_that_is_no_toml_is_told_with_its_place() {
        let message = with("max_lifetime = 600", "max_lifetime 600");
        assert!(message.starts_with("/etc/ha.toml:6:"), "{message}");
        let message = with("spi = 1001", "spi = 1001\nspi = 1003");
        assert!(message.starts_with("/etc/ha.toml:12:1: "), "{message}");
        assert!(message.contains("twice"), "{message}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load::<Example>(Path::new("/nowhere/ha.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/ha.toml: "), "{error}");
    }
}
