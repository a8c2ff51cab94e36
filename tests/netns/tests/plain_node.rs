//! Mobile nodes of another make, without our extensions, written in Python from the RFCs, at our real agents.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use netns_tests::{Testbed, text};
use serde_json::Value;

/// A Python that can run the node: it needs nothing that Python 3.11 has not.
fn python() -> Option<PathBuf> {
    let own = env::current_exe().unwrap();
    let installed = own.ancestors().nth(3)?.join("interop-venv/bin/python");
    let candidates = [installed, PathBuf::from("/usr/bin/python3")];
    let able = |python: &PathBuf| {
        Command::new(python).args(["-c", "import tomllib"]).output().is_ok_and(|out| out.status.success())
    };
    candidates.into_iter().find(able)
}

/// The network with one mobile node's place, in which nodes of another make are put.
struct World {
    testbed: Testbed,
    python: PathBuf,
}

impl World {
    fn up(python: PathBuf) -> Self {
        let testbed = Testbed::new().unwrap();
        testbed.run(&["up".as_ref(), Testbed::scenarios().join("10-walk.toml").as_os_str()]).unwrap();
        testbed.run(&["kill", "mn"]).unwrap();
        Self { testbed, python }
    }

    fn folder(&self, node: &str) -> PathBuf {
        self.testbed.runtime().join("sojourn-testbed/default/nodes").join(node)
    }

    fn move_to(&self, link: &str) {
        self.testbed.attempt(&["move", "mn", "--to", link]).unwrap();
        assert_eq!(self.testbed.node("mn").unwrap()["link"], link);
    }

    /// Makes a node known as an operator does; where its file is.
    fn enrol(&self, name: &str, home_address: &str, how: &[&str]) -> PathBuf {
        let file = self.folder("mn").join(format!("{name}.toml"));
        let nai = format!("{name}@home.example");
        let enrol = ["exec", "kdc", "--", "sojourn", "kdc", "enrol", &nai, "--home-address", home_address];
        let home = ["--home-prefix", "24", "--home-agent", "10.11.1.2", "--plain"];
        let out = ["--out", file.to_str().unwrap()];
        self.testbed.run(&[&enrol[..], &home, how, &out].concat()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        file
    }

    /// The foreign agent is told to serve them, and shares an association with the one at `home_address`.
    fn serve(&self, home_address: &str, key: &str) -> PathBuf {
        let folder = self.folder("fa-a");
        let file = folder.join("old.key");
        fs::write(&file, key).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let config = folder.join("foreign-agent.toml");
        let text = fs::read_to_string(&config).unwrap();
        let served = text.replacen("[registration]\n", "[registration]\nplain_nodes = true\n", 1);
        assert_ne!(served, text);
        let node = format!(
            "\n[[mobile_nodes]]\nhome_address = \"{home_address}\"\nspi = 700\nkey = \"old.key\"\nalgorithm = \"hmac-md5\"\n"
        );
        self.testbed.run(&["kill", "fa-a"]).unwrap();
        fs::write(&config, served + &node).unwrap();
        self.testbed.run(&["start", "fa-a"]).unwrap();
        file
    }

    /// One run of a node.
    fn node(&self, file: &Path, action: &str, options: &[&str]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/plain_node.py");
        let words = ["exec", "mn", "--"].map(PathBuf::from);
        let state = file.with_extension("json");
        let program = [self.python.clone(), script, file.to_owned(), state, "eth0".into(), action.into()];
        let options: Vec<_> = options.iter().map(PathBuf::from).collect();
        let said = self.testbed.run(&[&words[..], &program[..], &options].concat()).unwrap();
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("no answer: {said}"))
    }

    fn codes(&self, file: &Path, action: &str, options: &[&str]) -> Value {
        self.node(file, action, options)["codes"].clone()
    }

    /// What `sojourn` lists, each row by one of its fields.
    fn listed(&self, agent: &str, words: [&str; 2], field: &str) -> Vec<String> {
        let said = [&["exec", agent, "--", "sojourn", "--json"][..], &words].concat();
        let said = self.testbed.run(&said).unwrap();
        let values = serde_json::Deserializer::from_str(&said).into_iter::<Value>().map(Result::unwrap);
        let rows = values.flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value]));
        rows.map(|row| text(&row[field]).to_owned()).collect()
    }

    fn bindings(&self) -> Vec<String> {
        self.listed("ha", ["ha", "bindings"], "care_of")
    }

    fn visitors(&self) -> Vec<String> {
        self.listed("fa-a", ["fa", "visitors"], "home_address")
    }
}

fn list(codes: &[u8]) -> Value {
    codes.into()
}

#[test]
fn nodes_without_our_extensions_register_are_denied_and_leave() {
    let Some(python) = python() else {
        eprintln!(
            "SKIPPED: a plain mobile node in Python (no Python 3.11: see tests/interop/install-peers.sh)"
        );
        return;
    };
    let world = World::up(python);
    let time = world.enrol("old-time", "10.11.1.60", &[]);
    let nonce = world.enrol("old-nonce", "10.11.1.61", &["--nonces", "--md5"]);

    // No foreign agent serves them unless it is told to.
    world.move_to("visited-a");
    let infrastructure = ["--infrastructure"];
    assert_eq!(world.codes(&time, "register", &[]), list(&[105]));
    let key = world.serve("10.11.1.61", "000102030405060708090a0b0c0d0e0f");
    let associated = format!("700:hmac-md5:{}", key.display());
    let associated = ["--mn-fa", &associated];

    // Timestamps and HMAC-SHA-256, with 36 that no agent can check.
    let first = world.node(&time, "register", &infrastructure);
    assert_eq!((&first["code"], &first["lifetime"]), (&0.into(), &120.into()));
    assert_eq!(first["challenged_anew"], true);
    assert_eq!((world.bindings(), world.visitors()), (vec!["10.51.1.2".into()], vec!["10.11.1.60".into()]));
    assert_eq!(world.codes(&time, "spoil", &infrastructure), list(&[131]));
    let late = ["--infrastructure", "--clock=-3600", "--attempts=3"];
    assert_eq!(world.codes(&time, "register", &late), list(&[133, 0]));
    let named = world.node(&time, "register", &["--infrastructure", "--by-name", "--clock=-3600"]);
    assert_eq!((&named["code"], &named["nai"]), (&0.into(), &"old-time@home.example".into()));
    assert_eq!(world.codes(&time, "deregister", &["--infrastructure", "--clock=-3600"]), list(&[0]));
    assert!(world.bindings().is_empty() && world.visitors().is_empty());

    // Nonces, HMAC-MD5, and an association with the foreign agent, whose every answer it proves.
    assert_eq!(world.codes(&nonce, "register", &infrastructure), list(&[67]));
    assert_eq!(
        world.codes(&nonce, "register", &[&associated[..], &["--attempts=3"]].concat()),
        list(&[133, 0])
    );
    assert_eq!(world.codes(&nonce, "register", &associated), list(&[0]), "by the nonce of the last reply");
    assert_eq!(world.codes(&nonce, "spoil", &associated), list(&[131]));
    assert_eq!(world.visitors(), ["10.11.1.61"]);

    // With an address of its own behind address translation.
    world.move_to("visited-c");
    let own = ["--care-of", "192.168.77.10", "--gateway", "192.168.77.1"];
    assert_eq!(world.codes(&nonce, "register", &own), list(&[129]), "no way through the translation");
    let moved = world.node(&nonce, "register", &[&own[..], &["--udp"]].concat());
    assert_eq!((&moved["code"], &moved["udp"]), (&0.into(), &true.into()));
    assert_eq!(world.bindings(), ["192.168.77.10"]);

    // What was recorded on its way moves nothing, not even after the home agent was killed.
    assert_eq!(world.codes(&nonce, "replay", &own), list(&[133]));
    world.testbed.run(&["kill", "ha"]).unwrap();
    world.testbed.run(&["start", "ha"]).unwrap();
    assert_eq!(world.codes(&nonce, "replay", &own), list(&[133]));
    assert_eq!(world.bindings(), ["192.168.77.10"]);

    // And home again.
    world.move_to("home");
    let left = world.node(&nonce, "deregister", &["--at-home", "--attempts=2"]);
    assert_eq!((&left["code"], &left["lifetime"]), (&0.into(), &0.into()));
    assert!(world.bindings().is_empty());
    let told = world.listed("ha", ["ha", "events"], "kind");
    assert_eq!(told.iter().filter(|kind| *kind == "weak_algorithm").count(), 1);
}
