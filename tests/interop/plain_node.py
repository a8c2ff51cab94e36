#!/usr/bin/env python3
"""A mobile node of another make, written from RFC 5944 and RFC 4721: it knows none of the product's extensions.

It registers through the foreign agent that it hears, or with an address of its own, keeps replays out by timestamps or
nonces, authenticates by HMAC-SHA-256 or HMAC-MD5, and says in one line of JSON with which codes it was answered. It
needs the right to open packet sockets, and Python 3.11.

    plain_node.py NODE.toml STATE.json INTERFACE ACTION [options]

ACTION is register, deregister, spoil (register with a wrong authenticator) or replay (its first request again).
"""

import argparse
import fcntl
import hashlib
import hmac
import ipaddress
import json
import pathlib
import secrets
import select
import socket
import struct
import sys
import time
import tomllib

NTP_TO_UNIX = 2208988800
ALGORITHMS = {"hmac-sha-256": (hashlib.sha256, 32), "hmac-md5": (hashlib.md5, 16)}


class Association:
    """A mobility security association (RFC 5944 section 3.5.1): index, algorithm, key."""

    def __init__(self, spi, algorithm, key):
        self.spi, self.key = spi, key
        self.digest, self.length = ALGORITHMS[algorithm]

    def extension(self, kind, message):
        """Type, length and index, which the authenticator behind them covers with all that stands before."""
        covered = message + struct.pack(">BBI", kind, 4 + self.length, self.spi)
        return covered + hmac.new(self.key, covered, self.digest).digest()

    def right(self, message, at):
        spi, end = struct.unpack_from(">I", message, at + 2)[0], at + 2 + message[at + 1]
        expected = hmac.new(self.key, message[: at + 6], self.digest).digest()
        return spi == self.spi and hmac.compare_digest(expected, message[at + 6 : end])


def extensions(message):
    """Type and place of each extension of a reply."""
    at = 20
    while at < len(message):
        if message[at] == 0:
            at += 1
            continue
        long = message[at] in (36, 38, 127)
        length = 4 + struct.unpack_from(">H", message, at + 2)[0] if long else 2 + message[at + 1]
        if at + length > len(message):
            raise ValueError("an extension beyond the end")
        yield message[at], at
        at += length


# --- frames ---


def sum16(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(source, destination, ports, ttl, payload):
    length = 8 + len(payload)
    head = struct.pack(">HHHH", *ports, length, 0)
    total = sum16(source + destination + struct.pack(">HH", 17, length) + head + payload) or 0xFFFF
    body = head[:6] + struct.pack(">H", total) + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, ttl, 17, 0) + source + destination
    return ip[:10] + struct.pack(">H", sum16(ip)) + ip[12:] + body


class Link:
    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((interface, 3))
        self.address = fcntl.ioctl(self.socket, 0x8927, struct.pack("256s", interface.encode()))[18:24]

    def send(self, to, kind, payload):
        self.socket.send(to + self.address + struct.pack(">H", kind) + payload)

    def frames(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                frame = self.socket.recv(4096)
                if frame[6:12] != self.address and len(frame) >= 34:
                    yield frame[6:12], struct.unpack_from(">H", frame, 12)[0], frame[14:]

    def resolve(self, own, other):
        """The link address of a neighbour, by ARP."""
        for _ in range(5):
            ask = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + self.address + own + bytes(6) + other
            self.send(b"\xff" * 6, 0x0806, ask)
            for sender, kind, packet in self.frames(1):
                if kind == 0x0806 and packet[6:8] == b"\0\2" and packet[14:18] == other:
                    return sender
        sys.exit("the neighbour does not answer")

    def advertisement(self):
        """Who advertises here: link address, address, care-of address, challenge."""
        ask = struct.pack(">BBHI", 10, 0, 0xF5FF, 0)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 1, 1, 0) + bytes(4) + bytes([224, 0, 0, 2])
        packet = head[:10] + struct.pack(">H", sum16(head)) + head[12:] + ask
        for _ in range(10):
            self.send(bytes.fromhex("01005e000002"), 0x0800, packet)
            for sender, kind, packet in self.frames(1):
                icmp = packet[20 : struct.unpack_from(">H", packet, 2)[0]]
                if kind != 0x0800 or packet[9] != 1 or icmp[0] != 9:
                    continue
                at, care_of, challenge = 8 + icmp[4] * icmp[5] * 4, None, None
                while at + 1 < len(icmp):
                    data = icmp[at + 2 : at + 2 + icmp[at + 1]]
                    if icmp[at] == 16 and len(data) >= 10:
                        care_of = data[6:10]
                    elif icmp[at] == 24:
                        challenge = data
                    at += 2 + icmp[at + 1] if icmp[at] else 1
                if care_of and challenge:
                    return sender, packet[12:16], care_of, challenge
        sys.exit("no foreign agent is heard")


# --- the mobile node ---


class Node:
    def __init__(self, options):
        node = tomllib.loads(pathlib.Path(options.node).read_text())
        plain = node["plain"]
        key = bytes.fromhex(node["key0"])
        algorithm = "hmac-md5" if plain["md5"] else "hmac-sha-256"
        self.home = Association(node["spi"], algorithm, key[:16] if plain["md5"] else key)
        self.nonces = plain["nonces"]
        self.nai = node["nai"].encode()
        self.home_address = ipaddress.IPv4Address(node["home_address"]).packed
        self.home_agent = ipaddress.IPv4Address(node["home_agent"]).packed
        self.file = pathlib.Path(options.state)
        self.state = json.loads(self.file.read_text()) if self.file.exists() else {"nonce": 0, "sent": []}
        self.options, self.link = options, Link(options.interface)
        self.foreign = None
        if options.mn_fa:
            spi, algorithm, file = options.mn_fa.split(":")
            self.foreign = Association(int(spi), algorithm, bytes.fromhex(pathlib.Path(file).read_text().strip()))

    def identification(self):
        if self.nonces:
            return struct.pack(">I", self.state["nonce"]) + secrets.token_bytes(4)
        seconds = int(time.time()) + NTP_TO_UNIX + self.options.clock + self.state.get("offset", 0)
        if not self.options.clock or "offset" in self.state:
            seconds = self.state["last"] = max(seconds, self.state.get("last", 0) + 1)
        return struct.pack(">I", seconds & 0xFFFFFFFF) + secrets.token_bytes(4)

    def request(self, care_of, challenge):
        options = self.options
        lifetime = 0 if options.action == "deregister" else 120
        flags = 0x02 if challenge else 0x22
        home_address = bytes(4) if options.by_name else self.home_address
        if options.at_home:
            flags, care_of = 0, self.home_address
        fixed = struct.pack(">BBH", 1, flags, lifetime) + home_address + self.home_agent + care_of
        message = fixed + self.identification()
        if options.by_name:
            message += bytes([131, len(self.nai)]) + self.nai
        if options.udp:
            message += bytes([144, 6, 0, 0, 0, 4, 0, 0])
        message = self.home.extension(32, message)
        if options.action == "spoil":
            message = message[:-1] + bytes([message[-1] ^ 1])
        if challenge:
            message += bytes([132, len(challenge)]) + challenge
            if options.infrastructure:
                # Mobile-AAA authentication (RFC 4721 section 6) with a key that no agent has.
                covered = message + struct.pack(">BBHI", 36, 1, 20, 4711)
                message = covered + hmac.new(b"infrastructure", covered, hashlib.md5).digest()
            if self.foreign:
                message = self.foreign.extension(33, message)
        return message

    def exchange(self):
        """Sends one request and waits for its answer."""
        options = self.options
        ports = (1024 + secrets.randbelow(60000), 434)
        challenge = None
        if options.care_of or options.at_home:
            own = ipaddress.IPv4Address(options.care_of).packed if options.care_of else self.home_address
            gateway = ipaddress.IPv4Address(options.gateway).packed if options.gateway else self.home_agent
            # At home it asks as one without an address: others still answer for that.
            asker = bytes(4) if options.at_home else own
            to, destination, ttl, care_of = self.link.resolve(asker, gateway), self.home_agent, 64, own
        else:
            to, destination, care_of, challenge = self.link.advertisement()
            own, ttl = self.home_address, 255
        if options.action == "replay":
            message = bytes.fromhex(self.state["sent"][0])
        else:
            message = self.request(care_of, challenge)
        self.link.send(to, 0x0800, datagram(own, destination, ports, ttl, message))
        for _, kind, packet in self.link.frames(3):
            if kind != 0x0800 or packet[9] != 17:
                continue
            packet = packet[: struct.unpack_from(">H", packet, 2)[0]]
            port, back = struct.unpack_from(">HH", packet, 20)
            reply = packet[28:]
            if (port, back) == (434, ports[0]) and len(reply) >= 20 and reply[16:20] == message[20:24]:
                answer = self.judge(reply, message, challenge)
                if answer:
                    return answer
        return {"code": None}

    def judge(self, reply, message, challenge):
        code, lifetime = struct.unpack_from(">xBH", reply)
        answer = {"code": code, "lifetime": lifetime}
        found = list(extensions(reply))
        places = {kind: at for kind, at in found}
        assert 38 not in places and 127 not in places and 36 not in places, "an extension of another make"
        if 64 <= code <= 127:
            if self.foreign:
                assert [kind for kind, _ in found] == [132, 33] and self.foreign.right(reply, places[33])
            return answer
        if 32 not in places or not self.home.right(reply, places[32]):
            return None
        assert reply[8:12] == self.home_agent and reply[4:8] == self.home_address
        if challenge:
            assert places.get(132, 0) > places[32], "no challenge for the next request"
            answer["challenged_anew"] = reply[places[132] + 2 :][: len(challenge)] != challenge
        if self.foreign:
            assert found[-1][0] == 33 and self.foreign.right(reply, places[33])
        if 131 in places:
            answer["nai"] = reply[places[131] + 2 :][: reply[places[131] + 1]].decode()
        if 44 in places:
            answer["udp"] = reply[places[44] + 3] < 64
        high = struct.unpack_from(">I", reply, 12)[0]
        if self.nonces:
            self.state["nonce"] = high
        elif code == 133:
            sent = struct.unpack_from(">I", message, 16)[0]
            self.state["offset"] = self.state.get("offset", 0) + high - sent
            # Whatever its clock said, it never goes below what it used.
            self.state["last"] = max(self.state.get("last", 0), high)
        if code in (0, 1) and self.options.action != "replay":
            self.state["sent"].append(message.hex())
        return answer

    def run(self):
        codes = []
        for _ in range(self.options.attempts):
            answer = self.exchange()
            codes.append(answer["code"])
            self.file.write_text(json.dumps(self.state))
            if answer["code"] in (0, 1):
                break
            if answer["code"] is not None and self.options.attempts > 1:
                # A foreign agent denies once a second.
                time.sleep(1.1)
        print(json.dumps(answer | {"codes": codes}))


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("node")
    words.add_argument("state")
    words.add_argument("interface")
    words.add_argument("action", choices=["register", "deregister", "spoil", "replay"])
    words.add_argument("--care-of", help="an address of its own on this link")
    words.add_argument("--gateway", help="the router of that address")
    words.add_argument("--at-home", action="store_true", help="on the home link, with the home address")
    words.add_argument("--udp", action="store_true", help="offers UDP encapsulation (144)")
    words.add_argument("--by-name", action="store_true", help="says its NAI (131) in place of its home address")
    words.add_argument("--infrastructure", action="store_true", help="adds mobile-AAA authentication (36)")
    words.add_argument("--mn-fa", help="SPI:ALGORITHM:FILE of the association with the foreign agent (33)")
    words.add_argument("--clock", type=int, default=0, help="seconds that its clock is wrong")
    words.add_argument("--attempts", type=int, default=1)
    Node(words.parse_args()).run()


main()
