//! The configuration of a daemon that runs, read again: what has changed, and whether that may change now.

use std::{collections::BTreeMap, fmt::Display, fs, path::Path};

use super::{Collector, Config, ConfigError, Fault, locate::Document, parse};

/// A configuration that can be compared with the one in use.
pub trait Reloadable: Config + Send + 'static {
    /// Every key with its value, defaults too. What stands in a list of tables is one setting.
    fn settings(&self) -> Vec<Setting>;

    /// What to log, as after `--log`, if the file says so.
    fn log(&self) -> Option<&str>;

    /// The key `otlp`: where steps of registrations are collected, if anywhere.
    fn otlp(&self) -> Option<&Collector> {
        None
    }
}

/// A key and its value, in words for a person: never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Where it stands, as in `registration.max_lifetime` or `foreign_agents[1]`.
    key: String,
    /// What it is called in messages: the key, or the list and the name of its element.
    name: String,
    value: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed,
    Free,
    /// An element of a list that has a name: it may come, go and change.
    Element,
}

impl Setting {
    /// A key that holds from start to end.
    pub fn fixed(key: impl Into<String>, value: impl Display) -> Self {
        Self::of(key.into(), value, Kind::Fixed)
    }

    /// A key that may change while the daemon runs.
    pub fn free(key: impl Into<String>, value: impl Display) -> Self {
        Self::of(key.into(), value, Kind::Free)
    }

    /// Element `number` of a list of tables, known by its name wherever it stands; it may come, go and change. `value`
    /// is compared, and never shown.
    pub fn element(list: &str, number: usize, name: impl Display, value: impl Display) -> Self {
        let setting = Self::of(format!("{list}[{number}]"), value, Kind::Element);
        Self { name: format!("{list} {name}"), ..setting }
    }

    fn of(key: String, value: impl Display, kind: Kind) -> Self {
        Self { name: key.clone(), key, value: value.to_string(), kind }
    }

    /// The value of a key that may be left out.
    pub fn or_none(value: Option<impl Display>) -> String {
        value.map_or_else(|| "none".to_owned(), |value| value.to_string())
    }
}

/// A configuration that may take the place of the one in use.
#[derive(Debug)]
pub struct Reloaded<C> {
    /// The whole of it.
    pub config: C,
    /// Its settings.
    pub settings: Vec<Setting>,
    /// What is different, in words; empty if nothing is.
    pub changes: Vec<String>,
}

/// Reads the file at `path` again and compares it with the settings in use.
///
/// # Errors
/// As [`load`](super::load); and each key that has changed but cannot while the daemon runs, with the value that is
/// allowed.
pub fn reload<C: Reloadable>(path: &Path, running: &[Setting]) -> Result<Reloaded<C>, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    let config: C = parse(path, &text)?;
    let settings = config.settings();
    let before: BTreeMap<&str, &Setting> = running.iter().map(|it| (it.name.as_str(), it)).collect();
    let now: BTreeMap<&str, &Setting> = settings.iter().map(|it| (it.name.as_str(), it)).collect();
    let stands = |name: &str, value: &str| now.get(name).is_some_and(|it| it.value == value);
    let broken: Vec<&Setting> = running
        .iter()
        .filter(|old| old.kind == Kind::Fixed && !stands(&old.name, &old.value))
        .chain(settings.iter().filter(|it| it.kind == Kind::Fixed && !before.contains_key(it.name.as_str())))
        .collect();
    if !broken.is_empty() {
        return Err(refused(path, &text, &broken, &before));
    }
    let gone = running.iter().filter(|old| !now.contains_key(old.name.as_str()));
    let gone = gone.map(|old| format!("{}: removed", old.name));
    let changed = settings.iter().filter_map(|new| difference(new, before.get(new.name.as_str()).copied()));
    let changes = gone.chain(changed).collect();
    Ok(Reloaded { config, settings, changes })
}

fn difference(new: &Setting, old: Option<&Setting>) -> Option<String> {
    let Setting { name, value, .. } = new;
    match (old, new.kind) {
        (Some(old), _) if old.value == *value => None,
        (None, Kind::Element) => Some(format!("{name}: added")),
        (Some(_), Kind::Element) => Some(format!("{name}: changed")),
        (None, _) => Some(format!("{name}: {value}")),
        (Some(old), _) => Some(format!("{name}: {} -> {value}", old.value)),
    }
}

fn refused(path: &Path, text: &str, broken: &[&Setting], before: &BTreeMap<&str, &Setting>) -> ConfigError {
    let document = Document::parse(text).ok();
    let mut faults: Vec<Fault> = broken
        .iter()
        .map(|setting| {
            let at = document.as_ref().map(|document| document.position_of(&setting.key));
            let (line, column) = at.map_or((1, 1), |at| (at.line, at.column));
            let allowed = match before.get(setting.name.as_str()) {
                Some(old) => format!("only {} is allowed", old.value),
                None => "it may not be added".to_owned(),
            };
            let message =
                format!("cannot change while the daemon runs: {allowed}, anything else needs a restart");
            Fault { line, column, key: setting.key.clone(), message }
        })
        .collect();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    ConfigError::Wrong { path: path.to_owned(), faults }
}

/// Keys of the configuration `text` that no setting is for: for the tests of the daemons, so that none is forgotten.
/// Values are not checked.
#[must_use]
pub fn keys_without_setting<C: Reloadable>(text: &str) -> Vec<String> {
    let (document, config) = match (Document::parse(text), toml::from_str::<C>(text)) {
        (Ok(document), Ok(config)) => (document, config),
        (Err(error), _) | (_, Err(error)) => return vec![error.to_string()],
    };
    let settings = config.settings();
    let covered = |key: &String| {
        settings.iter().any(|it| {
            let rest = key.strip_prefix(&it.key);
            // A list of plain values is one setting.
            let plain = |rest: &str| rest.starts_with('[') && rest.ends_with(']');
            rest.is_some_and(|rest| {
                rest.is_empty() || plain(rest) || it.kind == Kind::Element && rest.starts_with('.')
            })
        })
    };
    document.leaves().into_iter().filter(|key| !covered(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Check, PathBuf};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        address: String,
        gateway: Option<String>,
        #[serde(default)]
        limit: u16,
        #[serde(default)]
        peers: Vec<Peer>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Peer {
        name: String,
        secret: String,
    }

    impl Config for Example {
        fn paths(&mut self) -> Vec<&mut PathBuf> {
            Vec::new()
        }

        fn validate(&self, check: &mut Check) {
            check.range("limit", self.limit, 0..=9);
        }
    }

    impl Reloadable for Example {
        fn settings(&self) -> Vec<Setting> {
            let mut settings = vec![
                Setting::fixed("address", &self.address),
                Setting::fixed("gateway", Setting::or_none(self.gateway.as_ref())),
                Setting::free("limit", self.limit),
            ];
            let peers = self.peers.iter().enumerate();
            settings.extend(peers.map(|(n, peer)| Setting::element("peers", n, &peer.name, &peer.secret)));
            settings
        }

        fn log(&self) -> Option<&str> {
            None
        }
    }

    const BEFORE: &str = "address = \"a\"\n[[peers]]\nname = \"x\"\nsecret = \"s1\"\n[[peers]]\nname = \"y\"\nsecret = \"s2\"\n";

    fn read_again(text: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        fs::write(&path, BEFORE).unwrap();
        let running = crate::config::load::<Example>(&path).unwrap().settings();
        fs::write(&path, text).unwrap();
        let again = reload::<Example>(&path, &running);
        again.map(|it| it.changes).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_new_is_no_change_wherever_it_stands() {
        assert_eq!(read_again(BEFORE).unwrap(), [""; 0]);
        let turned = "limit = 0\npeers = [{ name = \"y\", secret = \"s2\" }, { name = \"x\", secret = \"s1\" }]\naddress = \"a\"";
        assert_eq!(read_again(turned).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_different_is_said_without_secrets() {
        let text = "address = \"a\"\nlimit = 3\n[[peers]]\nname = \"y\"\nsecret = \"s3\"\n[[peers]]\nname = \"z\"\nsecret = \"s4\"";
        let changes = read_again(text).unwrap();
        assert_eq!(changes, ["peers x: removed", "limit: 0 -> 3", "peers y: changed", "peers z: added"]);
    }

    #[test]
    fn what_cannot_change_is_refused_by_line_and_key_with_what_is_allowed() {
        let refusal = read_again("limit = 3\naddress = \"b\"\ngateway = \"g\"\n").unwrap_err();
        let lines: Vec<&str> = refusal.lines().collect();
        assert!(
            lines[0].contains("x.toml:2:1: address: cannot change") && lines[0].contains("only a is allowed")
        );
        assert!(lines[1].contains("x.toml:3:1: gateway: cannot change") && lines[1].contains("only none"));
        assert_eq!(lines.len(), 2, "{refusal}");
    }

    #[test]
    fn a_wrong_file_is_told_as_at_the_start() {
        assert!(
            read_again("address = \"a\"\nlimit = 10")
                .unwrap_err()
                .contains("x.toml:2:1: limit: 10 is not allowed")
        );
    }

    #[test]
    fn a_forgotten_key_is_found() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(transparent)]
        struct Forgetful(Example);
        impl Config for Forgetful {
            fn paths(&mut self) -> Vec<&mut PathBuf> {
                Vec::new()
            }
            fn validate(&self, _: &mut Check) {}
        }
        impl Reloadable for Forgetful {
            fn settings(&self) -> Vec<Setting> {
                vec![Setting::element("peers", 0, &self.0.peers[0].name, "")]
            }
            fn log(&self) -> Option<&str> {
                None
            }
        }
        assert_eq!(keys_without_setting::<Example>(BEFORE), [""; 0]);
        let forgotten = keys_without_setting::<Forgetful>(BEFORE);
        assert_eq!(forgotten, ["address", "peers[1].name", "peers[1].secret"]);
    }
}
