//! `kdc.toml`.

use std::{net::SocketAddr, path::PathBuf};

use daemon::config::{Check, Collector, Config, LogDirectives, Realm, Reloadable, Setting};
use serde::Deserialize;

/// The vendor number of examples (RFC 5612), for testbeds only.
pub(crate) const EXAMPLE_VENDOR: u32 = 32473;

/// The configuration of a key distribution centre.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KdcConfig {
    /// The realm whose mobile nodes and home agents it serves.
    pub(crate) realm: Realm,
    /// Where gRPC is offered.
    pub(crate) listen: SocketAddr,
    /// SQLite file.
    pub(crate) state: PathBuf,
    /// The key-encryption key: 64 hex digits, for its owner alone.
    pub(crate) state_key: PathBuf,
    /// What to log, where the command line does not say.
    #[serde(default)]
    pub(crate) log: Option<LogDirectives>,
    /// Where programs watch it over HTTP.
    #[serde(default)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Where steps of registrations are collected.
    #[serde(default)]
    pub(crate) otlp: Option<Collector>,
    /// Allows the vendor number of examples.
    #[serde(default)]
    pub(crate) testbed: bool,
    /// Private enterprise number of our extensions, told to mobile nodes at enrolment.
    #[serde(default = "example_vendor")]
    pub(crate) vendor: u32,
    pub(crate) tls: Tls,
}

/// PEM files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate authority of all client certificates.
    pub(crate) ca: PathBuf,
    /// Our certificate.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

const fn example_vendor() -> u32 {
    EXAMPLE_VENDOR
}

impl Config for KdcConfig {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let Tls { ca, certificate, key } = &mut self.tls;
        vec![&mut self.state, &mut self.state_key, ca, certificate, key]
    }

    fn validate(&self, check: &mut Check) {
        if let Err(why) = lower_case(&self.realm) {
            check.problem("realm", why);
        }
        if self.vendor == 0 || self.vendor > 0xff_ffff {
            check.problem("vendor", "a private enterprise number is from 1 to 16777215");
        } else if self.vendor == EXAMPLE_VENDOR && !self.testbed {
            check.problem(
                "vendor",
                format!("{EXAMPLE_VENDOR} is for examples: set your own number, or testbed = true"),
            );
        }
        check.key_file("state_key", &self.state_key);
        check.readable("tls.ca", &self.tls.ca);
        check.readable("tls.certificate", &self.tls.certificate);
        check.readable("tls.key", &self.tls.key);
    }
}

impl Reloadable for KdcConfig {
    fn settings(&self) -> Vec<Setting> {
        let Tls { ca, certificate, key } = &self.tls;
        vec![
            Setting::fixed("realm", &self.realm),
            Setting::fixed("listen", self.listen),
            Setting::fixed("state", self.state.display()),
            Setting::fixed("state_key", self.state_key.display()),
            Setting::free("log", Setting::or_none(Reloadable::log(self))),
            Setting::fixed("metrics", Setting::or_none(self.metrics)),
            Setting::fixed("otlp", Setting::or_none(self.otlp.as_ref())),
            Setting::free("testbed", self.testbed),
            Setting::free("vendor", self.vendor),
            Setting::free("tls.ca", ca.display()),
            Setting::free("tls.certificate", certificate.display()),
            Setting::free("tls.key", key.display()),
        ]
    }

    fn log(&self) -> Option<&str> {
        self.log.as_ref().map(LogDirectives::as_str)
    }

    fn otlp(&self) -> Option<&Collector> {
        self.otlp.as_ref()
    }
}

impl KdcConfig {
    /// The files of the server.
    pub(crate) fn files(&self) -> admin::tls::Files {
        let Tls { ca, certificate, key } = &self.tls;
        admin::tls::Files { ca: ca.clone(), certificate: certificate.clone(), key: key.clone() }
    }
}

/// Names are compared byte by byte, so a realm has one spelling only.
pub(crate) fn lower_case(realm: &Realm) -> Result<(), String> {
    if realm.as_str().bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("write it in lower case: {}", realm.as_str().to_ascii_lowercase()));
    }
    Ok(())
}
