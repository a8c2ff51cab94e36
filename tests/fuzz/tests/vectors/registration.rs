//! Registration requests and replies: fields, extensions, authenticators, and what was sealed.

use crypto::Cipher;
use sa::{Direction, Transcript, Unverified, sealed_plain};
use serde_json::{Map, Value, json};
use wire::{
    Reader, Writer,
    mip::{
        extension::{self, Extension, UdpTunnelReply, UdpTunnelRequest},
        ours::{
            self, AgentHeard, AssociationInfo, DOCUMENTATION_VENDOR, ErrorDetail, Handle, Numbers, Protected,
            SealedLayer2, SealedNai, Subtype,
        },
        part::{Held, Parts},
        registration::{Reply, Request},
        share::{Cookie, KeyShare},
    },
};

use super::{
    Vector, hex,
    schedule::{Keys, Known, visit_auth},
};

fn parts<'a>(bytes: &'a [u8], fixed: usize) -> Result<Parts<'a>, String> {
    Parts::parse(bytes, fixed, DOCUMENTATION_VENDOR).map_err(|e| format!("{e:?}"))
}

pub(crate) fn request(vector: &Vector) -> Result<Value, String> {
    let parsed = Request::parse(&vector.bytes).map_err(|e| format!("{e:?}"))?;
    let mut w = Writer::default();
    parsed.emit(&mut w);
    let fields = json!({
        "flags": format!("{:?}", parsed.flags),
        "lifetime": parsed.lifetime,
        "home_address": parsed.home_address.to_string(),
        "home_agent": parsed.home_agent.to_string(),
        "care_of": parsed.care_of.to_string(),
        "identification": format!("{:016x}", parsed.identification.0),
    });
    rest(vector, w, fields)
}

pub(crate) fn reply(vector: &Vector) -> Result<Value, String> {
    let parsed = Reply::parse(&vector.bytes).map_err(|e| format!("{e:?}"))?;
    let mut w = Writer::default();
    parsed.emit(&mut w);
    let fields = json!({
        "code": parsed.code.0,
        "lifetime": parsed.lifetime,
        "home_address": parsed.home_address.to_string(),
        "home_agent": parsed.home_agent.to_string(),
        "identification": format!("{:016x}", parsed.identification.0),
    });
    rest(vector, w, fields)
}

/// Reads the extensions, writes the message again, and checks it under the keys if it has some.
fn rest(vector: &Vector, mut w: Writer, mut fields: Value) -> Result<Value, String> {
    let fixed = w.len();
    let keyed = vector.expected.get("keys");
    if keyed.is_some() || vector.expected.get("error").is_some() {
        parts(&vector.bytes, fixed)?;
    }
    let opened = keyed.map(|_| Opened::new(vector, fixed)).transpose()?;
    let found = extension::walk(&vector.bytes, fixed).map_err(|e| format!("{e:?}"))?;
    let mut list = Vec::new();
    for e in &found {
        list.push(describe(e, &mut w, opened.as_ref()));
    }
    assert_eq!(w.bytes(), vector.bytes, "{} written again", vector.name);
    fields["extensions"] = list.into();
    Ok(fields)
}

/// A message whose authenticators were checked, and the keys that open what it seals.
struct Opened<'a> {
    parts: Parts<'a>,
    mobile: crypto::Key,
    mobile_cipher: Cipher,
    agents: crypto::Key,
    agents_cipher: Cipher,
    under: (&'static str, &'static str),
}

impl<'a> Opened<'a> {
    fn new(vector: &'a Vector, fixed: usize) -> Result<Self, String> {
        let known = Known::of(vector);
        let (mobile, agents) = (&known.mobile, &known.agents);
        let is_request = fixed == Request::LEN;
        let direction = if is_request { Direction::ToHome } else { Direction::FromHome };
        let parts = parts(&vector.bytes, fixed)?;
        let message = Unverified::new(parts.clone());
        assert!(mobile.verify(direction, known.spi, &message).is_some(), "{}: 32", vector.name);
        if parts.foreign_home.is_some() {
            assert!(agents.matches(direction, &parts), "{}: 34", vector.name);
        }
        if let Some(claim) = parts.foreign.mobile_foreign {
            let label = if is_request { "auth mn>fa" } else { "auth fa>mn" };
            let (name, key3) = &known.visit;
            let key = visit_auth((name, key3), "fa-a@visited-a.example", label, claim.spi);
            let covered = parts.covered(&claim);
            assert!(crypto::verify_hmac(&key, &[covered], claim.authenticator), "{}: 33", vector.name);
        }
        let (t1, t2) = transcripts(vector, &parts);
        let (mobile_key, label) = match (is_request, known.realm_key(&parts)) {
            (true, None) => (mobile.request_key().duplicate(), "seal mn>ha"),
            (true, Some(key)) => (key, "seal realm"),
            (false, _) => (mobile.reply_key(&t1, known.mobile_exchange.as_ref()), "seal ha>mn"),
        };
        Ok(Self {
            parts,
            mobile: mobile_key,
            mobile_cipher: mobile.cipher(),
            agents: agents.reply_key(&t2, known.agents_exchange.as_ref()),
            agents_cipher: agents.cipher(),
            under: (label, if is_request { "" } else { "seal ha>fa" }),
        })
    }

    /// The plain text of the sealed extension at this offset, and the label of the key that opened it.
    fn open(&self, offset: usize) -> Option<(Vec<u8>, &'static str)> {
        let part = if offset < self.parts.mobile_end { &self.parts.mobile } else { &self.parts.foreign };
        let single = [&part.nai, &part.ip, &part.layer_2, &part.error_detail];
        let held: &Held<'_> =
            single.into_iter().flatten().chain(&part.associations).find(|h| h.extension.offset == offset)?;
        let (cipher, key, label) = if offset < self.parts.mobile_end {
            (self.mobile_cipher, &self.mobile, self.under.0)
        } else {
            (self.agents_cipher, &self.agents, self.under.1)
        };
        sealed_plain(&self.parts, held, cipher, key).map(|plain| (plain, label))
    }
}

/// T1 and T2 of the request that this is, or that this answers.
fn transcripts(vector: &Vector, parts: &Parts<'_>) -> (Transcript, Transcript) {
    match vector.expected.get("answers") {
        None => (Transcript::of_mobile(parts), Transcript::of_agent(parts)),
        Some(name) => {
            let request = Vector::read(name.as_str().expect("a name"));
            let parts = self::parts(&request.bytes, Request::LEN).expect("a request");
            (Transcript::of_mobile(&parts), Transcript::of_agent(&parts))
        }
    }
}

/// An extension in the words of the vectors; appends it to `w` from what was understood of it.
fn describe(e: &Extension<'_>, w: &mut Writer, opened: Option<&Opened<'_>>) -> Value {
    let mut out = Map::new();
    out.insert("type".into(), json!(e.kind));
    out.insert("offset".into(), json!(e.offset));
    if let Some(ours) = ours::parse(e).expect("a vendor header") {
        let numbers = if ours.numbers == Numbers::Experimental { "experimental" } else { "vendor" };
        out.insert("numbers".into(), json!(numbers));
        out.insert("subtype".into(), json!(ours.subtype.0));
        out.insert("body".into(), json!(hex(ours.body)));
        out.insert("means".into(), meaning(e, &ours, w, opened));
        return out.into();
    }
    out.insert("data".into(), json!(hex(e.data)));
    match e.kind {
        32..=34 => {
            let authentication = e.authentication().expect("an authentication extension");
            let length = authentication.authenticator.len().try_into().expect("a short authenticator");
            extension::open_authentication(w, e.kind, authentication.spi, length);
            w.put(authentication.authenticator);
            out.insert("spi".into(), json!(authentication.spi.0));
            out.insert("covered".into(), json!(authentication.covered));
        }
        extension::UDP_TUNNEL_REQUEST => {
            let r = UdpTunnelRequest::parse(e.data).expect("a UDP tunnel request");
            r.emit(w);
            let means = json!({ "forced": r.forced, "through_foreign_agent": r.through_foreign_agent,
                                "encapsulation": r.encapsulation });
            out.insert("means".into(), means);
        }
        extension::UDP_TUNNEL_REPLY => {
            let r = UdpTunnelReply::parse(e.data).expect("a UDP tunnel reply");
            r.emit(w);
            let means = json!({ "code": r.code, "forced": r.forced, "keepalive": r.keepalive });
            out.insert("means".into(), means);
        }
        _ => extension::put(w, e.kind, e.data).expect("it was parsed"),
    }
    out.into()
}

fn meaning(e: &Extension<'_>, ours: &ours::Ours<'_>, w: &mut Writer, opened: Option<&Opened<'_>>) -> Value {
    match ours.subtype {
        Subtype::AGENT_HEARD => {
            let heard = AgentHeard::parse(ours.body).expect("agent heard");
            heard.emit(w, ours.numbers).expect("it was parsed");
            json!({ "challenge": hex(heard.challenge), "agent": heard.agent })
        }
        Subtype::HANDLE => {
            let handle = Handle::parse(ours.body).expect("a handle");
            handle.emit(w, ours.numbers).expect("it was parsed");
            json!({ "handle": format!("{:016x}", handle.handle), "key2": handle.key2.0, "key3": handle.key3.0 })
        }
        Subtype::KEY_SHARE => {
            let share = KeyShare::parse(ours.body).expect("a key share");
            share.emit(w, ours.numbers).expect("it was parsed");
            json!({ "group": share.group.0, "value": hex(share.value) })
        }
        Subtype::COOKIE => {
            let cookie = Cookie::parse(ours.body).expect("a cookie");
            cookie.emit(w, ours.numbers).expect("it was parsed");
            json!({ "cookie": hex(&cookie.0) })
        }
        subtype => {
            let protected = Protected::parse(ours.body).expect("content-type, flags, SPI");
            protected.emit(w, ours.numbers, subtype).expect("it was parsed");
            let mut out =
                json!({ "content": protected.content, "sealed": protected.sealed, "spi": protected.spi.0 });
            let plain = if protected.sealed {
                let (plain, label) = opened.and_then(|o| o.open(e.offset)).expect("it opens under its key");
                out["under"] = json!(label);
                out["plain"] = json!(hex(&plain));
                plain
            } else {
                protected.info.to_vec()
            };
            let (name, value) = information(subtype, protected.sealed, &plain);
            out[name] = value;
            out
        }
    }
}

/// What stands in an extension with content-type, flag and SPI, once it is open.
fn information(subtype: Subtype, sealed: bool, plain: &[u8]) -> (&'static str, Value) {
    match subtype {
        Subtype::NAI if sealed => {
            let nai = SealedNai::parse(plain).expect("a sealed NAI");
            assert_eq!(nai.emit().expect("it was parsed"), plain);
            ("nai", json!({ "index": nai.index, "user": nai.user }))
        }
        Subtype::NAI => ("agent", json!(std::str::from_utf8(plain).expect("a name"))),
        Subtype::IP => ("ip", json!(ours::parse_ip(plain).expect("an address").to_string())),
        Subtype::LAYER_2 => {
            let address = SealedLayer2::parse(plain).expect("a layer 2 address");
            assert_eq!(address.emit().expect("it was parsed"), plain);
            ("layer_2", json!({ "kind": address.kind, "address": hex(&address.address) }))
        }
        Subtype::ERROR_DETAIL => {
            let detail = ErrorDetail::parse(plain).expect("error detail");
            assert_eq!(detail.emit(), plain);
            ("detail", json!({ "code": detail.code.0, "text": detail.text }))
        }
        Subtype::ASSOCIATION => {
            let mut r = Reader::new(plain);
            let entry = association(&AssociationInfo::parse(&mut r).expect("an association"));
            assert!(r.is_empty());
            ("association", entry)
        }
        other => panic!("no words for {other:?}"),
    }
}

fn association(entry: &AssociationInfo<'_>) -> Value {
    json!({
        "mode": entry.mode.0,
        "inbound": entry.inbound.0,
        "outbound": entry.outbound.0,
        "protocol": entry.protocol,
        "transform": entry.transform,
        "key_bits": entry.key_bits,
        "lifetime": entry.lifetime,
        "key": hex(entry.key),
        "own": entry.own,
        "peer": entry.peer,
    })
}

/// Whether 32 and 34 hold for these bytes under the keys of the vector.
fn authentic(bytes: &[u8], fixed: usize) -> bool {
    let keys = Keys::read();
    let direction = if fixed == Request::LEN { Direction::ToHome } else { Direction::FromHome };
    let Ok(parts) = parts(bytes, fixed) else {
        return false;
    };
    let agents = keys.agents(Cipher::default());
    parts.foreign_home.is_some() && agents.matches(direction, &parts) && {
        let mobile = keys.mobile(Cipher::default());
        mobile.verify(direction, mobile.spi(), &Unverified::new(parts)).is_some()
    }
}

#[test]
fn every_changed_byte_breaks_an_authenticator() {
    for (name, fixed) in [("request-relayed", Request::LEN), ("reply-accepted", Reply::LEN)] {
        let vector = Vector::read(&format!("wire-registration/{name}"));
        assert!(authentic(&vector.bytes, fixed));
        for at in 0..vector.bytes.len() {
            let mut changed = vector.bytes.clone();
            changed[at] ^= 0x10;
            assert!(!authentic(&changed, fixed), "{name}: byte {at}");
        }
    }
}

/// Sealing holds by itself: a change of the fixed part, of the header or of what is sealed lets nothing open,
/// whatever the authenticators say.
#[test]
fn every_changed_byte_of_a_sealed_extension_keeps_it_shut() {
    let vector = Vector::read("wire-registration/reply-accepted");
    let opened = Opened::new(&vector, Reply::LEN).expect("a good reply");
    let sealed = extension::walk(&vector.bytes, Reply::LEN).expect("a good reply");
    let sealed: Vec<_> = sealed.iter().filter(|e| opened.open(e.offset).is_some()).collect();
    assert_eq!(sealed.len(), 6);
    for e in sealed {
        for at in (0..Reply::LEN).chain(e.offset..e.end()) {
            let mut changed = vector.bytes.clone();
            changed[at] ^= 0x01;
            let Ok(parts) = parts(&changed, Reply::LEN) else {
                continue;
            };
            let again = Opened {
                parts,
                mobile: opened.mobile.duplicate(),
                agents: opened.agents.duplicate(),
                ..opened
            };
            assert!(again.open(e.offset).is_none(), "byte {at} of the extension at {}", e.offset);
        }
    }
}
