"""Bytes with a comment on every field, and the checksums, keys and seals of Mobile IPv4 messages.

Written from the RFCs and docs/wire.md, not from the Rust code, so that each finds the other's mistakes.
Needs the Python package `cryptography` for the three ciphers and X25519.
"""
import hashlib
import hmac
import ipaddress
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

VENDOR = 32473


def address(text):
    return ipaddress.IPv4Address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def lp(data):
    return struct.pack("!H", len(data)) + data


def hkdf(salt, secret, info, length):
    """RFC 5869 with SHA-256."""
    key = hmac.digest(salt, secret, "sha256")
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([count]), "sha256")
        out, count = out + block, count + 1
    return out[:length]


def kdf(key, label, context, length=32, shared=bytes(32)):
    return hkdf(key, shared, b"sojourn-1" + lp(label.encode()) + lp(context), length)


def exchange(secret, public):
    """X25519 (RFC 7748)."""
    theirs = X25519PublicKey.from_public_bytes(public)
    return X25519PrivateKey.from_private_bytes(secret).exchange(theirs)


def public_value(secret):
    public = X25519PrivateKey.from_private_bytes(secret).public_key()
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def one_time_spi(key, n):
    """The first word above 511 of a stream of HMACs over the number and the count of blocks."""
    block = 0
    while True:
        stream = hmac.digest(key, struct.pack("!QB", n, block), "sha256")
        for (word,) in struct.iter_unpack("!I", stream):
            if word > 511:
                return word
        block += 1


CIPHERS = {
    "aes-256-gcm": (AESGCM, 32),
    "aes-128-gcm": (AESGCM, 16),
    "chacha20-poly1305": (ChaCha20Poly1305, 32),
}


class Message:
    """Bytes in pieces, each with the comment that stands beside it in the .hex file."""

    def __init__(self):
        self.pieces = []
        self.extensions = []
        self.fixed, self.expected = 0, {}

    def put(self, comment, data):
        self.pieces.append((comment, data))
        return self

    def bytes(self):
        return b"".join(data for _, data in self.pieces)

    def copy(self):
        other = Message()
        other.pieces, other.extensions = list(self.pieces), list(self.extensions)
        other.fixed, other.expected = self.fixed, self.expected
        return other

    def hex_lines(self):
        for comment, data in self.pieces:
            rows = [data[i:i + 16] for i in range(0, len(data), 16)] or [b""]
            for number, row in enumerate(rows):
                note = f"  # {comment}" if number == 0 else ""
                yield f"{row.hex(' '):<47}{note}".rstrip()

    def with_checksum(self, piece):
        """Fills in the Internet checksum, which stands in that piece."""
        comment, _ = self.pieces[piece]
        self.pieces[piece] = (comment, struct.pack("!H", checksum(self.bytes())))
        return self

    # registration messages

    def short(self, kind, name, data, **means):
        self.extensions.append({"type": kind, "offset": len(self.bytes()), "data": data.hex(), **means})
        self.put(f"{kind}: {name}", bytes([kind, len(data)]))
        return self.put("data", data) if data else self

    def ours(self, subtype, name, body, numbers="vendor", **means):
        offset = len(self.bytes())
        if numbers == "vendor":
            head = struct.pack("!BBHIH", 38, 0, len(body) + 6, VENDOR, subtype)
        else:
            head = struct.pack("!BBH", 127, subtype, len(body))
        self.extensions.append({"type": head[0], "offset": offset, "numbers": numbers, "subtype": subtype,
                                "body": body.hex(), **means})
        self.put(f"sub-type {subtype}: {name}", head)
        return self.put("body", body)

    def plain(self, subtype, name, content, info, numbers="vendor", **means):
        return self.ours(subtype, name, struct.pack("!BBI", content, 0, 0) + info, numbers,
                         means={"content": content, "sealed": False, "spi": 0, **means})

    def sealed(self, subtype, name, content, spi, secret, info, numbers="vendor", **means):
        """`secret` is (whose, cipher, key); the fixed part is what was put before any extension."""
        whose, cipher, key = secret
        maker, length = CIPHERS[cipher]
        head = struct.pack("!BBI", content, 0x80, spi)
        total = len(head) + 12 + len(info) + 16
        if numbers == "vendor":
            carrier = struct.pack("!BBHIH", 38, 0, total + 6, VENDOR, subtype)
        else:
            carrier = struct.pack("!BBH", 127, subtype, total)
        offset = len(self.bytes())
        fixed = self.bytes()[:self.fixed]
        nonce = hashlib.sha256(b"nonce" + fixed + carrier + bytes([offset & 255])).digest()[:12]
        sealed = nonce + maker(key[:length]).encrypt(nonce, info, fixed + carrier + head)
        self.extensions.append({"type": carrier[0], "offset": offset, "numbers": numbers, "subtype": subtype,
                                "body": (head + sealed).hex(),
                                "means": {"content": content, "sealed": True, "spi": spi, "under": whose,
                                          "plain": info.hex(), **means}})
        self.put(f"sub-type {subtype}: {name}", carrier)
        self.put(f"content-type {content}, flag E, SPI {spi}", head)
        return self.put("nonce, ciphertext, tag", sealed)

    def authentication(self, kind, name, spi, key):
        offset = len(self.bytes())
        head = struct.pack("!BBI", kind, 36, spi)
        mac = hmac.digest(key, self.bytes() + head, "sha256")
        self.extensions.append({"type": kind, "offset": offset, "data": (head[2:] + mac).hex(), "spi": spi,
                                "covered": offset + 6})
        self.put(f"{kind}: {name}, SPI {spi}", head)
        return self.put("HMAC-SHA-256", mac)


def sealed_nai(user, index=0):
    size = 72 if len(user) <= 63 else 264
    return (struct.pack("!QB", index, len(user)) + user.encode()).ljust(size, b"\0")


def sealed_link(data, kind=0):
    return (bytes([kind, len(data)]) + data).ljust(16, b"\0")


def sa(receiver_in, receiver_out, key, own, peer, lifetime=600):
    return struct.pack("!BIIBHHIH", 1, receiver_in, receiver_out, 2, 20, 256, lifetime, len(key)) + key + \
        bytes([len(own)]) + own.encode() + bytes([len(peer)]) + peer.encode()


def sa_means(receiver_in, receiver_out, key, own, peer, lifetime=600):
    return {"mode": 1, "inbound": receiver_in, "outbound": receiver_out, "protocol": 2, "transform": 20,
            "key_bits": 256, "lifetime": lifetime, "key": key.hex(), "own": own, "peer": peer}


def request(flags, lifetime, home, agent, care_of, identification):
    m = Message()
    m.fixed = 24
    m.put(f"registration request, flags {flags}",
          bytes([1, sum(0x80 >> i for i, f in enumerate(flags) if f != "-")]))
    m.put(f"lifetime {lifetime} s", struct.pack("!H", lifetime))
    for name, value in (("home address", home), ("home agent", agent), ("care-of address", care_of)):
        m.put(f"{name} {value}", address(value))
    m.put("identification", struct.pack("!Q", identification))
    m.expected = {"message": "registration request", "flags": flags, "lifetime": lifetime,
                  "home_address": home, "home_agent": agent, "care_of": care_of,
                  "identification": f"{identification:016x}"}
    return m


def reply(code, lifetime, home, agent, identification):
    m = Message()
    m.fixed = 20
    m.put(f"registration reply, code {code}", bytes([3, code]))
    m.put(f"lifetime {lifetime} s", struct.pack("!H", lifetime))
    for name, value in (("home address", home), ("home agent", agent)):
        m.put(f"{name} {value}", address(value))
    m.put("identification", struct.pack("!Q", identification))
    m.expected = {"message": "registration reply", "code": code, "lifetime": lifetime,
                  "home_address": home, "home_agent": agent, "identification": f"{identification:016x}"}
    return m


def ipv4(source, destination, protocol, ttl, payload, tos=0, identification=0, fragment=0x4000, options=b""):
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, tos, 20 + len(options) + len(payload),
                       identification, fragment, ttl, protocol, 0)
    head += address(source) + address(destination) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def minimal(entry, exit, inner):
    """RFC 2004: the header of a packet without options, changed, then the forwarding header, then the payload."""
    source, destination = inner[12:16], inner[16:20]
    forwarding = bytes([inner[9], 0x80 if source != address(entry) else 0, 0, 0]) + destination
    forwarding += source if source != address(entry) else b""
    forwarding = forwarding[:2] + struct.pack("!H", checksum(forwarding)) + forwarding[4:]
    head = inner[:2] + struct.pack("!H", len(inner) + len(forwarding)) + inner[4:9] + bytes([55, 0, 0])
    head += address(entry) + address(exit)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:], forwarding


def gre(inner, summed):
    """RFC 2784: the header before an IPv4 packet."""
    if not summed:
        return bytes([0, 0, 8, 0])
    head = bytes([0x80, 0, 8, 0, 0, 0, 0, 0])
    return head[:4] + struct.pack("!H", checksum(head + inner)) + head[6:]


def udp(source, destination, source_port, destination_port, payload):
    head = struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0)
    pseudo = address(source) + address(destination) + struct.pack("!BBH", 0, 17, 8 + len(payload))
    return head[:6] + struct.pack("!H", checksum(pseudo + head + payload) or 0xFFFF)


def icmp(kind, code, rest, body):
    message = struct.pack("!BBH", kind, code, 0) + rest + body
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]
