//! Advertisements, solicitations, tunnel data.

use serde_json::{Map, Value, json};
use wire::mip::{
    advertisement::{Advertisement, Extension, Solicitation},
    tunnel_data::TunnelData,
};

use super::hex;

pub(crate) fn advertisement(bytes: &[u8]) -> Result<Value, String> {
    let parsed = Advertisement::parse(bytes).map_err(|e| format!("{e:?}"))?;
    assert_eq!(parsed.to_vec().expect("it was parsed"), bytes);
    let mut out = Map::new();
    out.insert("code".into(), json!(parsed.code));
    out.insert("lifetime".into(), json!(parsed.lifetime));
    let routers: Vec<_> = parsed.routers.iter().map(|r| r.address.to_string()).collect();
    out.insert("routers".into(), json!(routers));
    if let Some(agent) = parsed.agent() {
        let care_of: Vec<_> = agent.care_of.iter().map(ToString::to_string).collect();
        let flags = format!("{:?}", agent.flags);
        let agent = json!({ "sequence": agent.sequence, "lifetime": agent.lifetime, "flags": flags, "care_of": care_of });
        out.insert("agent".into(), agent);
    }
    if !parsed.prefix_lengths().is_empty() {
        out.insert("prefix_lengths".into(), json!(parsed.prefix_lengths()));
    }
    if let Some(challenge) = parsed.challenge() {
        out.insert("challenge".into(), json!(hex(challenge)));
    }
    if let Some(nai) = parsed.agent_nai() {
        out.insert("nai".into(), json!(nai));
    }
    let skipped = |e: &Extension| {
        if let Extension::Skipped { kind, .. } = e { Some(*kind) } else { None }
    };
    let skipped: Vec<_> = parsed.extensions.iter().filter_map(skipped).collect();
    if !skipped.is_empty() {
        out.insert("skipped".into(), json!(skipped));
    }
    Ok(out.into())
}

pub(crate) fn solicitation(bytes: &[u8]) -> Result<Value, String> {
    let parsed = Solicitation::parse(bytes).map_err(|e| format!("{e:?}"))?;
    assert_eq!(parsed.to_vec(), bytes);
    Ok(json!({}))
}

pub(crate) fn tunnel_data(bytes: &[u8]) -> Result<Value, String> {
    let parsed = TunnelData::parse(bytes).map_err(|e| format!("{e:?}"))?;
    assert_eq!(parsed.to_vec(), bytes);
    Ok(json!({ "next_header": parsed.next_header.0, "packet": hex(parsed.packet) }))
}
