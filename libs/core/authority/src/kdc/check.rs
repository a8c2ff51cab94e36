//! Checks of what people and home agents send in.

use std::{net::Ipv4Addr, sync::Arc};

use record::{Nai, NaiError};

use super::Refusal;

/// The longest name of an agent in bytes: what a certificate's common name holds (RFC 5280 appendix A.1).
const AGENT_NAME: usize = 64;
/// The longest reason in bytes.
const REASON: usize = 200;

/// A subscriber's or home agent's identifier in `realm`.
pub(super) fn own_nai(what: &'static str, text: &str, realm: &str) -> Result<Nai, Refusal> {
    let nai = any_nai(what, text)?;
    // RFC 7542 section 2.2: dots stand between something.
    if nai.user().split('.').any(str::is_empty) {
        return Err(Refusal::Nai { what, text: shortened(text, 80), why: NaiError::Form });
    }
    if nai.realm() == realm { Ok(nai) } else { Err(Refusal::Realm { nai, realm: realm.to_owned() }) }
}

/// An agent's identifier in any realm.
pub(super) fn agent_name(what: &'static str, text: &str) -> Result<(), Refusal> {
    Nai::check(text).map_err(|why| Refusal::Nai { what, text: shortened(text, 80), why })?;
    if text.len() > AGENT_NAME {
        return Err(Refusal::AgentName(text.to_owned(), text.len(), what));
    }
    Ok(())
}

pub(super) fn any_nai(what: &'static str, text: &str) -> Result<Nai, Refusal> {
    Nai::parse(text).map_err(|why| Refusal::Nai { what, text: shortened(text, 80), why })
}

/// An address that one host can have.
pub(super) fn host(what: &'static str, text: &str) -> Result<Ipv4Addr, Refusal> {
    let refuse = |why| Refusal::Address { what, text: shortened(text, 40), why };
    let address: Ipv4Addr =
        text.parse().map_err(|_| refuse("an IPv4 address such as 10.11.1.50 is expected"))?;
    match address.octets()[0] {
        0 => Err(refuse("addresses that begin with 0 belong to no host")),
        127 => Err(refuse("it is a loopback address")),
        224..=255 => Err(refuse("it is a multicast, reserved or broadcast address")),
        _ => Ok(address),
    }
}

/// Home address, its prefix length and its router, which must fit each other.
pub(super) fn home(address: Ipv4Addr, length: u32, gateway: Option<Ipv4Addr>) -> Result<u8, Refusal> {
    let bits =
        u8::try_from(length).ok().filter(|b| (1..=32).contains(b)).ok_or(Refusal::PrefixLength(length))?;
    let mask = u32::MAX << (32 - u32::from(bits));
    let of_link = |what, address: Ipv4Addr| {
        let refuse = |why| Err(Refusal::Address { what, text: address.to_string(), why });
        match address.to_bits() & !mask {
            0 if bits < 31 => refuse("it is the home link's own number, the first address of the prefix"),
            rest if rest == !mask && bits < 31 => refuse("it is the home link's broadcast address"),
            _ => Ok(()),
        }
    };
    of_link("home address", address)?;
    let Some(gateway) = gateway else { return Ok(bits) };
    of_link("home gateway", gateway)?;
    let refuse = |why| Err(Refusal::Address { what: "home gateway", text: gateway.to_string(), why });
    if gateway == address {
        return refuse("it is the home address itself");
    }
    if gateway.to_bits() & mask != address.to_bits() & mask {
        return refuse("it is not on the home link of the home address");
    }
    Ok(bits)
}

/// The reason that a person gives.
pub(super) fn reason(text: &str) -> Result<(), Refusal> {
    if text.len() > REASON { Err(Refusal::Reason(text.len())) } else { Ok(()) }
}

/// At most `limit` characters of `text`, without control characters: fit for a log and an audit trail.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    // Nearly every text, and as many octets as characters at most.
    if is_fit(text, limit) {
        return text.to_owned();
    }
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(limit).map(clean).collect();
    if text.chars().nth(limit).is_some() {
        short.push('…');
    }
    short
}

/// The same of a shared text, which stays shared if nothing has to be left out.
pub(super) fn shortened_shared(text: &Arc<str>, limit: usize) -> Arc<str> {
    if is_fit(text, limit) { Arc::clone(text) } else { shortened(text, limit).into() }
}

fn is_fit(text: &str, limit: usize) -> bool {
    text.len() <= limit && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_host_can_have_are_refused() {
        for text in
            ["", "10.11.1", "10.11.1.256", "0.0.0.1", "127.0.0.1", "224.0.0.11", "255.255.255.255", "::1"]
        {
            assert!(host("home address", text).is_err(), "{text}");
        }
        assert_eq!(host("home address", "10.11.1.50"), Ok(Ipv4Addr::new(10, 11, 1, 50)));
    }

    #[test]
    fn home_link_must_fit() {
        let at = |last| Ipv4Addr::new(10, 11, 1, last);
        assert_eq!(home(at(50), 24, Some(at(1))), Ok(24));
        assert_eq!(home(at(50), 32, None), Ok(32));
        assert_eq!(home(at(50), 31, Some(at(51))), Ok(31));
        assert_eq!(home(at(50), 0, None), Err(Refusal::PrefixLength(0)));
        assert_eq!(home(at(50), 33, None), Err(Refusal::PrefixLength(33)));
        for (address, gateway) in [(0, 1), (255, 1), (50, 0), (50, 255), (50, 50)] {
            assert!(home(at(address), 24, Some(at(gateway))).is_err(), "{address} {gateway}");
        }
        assert!(home(at(50), 24, Some(Ipv4Addr::new(10, 11, 2, 1))).is_err());
    }

    #[test]
    fn long_and_unprintable_texts_are_cut_and_cleaned() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "abc…");
        assert_eq!(shortened("a\n\u{1b}[2J", 9), "a\u{fffd}\u{fffd}[2J");
        assert_eq!(shortened("\u{e4}\u{f6}\u{fc}\u{7f}", 3), "\u{e4}\u{f6}\u{fc}…");
        let text: Arc<str> = "abc".into();
        assert!(Arc::ptr_eq(&shortened_shared(&text, 3), &text));
        assert_eq!(&*shortened_shared(&text, 2), "ab…");
    }
}
