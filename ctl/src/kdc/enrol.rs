//! `sojourn kdc enrol`: the one command that receives a key, and puts it into a file for its owner alone.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::Args;
use daemon::{
    config::Nai,
    enrolment::{Enrolment, Numbers, Plain, RealmKey},
    secret_file::KeyBytes,
};
use proto::kdc::{self, EnrolSubscriberRequest};
use serde_json::json;

use super::{ANSWER, Client, done, show, within};
use crate::{failure::Failure, output::warn};

/// Whom to enrol.
#[derive(Args)]
pub(crate) struct Enrol {
    /// Name of the mobile node, as user@realm.
    nai: Nai,

    /// Its address at home, which it keeps wherever it goes. Without it the home agent gives it one at its first
    /// registration away from home, for good, if its configuration has registration.home_addresses.
    #[arg(long, value_name = "ADDRESS")]
    home_address: Option<Ipv4Addr>,

    /// Length of the home link's prefix in bits.
    #[arg(
        long,
        alias = "home-prefix-length",
        value_name = "BITS",
        value_parser = clap::value_parser!(u8).range(1..=32)
    )]
    home_prefix: u8,

    /// Address of its home agent.
    #[arg(long, value_name = "ADDRESS")]
    home_agent: Ipv4Addr,

    /// Router of the home link, if there is one.
    #[arg(long, value_name = "ADDRESS")]
    home_gateway: Option<Ipv4Addr>,

    /// What seals its identity.
    #[arg(long, value_enum, default_value_t = Cipher::Aes256Gcm)]
    cipher: Cipher,

    /// Longest registration lifetime in seconds; without it the home agent's own limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    max_lifetime: u16,

    /// It always names itself by the same index, which links its visits, instead of by one-time indices.
    #[arg(long)]
    static_spi: bool,

    /// It may register without key shares: whoever steals its key later opens what was recorded before.
    #[arg(long)]
    no_forward_secrecy: bool,

    /// It is of another make and does not know our extensions: it registers as RFC 5944 has it. Everybody on its way
    /// reads its home address and can follow it, nothing is sealed, and no keys are made. The file says at its top what
    /// to tell its software: index, algorithm, key, replay protection.
    #[arg(long, conflicts_with_all = ["cipher", "static_spi", "no_forward_secrecy"])]
    plain: bool,

    /// With --plain: replays are kept out by nonces instead of timestamps, for a node without a clock.
    #[arg(long, requires = "plain")]
    nonces: bool,

    /// With --plain: HMAC-MD5 with the first 128 bits of the key instead of HMAC-SHA-256 with all. Weak; only for nodes
    /// that know nothing else. The home agent logs its use.
    #[arg(long, requires = "plain")]
    md5: bool,

    /// Checks everything and changes nothing.
    #[arg(long)]
    dry_run: bool,

    /// The enrolment file to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Cipher {
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    #[value(name = "aes-128-gcm")]
    Aes128Gcm,
    #[value(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl Cipher {
    const fn to_schema(self) -> kdc::Cipher {
        match self {
            Self::Aes256Gcm => kdc::Cipher::Aes256Gcm,
            Self::Aes128Gcm => kdc::Cipher::Aes128Gcm,
            Self::ChaCha20Poly1305 => kdc::Cipher::Chacha20Poly1305,
        }
    }
}

impl Enrol {
    pub(super) async fn run(self, client: &mut Client, json: bool) -> Result<(), Failure> {
        check_place(&self.out)?;
        let request = EnrolSubscriberRequest {
            nai: self.nai.to_string(),
            home_address: self.home_address.map_or(String::new(), |it| it.to_string()),
            home_prefix_length: self.home_prefix.into(),
            home_gateway: self.home_gateway.map_or(String::new(), |it| it.to_string()),
            home_agent: self.home_agent.to_string(),
            cipher: self.cipher.to_schema().into(),
            max_lifetime_s: self.max_lifetime.into(),
            dry_run: self.dry_run,
            static_spi: self.static_spi,
            no_fs: self.no_forward_secrecy,
            plain: self.plain.then_some(kdc::Plain { nonces: self.nonces, md5: self.md5 }),
        };
        if self.plain {
            warn(
                "without our extensions this mobile node can be followed: replace its software when you can",
            );
        }
        if self.md5 {
            warn("HMAC-MD5 is weak: replace this mobile node's software when you can");
        }
        let reply = client.enrol_subscriber(within(ANSWER, request)).await;
        let reply = reply.map_err(|status| self.explain(status))?.into_inner();
        let file = self.out.display().to_string();
        if let Some(enrolment) = reply.enrolment {
            let written = write(enrolment, &self.out);
            let spi = written.map_err(|why| {
                Failure::Refused(format!(
                    "{nai} is enrolled, but its file could not be written ({why}): `sojourn kdc revoke {nai}` and enrol it again",
                    nai = self.nai
                ))
            })?;
            let who = show::taken_over(&reply.taken_over_by, &reply.not_yet_at);
            let how = match self.plain {
                true => "Tell its software what stands at the top of",
                false => "Bring to it",
            };
            let sentence = format!(
                "{} is enrolled with SPI {spi}. {how} {file}, and leave no copy behind.\n{who}",
                self.nai
            );
            let value = json!({
                "nai": self.nai.to_string(), "spi": spi, "file": file, "change": reply.change,
                "taken_over_by": reply.taken_over_by, "not_yet_at": reply.not_yet_at,
            });
            done(json, false, &sentence, value);
        } else {
            done(json, true, "", json!({ "nai": self.nai.to_string() }));
        }
        Ok(())
    }

    /// A lost answer leaves it open whether it was done.
    fn explain(&self, status: tonic::Status) -> Failure {
        let lost = matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled);
        match Failure::from(status) {
            Failure::Unreachable(why) if lost => Failure::Unreachable(format!(
                "{why}; `sojourn kdc show {nai}` tells whether it was enrolled; if so, revoke it and enrol it again",
                nai = self.nai
            )),
            other => other,
        }
    }
}

/// The place for a file is looked at first: after the change it would be too late.
pub(super) fn check_place(out: &Path) -> Result<(), Failure> {
    let refuse = |why: String| Err(Failure::Refused(format!("{}: {why}", out.display())));
    if out.exists() {
        return refuse("exists already and is not overwritten; nothing was changed".to_owned());
    }
    let folder = out.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // By doing it: permissions, read-only and full disks all show.
    let probe = folder.join(format!(".sojourn-enrol-{}", std::process::id()));
    let written = fs::write(&probe, [0; 4096]);
    let _ = fs::remove_file(&probe);
    written.or_else(|error| refuse(format!("{error}; nothing was changed")))
}

/// Writes the file of a mobile node; returns the index in it.
pub(super) fn write(enrolment: kdc::Enrolment, out: &Path) -> Result<u32, String> {
    let spi = enrolment.spi;
    file_of(enrolment)?.write(out).map_err(|error| error.to_string())?;
    Ok(spi)
}

/// The answer as a file. The message's own copy of the key is overwritten.
fn file_of(mut message: kdc::Enrolment) -> Result<Enrolment, String> {
    let cipher = message.cipher();
    let key0 = <[u8; 32]>::try_from(message.key0.as_slice()).map(KeyBytes::new);
    message.key0.fill(0);
    let address =
        |text: &str| text.parse::<Ipv4Addr>().map_err(|_| format!("the address {text:?} was answered"));
    Ok(Enrolment {
        nai: message.nai.parse().map_err(|error| format!("{error}"))?,
        home_realm: message.home_realm.parse().map_err(|error| format!("{error}"))?,
        home_address: match message.home_address.as_str() {
            "" => None,
            text => Some(address(text)?),
        },
        home_prefix_length: u8::try_from(message.home_prefix_length).map_err(|error| error.to_string())?,
        home_gateway: match message.home_gateway.as_str() {
            "" => None,
            text => Some(address(text)?),
        },
        home_agent: address(&message.home_agent)?,
        spi: message.spi,
        cipher: match cipher {
            kdc::Cipher::Aes128Gcm => daemon::config::Cipher::Aes128Gcm,
            kdc::Cipher::Chacha20Poly1305 => daemon::config::Cipher::ChaCha20Poly1305,
            kdc::Cipher::Aes256Gcm | kdc::Cipher::Unspecified => daemon::config::Cipher::Aes256Gcm,
        },
        key0: key0.map_err(|_| "a key that has not 32 bytes was answered".to_owned())?,
        vendor: message.vendor,
        numbers: Numbers::Vendor,
        one_time: message.one_time,
        no_fs: message.no_fs,
        generation: message.generation,
        realm_keys: message.realm_keys.iter().map(realm_key).collect::<Result<_, _>>()?,
        plain: message.plain.map(|plain| Plain { nonces: plain.nonces, md5: plain.md5 }),
    })
}

/// A key of the realm for the file.
pub(super) fn realm_key(message: &kdc::RealmPublicKey) -> Result<RealmKey, String> {
    let public = message.public.as_slice().try_into();
    let public = public.map_err(|_| "a key of the realm that has not 32 bytes was answered".to_owned())?;
    Ok(RealmKey { id: message.id, public })
}
