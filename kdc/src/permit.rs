//! Who may call a method, by the role in the client certificate. Every refusal is in the audit trail.

use admin::Role;
use authority::{Ask, Caller};
use tonic::{Request, Status};

use crate::desk::Desk;

/// The caller, if its role is one of `allowed`; `method` is for the audit trail.
///
/// # Errors
/// `PERMISSION_DENIED` with the roles that may, `UNAUTHENTICATED` without a certificate.
pub(crate) async fn permit<T>(
    desk: &Desk,
    request: &Request<T>,
    method: &str,
    allowed: &[Role],
) -> Result<Caller, Status> {
    let holder = admin::caller(request)?;
    let role = holder.role.map_or("no role", Role::as_str).into();
    let caller = Caller { name: holder.name.as_str().into(), role };
    let refusal = match holder.require(allowed) {
        Err(refusal) => refusal,
        // Without a name nobody could be held to what is done.
        Ok(_) if caller.name.is_empty() => {
            Status::permission_denied("the certificate must have exactly one common name")
        }
        Ok(_) => return Ok(caller),
    };
    tracing::warn!(name = &*caller.name, role = &*caller.role, "{method} refused: {}", refusal.message());
    desk.events().push("refused", &caller.name, &format!("{method}: {}", refusal.message()));
    let ask = Ask::Refuse { action: method.to_owned(), why: refusal.message().to_owned() };
    // It is refused whether or not the entry can be written.
    let _ = desk.ask(caller, ask).await;
    Err(refusal)
}
