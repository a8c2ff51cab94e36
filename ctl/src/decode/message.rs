//! Messages of UDP port 434: their fixed parts, and what disagrees between their extensions.

use mobility::Trace;
use wire::{
    Error,
    mip::{
        extension,
        notice::{self, Notice},
        part::Parts,
        registration::{self, Identification, Reply, Request},
        revocation::{self, Acknowledgement, Message, Revocation},
        share::Cookie,
        tunnel_data,
    },
};

use super::{extension as extensions, page::Page};

/// Draws the payload of a datagram. `from` says where it was found, or nothing.
pub(super) fn draw(payload: &[u8], from: &str, page: &mut Page) {
    let kind = payload.first().copied();
    let title = match kind {
        Some(registration::REQUEST) => "registration request",
        Some(registration::REPLY) => "registration reply",
        Some(registration::TUNNEL_DATA) => "tunnel data",
        Some(revocation::REVOCATION) => "registration revocation",
        Some(revocation::ACKNOWLEDGEMENT) => "revocation acknowledgement",
        Some(notice::NOTICE) => "renewal notice",
        _ => "no message of Mobile IP",
    };
    page.message(format_args!("{from}{title}, {} bytes", payload.len()));
    let fixed = match kind {
        Some(registration::REQUEST) => request(payload, page),
        Some(registration::REPLY) => reply(payload, page),
        Some(revocation::REVOCATION) => revoke(payload, page),
        Some(revocation::ACKNOWLEDGEMENT) => acknowledge(payload, page),
        Some(notice::NOTICE) => noticed(payload, page),
        Some(registration::TUNNEL_DATA) => tunnel(payload, page),
        Some(other) => {
            let known = "1, 3, 4, 7, 15 and 255 are messages of Mobile IP";
            return page.fault(0, format_args!("type {other}, where {known}"));
        }
        None => Err(Error::Truncated),
    };
    match fixed {
        Ok(0) => {}
        Ok(fixed) => {
            extensions::draw_all(payload, fixed, page);
            if !page.is_faulty() {
                whole(payload, kind, fixed, page);
            }
        }
        // What is too short for its fixed part lacks the byte behind its last one.
        Err(Error::Truncated) => page.fault(payload.len(), Error::Truncated),
        Err(error) => page.fault(0, error),
    }
}

fn request(payload: &[u8], page: &mut Page) -> Result<usize, Error> {
    let request = Request::parse(payload)?;
    page.field(0, format_args!("flags {:?}, lifetime {} s", request.flags, request.lifetime));
    page.field(4, format_args!("home address {}", request.home_address));
    page.field(8, format_args!("home agent {}", request.home_agent));
    page.field(12, format_args!("care-of address {}", request.care_of));
    page.field(16, identification(request.identification));
    Ok(Request::LEN)
}

fn reply(payload: &[u8], page: &mut Page) -> Result<usize, Error> {
    let reply = Reply::parse(payload)?;
    page.field(0, format_args!("{}, lifetime {} s", reply.code, reply.lifetime));
    page.field(4, format_args!("home address {}", reply.home_address));
    page.field(8, format_args!("home agent {}", reply.home_agent));
    page.field(12, identification(reply.identification));
    Ok(Reply::LEN)
}

/// With the name that the registration has in every log.
fn identification(identification: Identification) -> String {
    format!("identification {:016x}, trace {}", identification.0, Trace::of(identification))
}

fn revoke(payload: &[u8], page: &mut Page) -> Result<usize, Error> {
    let revocation = Revocation::parse(payload)?;
    let flag = |set: bool, letter| if set { letter } else { '-' };
    let flags = [flag(revocation.from_home, 'A'), flag(revocation.inform, 'I')];
    page.field(0, format_args!("flags {}", flags.iter().collect::<String>()));
    page.field(4, format_args!("home address {}", revocation.home_address));
    page.field(8, format_args!("home agent {}", revocation.home_agent));
    page.field(12, format_args!("care-of address {}", revocation.care_of));
    page.field(16, format_args!("identifier {:08x}", revocation.identifier));
    Ok(Revocation::LEN)
}

fn acknowledge(payload: &[u8], page: &mut Page) -> Result<usize, Error> {
    let acknowledgement = Acknowledgement::parse(payload)?;
    page.field(0, format_args!("flags {}", if acknowledgement.inform { 'I' } else { '-' }));
    page.field(4, format_args!("home address {}", acknowledgement.home_address));
    page.field(8, format_args!("identifier {:08x}", acknowledgement.identifier));
    Ok(Acknowledgement::LEN)
}

fn noticed(payload: &[u8], page: &mut Page) -> Result<usize, Error> {
    let Notice { vendor, home_agent, care_of } = notice::Message::parse(payload)?.notice;
    page.field(0, format_args!("an experiment (RFC 4064): the registration is to be renewed"));
    page.field(4, format_args!("enterprise {vendor}"));
    page.field(8, format_args!("home agent {home_agent}"));
    page.field(12, format_args!("care-of address {care_of}"));
    Ok(Notice::LEN)
}

/// There is nothing behind it but a packet.
fn tunnel(payload: &[u8], page: &mut Page) -> Result<usize, Error> {
    let data = tunnel_data::TunnelData::parse(payload)?;
    page.field(0, format_args!("next header {}, packet of {} bytes", data.next_header.0, data.packet.len()));
    Ok(0)
}

/// Judges order and repetition, once every extension by itself is right.
fn whole(payload: &[u8], kind: Option<u8>, fixed: usize, page: &mut Page) {
    let vendor = page.vendor;
    let registration = matches!(kind, Some(registration::REQUEST | registration::REPLY));
    if kind == Some(registration::REPLY) && !has_mobile_home(payload, fixed) {
        let why = match Cookie::alone_in(payload, vendor) {
            Some(_) => "asks for a cookie",
            None => "nothing in it is authenticated by the home agent",
        };
        return page.below(why);
    }
    let judge = |bytes: &[u8]| {
        if registration {
            Parts::parse(bytes, fixed, vendor).map(drop)
        } else {
            Message::parse(bytes, fixed, vendor).map(drop)
        }
    };
    if let Err(error) = judge(payload) {
        page.fault(culprit(payload, fixed, error, judge), error);
    }
}

fn has_mobile_home(payload: &[u8], fixed: usize) -> bool {
    extension::each(payload, fixed)
        .is_ok_and(|mut walk| walk.any(|e| e.is_ok_and(|e| e.kind == extension::MN_HA_AUTHENTICATION)))
}

/// The place of the last extension without which the message would be right; of the end where something is missing or
/// left over.
fn culprit(payload: &[u8], fixed: usize, error: Error, judge: impl Fn(&[u8]) -> Result<(), Error>) -> usize {
    let found = extension::walk(payload, fixed).unwrap_or_default();
    if error == Error::Trailing {
        return found.last().map_or(fixed, extension::Extension::end);
    }
    let without = |from: usize, to: usize| [&payload[..from], &payload[to..]].concat();
    let guilty = found.iter().rev().find(|e| judge(&without(e.offset, e.end())).is_ok());
    // Where more than one is wrong no single one cures it.
    let named = || found.iter().rev().find(|e| error == Error::Misplaced(e.kind));
    guilty.or_else(named).map_or(payload.len(), |e| e.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENDOR: u32 = 32473;

    fn drawn(payload: &[u8]) -> Page {
        let mut page = Page::new(VENDOR);
        draw(payload, "", &mut page);
        page
    }

    fn request_with(extensions: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![0; Request::LEN];
        message[0] = registration::REQUEST;
        extensions.iter().for_each(|e| message.extend(*e));
        message
    }

    fn authentication(kind: u8) -> Vec<u8> {
        [&[kind, 36, 0, 0, 4, 0][..], &[7; 32]].concat()
    }

    fn place_of_fault(payload: &[u8]) -> usize {
        let text = drawn(payload).text();
        let line = text.lines().find(|line| line.contains("MALFORMED")).unwrap_or_else(|| panic!("{text}"));
        line.trim_start().split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_repeated_misplaced_or_missing_has_its_place() {
        let (home, foreign, agents) = (authentication(32), authentication(33), authentication(34));
        let nai = &[131, 2, b'@', b'a'][..];
        assert!(!drawn(&request_with(&[nai, &home, &foreign])).is_faulty());
        // The later of two, 33 before 32, behind 34, no 32 at all.
        assert_eq!(place_of_fault(&request_with(&[nai, nai, &home])), 28);
        assert_eq!(place_of_fault(&request_with(&[&foreign, nai, &home])), 24);
        assert_eq!(place_of_fault(&request_with(&[&home, &agents, &[200, 0]])), 24 + 76);
        assert_eq!(place_of_fault(&request_with(&[&home, &agents, &[0]])), 24 + 76);
        assert_eq!(place_of_fault(&request_with(&[nai])), 28);
        // Two things at once.
        assert_eq!(place_of_fault(&request_with(&[nai, nai, &home, &foreign, &foreign])), 28);
    }

    #[test]
    fn broken_framing_has_its_place_behind_padding() {
        assert_eq!(place_of_fault(&request_with(&[&[131, 1, b'@', 0, 0, 99, 0]])), 24 + 5);
        assert_eq!(place_of_fault(&request_with(&[&[131, 9, b'@']])), 24);
        assert_eq!(place_of_fault(&request_with(&[])[..20]), 20);
        assert_eq!(place_of_fault(&[]), 0);
        assert_eq!(place_of_fault(&[99, 1, 2]), 0);
    }

    #[test]
    fn replies_without_authentication_are_drawn() {
        let mut reply = vec![0; Reply::LEN];
        (reply[0], reply[1]) = (registration::REPLY, 78);
        let page = drawn(&reply);
        assert!(!page.is_faulty());
        let text = page.text();
        assert!(text.contains("code 78: foreign agent: home agent did not answer in time"), "{text}");
        assert!(text.contains("nothing in it is authenticated by the home agent"), "{text}");
    }

    #[test]
    fn a_terminal_is_told_nothing_by_a_name() {
        let text = drawn(&request_with(&[b"\x83\x05@\x1b[2J", &authentication(32)])).text();
        assert!(text.contains("131, NAI: @\\u{1b}[2J"), "{text}");
    }

    #[test]
    fn extensions_of_another_enterprise_and_unknown_ones_are_sizes() {
        let other = [38, 0, 0, 9, 0, 0, 0, 9, 0, 5, 1, 2, 3];
        let page = drawn(&request_with(&[&other, &[200, 1, 9], &authentication(32)]));
        assert!(!page.is_faulty());
        let text = page.text();
        assert!(text.contains("    24  38 of enterprise 9, sub-type 5: 3 bytes"), "{text}");
        assert!(text.contains("200, not known here, may be skipped: 1 bytes"), "{text}");
    }
}
