//! Answers of agents for people.

use std::collections::BTreeMap;

use proto::agent::{Binding, CountersReply, Event, MobileNode, Role, StatusReply, Visitor};

use crate::{
    output::{Table, facts, line},
    time::{span, utc_ms},
};

pub(super) fn status(status: &StatusReply) {
    let role = match status.role() {
        Role::Unspecified => "starting",
        Role::HomeAgent => "home agent",
        Role::ForeignAgent => "foreign agent",
        Role::MobileNode => "mobile node",
    };
    let mut lines = vec![
        ("role", role.to_owned()),
        ("name", status.nai.clone()),
        ("version", status.version.clone()),
        ("serving for", span(status.uptime_s)),
    ];
    match status.role() {
        Role::HomeAgent => {
            lines.push(("bindings", status.bindings.to_string()));
            lines.push(("key centre", status.kdc.clone()));
        }
        Role::ForeignAgent => {
            lines.push(("visitors", status.visitors.to_string()));
            lines.push(("pending", status.pending.to_string()));
        }
        Role::MobileNode | Role::Unspecified => {}
    }
    if let Some(node) = &status.mobile_node {
        lines.extend(mobile_node(node));
    }
    facts(&lines);
    // The schema's map has no order of its own.
    let counters: BTreeMap<_, _> = status.counters.iter().collect();
    if !counters.is_empty() {
        line("");
        let mut table = Table::new(&["COUNTER", "VALUE"]);
        for (name, value) in counters {
            table.row(vec![name.clone(), value.to_string()]);
        }
        table.print("");
    }
}

fn mobile_node(node: &MobileNode) -> Vec<(&'static str, String)> {
    let or_none = |text: &str| {
        if text.is_empty() { "-".to_owned() } else { text.to_owned() }
    };
    let through = match (node.agent.is_empty(), node.care_of.is_empty()) {
        (false, _) => node.agent.clone(),
        (true, false) => "itself (co-located care-of address)".to_owned(),
        (true, true) => "-".to_owned(),
    };
    let offset = match node.clock_offset_s {
        0 => "agrees with the home agent".to_owned(),
        ahead @ 1.. => format!("{} behind the home agent", span(ahead.unsigned_abs())),
        behind => format!("{} ahead of the home agent", span(behind.unsigned_abs())),
    };
    vec![
        ("state", node.state.clone()),
        ("home address", node.home_address.clone()),
        ("home agent", node.home_agent.clone()),
        ("care-of address", or_none(&node.care_of)),
        ("through", through),
        ("tunnel", or_none(&node.encapsulation)),
        ("registered for", span(node.lifetime_left_s.into())),
        ("registrations", node.registrations.to_string()),
        ("clock", offset),
    ]
}

pub(super) fn bindings(bindings: &[Binding]) {
    let mut table = Table::new(&[
        "HOME ADDRESS",
        "NAME",
        "CARE-OF ADDRESS",
        "FOREIGN AGENT",
        "TUNNEL",
        "REVERSE",
        "LEFT",
    ]);
    for binding in bindings {
        table.row(vec![
            binding.home_address.clone(),
            binding.nai.clone(),
            binding.care_of.clone(),
            binding.agent.clone(),
            format!("{} {}", binding.encapsulation, binding.tunnel_to),
            if binding.reverse_tunnel { "yes" } else { "no" }.to_owned(),
            left(binding.lifetime_left_s, binding.lifetime_s),
        ]);
    }
    table.print("No mobile node is away.");
}

pub(super) fn visitors(visitors: &[Visitor]) {
    let mut table =
        Table::new(&["HOME ADDRESS", "LINK ADDRESS", "INTERFACE", "HOME AGENT", "TUNNEL", "LEFT"]);
    for visitor in visitors {
        table.row(vec![
            visitor.home_address.clone(),
            visitor.link_address.clone(),
            visitor.interface.clone(),
            visitor.home_agent.clone(),
            visitor.encapsulation.clone(),
            left(visitor.lifetime_left_s, visitor.lifetime_s),
        ]);
    }
    table.print("No mobile node is visiting.");
}

pub(super) fn counters(counters: &CountersReply, role: Role) {
    let home = role == Role::HomeAgent;
    let peak = |now: u64, most: u64| format!("{now}, at most {most}");
    let mut lines = vec![
        ("registrations a minute", peak(counters.registrations_minute, counters.registrations_peak)),
        ("requests waiting", peak(counters.pending, counters.pending_peak)),
    ];
    if home {
        let (mean, longest) = (ms(counters.kdc_mean_us), ms(counters.kdc_longest_us));
        lines.push((
            "keys from the centre",
            format!("{} times, in {mean}, at most {longest}", counters.kdc_answers),
        ));
        let load = if counters.under_load { "yes: without a foreign agent only with a cookie" } else { "no" };
        lines.push(("under load", load.to_owned()));
    }
    facts(&lines);
    line("");
    let at = |seconds: u64| if seconds == 0 { "-".to_owned() } else { utc_ms(seconds * 1_000_000_000) };
    let code = |code: u32| if code == 0 { "-".to_owned() } else { code.to_string() };
    let mut names = vec![if home { "MOBILE NODE" } else { "HOME AGENT" }];
    if !home {
        names.extend(["RELAYED", "UNANSWERED", "MEAN", "LONGEST"]);
    }
    names.extend(["ACCEPTED", "LAST", "DENIED", "LAST", "CODE"]);
    let mut table = Table::new(&names);
    for peer in &counters.peers {
        let mut row = vec![peer.nai.clone()];
        if !home {
            let counts = [peer.relayed.to_string(), peer.timed_out.to_string()];
            row.extend(counts.into_iter().chain([ms(peer.mean_us), ms(peer.longest_us)]));
        }
        row.extend([peer.accepted.to_string(), at(peer.accepted_at), peer.denied.to_string()]);
        row.extend([at(peer.denied_at), code(peer.denied_code)]);
        table.row(row);
    }
    table.print("Nobody has asked for anything yet.");
}

fn ms(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

fn left(left_s: u32, of_s: u32) -> String {
    format!("{} of {}", span(left_s.into()), span(of_s.into()))
}

/// One line: when, number, what, and the sentence.
pub(super) fn event(event: &Event) -> String {
    let mut line = format!("{} {:>6} {:<16}", utc_ms(event.unix_ns), event.number, event.kind);
    for (name, value) in [
        ("home", &event.home_address),
        ("care-of", &event.care_of),
        ("agent", &event.agent),
        ("tunnel", &event.encapsulation),
    ] {
        if !value.is_empty() {
            line.push_str(&format!(" {name} {value}"));
        }
    }
    if ["registered", "deregistered", "denied"].contains(&event.kind.as_str()) {
        line.push_str(&format!(" code {}", event.code));
    }
    if event.lifetime_s > 0 {
        line.push_str(&format!(" for {}", span(event.lifetime_s.into())));
    }
    if !event.text.is_empty() {
        line.push_str(&format!(": {}", event.text));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let moved = Event {
            number: 7,
            unix_ns: 1_795_251_600_042_000_000,
            kind: "denied".to_owned(),
            agent: "fa-a@visited-a.example".to_owned(),
            code: 133,
            text: "the clock is wrong".to_owned(),
            ..Event::default()
        };
        assert_eq!(
            event(&moved),
            "2026-11-21T09:00:00.042Z      7 denied           agent fa-a@visited-a.example code 133: the clock is wrong"
        );
    }

    #[test]
    fn a_mobile_node_at_home_needs_nobody() {
        let node = MobileNode { state: "at home".to_owned(), clock_offset_s: -61, ..MobileNode::default() };
        let lines = mobile_node(&node);
        assert!(lines.contains(&("through", "-".to_owned())));
        assert!(lines.contains(&("clock", "1m 1s ahead of the home agent".to_owned())));
    }
}
