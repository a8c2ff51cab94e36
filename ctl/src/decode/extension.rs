//! The extensions of a registration message or revocation, one line each.

use wire::{
    Error, Reader,
    mip::{
        Spi,
        extension::{self, Extension, UdpTunnelReply, UdpTunnelRequest},
        ours::{self, AgentHeard, ErrorDetail, Handle, Numbers, Ours, Protected, Subtype},
        revocation::{self, Support},
        share::{Cookie, KeyShare},
    },
    negotiation::Negotiation,
};

use super::{
    negotiation,
    page::{Page, hex, shown},
};

/// Draws what follows the fixed part of `fixed` bytes, as far as its framing is whole.
pub(super) fn draw_all(message: &[u8], fixed: usize, page: &mut Page) {
    let mut end = fixed;
    let walk = match extension::each(message, fixed) {
        Ok(walk) => walk,
        Err(error) => return page.fault(0, error),
    };
    for step in walk {
        match step {
            Ok(e) => {
                end = e.end();
                draw(&e, page);
            }
            Err(error) => {
                let padding = message[end..].iter().take_while(|byte| **byte == 0).count();
                page.fault(end + padding, error);
            }
        }
    }
}

fn draw(e: &Extension<'_>, page: &mut Page) {
    let ours = match ours::parse(e) {
        Ok(ours) => ours,
        Err(error) => return page.fault(e.offset, error),
    };
    if let Some(ours) = ours {
        return draw_vendor(e, &ours, page);
    }
    let sort = if e.kind == extension::GENERALIZED_AUTHENTICATION {
        format!(" sub-type {}", e.subtype)
    } else {
        String::new()
    };
    match standard(e) {
        Ok(content) => page.field(e.offset, format_args!("{}{sort}, {}: {content}", e.kind, name(e.kind))),
        Err(error) => page.fault(e.offset, format_args!("{}{sort}, {}: {error}", e.kind, name(e.kind))),
    }
}

/// What a type is called.
const fn name(kind: u8) -> &'static str {
    match kind {
        extension::MN_HA_AUTHENTICATION => "mobile-home authentication",
        extension::MN_FA_AUTHENTICATION => "mobile-foreign authentication",
        extension::FA_HA_AUTHENTICATION => "foreign-home authentication",
        extension::GENERALIZED_AUTHENTICATION => "generalized authentication",
        extension::UDP_TUNNEL_REQUEST => "UDP tunnel request",
        extension::UDP_TUNNEL_REPLY => "UDP tunnel reply",
        extension::DELIVERY_STYLE => "encapsulating delivery",
        extension::MN_NAI => "NAI",
        extension::MN_FA_CHALLENGE => "challenge",
        revocation::SUPPORT => "revocation support",
        _ => "not known here, may be skipped",
    }
}

fn standard(e: &Extension<'_>) -> Result<String, Error> {
    let flag = |set: bool, letter: &str| if set { format!("{letter}, ") } else { String::new() };
    Ok(match e.kind {
        extension::MN_HA_AUTHENTICATION
        | extension::MN_FA_AUTHENTICATION
        | extension::FA_HA_AUTHENTICATION
        | extension::GENERALIZED_AUTHENTICATION => {
            let authentication = e.authentication()?;
            format!("SPI {}, {} bytes", authentication.spi, authentication.authenticator.len())
        }
        extension::UDP_TUNNEL_REQUEST => {
            let r = UdpTunnelRequest::parse(e.data)?;
            let flags = flag(r.forced, "F") + &flag(r.through_foreign_agent, "R");
            format!("{flags}encapsulation {}", r.encapsulation)
        }
        extension::UDP_TUNNEL_REPLY => {
            let r = UdpTunnelReply::parse(e.data)?;
            format!("{}code {}, keepalive {} s", flag(r.forced, "F"), r.code, r.keepalive)
        }
        extension::DELIVERY_STYLE if !e.data.is_empty() => {
            return Err(Error::Value("delivery style with data"));
        }
        extension::MN_NAI => shown(e.data),
        extension::MN_FA_CHALLENGE => hex(e.data),
        revocation::SUPPORT => {
            let support = Support::parse(e.data)?;
            format!("{}time {}", flag(support.inform, "I"), support.timestamp)
        }
        _ => format!("{} bytes", e.data.len()),
    })
}

fn draw_vendor(e: &Extension<'_>, ours: &Ours<'_>, page: &mut Page) {
    let (at, number, size) = (e.offset, ours.subtype.0, ours.body.len());
    if let Numbers::Vendor(vendor) = ours.numbers
        && vendor != page.vendor
    {
        return page.field(at, format_args!("38 of enterprise {vendor}, sub-type {number}: {size} bytes"));
    }
    let title = format!("{} sub-type {number}, {}", e.kind, ours.subtype.meaning());
    match body(ours) {
        Ok(Body::Line(content)) => page.field(at, format_args!("{title}: {content}")),
        Ok(Body::Negotiation(negotiation)) => {
            page.field(at, format_args!("{title}: {}", negotiation::head(&negotiation)));
            negotiation::draw_trees(&negotiation, e.end() - size, page);
        }
        Err(error) => page.fault(at, format_args!("{title}: {error}")),
    }
}

enum Body<'a> {
    Line(String),
    Negotiation(Negotiation<'a>),
}

fn body<'a>(ours: &Ours<'a>) -> Result<Body<'a>, Error> {
    Ok(Body::Line(match ours.subtype {
        Subtype::NAI | Subtype::IP | Subtype::LAYER_2 | Subtype::ASSOCIATION | Subtype::ERROR_DETAIL => {
            let protected = Protected::parse(ours.body)?;
            let content = content(ours.subtype, protected.content);
            let information = if protected.sealed {
                sealed(protected.spi, protected.info)
            } else {
                in_clear(ours.subtype, &protected)?
            };
            content + &information
        }
        Subtype::NEGOTIATION => return Negotiation::parse(ours.body).map(Body::Negotiation),
        Subtype::AGENT_HEARD => {
            let heard = AgentHeard::parse(ours.body)?;
            format!("{}, challenge {}", shown(heard.agent.as_bytes()), hex(heard.challenge))
        }
        Subtype::HANDLE => {
            let handle = Handle::parse(ours.body)?;
            format!("{:016x}, inbound SPI of KEY 2 {}, of KEY 3 {}", handle.handle, handle.key2, handle.key3)
        }
        Subtype::KEY_SHARE => {
            let share = KeyShare::parse(ours.body)?;
            format!("{}, value of {} bytes", share.group, share.value.len())
        }
        Subtype::COOKIE => format!("{} bytes", Cookie::parse(ours.body)?.0.len()),
        _ => format!("{} bytes, not understood", ours.body.len()),
    }))
}

/// Whose the information is.
fn content(subtype: Subtype, content: u8) -> String {
    use ours::{association_between, ip_owner, nai_owner};
    let whose = match (subtype, content) {
        (Subtype::NAI, nai_owner::MOBILE_NODE) => "mobile node",
        (Subtype::NAI, nai_owner::FOREIGN_AGENT) => "foreign agent",
        (Subtype::NAI, nai_owner::HOME_AGENT) => "home agent",
        (Subtype::IP, ip_owner::HOST) => "mobile node or home agent",
        (Subtype::IP, ip_owner::ROUTER) => "router",
        (Subtype::ASSOCIATION, association_between::MN_FA) => "KEY 3",
        (Subtype::ASSOCIATION, association_between::FA_HA) => "KEY 2",
        (Subtype::ASSOCIATION, association_between::MN_HA) => "KEY 1",
        (Subtype::LAYER_2 | Subtype::ERROR_DETAIL, 0) => return String::new(),
        (_, other) => return format!("content-type {other}, "),
    };
    format!("{whose}, ")
}

fn sealed(spi: Spi, information: &[u8]) -> String {
    format!("{} bytes sealed under SPI {spi}", information.len())
}

/// Information in clear, where it may stand so; what must be sealed is malformed and not shown.
fn in_clear(subtype: Subtype, protected: &Protected<'_>) -> Result<String, Error> {
    let mut r = Reader::new(protected.info);
    match (subtype, protected.content) {
        (Subtype::NAI, ours::nai_owner::FOREIGN_AGENT | ours::nai_owner::HOME_AGENT) => Ok(shown(r.rest())),
        (Subtype::IP, _) => ours::parse_ip(protected.info).map(|address| address.to_string()),
        (Subtype::ERROR_DETAIL, _) => {
            let detail = ErrorDetail::parse(protected.info)?;
            let (code, text) = (detail.code, shown(detail.text.as_bytes()));
            Ok(format!("{}, {}: {text}", code.0, code.meaning()))
        }
        _ => Err(Error::Value("in clear what must be sealed")),
    }
}
