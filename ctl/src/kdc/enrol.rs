//! `sojourn kdc enrol`: the one command that receives a key, and puts it into a file for its owner alone.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use clap::Args;
use daemon::{
    config::Nai,
    enrolment::{Enrolment, Numbers},
    secret_file::KeyBytes,
};
use proto::kdc::{self, EnrolSubscriberRequest};
use serde_json::json;

use super::{ANSWER, Client, done, show, within};
use crate::failure::Failure;

/// Whom to enrol.
#[derive(Args)]
pub(crate) struct Enrol {
    /// Name of the mobile node, as user@realm.
    nai: Nai,

    /// Its address at home, which it keeps wherever it goes.
    #[arg(long, value_name = "ADDRESS")]
    home_address: Ipv4Addr,

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
        self.check_place()?;
        let request = EnrolSubscriberRequest {
            nai: self.nai.to_string(),
            home_address: self.home_address.to_string(),
            home_prefix_length: self.home_prefix.into(),
            home_gateway: self.home_gateway.map_or(String::new(), |it| it.to_string()),
            home_agent: self.home_agent.to_string(),
            cipher: self.cipher.to_schema().into(),
            max_lifetime_s: self.max_lifetime.into(),
            dry_run: self.dry_run,
        };
        let reply = client.enrol_subscriber(within(ANSWER, request)).await;
        let reply = reply.map_err(|status| self.explain(status))?.into_inner();
        let file = self.out.display().to_string();
        if let Some(enrolment) = reply.enrolment {
            let spi = enrolment.spi;
            let written = file_of(enrolment).and_then(|it| it.write(&self.out).map_err(|e| e.to_string()));
            written.map_err(|why| {
                Failure::Refused(format!(
                    "{nai} is enrolled, but its file could not be written ({why}): `sojourn kdc revoke {nai}` and enrol it again",
                    nai = self.nai
                ))
            })?;
            let who = show::taken_over(&reply.taken_over_by, &reply.not_yet_at);
            let sentence = format!(
                "{} is enrolled with SPI {spi}. Bring {file} to it, and leave no copy behind.\n{who}",
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

    /// The place for the file is looked at first: after the enrolment it would be too late.
    fn check_place(&self) -> Result<(), Failure> {
        let refuse = |why: String| Err(Failure::Refused(format!("{}: {why}", self.out.display())));
        if self.out.exists() {
            return refuse("exists already and is not overwritten; nothing was changed".to_owned());
        }
        let folder = self.out.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(std::path::Path::new("."));
        // By doing it: permissions, read-only and full disks all show.
        let probe = folder.join(format!(".sojourn-enrol-{}", std::process::id()));
        let written = fs::write(&probe, [0; 4096]);
        let _ = fs::remove_file(&probe);
        written.or_else(|error| refuse(format!("{error}; nothing was changed")))
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
        home_address: address(&message.home_address)?,
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
    })
}
