"""Reads and writes Mobile IPv4 with scapy; shares no code with the parsers under test.

usage: scapy_peer.py read FILE     one JSON object a packet, on standard output
       scapy_peer.py write FILE    a capture of messages built by scapy; what they mean, on standard output
"""
import hashlib
import hmac
import json
import struct
import sys

from scapy.all import GRE, ICMP, IP, UDP, Ether, Raw, rdpcap, wrpcap
from scapy.layers.mobileip import MobileIP, MobileIPRRP, MobileIPRRQ, MobileIPTunnelData

LONG = {36, 37, 38, 40, 41, 42, 43, 48, 127}


def extensions(data, long_types=LONG):
    """[type, sub-type or reserved byte, data in hexadecimal]; padding is left out."""
    found, at = [], 0
    while at < len(data):
        kind = data[at]
        if kind == 0:
            at += 1
            continue
        if kind in long_types:
            second, length = struct.unpack_from("!BH", data, at + 1)
            head = 4
        else:
            second, length, head = 0, data[at + 1], 2
        body = data[at + head:at + head + length]
        assert len(body) == length, "an extension ends behind the message"
        found.append([kind, second, body.hex()])
        at += head + length
    return found


def registration(packet):
    message = packet[MobileIP]
    fields = message.payload
    out = {"type": message.type}
    if message.type == 4:
        out["next_header"] = fields.nexthdr
        out["inner"] = bytes(fields.payload).hex()
        return out
    out.update(lifetime=fields.lifetime, home_address=fields.homeaddr, home_agent=fields.haaddr,
               identification=f"{fields.id:016x}", extensions=extensions(bytes(fields.payload)))
    if message.type == 1:
        out.update(flags=int(fields.flags), care_of=fields.coaddr)
    else:
        out["code"] = fields.code
    return out


def discovery(packet):
    message = bytes(packet[ICMP])
    out = {"type": message[0], "code": message[1]}
    if message[0] == 9:
        count, words, lifetime = struct.unpack_from("!BBH", message, 4)
        out.update(routers=[".".join(map(str, message[8 + i * words * 4:][:4])) for i in range(count)],
                   lifetime=lifetime, extensions=extensions(message[8 + count * words * 4:], ()))
    return out


def ones_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def minimal(packet):
    """RFC 2004; scapy has no layer for it."""
    data = bytes(packet.payload)
    protocol, flags, _, destination = struct.unpack_from("!BBH4s", data)
    length = 12 if flags & 0x80 else 8
    inner = packet.copy()
    inner.remove_payload()
    inner.proto, inner.dst = protocol, ".".join(map(str, destination))
    if flags & 0x80:
        inner.src = ".".join(map(str, data[8:12]))
    del inner.len, inner.chksum
    inner = bytes(inner / Raw(data[length:]))
    return {"tunnel": "minimal", "sum": ones_sum(data[:length]) == 0xFFFF, "inner": inner.hex()}


def generic(packet):
    layer = packet[GRE]
    out = {"tunnel": "gre", "version": layer.version, "key": layer.key_present, "ether_type": layer.proto,
           "inner": bytes(layer.payload).hex()}
    out["sum"] = ones_sum(bytes(layer)) == 0xFFFF if layer.chksum_present else None
    return out


def forwarded(inner, entry, leave):
    """The packet `inner` with a minimal forwarding header."""
    inner = IP(bytes(inner))
    present = inner.src != entry
    header = struct.pack("!BBH", inner.proto, 0x80 * present, 0)
    header += bytes(map(int, inner.dst.split("."))) + bytes(map(int, inner.src.split("."))) * present
    header = header[:2] + struct.pack("!H", 0xFFFF - ones_sum(header)) + header[4:]
    payload = bytes(inner.payload)
    outer = inner.copy()
    outer.remove_payload()
    outer.src, outer.dst, outer.proto = entry, leave, 55
    del outer.len, outer.chksum
    return outer / Raw(header + payload)


def right_checksums(packet):
    again = Ether(bytes(packet)).payload
    layers = [layer for layer in (IP, UDP, ICMP) if layer in again]
    sent = [again[layer].chksum for layer in layers]
    for layer in layers:
        del again[layer].chksum
    again = IP(bytes(again))
    return sent == [again[layer].chksum for layer in layers]


def read(path):
    for packet in rdpcap(path):
        ip = packet[IP]
        out = {"source": ip.src, "destination": ip.dst, "ttl": ip.ttl, "checksums": right_checksums(packet)}
        if ip.proto in (47, 55):
            out["message"] = generic(packet) if ip.proto == 47 else minimal(ip)
            out["checksums"] = ones_sum(bytes(ip)[:20]) == 0xFFFF
        elif UDP in packet:
            out["ports"] = [packet[UDP].sport, packet[UDP].dport]
            # scapy takes port 434 on either side for Mobile IP.
            out["message"] = registration(packet)
        else:
            out["message"] = discovery(packet)
        print(json.dumps(out))


def short(kind, data):
    return bytes([kind, len(data)]) + data


def authenticated(message, kind, spi, key):
    message += struct.pack("!BBI", kind, 36, spi)
    return message + hmac.digest(key, message, hashlib.sha256)


def write(path):
    key = bytes(range(32))
    request = bytes(MobileIP() / MobileIPRRQ(flags=0x22, lifetime=600, homeaddr="0.0.0.0", haaddr="10.99.1.1",
                                             coaddr="10.99.1.2", id=0xEEAA0001DEADBEEF))
    request += short(131, b"@home.example")
    request += struct.pack("!BBHIH", 38, 0, 22, 32473, 8) + struct.pack("!QII", 7, 300, 301)
    request += short(144, bytes([0, 0, 0x80, 4, 0, 0])) + bytes(2)
    request = authenticated(request, 32, 70001, key)
    request = authenticated(request, 34, 1001, key)
    reply = bytes(MobileIP() / MobileIPRRP(code=0, lifetime=300, homeaddr="10.99.9.9", haaddr="10.99.1.1",
                                           id=0xEEAA0001DEADBEEF))
    reply += short(44, bytes([0, 0, 0x80, 0, 0, 110]))
    reply = authenticated(reply, 32, 70001, key)
    inner = IP(src="10.99.9.9", dst="10.99.10.1", ttl=63) / ICMP(id=7, seq=3) / b"ping"
    advertisement = struct.pack("!BBHBBH", 9, 0, 0, 1, 2, 3) + bytes([10, 99, 1, 1]) + bytes(4)
    advertisement += short(16, struct.pack("!HHH", 256, 600, 0x1100) + bytes([10, 99, 1, 2]))
    advertisement += short(19, bytes([24])) + short(136, b"\3fa@visited.example")
    advertisement = ICMP(advertisement)
    advertisement.chksum = None
    solicitation = ICMP(struct.pack("!BBHI", 10, 0, 0, 0))
    solicitation.chksum = None
    ends = {"src": "10.99.1.2", "dst": "10.99.1.1"}
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    wrpcap(path, [
        frame / IP(**ends) / UDP(sport=40434, dport=434) / Raw(request),
        frame / IP(**ends) / UDP(sport=434, dport=40434) / Raw(reply),
        frame / IP(**ends) / UDP(sport=40434, dport=434) / MobileIP(type=4) / MobileIPTunnelData(nexthdr=4) / inner,
        frame / IP(src="10.99.1.1", dst="224.0.0.1", ttl=1) / advertisement,
        frame / IP(src="0.0.0.0", dst="224.0.0.2", ttl=1) / solicitation,
        frame / IP(**ends, ttl=64, proto=4) / inner,
        frame / IP(**ends, ttl=64) / GRE(proto=0x800) / inner,
        frame / IP(**ends, ttl=64) / GRE(proto=0x800, chksum_present=1) / inner,
        frame / forwarded(inner, ends["src"], ends["dst"]),
        frame / forwarded(inner, inner.src, ends["dst"]),
    ])
    print(json.dumps({"inner": bytes(inner).hex(), "key": key.hex()}))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("read", "write"):
        sys.exit(__doc__)
    {"read": read, "write": write}[sys.argv[1]](sys.argv[2])
