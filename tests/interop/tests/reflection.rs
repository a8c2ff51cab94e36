//! A key distribution centre explains itself to a client that has never seen its schema: grpcio with its
//! reflection, from Python, by the certificate of a role.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

const SERVER: &str = "kdc.home.example";

/// The daemon in the folder that cargo builds into; built if it is not there.
fn program() -> PathBuf {
    // This test stands in `deps` of that folder.
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
    serving: Child,
    address: String,
    folder: tempfile::TempDir,
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
        let mut init = Command::new(program());
        init.arg("init").arg("--directory").arg(&directory).args(["--realm", "home.example"]);
        init.args(["--listen", "127.0.0.1:0", "--server-name", SERVER, "--home-agent", "ha@home.example"]);
        assert!(init.output().unwrap().status.success());
        let mut command = Command::new(program());
        command.arg("--config").arg(directory.join("kdc.toml")).stderr(Stdio::piped());
        let mut serving = command.spawn().unwrap();
        let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ready = |line: String| line.split_once("ready address=").map(|(_, rest)| rest.to_owned());
        let ready = lines.find_map(ready).unwrap();
        let address = ready.split_whitespace().next().unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { serving, address, folder }
    }

    /// What the Python client finds as the holder of a certificate.
    fn explore(&self, python: &Path, certificate: &Path, key: &Path) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reflection/client.py");
        let mut client = Command::new(python);
        client.arg(script).args([&self.address, SERVER]);
        client.arg(self.folder.path().join("kdc/ca.pem")).arg(certificate).arg(key);
        let output = client.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn auditor(&self) -> (PathBuf, PathBuf) {
        let out = self.folder.path().join("auditor");
        let mut issue = Command::new(program());
        issue.arg("certificate").arg("--directory").arg(self.folder.path().join("kdc"));
        issue.args(["--role", "auditor", "--name", "ann", "--out"]).arg(&out);
        assert!(issue.output().unwrap().status.success());
        (out.join("ann.pem"), out.join("ann.key"))
    }
}

#[test]
fn a_reflection_client_from_outside_finds_and_calls_every_service() {
    let Some(python) = interop_tests::python() else {
        return;
    };
    let centre = Centre::start();
    let installed = centre.folder.path().join("kdc");
    let found = centre.explore(&python, &installed.join("admin.pem"), &installed.join("admin.key"));
    let services: Vec<&str> =
        found["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for service in ["grpc.health.v1.Health", "sojourn.kdc.v1.KdcAdmin", "sojourn.kdc.v1.KeyDistribution"] {
        assert!(services.contains(&service), "{services:?}");
    }
    assert_eq!(found["methods"]["sojourn.kdc.v1.KdcAdmin"].as_array().unwrap().len(), 15);
    assert_eq!(found["methods"]["sojourn.kdc.v1.KeyDistribution"].as_array().unwrap().len(), 4);
    assert_eq!(found["home_agents"]["replies"][0]["name"], "ha@home.example");
    assert_eq!(found["registered"]["replies"][0], serde_json::json!({}));
    assert_eq!(found["health"]["replies"][0]["status"], "SERVING");

    // An auditor sees the same and may change nothing.
    let (certificate, key) = centre.auditor();
    let found = centre.explore(&python, &certificate, &key);
    assert_eq!(found["home_agents"]["replies"].as_array().unwrap().len(), 2);
    assert_eq!(found["registered"]["code"], "PERMISSION_DENIED");
    let told = found["registered"]["message"].as_str().unwrap();
    assert!(told.contains("administrator") && told.contains("auditor"), "{told}");
}
