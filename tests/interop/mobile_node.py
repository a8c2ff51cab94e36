#!/usr/bin/env python3
"""A mobile node written from docs/wire.md alone: it shares nothing with the product but that page.

It registers through the foreign agent whose advertisement it hears on an interface, or gives the registration up,
and says in one line of JSON what came of it. It needs the right to open packet sockets, Python 3.11 and the package
`cryptography`.

    mobile_node.py ENROLMENT.toml STATE.json INTERFACE register|deregister

The state file is its own; without one it does not know its numbers and names itself by the realm's key.
"""

import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import pathlib
import secrets
import select
import socket
import struct
import sys
import time
import tomllib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NTP_TO_UNIX = 2208988800
PATIENCE_S = 10
ZEROS = bytes(32)


# --- keys (docs/wire.md section 3) ---


def lp(data):
    return struct.pack(">H", len(data)) + data


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def kdf(key, shared, label, context, length):
    root = mac(key, shared or ZEROS)
    info = b"sojourn-1" + lp(label.encode()) + lp(context)
    out, block = b"", b""
    while len(out) < length:
        block = mac(root, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def one_time_spi(key, n):
    for block in range(256):
        words = mac(key, struct.pack(">QB", n, block))
        for at in range(0, 32, 4):
            (word,) = struct.unpack_from(">I", words, at)
            if word > 511:
                return word
    raise AssertionError("no index")


# --- extensions (sections 1, 2, 4) ---


def short(kind, data):
    return bytes([kind, len(data)]) + data


class Message:
    """Bytes that grow; whatever is sealed is bound to the fixed part in front."""

    def __init__(self, fixed, vendor):
        self.fixed, self.bytes, self.vendor = fixed, fixed, vendor

    def ours(self, subtype, body):
        head = struct.pack(">BBHIH", 38, 0, 6 + len(body), self.vendor, subtype)
        self.bytes += head + body

    def sealed(self, subtype, content, spi, key, plain):
        length = 6 + 6 + 12 + len(plain) + 16
        head = struct.pack(">BBHIHBBI", 38, 0, length, self.vendor, subtype, content, 0x80, spi)
        nonce = secrets.token_bytes(12)
        self.bytes += head + nonce + AESGCM(key).encrypt(nonce, plain, self.fixed + head)

    def authenticated(self, kind, spi, key):
        self.bytes += struct.pack(">BBI", kind, 36, spi)
        self.bytes += mac(key, self.bytes)


def walk(message, fixed):
    """Type, offset and data of each extension; padding is passed over."""
    at = fixed
    while at < len(message):
        kind = message[at]
        if kind == 0:
            at += 1
            continue
        if kind in (36, 37, 38, 40, 41, 42, 43, 48, 127):
            (length,) = struct.unpack_from(">H", message, at + 2)
            data = at + 4
        else:
            length, data = message[at + 1], at + 2
        if data + length > len(message):
            raise ValueError("an extension beyond the end")
        yield kind, at, message[data : data + length]
        at = data + length


# --- packets ---


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(protocol, source, destination, ttl, payload):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, ttl, protocol, 0, source, destination)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def udp(source, destination, ports, payload):
    length = 8 + len(payload)
    pseudo = source + destination + struct.pack(">HH", 17, length)
    head = struct.pack(">HHHH", *ports, length, 0)
    total = checksum(pseudo + head + payload) or 0xFFFF
    return struct.pack(">HHHH", *ports, length, total) + payload


class Link:
    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.bind((interface, 0x0800))
        found = fcntl.ioctl(self.socket, 0x8927, struct.pack("256s", interface.encode()))
        self.address = found[18:24]

    def send(self, to, packet):
        self.socket.send(to + self.address + b"\x08\x00" + packet)

    def packets(self, seconds):
        """Sender's link address, protocol and packet of everything that arrives for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                frame = self.socket.recv(4096)
                packet = frame[14:]
                if len(packet) >= 20 and frame[6:12] != self.address:
                    (total,) = struct.unpack_from(">H", packet, 2)
                    yield frame[6:12], packet[9], packet[:total]


# --- agents (section 7) ---


class Agent:
    def __init__(self, link_address, packet):
        icmp = packet[(packet[0] & 15) * 4 :]
        if icmp[0] != 9 or checksum(icmp) != 0:
            raise ValueError("no advertisement")
        entries, words = icmp[4], icmp[5]
        self.link_address, self.address = link_address, packet[12:16]
        self.care_of = self.challenge = self.name = None
        for kind, _, data in walk(icmp, 8 + entries * words * 4):
            if kind == 16:
                _, self.lifetime, flags = struct.unpack_from(">HHH", data)
                self.care_of = data[6:10] if flags & 0x1000 and len(data) >= 10 else None
            elif kind == 24:
                self.challenge = data
            elif kind == 136 and data[:1] == b"\x03":
                self.name = data[1:].decode()
        if not (self.care_of and self.challenge and self.name):
            raise ValueError("no foreign agent of ours")


def hear_agent(link):
    for _ in range(PATIENCE_S):
        solicitation = struct.pack(">BBHI", 10, 0, 0, 0)
        solicitation = struct.pack(">BBHI", 10, 0, checksum(solicitation), 0)
        group = ipaddress.IPv4Address("224.0.0.2").packed
        link.send(bytes.fromhex("01005e000002"), ip_packet(1, bytes(4), group, 1, solicitation))
        for sender, protocol, packet in link.packets(1):
            if protocol == 1:
                try:
                    return Agent(sender, packet)
                except (ValueError, IndexError, struct.error):
                    continue
    raise SystemExit("no agent is heard")


# --- the mobile node (sections 5, 6, 8, 9, 12) ---


class MobileNode:
    def __init__(self, enrolment, state_file, interface):
        self.e = tomllib.loads(pathlib.Path(enrolment).read_text())
        assert self.e["cipher"] == "aes-256-gcm" and self.e["one_time"] and not self.e["no_fs"]
        self.state_file = pathlib.Path(state_file)
        self.s = json.loads(self.state_file.read_text()) if self.state_file.exists() else {"n": None}
        self.link = Link(interface)
        self.by_realm_key = False
        self.key0 = bytes.fromhex(self.e["key0"])
        self.user, self.realm = self.e["nai"].split("@")
        self.names = lp(self.e["nai"].encode()) + lp(self.realm.encode())
        self.home_agent = ipaddress.IPv4Address(self.e["home_agent"]).packed
        self.home_address = ipaddress.IPv4Address(self.e["home_address"]).packed

    def keep(self):
        new = self.state_file.with_suffix(".new")
        with new.open("w") as out:
            json.dump(self.s, out)
            out.flush()
            os.fsync(out.fileno())
        new.rename(self.state_file)

    def derived(self, label):
        return kdf(self.key0, None, label, self.names, 32)

    def name(self, share):
        """Number, index and sealing key of the next request."""
        if self.s["n"] is None:
            realm = self.e["realm_keys"][0]
            public = X25519PublicKey.from_public_bytes(bytes.fromhex(realm["public"]))
            value = public_value(share)
            context = lp(self.realm.encode()) + lp(value)
            return 0, realm["id"], kdf(ZEROS, share.exchange(public), "seal realm", context, 32)
        self.s["n"] += 1
        self.keep()
        n = self.s["n"]
        return n, one_time_spi(self.derived("spi"), n), self.derived("seal mn>ha")

    def request(self, agent, lifetime):
        share = X25519PrivateKey.generate()
        n, spi, seal = self.name(share)
        seconds = (int(time.time()) + NTP_TO_UNIX + self.s.get("offset", 0)) & 0xFFFFFFFF
        seconds = max(seconds, self.s.get("last_seconds", 0) + 1)
        self.s["last_seconds"] = seconds
        self.keep()
        low = secrets.token_bytes(4)
        fixed = struct.pack(">BBH4s4s4sI4s", 1, 0x02, lifetime, bytes(4), self.home_agent, agent.care_of, seconds, low)
        m = Message(fixed, self.e["vendor"])
        m.bytes += short(131, b"@" + self.realm.encode())
        user = self.user.encode()
        m.sealed(1, 0, spi, seal, (struct.pack(">QB", n, len(user)) + user).ljust(72, b"\0"))
        m.sealed(2, 0, spi, seal, self.home_address)
        m.sealed(3, 0, spi, seal, (bytes([0, 6]) + self.link.address).ljust(16, b"\0"))
        m.ours(6, bytes([len(agent.challenge)]) + agent.challenge + agent.name.encode())
        m.ours(9, struct.pack(">H", 31) + public_value(share))
        m.authenticated(32, spi, self.derived("auth mn>ha"))
        transcript = hashlib.sha256(m.bytes).digest()
        m.bytes += short(132, agent.challenge)
        key3 = self.s.get("key3")
        if key3 and key3["agent"] == agent.name:
            m.authenticated(33, key3["outbound"], visit_key(key3, "auth mn>fa", key3["outbound"]))
        return m.bytes, spi, share, transcript, low

    def ask(self, agent, lifetime):
        """Sends a request and waits for an answer that counts: code and what it brought."""
        message, spi, share, transcript, low = self.request(agent, lifetime)
        port = 1024 + secrets.randbelow(60000)
        payload = udp(bytes(4), agent.address, (port, 434), message)
        self.link.send(agent.link_address, ip_packet(17, bytes(4), agent.address, 255, payload))
        for sender, protocol, packet in self.link.packets(2):
            if protocol != 17 or sender != agent.link_address:
                continue
            datagram = packet[(packet[0] & 15) * 4 :]
            if struct.unpack_from(">HH", datagram) != (434, port):
                continue
            reply = datagram[8:]
            if len(reply) < 20 or reply[0] != 3 or reply[8:12] != self.home_agent or reply[16:20] != low:
                continue
            answer = self.open(reply, spi, share, transcript, agent)
            if answer:
                return answer
        return None

    def open(self, reply, spi, share, transcript, agent):
        code, (granted,) = reply[1], struct.unpack_from(">H", reply, 2)
        if 64 <= code <= 127:
            return {"code": code, "hint": True}
        extensions = list(walk(reply, 20))
        own = next((i for i, (kind, _, _) in enumerate(extensions) if kind == 32), None)
        if own is None:
            return None
        _, at, data = extensions[own]
        if struct.unpack_from(">I", data)[0] != spi:
            return None
        if not hmac.compare_digest(mac(self.derived("auth ha>mn"), reply[: at + 6]), data[4:]):
            return None
        found = {}
        for _, at, data in (e for e in extensions[:own] if e[0] == 38):
            vendor, subtype = struct.unpack_from(">IH", data)
            assert vendor == self.e["vendor"], "an extension of another vendor"
            found.setdefault(subtype, []).append((at, data[6:]))
        shared, answer = None, b""
        if 9 in found:
            group, answer = struct.unpack(">H", found[9][0][1][:2])[0], found[9][0][1][2:]
            assert group == 31
            shared = share.exchange(X25519PublicKey.from_public_bytes(answer))
        key = kdf(self.key0, shared, "seal ha>mn", self.names + transcript + lp(answer), 32)

        def opened(subtype):
            for at, body in found.get(subtype, []):
                content, flags, of = struct.unpack_from(">BBI", body)
                assert flags == 0x80 and of == spi
                yield content, AESGCM(key).decrypt(body[6:18], body[18:], reply[:20] + reply[at : at + 16])

        for _, plain in opened(1):
            assert plain[9 : 9 + plain[8]].decode() == self.user
            self.s["n"] = struct.unpack_from(">Q", plain)[0]
        answer = {"code": code, "lifetime": granted}
        if code == 133:
            theirs, (sent,) = struct.unpack_from(">I", reply, 12)[0], (self.s["last_seconds"],)
            self.s["offset"] = self.s.get("offset", 0) + theirs - sent
            self.s["last_seconds"] = theirs
        if code in (0, 1) and granted:
            assert shared, "an acceptance without a share"
            keys = {content: key_info(plain) for content, plain in opened(4)}
            assert sorted(keys) == [0, 2] and keys[2]["own"] == self.e["nai"]
            assert keys[0]["peer"] == agent.name, "a KEY 3 for another agent"
            key3 = keys[0] | {"agent": agent.name}
            kind, at, data = extensions[-1]
            proved = mac(visit_key(key3, "auth fa>mn", key3["inbound"]), reply[: at + 6])
            if kind != 33 or struct.unpack_from(">I", data)[0] != key3["inbound"] or proved != data[4:]:
                return None
            self.s["key3"] = key3
            [(_, address)] = opened(2)
            answer["home_address"] = str(ipaddress.IPv4Address(address))
            answer["visit_name"] = key3["own"]
        self.by_realm_key |= 256 <= spi <= 511
        self.keep()
        return answer


def public_value(share):
    return share.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def key_info(plain):
    mode, inbound, outbound, protocol, transform, bits, _, length = struct.unpack_from(">BIIBHHIH", plain)
    assert (mode, protocol, transform, bits, length) == (1, 2, 20, 256, 32)
    at = 20
    key, at = plain[at : at + length], at + length
    names = []
    for _ in range(2):
        names.append(plain[at + 1 : at + 1 + plain[at]].decode())
        at += 1 + plain[at]
    assert at == len(plain)
    return {"inbound": inbound, "outbound": outbound, "key": key.hex(), "own": names[0], "peer": names[1]}


def visit_key(key3, label, spi):
    """What KEY 3 gives for 33: the mobile node's visit name, then the agent's name, then the receiver's index."""
    context = lp(key3["own"].encode()) + lp(key3["peer"].encode()) + struct.pack(">I", spi)
    return kdf(bytes.fromhex(key3["key"]), None, label, context, 32)


def main():
    if len(sys.argv) != 5 or sys.argv[4] not in ("register", "deregister"):
        sys.exit(__doc__)
    node = MobileNode(*sys.argv[1:4])
    lifetime = 300 if sys.argv[4] == "register" else 0
    for attempt in range(6):
        agent = hear_agent(node.link)
        answer = node.ask(agent, min(lifetime, agent.lifetime))
        if answer and answer["code"] in (0, 1):
            care_of = str(ipaddress.IPv4Address(agent.care_of))
            how = {"agent": agent.name, "care_of": care_of, "by_realm_key": node.by_realm_key}
            print(json.dumps(answer | how | {"attempts": attempt + 1}))
            return
        print(f"attempt {attempt + 1}: {answer}", file=sys.stderr)
    sys.exit("not registered")


main()
