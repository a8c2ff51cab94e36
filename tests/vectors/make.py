#!/usr/bin/env python3
"""Writes the vectors beside this file and the seeds of the fuzz corpora in ../fuzz/corpus.

usage: make.py [ROOT]            (needs: pip install cryptography)

Each vector is a .hex file, bytes with comments, and a .json file that says what they mean. docs/registrations.md
is written too. Running this again gives the same files; a change of the wire shows as a change of the vectors.
ROOT is the folder to write below, the project's own by default.
"""
import hashlib
import json
import pathlib
import struct
import sys

import negotiation
import worked
from build import (Message, address, checksum, gre, icmp, ipv4, kdf, lp, minimal, reply, request, sa, sa_means,
                   sealed_link, sealed_nai, udp)

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2])
HERE = ROOT / "tests" / "vectors"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"

NAI, REALM, USER = "traveller-one@home.example", "home.example", "traveller-one"
HA, FA = "ha@home.example", "fa-a@visited-a.example"
VISIT = "abcdefghijklm@home.example"
HOME, HOME_AGENT, CARE_OF, COLOCATED = "10.11.1.50", "10.11.1.2", "10.51.1.2", "192.168.77.10"
LINK = bytes.fromhex("020000000a0b")
CHALLENGE = bytes(range(8))
SPI_MN, SPI_FA = 70001, 1001
KEY0, KEY_FA = bytes(range(32)), bytes(range(64, 96))
KEYS = {n: hashlib.sha256(f"KEY {n}".encode()).digest() for n in (1, 2, 3)}
HANDLE, KEY2_AT_FA, KEY3_AT_FA = 0x0123456789ABCDEF, 0xA1000001, 0xA1000002
KEY1_AT_MN, KEY1_AT_HA, KEY2_AT_HA, KEY3_AT_MN = 0xB1000001, 0xB1000002, 0xB1000003, 0xB1000004
IDENTIFICATION = 0xEEAA0001DEADBEEF

MH = lp(NAI.encode()) + lp(REALM.encode())
FH = lp(FA.encode()) + lp(HA.encode())
schedule = []


def derive(root, key, label, context):
    out = kdf(key, label, context)
    schedule.append({"key": key.hex(), "root": root, "label": label, "context": context.hex(), "out": out.hex()})
    return out


def auth(label):
    root, key, context = ("KEY 0", KEY0, MH) if "mn" in label else ("FA-HA", KEY_FA, FH)
    return derive(root, key, label, context)


def write(name, message, expected):
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = message.hex_lines() if isinstance(message, Message) else Message().put(path.name, message).hex_lines()
    path.with_suffix(".hex").write_text("\n".join(lines) + "\n")
    path.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")


def seed(target, name, data):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.bytes() if isinstance(data, Message) else data)


def registration(name, m, **more):
    write(name, m, {**m.expected, "extensions": m.extensions, **more})
    short = name.split("/")[-1]
    seed(m.expected["message"].replace(" ", "_"), short, m)
    seed("parts", short, m)
    if name == "worked/3-cookie":
        seed("cookie_reply", short, m)
    seed("extensions", short, m.bytes()[m.fixed:])
    for e in m.extensions:
        if name.startswith("worked/"):
            target = {9: "key_share", 10: "cookie"}.get(e.get("subtype"))
            if target:
                seed(target, f"{short}-{e['offset']}", bytes.fromhex(e["body"]))
        elif "subtype" in e:
            seed("ours", f"{short}-{e['offset']}", m.bytes()[e["offset"]:])
            body = bytes.fromhex(e["body"])
            target = {6: "agent_heard", 8: "handle"}.get(e["subtype"], "protected")
            seed(target, f"{short}-{e['offset']}", body)
            plain = bytes.fromhex(e.get("means", {}).get("plain", ""))
            target = {1: "sealed_nai", 2: "ip_info", 3: "sealed_layer_2", 4: "association_info",
                      7: "error_detail"}.get(e["subtype"])
            if plain and target:
                seed(target, f"{short}-{e['offset']}", plain)


# ------------------------------------------------------------------ registration requests

def mobile_part(m, cipher, numbers, heard, udp_tunnel=True):
    secret = ("seal mn>ha", cipher, derive("KEY 0", KEY0, "seal mn>ha", MH))
    m.short(131, "NAI", b"@" + REALM.encode())
    m.sealed(1, "NAI, mobile node", 0, SPI_MN, secret, sealed_nai(USER), numbers,
             nai={"index": 0, "user": USER})
    m.sealed(2, "IP, mobile node", 0, SPI_MN, secret, address(HOME), numbers, ip=HOME)
    m.sealed(3, "layer 2", 0, SPI_MN, secret, sealed_link(LINK), numbers,
             layer_2={"kind": 0, "address": LINK.hex()})
    if heard:
        m.ours(6, "agent heard", bytes([len(CHALLENGE)]) + CHALLENGE + FA.encode(), numbers,
               means={"challenge": CHALLENGE.hex(), "agent": FA})
    elif udp_tunnel:
        m.short(144, "UDP tunnel request", bytes([0, 0, 0, 4, 0, 0]),
                means={"forced": False, "through_foreign_agent": False, "encapsulation": 4})
    return m.authentication(32, "mobile-home", SPI_MN, auth("auth mn>ha"))


def agent_part(m, numbers, udp_tunnel=False, authenticate=True):
    m.plain(1, "NAI, foreign agent", 1, FA.encode(), numbers, agent=FA)
    if authenticate:
        m.plain(2, "IP, router", 1, address(CARE_OF), numbers, ip=CARE_OF)
    m.ours(8, "handle", struct.pack("!QII", HANDLE, KEY2_AT_FA, KEY3_AT_FA), numbers,
           means={"handle": f"{HANDLE:016x}", "key2": KEY2_AT_FA, "key3": KEY3_AT_FA})
    if udp_tunnel:
        m.short(144, "UDP tunnel request", bytes([0, 0, 0x80, 0, 0, 0]),
                means={"forced": True, "through_foreign_agent": False, "encapsulation": 0})
    return m.authentication(34, "foreign-home", SPI_FA, auth("auth fa>ha")) if authenticate else m


def through_agent(cipher="aes-256-gcm", numbers="vendor", lifetime=600, identification=IDENTIFICATION):
    fixed = request("------T-", lifetime, "0.0.0.0", HOME_AGENT, CARE_OF, identification)
    return mobile_part(fixed, cipher, numbers, heard=True)


def keys_used(cipher="aes-256-gcm", agents="aes-256-gcm", **more):
    return {"mobile_cipher": cipher, "agents_cipher": agents, **more}


mobile = through_agent()
on_link = mobile.copy()
on_link.short(132, "challenge", CHALLENGE)
key3_auth = derive("KEY 3", KEYS[3], "auth mn>fa",
                   lp(VISIT.encode()) + lp(FA.encode()) + struct.pack("!I", KEY3_AT_FA))
on_link.authentication(33, "mobile-foreign", KEY3_AT_FA, key3_auth)
registration("wire-registration/request-with-mobile-foreign", on_link, keys=keys_used())

first = mobile.copy()
first.short(132, "challenge", CHALLENGE)
registration("wire-registration/request-on-visited-link", first, keys=keys_used())

relayed = mobile.copy()
agent_part(relayed, "vendor")
registration("wire-registration/request-relayed", relayed, keys=keys_used())

experimental = agent_part(through_agent("chacha20-poly1305", "experimental"), "experimental", udp_tunnel=True)
registration("wire-registration/request-relayed-experimental", experimental,
             keys=keys_used("chacha20-poly1305"))

colocated = mobile_part(request("--D---T-", 600, "0.0.0.0", HOME_AGENT, COLOCATED, IDENTIFICATION + (1 << 32)),
                        "aes-128-gcm", "vendor", heard=False)
registration("wire-registration/request-co-located", colocated, keys=keys_used("aes-128-gcm"))

deregister = through_agent(lifetime=0, identification=IDENTIFICATION + (2 << 32))
agent_part(deregister, "vendor", authenticate=False)
registration("wire-registration/deregistration-relayed", deregister, keys=keys_used())

at_home = mobile_part(request("--------", 0, HOME, HOME_AGENT, HOME, IDENTIFICATION + (3 << 32)),
                      "aes-256-gcm", "vendor", heard=False, udp_tunnel=False)
registration("wire-registration/deregistration-at-home", at_home, keys=keys_used())

plain = request("SB-MGr-x", 0xFFFF, "10.0.0.1", "255.255.255.255", "10.0.0.3", 0)
registration("rfc5944-3.3/request-every-field", plain)
registration("rfc5944-3.3/request-unknown-skippable",
             request("--------", 1, "10.0.0.1", "10.0.0.2", "10.0.0.3", 1).short(250, "unknown", b"\1\2\3"))

# ------------------------------------------------------------------ registration replies


def answer(cipher, t1):
    return ("seal ha>mn", cipher, derive("KEY 0", KEY0, "seal ha>mn", MH + t1 + lp(b"")))


def mobile_reply(m, cipher, request_bytes, key3=True):
    secret = answer(cipher, hashlib.sha256(request_bytes).digest())
    m.short(131, "NAI", b"@" + REALM.encode())
    if key3:
        entry = (KEY3_AT_MN, KEY3_AT_FA, KEYS[3], VISIT, FA)
        m.sealed(4, "association, KEY 3", 0, SPI_MN, secret, sa(*entry), association=sa_means(*entry))
    entry = (KEY1_AT_MN, KEY1_AT_HA, KEYS[1], NAI, HA)
    m.sealed(4, "association, KEY 1", 2, SPI_MN, secret, sa(*entry), association=sa_means(*entry))
    m.sealed(2, "IP, mobile node", 0, SPI_MN, secret, address(HOME), ip=HOME)
    return m


def finish_mobile(m):
    return m.authentication(32, "mobile-home", SPI_MN, auth("auth ha>mn"))


def agent_reply(m, request_bytes):
    t2 = hashlib.sha256(request_bytes).digest()
    secret = ("seal ha>fa", "aes-256-gcm", derive("FA-HA", KEY_FA, "seal ha>fa", FH + t2 + lp(b"")))
    m.ours(8, "handle", struct.pack("!QII", HANDLE, KEY2_AT_FA, KEY3_AT_FA),
           means={"handle": f"{HANDLE:016x}", "key2": KEY2_AT_FA, "key3": KEY3_AT_FA})
    entry = (KEY2_AT_FA, KEY2_AT_HA, KEYS[2], FA, HA)
    m.sealed(4, "association, KEY 2", 1, SPI_FA, secret, sa(*entry), association=sa_means(*entry))
    entry = (KEY3_AT_FA, KEY3_AT_MN, KEYS[3], FA, VISIT)
    m.sealed(4, "association, KEY 3", 0, SPI_FA, secret, sa(*entry), association=sa_means(*entry))
    m.sealed(2, "IP, mobile node", 0, SPI_FA, secret, address(HOME), ip=HOME)
    return m.authentication(34, "foreign-home", SPI_FA, auth("auth ha>fa"))


mobile_bytes = mobile.bytes()
accepted_mobile = finish_mobile(mobile_reply(reply(0, 600, "0.0.0.0", HOME_AGENT, IDENTIFICATION),
                                             "aes-256-gcm", mobile_bytes))
accepted = accepted_mobile.copy()
agent_reply(accepted, relayed.bytes())
registration("wire-registration/reply-accepted", accepted, answers="wire-registration/request-relayed",
             keys=keys_used())

registration("wire-registration/reply-handed-on", accepted_mobile,
             answers="wire-registration/request-relayed", keys=keys_used())
handed_on = accepted_mobile.copy()
handed_on.short(132, "challenge", bytes(range(8, 16)))
handed_on.authentication(33, "mobile-foreign", KEY3_AT_MN,
                         derive("KEY 3", KEYS[3], "auth fa>mn",
                                lp(VISIT.encode()) + lp(FA.encode()) + struct.pack("!I", KEY3_AT_MN)))
registration("wire-registration/reply-with-mobile-foreign", handed_on, answers="wire-registration/request-relayed",
             keys=keys_used())

colocated_reply = mobile_reply(reply(0, 600, "0.0.0.0", HOME_AGENT, IDENTIFICATION + (1 << 32)), "aes-128-gcm",
                               colocated.bytes(), key3=False)
colocated_reply.short(44, "UDP tunnel reply", bytes([0, 0, 0, 0, 0, 110]),
                      means={"code": 0, "forced": False, "keepalive": 110})
registration("wire-registration/reply-co-located", finish_mobile(colocated_reply),
             answers="wire-registration/request-co-located", keys=keys_used("aes-128-gcm"))

DETAIL = "the key distribution centre cannot be reached"
denied = reply(128, 0, "0.0.0.0", HOME_AGENT, IDENTIFICATION)
denied.short(131, "NAI", b"@" + REALM.encode())
denied.sealed(7, "error detail", 0, SPI_MN, answer("aes-256-gcm", hashlib.sha256(mobile_bytes).digest()),
              struct.pack("!H", 8) + DETAIL.encode(), detail={"code": 8, "text": DETAIL})
finish_mobile(denied)
denied.ours(8, "handle", struct.pack("!QII", HANDLE, KEY2_AT_FA, KEY3_AT_FA),
            means={"handle": f"{HANDLE:016x}", "key2": KEY2_AT_FA, "key3": KEY3_AT_FA})
denied.authentication(34, "foreign-home", SPI_FA, auth("auth ha>fa"))
registration("wire-registration/reply-denied", denied, answers="wire-registration/request-relayed",
             keys=keys_used())

left = reply(0, 0, "0.0.0.0", HOME_AGENT, IDENTIFICATION + (2 << 32)).short(131, "NAI", b"@" + REALM.encode())
finish_mobile(left)
left.ours(8, "handle", struct.pack("!QII", HANDLE, KEY2_AT_FA, KEY3_AT_FA),
          means={"handle": f"{HANDLE:016x}", "key2": KEY2_AT_FA, "key3": KEY3_AT_FA})
left.authentication(34, "foreign-home", SPI_FA, auth("auth ha>fa"))
registration("wire-registration/reply-deregistration", left, answers="wire-registration/deregistration-relayed",
             keys=keys_used())

clock = reply(133, 0, "0.0.0.0", HOME_AGENT, 0xEEAA0100DEADBEEF).short(131, "NAI", b"@" + REALM.encode())
registration("wire-registration/reply-identification", finish_mobile(clock),
             answers="wire-registration/request-co-located", keys=keys_used())

page = worked.write(registration)
(ROOT / "docs").mkdir(parents=True, exist_ok=True)
(ROOT / "docs" / "registrations.md").write_text(page)

negotiation.write(write, seed)

registration("rfc5944-3.4/reply-identification", reply(133, 0, "10.0.0.1", "10.0.0.2", 0xEEAA0100DEADBEEF))
registration("rfc5944-3.4/reply-from-foreign-agent", reply(77, 0, "0.0.0.0", "10.0.0.2", 1))

# ------------------------------------------------------------------ malformed registrations


def malformed(name, data, error):
    kind = "registration request" if data[:1] == b"\1" else "registration reply"
    write(f"malformed/{name}", data, {"message": kind, "error": error})
    seed(kind.replace(" ", "_"), name, data)
    seed("parts", name, data)


tail = mobile.bytes()
malformed("request-cut-in-fixed-part", tail[:23], "Truncated")
malformed("request-cut-in-extension", tail[:-1], "Truncated")
malformed("request-without-authentication", plain.bytes(), 'Value("no mobile-home authentication")')
malformed("request-unknown-critical", tail + bytes([99, 0]), "UnknownCritical(99)")
malformed("request-repeated-handle", relayed.bytes()[:-38] + relayed.bytes()[-38 - 26:], "Misplaced(38)")
malformed("request-behind-34", relayed.bytes() + bytes([200, 0]), "Misplaced(200)")
malformed("request-too-long", tail.ljust(4097, b"\0"), "TooLong")
malformed("request-flags-of-nai", tail[:39 + 11] + b"\xc0" + tail[39 + 12:],
          'Value("flags of a protected extension")')
malformed("reply-short-authenticator", accepted_mobile.bytes()[:20] + bytes([32, 19, 0, 0, 4, 1]) + bytes(15),
          'Length("authenticator")')

# ------------------------------------------------------------------ agent discovery


def advertisement(routers, agent=None, lengths=None, challenge=None, nai=None, more=b"", lifetime=3, code=0):
    m = Message()
    m.put("router advertisement, code", bytes([9, code])).put("checksum", b"\0\0")
    m.put(f"{len(routers)} entries of 2 words", bytes([len(routers), 2]))
    m.put(f"lifetime {lifetime} s", struct.pack("!H", lifetime))
    for router in routers:
        m.put(f"router {router}, preference 0", address(router) + bytes(4))
    m.expected = {"message": "advertisement", "code": code, "lifetime": lifetime, "routers": routers}
    if agent:
        sequence, registration_lifetime, flags, care_of = agent
        bits = sum(0x8000 >> i for i, f in enumerate(flags) if f != "-")
        m.put(f"16: mobility agent, {len(care_of)} care-of addresses", bytes([16, 6 + 4 * len(care_of)]))
        m.put(f"sequence {sequence}, lifetime {registration_lifetime} s, flags {flags}",
              struct.pack("!HHH", sequence, registration_lifetime, bits))
        for c in care_of:
            m.put(f"care-of address {c}", address(c))
        m.expected["agent"] = {"sequence": sequence, "lifetime": registration_lifetime, "flags": flags,
                               "care_of": care_of}
    if lengths:
        m.put("19: prefix lengths", bytes([19, len(lengths)]) + bytes(lengths))
        m.expected["prefix_lengths"] = lengths
    if challenge:
        m.put("24: challenge", bytes([24, len(challenge)]) + challenge)
        m.expected["challenge"] = challenge.hex()
    if nai:
        m.put("136: name of the agent", bytes([136, len(nai) + 1, 3]) + nai.encode())
        m.expected["nai"] = nai
    if more:
        m.put("more", more)
    return m.with_checksum(1)


def discovery(name, m, **more):
    write(name, m, {**m.expected, **more})
    seed("advertisement", name.split("/")[-1], m)


foreign = advertisement(["10.21.1.1"], (7, 600, "---F---T--------", [CARE_OF]), [24], CHALLENGE, FA)
discovery("rfc5944-2.1/advertisement-foreign-agent", foreign)
discovery("rfc5944-2.1/advertisement-home-agent",
          advertisement([HOME_AGENT], (0, 600, "--H-------------", []), [24], None, HA))
discovery("rfc5944-2.1/advertisement-busy",
          advertisement([], (65535, 65535, "RBHFMG-TUXI-----", [CARE_OF, "10.52.1.2"]), code=16, lifetime=1800))
discovery("rfc5944-2.1/advertisement-plain-router", advertisement(["10.0.0.1", "10.0.0.2"]))
discovery("rfc5944-2.1/advertisement-skippable-and-padding",
          advertisement(["10.21.1.1"], (7, 600, "---F------------", [CARE_OF]), more=bytes([200, 1, 7, 0])),
          skipped=[200])
for name, m, error in (
        ("unknown-critical", advertisement(["10.0.0.1"], more=bytes([25, 1, 7])), "UnknownCritical(25)"),
        ("no-care-of", advertisement(["10.0.0.1"], (1, 1, "---F------------", [])),
         'Value("foreign agent without a care-of address")'),
        ("prefix-count", advertisement(["10.0.0.1"], lengths=[24, 24]), 'Length("prefix lengths")'),
        ("repeated", advertisement(["10.0.0.1"], challenge=CHALLENGE, more=bytes([24, 4, 1, 2, 3, 4])),
         "Misplaced(24)")):
    write(f"malformed/advertisement-{name}", m, {"message": "advertisement", "error": error})
    seed("advertisement", name, m)
damaged = bytearray(foreign.bytes())
damaged[20] ^= 1
write("malformed/advertisement-checksum", bytes(damaged), {"message": "advertisement", "error": "Checksum"})
seed("advertisement", "checksum", bytes(damaged))

solicitation = Message().put("router solicitation", bytes([10, 0])).put("checksum", b"\0\0")
solicitation.put("reserved", bytes(4)).with_checksum(1)
write("rfc5944-2.2/solicitation", solicitation, {"message": "solicitation"})
seed("solicitation", "solicitation", solicitation)
seed("solicitation", "with-extension", icmp(10, 0, bytes(4), bytes([0, 140, 1, 7])))
write("malformed/solicitation-code", icmp(10, 1, bytes(4), b""),
      {"message": "solicitation", "error": 'Value("code of the solicitation")'})

# ------------------------------------------------------------------ packets and tunnels

inner_payload = icmp(8, 0, struct.pack("!HH", 0x1234, 1), b"ping")
write("rfc792/echo-request", inner_payload,
      {"message": "icmp", "type": "echo request", "identifier": 0x1234, "sequence": 1, "data": b"ping".hex()})
inner = ipv4("10.11.1.90", HOME, 1, 63, inner_payload, tos=0xB8) + inner_payload
write("rfc792/fragmentation-needed", icmp(3, 4, struct.pack("!HH", 0, 1480), inner[:28]),
      {"message": "icmp", "type": "destination unreachable", "code": 4, "mtu": 1480, "original": inner[:28].hex()})
write("rfc792/time-exceeded", icmp(11, 0, bytes(4), inner[:28]),
      {"message": "icmp", "type": "time exceeded", "code": 0, "original": inner[:28].hex()})
for name in ("echo-request", "fragmentation-needed", "time-exceeded"):
    lines = (HERE / "rfc792" / f"{name}.hex").read_text().splitlines()
    seed("icmp", name, bytes.fromhex("".join(line.split("#")[0] for line in lines)))

on_wire = first.bytes()
head = ipv4("0.0.0.0", "10.21.1.1", 17, 255, bytes(8) + on_wire)
packet = Message().put("IPv4", head).put("UDP", udp("0.0.0.0", "10.21.1.1", 40434, 434, on_wire))
packet.put("registration request", on_wire)
write("rfc768/registration-on-link", packet,
      {"message": "udp packet", "source": "0.0.0.0:40434", "destination": "10.21.1.1:434", "ttl": 255,
       "payload": on_wire.hex()})
seed("udp_packet", "registration", packet)
seed("ipv4", "registration", packet)
fragment = ipv4("10.0.0.1", "10.0.0.2", 17, 9, bytes(16), 3, 0xFEDC, 0x2003, bytes([1, 1, 1, 0])) + bytes(16)
write("rfc791/fragment-with-options", fragment,
      {"message": "ipv4", "tos": 3, "identification": 0xFEDC, "dont_fragment": False, "more_fragments": True,
       "fragment_offset": 24, "ttl": 9, "protocol": 17, "source": "10.0.0.1", "destination": "10.0.0.2",
       "options": "01010100", "payload": bytes(16).hex()})
seed("ipv4", "fragment", fragment)
tunnelled = ipv4(HOME_AGENT, CARE_OF, 4, 64, inner, tos=0xB8) + inner
write("rfc2003-3.1/ip-in-ip", tunnelled,
      {"message": "ip-in-ip", "entry": HOME_AGENT, "exit": CARE_OF, "ttl": 64, "tos": 0xB8, "inner": inner.hex()})
seed("ipip", "ip-in-ip", tunnelled)
own = ipv4(HOME_AGENT, HOME, 1, 63, inner_payload, tos=0xB8) + inner_payload
for name, packet in (("with-source", inner), ("without-source", own)):
    head, forwarding = minimal(HOME_AGENT, CARE_OF, packet)
    message = Message().put("IPv4", head).put("forwarding header", forwarding).put("payload", packet[20:])
    write(f"rfc2004-3/{name}", message,
          {"message": "minimal encapsulation", "entry": HOME_AGENT, "exit": CARE_OF, "ttl": 63,
           "source_present": packet is inner, "inner": packet.hex()})
    seed("minimal", name, message)
head, forwarding = minimal(HOME_AGENT, CARE_OF, inner)
broken = Message().put("IPv4", head).put("forwarding header", forwarding[:-1] + b"\x5b").put("payload", inner[20:])
write("malformed/minimal-checksum", broken, {"message": "minimal encapsulation", "error": "Checksum"})
cut = forwarding[:11]
broken = Message().put("IPv4", ipv4(HOME_AGENT, CARE_OF, 55, 63, cut)).put("forwarding header", cut)
write("malformed/minimal-cut", broken, {"message": "minimal encapsulation", "error": "Truncated"})
for name, packet, summed in (("gre", inner, False), ("gre-with-checksum", inner, True)):
    tunnel = gre(packet, summed)
    message = Message().put("IPv4", ipv4(HOME_AGENT, CARE_OF, 47, 64, tunnel + packet, tos=0xB8))
    message.put("GRE", tunnel).put("inner packet", packet)
    write(f"rfc2784-2/{name}", message,
          {"message": "gre", "entry": HOME_AGENT, "exit": CARE_OF, "ttl": 64, "tos": 0xB8, "checksum": summed,
           "inner": packet.hex()})
    seed("gre", name, message)
for name, tunnel, error in (("gre-key", bytes([0x20, 0, 8, 0, 0, 0, 0, 7]), "TunnelHeader"),
                            ("gre-version-1", bytes([0, 1, 8, 0]), "TunnelHeader"),
                            ("gre-checksum", gre(inner + b"\1", True), "Checksum"),
                            ("gre-ipv6", bytes([0, 0, 0x86, 0xDD]), "EtherType(34525)")):
    message = Message().put("IPv4", ipv4(HOME_AGENT, CARE_OF, 47, 64, tunnel + inner))
    message.put("GRE", tunnel).put("inner packet", inner)
    write(f"malformed/{name}", message, {"message": "gre", "error": error})
    seed("gre", name, message)

data = bytes([4, 4, 0, 0]) + inner
write("rfc3519-3.3/tunnel-data", data, {"message": "tunnel data", "next_header": 4, "packet": inner.hex()})
seed("tunnel_data", "tunnel-data", data)
seed("icmp_packet", "echo", inner)
seed("udp", "datagram", udp(HOME, HOME_AGENT, 434, 434, b"abc") + b"abc")

# ------------------------------------------------------------------ revocations

revoked = Message().put("revocation, A", bytes([7, 0, 0x80, 0])).put("home address", address("0.0.0.0"))
revoked.put("home agent", address(HOME_AGENT)).put("care-of address", address(CARE_OF))
revoked.put("identifier", struct.pack("!I", IDENTIFICATION >> 32))
revoked.fixed = len(revoked.bytes())
seal = kdf(KEYS[2], "seal ha>fa", lp(FA.encode()) + lp(HA.encode()) + struct.pack("!I", KEY2_AT_FA))
mac = kdf(KEYS[2], "auth ha>fa", lp(FA.encode()) + lp(HA.encode()) + struct.pack("!I", KEY2_AT_FA))
for name, numbers in (("vendor", "vendor"), ("experimental", "experimental")):
    whole = revoked.copy().sealed(2, "home address", 0, KEY2_AT_FA, ("KEY 2", "aes-256-gcm", seal), address(HOME),
                                  numbers)
    seed("revocation", name, whole.authentication(34, "foreign-home", KEY2_AT_FA, mac))
acknowledged = Message().put("acknowledgement", bytes([15, 0, 0, 0])).put("home address", address("0.0.0.0"))
acknowledged.put("identifier", struct.pack("!I", IDENTIFICATION >> 32))
mac = kdf(KEYS[2], "auth fa>ha", lp(FA.encode()) + lp(HA.encode()) + struct.pack("!I", KEY2_AT_HA))
seed("revocation", "acknowledgement", acknowledged.authentication(34, "foreign-home", KEY2_AT_HA, mac))

# ------------------------------------------------------------------ notices

noticed = Message().put("notice, renew", bytes([255, 1, 0, 0])).put("enterprise number", struct.pack("!I", 32473))
noticed.put("home agent", address(HOME_AGENT)).put("care-of address", address(CARE_OF))
mac = kdf(KEYS[2], "auth ha>fa", lp(FA.encode()) + lp(HA.encode()) + struct.pack("!I", KEY2_AT_FA))
seed("notice", "renew", noticed.authentication(34, "foreign-home", KEY2_AT_FA, mac))

# ------------------------------------------------------------------ revocation support

seed("revocation_support", "today", bytes([0x80, 0]) + struct.pack("!I", IDENTIFICATION >> 32))
seed("revocation_support", "longer", bytes([0xff, 0xff, 1, 2, 3, 4, 5, 6]))

seed("sealed_nai", "long", sealed_nai("u" * 64, 7))
seed("sealed_nai", "longest", sealed_nai("u" * 253))

# ------------------------------------------------------------------ the key schedule

for n, i, r, pairs in ((1, NAI, HA, (("mn>ha", KEY1_AT_HA), ("ha>mn", KEY1_AT_MN))),
                       (2, FA, HA, (("fa>ha", KEY2_AT_HA), ("ha>fa", KEY2_AT_FA))),
                       (3, VISIT, FA, (("mn>fa", KEY3_AT_FA), ("fa>mn", KEY3_AT_MN)))):
    for direction, spi in pairs:
        context = lp(i.encode()) + lp(r.encode()) + struct.pack("!I", spi)
        derive(f"KEY {n}", KEYS[n], f"auth {direction}", context)
        derive(f"KEY {n}", KEYS[n], f"seal {direction}", context)
unique = {json.dumps(entry, sort_keys=True): entry for entry in schedule}
(HERE / "wire-key-schedule.json").write_text(json.dumps(
    {"nai": NAI, "realm": REALM, "foreign_agent": FA, "home_agent": HA, "visit_name": VISIT,
     "mobile_spi": SPI_MN, "agents_spi": SPI_FA, "key0": KEY0.hex(), "agents_key": KEY_FA.hex(),
     "keys": {str(n): k.hex() for n, k in KEYS.items()}, "derived": list(unique.values())}, indent=1) + "\n")
