//! The small certificate authority of one realm: ECDSA with P-256, a root that signs leaves only, roles in the
//! organizational unit of the subject (RFC 5280).

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use daemon::{config::Nai, secret_file};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use x509_cert::{Certificate, der::DecodePem as _};

use crate::{config::KdcConfig, init::say};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ten years, and a little over two for leaves, which must be issued anew before they end.
const ROOT_DAYS: u32 = 3650;
const LEAF_DAYS: u32 = 825;
/// A certificate is valid a day before it was made, so that a slow clock at the other end does no harm.
const BACKDATED: Duration = DAY;
/// The longest common name (RFC 5280 appendix A.1).
const COMMON_NAME: usize = 64;

/// Certificate and private key in PEM form.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The certificate authority of a realm.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new one, and its private key in PEM form.
    pub(crate) fn create(realm: &str) -> anyhow::Result<(Self, String)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = root_params(realm);
        let certificate = params.self_signed(&key)?.pem();
        let pem = key.serialize_pem();
        Ok((Self { issuer: Issuer::new(params, key), certificate }, pem))
    }

    /// The one that `init` made in a folder.
    fn open(certificate: &Path, key: &Path, realm: &str) -> anyhow::Result<Self> {
        let pem = fs::read_to_string(certificate).with_context(|| certificate.display().to_string())?;
        let secret = secret_file::read_private(key).with_context(|| key.display().to_string())?;
        let key_pair =
            KeyPair::from_pem(&secret).with_context(|| format!("{}: no private key", key.display()))?;
        let parsed = Certificate::from_pem(pem.as_bytes())
            .with_context(|| format!("{}: no certificate", certificate.display()))?;
        let of_certificate =
            parsed.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
        ensure!(
            of_certificate == key_pair.public_key_raw(),
            "{} is not the private key of {}",
            key.display(),
            certificate.display()
        );
        ensure!(
            parsed.tbs_certificate().subject().to_string() == format!("CN={}", root_name(realm)),
            "{} was not made by `kdc init` for {realm}: issue certificates where it was made",
            certificate.display()
        );
        Ok(Self { issuer: Issuer::new(root_params(realm), key_pair), certificate: pem })
    }

    /// The root certificate in PEM form.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for the key distribution centre itself.
    pub(crate) fn server(&self, server_name: &str, address: IpAddr) -> anyhow::Result<Pem> {
        let mut params = CertificateParams::new([server_name.to_owned()])
            .with_context(|| format!("{server_name:?} is no host name"))?;
        if !address.is_unspecified() {
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, server_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A certificate for a caller.
    pub(crate) fn client(&self, role: admin::Role, name: &str) -> anyhow::Result<Pem> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationalUnitName, role.as_str());
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> anyhow::Result<Pem> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, LEAF_DAYS);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pem { certificate, key: key.serialize_pem() })
    }
}

fn root_name(realm: &str) -> String {
    let name = format!("Key distribution of {realm}");
    name.chars().take(COMMON_NAME).collect()
}

fn root_params(realm: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, root_name(realm));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, ROOT_DAYS);
    params
}

fn set_validity(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
}

/// Arguments of `kdc certificate`.
#[derive(clap::Args)]
pub(crate) struct Issue {
    /// Folder that `kdc init` made.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// What the holder may do.
    #[arg(long, value_enum)]
    role: RoleName,
    /// Name of the holder: for a home agent its NAI.
    #[arg(long)]
    name: String,
    /// Folder for NAME.pem, NAME.key and ca.pem; made if it is not there.
    #[arg(long, value_name = "DIR2")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum RoleName {
    HomeAgent,
    Administrator,
    Auditor,
}

impl Issue {
    /// Issues one client certificate.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let role = match self.role {
            RoleName::HomeAgent => admin::Role::HomeAgent,
            RoleName::Administrator => admin::Role::Administrator,
            RoleName::Auditor => admin::Role::Auditor,
        };
        let config = self.directory.join("kdc.toml");
        let config: KdcConfig = daemon::config::load(&config)?;
        check_name(role, &self.name, config.realm.as_str())?;
        let authority =
            Authority::open(&config.tls.ca, &self.directory.join("ca.key"), config.realm.as_str())?;
        let pem = authority.client(role, &self.name)?;
        let file = |ending: &str| self.out.join(format!("{}.{ending}", self.name));
        let (certificate, key) = (file("pem"), file("key"));
        for taken in [&certificate, &key] {
            ensure!(!taken.exists(), "{} exists already and is not overwritten", taken.display());
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.out)
            .with_context(|| self.out.display().to_string())?;
        secret_file::write_private(&key, pem.key.as_bytes())?;
        fs::write(&certificate, pem.certificate).with_context(|| certificate.display().to_string())?;
        let ca = self.out.join("ca.pem");
        fs::write(&ca, authority.certificate()).with_context(|| ca.display().to_string())?;
        say(&format!(
            "{}: certificate of {} with the role {}, valid for {LEAF_DAYS} days",
            certificate.display(),
            self.name,
            role.as_str()
        ));
        Ok(())
    }
}

/// The name becomes a common name and two file names.
fn check_name(role: admin::Role, name: &str, realm: &str) -> anyhow::Result<()> {
    ensure!(
        (1..=COMMON_NAME).contains(&name.len()),
        "the name has {} bytes; from 1 to {COMMON_NAME} fit into a certificate",
        name.len()
    );
    ensure!(
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b)) && !name.starts_with('.'),
        "{name:?} is refused: letters, digits and @ . _ + - make a name, and no dot begins it"
    );
    if role == admin::Role::HomeAgent {
        let nai: Nai =
            name.parse().with_context(|| format!("a home agent's name is its NAI, not {name:?}"))?;
        if nai.realm() != realm {
            bail!("the home agent {name} is not in this realm: {realm} is expected after the @");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_or_the_realm_are_refused() {
        let check = |role, name: &str| check_name(role, name, "home.example");
        assert!(check(admin::Role::Administrator, "alice").is_ok());
        assert!(check(admin::Role::HomeAgent, "ha@home.example").is_ok());
        for name in ["", "../alice", "a/b", ".ca", "a b", "a\nb", &"a".repeat(65)] {
            assert!(check(admin::Role::Administrator, name).is_err(), "{name:?}");
        }
        for name in ["ha", "ha@other.example", "@home.example"] {
            assert!(check(admin::Role::HomeAgent, name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_authority_is_opened_again_only_with_its_own_key_and_realm() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            secret_file::write_private(&path, text.as_bytes()).unwrap();
            path
        };
        let (authority, key) = Authority::create("home.example").unwrap();
        let (_, other_key) = Authority::create("home.example").unwrap();
        let (ca, key) = (write("ca.pem", authority.certificate()), write("ca.key", &key));
        assert!(Authority::open(&ca, &key, "home.example").is_ok());
        assert!(Authority::open(&ca, &write("other.key", &other_key), "home.example").is_err());
        assert!(Authority::open(&ca, &key, "else.example").is_err());
    }
}
