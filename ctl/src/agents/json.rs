//! Answers of agents as JSON, with the names of the schema.

use proto::agent::{Association, Binding, CountersReply, Event, Role, StatusReply, Visitor};
use serde_json::{Value, json};

pub(super) fn status(status: &StatusReply) -> Value {
    let role = match status.role() {
        Role::Unspecified => "",
        Role::HomeAgent => "home-agent",
        Role::ForeignAgent => "foreign-agent",
        Role::MobileNode => "mobile-node",
    };
    let mut value = json!({
        "role": role,
        "nai": status.nai,
        "version": status.version,
        "uptime_s": status.uptime_s,
        "counters": status.counters.iter().map(|(name, count)| (name.clone(), json!(count))).collect::<serde_json::Map<_, _>>(),
    });
    match status.role() {
        Role::HomeAgent => {
            value["bindings"] = json!(status.bindings);
            value["kdc"] = json!(status.kdc);
        }
        Role::ForeignAgent => {
            value["visitors"] = json!(status.visitors);
            value["pending"] = json!(status.pending);
        }
        Role::MobileNode | Role::Unspecified => {}
    }
    if let Some(node) = &status.mobile_node {
        value["mobile_node"] = json!({
            "state": node.state,
            "home_address": node.home_address,
            "home_agent": node.home_agent,
            "care_of": node.care_of,
            "agent": node.agent,
            "encapsulation": node.encapsulation,
            "lifetime_left_s": node.lifetime_left_s,
            "registrations": node.registrations,
            "clock_offset_s": node.clock_offset_s,
        });
    }
    value
}

pub(super) fn binding(binding: &Binding) -> Value {
    json!({
        "nai": binding.nai,
        "home_address": binding.home_address,
        "care_of": binding.care_of,
        "agent": binding.agent,
        "encapsulation": binding.encapsulation,
        "tunnel_to": binding.tunnel_to,
        "reverse_tunnel": binding.reverse_tunnel,
        "lifetime_s": binding.lifetime_s,
        "lifetime_left_s": binding.lifetime_left_s,
    })
}

pub(super) fn visitor(visitor: &Visitor) -> Value {
    json!({
        "home_address": visitor.home_address,
        "link_address": visitor.link_address,
        "interface": visitor.interface,
        "home_agent": visitor.home_agent,
        "encapsulation": visitor.encapsulation,
        "lifetime_s": visitor.lifetime_s,
        "lifetime_left_s": visitor.lifetime_left_s,
    })
}

pub(crate) fn association(association: &Association) -> Value {
    json!({
        "kind": association.kind,
        "inbound_spi": association.inbound_spi,
        "outbound_spi": association.outbound_spi,
        "own_name": association.own_name,
        "peer_name": association.peer_name,
        "lifetime_left_s": association.lifetime_left_s,
        "fingerprint": association.fingerprint,
        "home_address": association.home_address,
        "encryption": association.encryption,
        "integrity": association.integrity,
        "mode": association.mode,
        "group": association.group,
        "age_s": association.age_s,
        "state": association.state,
    })
}

pub(super) fn counters(counters: &CountersReply, role: Role) -> Value {
    let home = role == Role::HomeAgent;
    let peers = counters.peers.iter().map(|peer| {
        let mut value = json!({
            "nai": peer.nai,
            "accepted": peer.accepted,
            "denied": peer.denied,
            "accepted_at": peer.accepted_at,
            "denied_at": peer.denied_at,
            "denied_code": peer.denied_code,
        });
        if !home {
            value["relayed"] = json!(peer.relayed);
            value["timed_out"] = json!(peer.timed_out);
            value["mean_us"] = json!(peer.mean_us);
            value["longest_us"] = json!(peer.longest_us);
        }
        value
    });
    let mut value = json!({
        "registrations_minute": counters.registrations_minute,
        "registrations_peak": counters.registrations_peak,
        "pending": counters.pending,
        "pending_peak": counters.pending_peak,
        "peers": peers.collect::<Vec<_>>(),
    });
    if home {
        value["kdc_answers"] = json!(counters.kdc_answers);
        value["kdc_mean_us"] = json!(counters.kdc_mean_us);
        value["kdc_longest_us"] = json!(counters.kdc_longest_us);
        value["under_load"] = json!(counters.under_load);
    }
    value
}

pub(super) fn event(event: &Event) -> Value {
    let keys: Vec<Value> = event
        .keys
        .iter()
        .map(|key| json!({ "kind": key.kind, "spis": key.spis, "fingerprint": key.fingerprint }))
        .collect();
    let negotiations: Vec<Value> = event
        .negotiations
        .iter()
        .map(|of| {
            json!({
                "association": of.association,
                "offered": of.offered,
                "agreed": of.agreed,
                "rounds": of.rounds,
                "mode": of.mode,
            })
        })
        .collect();
    json!({
        "negotiations": negotiations,
        "number": event.number,
        "unix_ns": event.unix_ns,
        "boot_ns": event.boot_ns,
        "kind": event.kind,
        "agent": event.agent,
        "care_of": event.care_of,
        "home_address": event.home_address,
        "code": event.code,
        "lifetime_s": event.lifetime_s,
        "encapsulation": event.encapsulation,
        "keys": keys,
        "text": event.text,
        "trace": event.trace,
    })
}
