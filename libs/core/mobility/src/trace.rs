//! The name of one registration in everybody's log.
//!
//! Mobile node, foreign agent, home agent and key distribution centre each know it without being told by another: it is
//! a digest of the lower half of the request's identification, which every reply repeats (RFC 5944 section 5.7). A new
//! request has a new, random one, so two registrations of a mobile node have nothing in common; whoever sees the
//! messages could compute it, and learns nothing by that. No secret goes into it.

use std::fmt;

use wire::mip::registration::Identification;

/// 16 octets, shown as 32 hexadecimal digits, the form that trace stores take.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trace(pub [u8; 16]);

impl Trace {
    /// Of the registration whose request, or reply, has this identification.
    #[must_use]
    pub fn of(identification: Identification) -> Self {
        let digest = crypto::digest(&[b"sojourn trace", &identification.low().to_be_bytes()]);
        let mut name = [0; 16];
        name.copy_from_slice(&digest[..16]);
        Self(name)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_every_reply_to_it_have_one_name() {
        let request = Identification::new(4_000_000_000, 77);
        // Code 133 puts the home agent's time into the upper half.
        let corrected = Identification::new(4_000_000_100, 77);
        assert_eq!(Trace::of(request), Trace::of(corrected));
        assert_eq!(Trace::of(request).to_string().len(), 32);
        assert_eq!(Trace([1; 16]).to_string(), "01".repeat(16));
    }

    #[test]
    fn another_request_has_another_name() {
        let at = |low| Trace::of(Identification::new(4_000_000_000, low)).0;
        let same = at(77).iter().zip(at(78)).filter(|(a, b)| **a == *b).count();
        assert!(same < 8, "{same} of 16 octets are the same");
    }
}
