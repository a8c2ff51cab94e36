//! Agent discovery: the ICMP messages that agents advertise with and mobile nodes ask for.

use wire::{
    ip::icmp::ROUTER_ADVERTISEMENT,
    mip::advertisement::{Advertisement, Extension, MobilityAgent, Solicitation},
};

use super::page::{Page, hex, shown};

/// Bytes of the fixed part.
const FIXED: usize = 8;

/// True for an advertisement that is whole and no agent's: an ordinary router's.
pub(super) fn is_plain_router(message: &[u8]) -> bool {
    Advertisement::parse(message).is_ok_and(|advertisement| advertisement.agent().is_none())
}

/// Draws an ICMP message of type 9 or 10. `from` says where it was found, or nothing.
pub(super) fn draw(message: &[u8], from: &str, page: &mut Page) {
    let size = message.len();
    if message.first() == Some(&ROUTER_ADVERTISEMENT) {
        let who = if is_plain_router(message) { "router" } else { "agent" };
        page.message(format_args!("{from}{who} advertisement, {size} bytes"));
        match Advertisement::parse(message) {
            Ok(advertisement) => fields(message, &advertisement, page),
            Err(error) => page.fault(0, error),
        }
    } else {
        page.message(format_args!("{from}agent solicitation, {size} bytes"));
        if let Err(error) = Solicitation::parse(message) {
            page.fault(0, error);
        }
    }
}

fn fields(message: &[u8], advertisement: &Advertisement, page: &mut Page) {
    page.field(0, format_args!("code {}, lifetime {} s", advertisement.code, advertisement.lifetime));
    // Entries of more words than two are longer than what is known of them.
    let entry = message.get(5).map_or(0, |words| usize::from(*words) * 4);
    for (router, n) in advertisement.routers.iter().zip(0..) {
        let (address, preference) = (router.address, router.preference);
        page.field(FIXED + n * entry, format_args!("router {address}, preference {preference}"));
    }
    let mut at = FIXED + advertisement.routers.len() * entry;
    for extension in &advertisement.extensions {
        match extension {
            Extension::Padding(_) => {}
            Extension::MobilityAgent(agent) => page.field(at, mobility_agent(agent)),
            Extension::PrefixLengths(lengths) => {
                page.field(at, format_args!("19, prefix lengths: {lengths:?}"));
            }
            Extension::Challenge(challenge) => {
                page.field(at, format_args!("24, challenge: {}", hex(challenge)));
            }
            Extension::AgentNai(name) => {
                page.field(at, format_args!("136, name of the agent: {}", shown(name.as_bytes())));
            }
            Extension::Skipped { kind, data } => {
                page.field(at, format_args!("{kind}, not known here, may be skipped: {} bytes", data.len()));
            }
        }
        at += length(extension);
    }
}

fn mobility_agent(agent: &MobilityAgent) -> String {
    let care_of: Vec<_> = agent.care_of.iter().map(ToString::to_string).collect();
    let care_of = if care_of.is_empty() { "none".to_owned() } else { care_of.join(", ") };
    let (sequence, lifetime, flags) = (agent.sequence, agent.lifetime, agent.flags);
    format!(
        "16, mobility agent: sequence {sequence}, lifetime {lifetime} s, flags {flags:?}, care-of {care_of}"
    )
}

/// Bytes that it takes in the message.
const fn length(extension: &Extension) -> usize {
    match extension {
        Extension::Padding(count) => *count,
        Extension::MobilityAgent(agent) => 8 + 4 * agent.care_of.len(),
        Extension::PrefixLengths(data) | Extension::Challenge(data) => 2 + data.len(),
        Extension::AgentNai(name) => 3 + name.len(),
        Extension::Skipped { data, .. } => 2 + data.len(),
    }
}
