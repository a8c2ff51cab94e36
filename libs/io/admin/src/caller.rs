//! Who calls, by the verified client certificate: the organizational unit of its subject is the role, the
//! common name is the caller's name.

use std::fmt;

use tonic::{Request, Status};
use x509_cert::{
    Certificate,
    attr::AttributeTypeAndValue,
    der::{
        Decode as _,
        asn1::{ObjectIdentifier, PrintableStringRef, Utf8StringRef},
    },
};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes over subscribers and asks for keys.
    HomeAgent,
    /// Changes subscribers, associations and home agents.
    Administrator,
    /// Reads everything that an administrator sees.
    Auditor,
}

impl Role {
    /// The organizational unit that says so.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HomeAgent => "home-agent",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
        }
    }

    /// The role that an organizational unit says.
    #[must_use]
    pub fn from_unit(unit: &str) -> Option<Self> {
        [Self::HomeAgent, Self::Administrator, Self::Auditor].into_iter().find(|role| role.as_str() == unit)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The holder of a certificate that the certificate authority of the realm issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `None` if the certificate names no role, an unknown one or several.
    pub role: Option<Role>,
    /// The common name; empty if there is not exactly one.
    pub name: String,
}

impl Caller {
    /// Reads a certificate in DER form, whose signature has been verified before.
    pub(crate) fn of_certificate(der: &[u8]) -> Self {
        let Ok(certificate) = Certificate::from_der(der) else {
            return Self { role: None, name: String::new() };
        };
        let subject = certificate.tbs_certificate().subject();
        let unit = only(subject.iter(), ORGANIZATIONAL_UNIT);
        Self {
            role: unit.as_deref().and_then(Role::from_unit),
            name: only(subject.iter(), COMMON_NAME).unwrap_or_default(),
        }
    }

    /// The caller's role if it is one of `allowed`.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, naming the roles that may and the one the caller has.
    pub fn require(&self, allowed: &[Role]) -> Result<Role, Status> {
        if let Some(role) = self.role
            && allowed.contains(&role)
        {
            return Ok(role);
        }
        let allowed: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
        let held = self.role.map_or("no role", Role::as_str);
        Err(Status::permission_denied(format!(
            "this needs a certificate with the role {}; the certificate of {:?} has {held}",
            allowed.join(" or "),
            self.name
        )))
    }
}

/// The only value of an attribute; `None` if there are none or several, so that nobody can hide one.
fn only<'a>(
    attributes: impl Iterator<Item = &'a AttributeTypeAndValue>,
    oid: ObjectIdentifier,
) -> Option<String> {
    let mut values = attributes.filter(|attribute| attribute.oid == oid);
    let attribute = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let value = &attribute.value;
    let text = Utf8StringRef::try_from(value)
        .map(|text| text.as_str().to_owned())
        .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned()));
    text.ok()
}

/// Who sent `request`.
///
/// # Errors
/// `UNAUTHENTICATED` if it did not come through [`tls::Server`](crate::tls::Server).
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Status::unauthenticated("this needs a client certificate"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn of(subject: &[(DnType, &str)]) -> Caller {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            parameters.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Caller::of_certificate(certificate.der())
    }

    #[test]
    fn unit_and_common_name_say_who_it_is() {
        let caller =
            of(&[(DnType::OrganizationalUnitName, "home-agent"), (DnType::CommonName, "ha@home.example")]);
        assert_eq!(caller, Caller { role: Some(Role::HomeAgent), name: "ha@home.example".to_owned() });
    }

    #[test]
    fn other_units_give_no_role() {
        for unit in ["", "Administrator", "administrator ", "root", "home-agent,administrator"] {
            assert_eq!(of(&[(DnType::OrganizationalUnitName, unit)]).role, None, "{unit:?}");
        }
        assert_eq!(of(&[(DnType::CommonName, "administrator")]).role, None);
        assert_eq!(of(&[(DnType::OrganizationName, "administrator")]).role, None);
    }

    #[test]
    fn what_is_no_certificate_gives_no_role() {
        assert_eq!(Caller::of_certificate(b"nonsense"), Caller { role: None, name: String::new() });
    }

    #[test]
    fn a_refusal_names_both_roles() {
        let caller = Caller { role: Some(Role::Auditor), name: "eve".to_owned() };
        assert_eq!(caller.require(&[Role::Administrator, Role::Auditor]).unwrap(), Role::Auditor);
        let refusal = caller.require(&[Role::Administrator]).unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::PermissionDenied);
        for word in ["administrator", "auditor", "eve"] {
            assert!(refusal.message().contains(word), "{}", refusal.message());
        }
    }

    #[test]
    fn a_request_that_came_another_way_has_no_caller() {
        assert_eq!(caller(&Request::new(())).unwrap_err().code(), tonic::Code::Unauthenticated);
    }
}
