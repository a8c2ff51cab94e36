//! MIT krb5kdc without preauthentication, asked for tickets by a small generator with 64 requests on their way
//! (AS-REQ, RFC 4120 section 5.4.1).

use std::{
    fs,
    net::UdpSocket,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::lab;

const PORT: u16 = 31_088;
const REALM: &str = "BENCH.EXAMPLE";
const IN_FLIGHT: u32 = 64;
const LASTS: Duration = Duration::from_secs(3);
/// First octet of an AS-REP: application class, constructed, 11.
const AS_REP: u8 = 0x6b;

/// A centre of our own on loopback.
pub(crate) struct Kdc {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kdc {
    pub(crate) fn start() -> anyhow::Result<Self> {
        if fs::metadata("/usr/sbin/krb5kdc").is_err() {
            lab::needs("krb5kdc", "krb5-kdc")?;
        }
        if fs::metadata("/usr/sbin/kadmin.local").is_err() {
            lab::needs("kadmin.local", "krb5-admin-server")?;
        }
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        fs::write(
            folder.path().join("krb5.conf"),
            format!(
                "[libdefaults]\n default_realm = {REALM}\n[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{PORT}\n }}\n"
            ),
        )?;
        fs::write(
            folder.path().join("kdc.conf"),
            format!(
                "[kdcdefaults]\n kdc_listen = 127.0.0.1:{PORT}\n kdc_tcp_listen = \"\"\n[realms]\n {REALM} = {{\n  \
                database_name = {at}/principal\n  key_stash_file = {at}/stash\n  \
                supported_enctypes = aes256-cts-hmac-sha1-96:normal\n }}\n[logging]\n kdc = FILE:{at}/kdc.log\n"
            ),
        )?;
        let prepare = |program: &str, arguments: &[&str]| -> anyhow::Result<()> {
            let output = Self::command(program, folder.path()).args(arguments).output().context("krb5")?;
            ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
            Ok(())
        };
        prepare("/usr/sbin/kdb5_util", &["create", "-s", "-r", REALM, "-P", "bench"])?;
        let principal = format!("addprinc -pw secret -requires_preauth traveller@{REALM}");
        prepare("/usr/sbin/kadmin.local", &["-r", REALM, "-q", &principal])?;
        let child = Self::command("/usr/sbin/krb5kdc", folder.path()).arg("-n").spawn().context("krb5kdc")?;
        let kdc = Self { child, _folder: folder };
        let patience = Instant::now() + Duration::from_secs(10);
        while kdc.asked(1, Duration::ZERO).is_err() {
            ensure!(Instant::now() < patience, "krb5kdc does not answer");
        }
        Ok(kdc)
    }

    fn command(program: &str, folder: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KRB5_CONFIG", folder.join("krb5.conf"))
            .env("KRB5_KDC_PROFILE", folder.join("kdc.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Tickets a second.
    pub(crate) fn rate(&self) -> anyhow::Result<f64> {
        self.asked(IN_FLIGHT, LASTS)
    }

    fn asked(&self, in_flight: u32, lasts: Duration) -> anyhow::Result<f64> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(("127.0.0.1", PORT))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let start = Instant::now();
        // Never the same number twice, or answers would come out of its memory.
        let mut nonce = start.elapsed().subsec_nanos().wrapping_add(std::process::id().wrapping_mul(1000));
        let mut ask = || {
            nonce = nonce.wrapping_add(1) & 0x3fff_ffff;
            socket.send(&as_req(nonce))
        };
        for _ in 0..in_flight {
            ask()?;
        }
        let (mut buffer, mut done) = ([0; 4096], 0_u32);
        loop {
            let length = socket.recv(&mut buffer).context("krb5kdc stopped answering")?;
            ensure!(length > 0 && buffer[0] == AS_REP, "krb5kdc answered with an error");
            done += 1;
            if start.elapsed() >= lasts {
                return Ok(f64::from(done) / start.elapsed().as_secs_f64());
            }
            ask()?;
        }
    }
}

/// A value behind its tag and length (X.690 section 8.1).
fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
    out
}

/// Context tag `n` around a value.
fn field(n: u8, value: &[u8]) -> Vec<u8> {
    tagged(0xa0 | n, value)
}

fn integer(value: u32) -> Vec<u8> {
    tagged(0x02, &value.to_be_bytes())
}

fn name(kind: u32, parts: &[&str]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|part| tagged(0x1b, part.as_bytes())).collect();
    tagged(0x30, &[field(0, &integer(kind)), field(1, &tagged(0x30, &parts))].concat())
}

/// A request for a ticket-granting ticket, without preauthentication.
fn as_req(nonce: u32) -> Vec<u8> {
    const AES256_SHA1: u32 = 18;
    let body = [
        field(0, &tagged(0x03, &[0, 0, 0, 0, 0])),
        field(1, &name(1, &["traveller"])),
        field(2, &tagged(0x1b, REALM.as_bytes())),
        field(3, &name(2, &["krbtgt", REALM])),
        field(5, &tagged(0x18, b"20370101000000Z")),
        field(7, &integer(nonce)),
        field(8, &tagged(0x30, &integer(AES256_SHA1))),
    ];
    let request = [field(1, &integer(5)), field(2, &integer(10)), field(4, &tagged(0x30, &body.concat()))];
    tagged(0x6a, &tagged(0x30, &request.concat()))
}
