"""Three whole registrations, each message with every key that it takes: vectors, and the page docs/registrations.md.

Written from docs/wire.md, like everything in this folder.
"""
import hashlib
import hmac
import struct

from build import (address, exchange, kdf, lp, one_time_spi, public_value, reply, request, sa, sa_means,
                   sealed_link, sealed_nai)

NAI, USER, REALM = "traveller-one@home.example", "traveller-one", "home.example"
HA, FA = "ha@home.example", "fa-a@visited-a.example"
HOME, HOME_AGENT, CARE_OF, COLOCATED = "10.11.1.50", "10.11.1.2", "10.51.1.2", "192.168.77.10"
LINK = bytes.fromhex("020000000a0b")
SPI_FA, REALM_SPI, SECONDS = 1001, 300, 0xEEAA0001
MH = lp(NAI.encode()) + lp(REALM.encode())
FH = lp(FA.encode()) + lp(HA.encode())

PAGE = """# Three registrations in bytes

Every message of three registrations as [wire.md](wire.md) describes them, with every secret that they take, so that an
implementation can be checked step by step. `tests/vectors/make.py` writes this page and the vectors in
[tests/vectors/worked](../tests/vectors/worked), from wire.md and without our parsers; tests read the vectors with them,
and compare this page with what the generator writes. All secrets here are public: never use them.

| | |
| --- | --- |
{given}

1. [At a foreign agent for the first time](#1-at-a-foreign-agent-for-the-first-time) ·
2. [Renewal](#2-renewal) · 3. [The way back](#3-the-way-back)
"""

ONE = """
## 1. At a foreign agent for the first time

The mobile node heard the advertisement of {fa}: care-of address {care_of},
challenge `{challenge}`. It has never registered, so n is 1.
"""

TWO = """
## 2. Renewal

The same agent, before the lifetime is over: n is 2. The mobile node has KEY 3 of the first registration, so 33 stands
in its request. The foreign agent's share is less than 53 s old, so it serves again, and so does the answer to it.
"""

THREE = """
## 3. The way back

The mobile node lost its numbers, and is in a network without an agent, behind a NAT. It names itself by the realm's key
{realm_spi}. No 34 can vouch for it, so the home agent asks for its cookie first. It had seen n = 2, so L becomes 3.
"""


def secret(name):
    """32 bytes that anybody can make again."""
    return hashlib.sha256(f"three registrations: {name}".encode()).digest()


KEY0, KEY_FA, REALM_SECRET = secret("KEY 0"), secret("FA-HA key"), secret("realm key")
COOKIES = secret("cookies")


def row(name, value):
    return f"| {name} | {value} |"


def table(rows):
    return "\n".join(["| | |", "| --- | --- |"] + [row(*r) for r in rows]) + "\n"


def hexed(data):
    return f"`{data.hex()}`"


class Registration:
    """One registration: what both sides know, and what was written about it."""

    def __init__(self, number, words, numbers):
        self.number, self.page, self.more = number, [words], numbers
        self.keys = {k: secret(f"KEY {k} of {number}") for k in (1, 2, 3)}
        self.visit = ["abcdefghijklm", "nopqrstuvwxyz"][number % 2] + "@" + REALM
        base = 0xB0000000 + number * 0x10000
        self.key1_mn, self.key1_ha, self.key2_ha, self.key3_mn = (base + i for i in range(4))
        base = 0xA0000000 + number * 0x10000
        self.key2_fa, self.key3_fa = base, base + 1
        self.handle = int.from_bytes(secret(f"handle of {number}")[:8], "big")
        self.low = int.from_bytes(secret(f"low half of {number}")[:4], "big")
        self.identification = (SECONDS + 400 * (number - 1)) << 32 | self.low
        self.challenge = secret(f"challenge {number}")[:16]
        self.next_challenge = secret(f"challenge {number + 1}")[:16]
        self.mobile_share = secret(f"share of the mobile node in {number}")
        self.mobile_answer = secret(f"answer to it in {number}")
        # One pair of shares between the agents serves for a minute.
        self.agents_share, self.agents_answer = secret("share of the foreign agent"), secret("answer to that")
        self.rows = []

    def derive(self, name, key, label, context, shared=bytes(32)):
        out = kdf(key, label, context, 32, shared)
        self.rows.append((f"`{label}` of {name}", hexed(out)))
        return out

    def note(self, name, value):
        self.rows.append((name, hexed(value) if isinstance(value, bytes) else value))

    def publish(self, write, name, title, message, answers=None, keyed=True):
        keys = {"keys": self.vector_keys()} if keyed else {}
        answered = {"answers": f"worked/{self.number}-{answers}"} if answers else {}
        write(f"worked/{self.number}-{name}", message, **keys, **answered)
        body = "\n".join(message.hex_lines())
        whole = f"{title} ({len(message.bytes())} bytes)"
        if self.rows:
            self.page.append(f"\n### {whole}\n\n{table(self.rows)}\n```\n{body}\n```\n")
        else:
            self.page.append(f"\n### {whole}\n\n```\n{body}\n```\n")
        self.rows = []

    def vector_keys(self):
        return {"mobile_cipher": "aes-256-gcm", "agents_cipher": "aes-256-gcm", "worked": True, "spi": self.spi,
                "key0": KEY0.hex(), "agents_key": KEY_FA.hex(),
                "visit_name": self.visit, "key3": self.keys[3].hex(),
                "mobile_share": {"secret": self.mobile_share.hex(), "answer": self.mobile_answer.hex()},
                "agents_share": {"secret": self.agents_share.hex(), "answer": self.agents_answer.hex()},
                **self.more}

    # the mobile node's part of a request

    def mobile_part(self, m, index, seal, heard):
        whose = ("seal realm" if self.spi == REALM_SPI else "seal mn>ha", "aes-256-gcm", seal)
        m.short(131, "NAI", b"@" + REALM.encode())
        m.sealed(1, "NAI, mobile node", 0, self.spi, whose, sealed_nai(USER, index),
                 nai={"index": index, "user": USER})
        m.sealed(2, "IP, mobile node", 0, self.spi, whose, address(HOME), ip=HOME)
        m.sealed(3, "layer 2", 0, self.spi, whose, sealed_link(LINK), layer_2={"kind": 0, "address": LINK.hex()})
        if heard:
            m.ours(6, "agent heard", bytes([len(self.challenge)]) + self.challenge + FA.encode(),
                   means={"challenge": self.challenge.hex(), "agent": FA})
        self.share(m, self.mobile_share)
        if not heard:
            m.short(144, "UDP tunnel request", bytes([0, 0, 0, 4, 0, 0]),
                    means={"forced": False, "through_foreign_agent": False, "encapsulation": 4})
        return m.authentication(32, "mobile-home", self.spi, self.derive("KEY 0", KEY0, "auth mn>ha", MH))

    @staticmethod
    def share(m, private):
        value = public_value(private)
        return m.ours(9, "key share", struct.pack("!H", 31) + value, means={"group": 31, "value": value.hex()})

    def sealed_association(self, m, name, content, spi, whose, entry):
        m.sealed(4, f"association, {name}", content, spi, whose, sa(*entry), association=sa_means(*entry))

    # the reply to a request with T1

    def mobile_reply(self, m, t1, through_agent, index=None):
        answer = public_value(self.mobile_answer)
        shared = exchange(self.mobile_answer, public_value(self.mobile_share))
        self.note("home agent's answering share, private", self.mobile_answer)
        self.note("X25519 of it and the mobile node's", shared)
        seal = self.derive("KEY 0, X25519 and T1", KEY0, "seal ha>mn", MH + t1 + lp(answer), shared)
        whose = ("seal ha>mn", "aes-256-gcm", seal)
        m.short(131, "NAI", b"@" + REALM.encode())
        if through_agent:
            self.sealed_association(m, "KEY 3", 0, self.spi, whose,
                                    (self.key3_mn, self.key3_fa, self.keys[3], self.visit, FA))
        self.sealed_association(m, "KEY 1", 2, self.spi, whose,
                                (self.key1_mn, self.key1_ha, self.keys[1], NAI, HA))
        if index is not None:
            m.sealed(1, "NAI, mobile node", 0, self.spi, whose, sealed_nai(USER, index),
                     nai={"index": index, "user": USER})
        m.sealed(2, "IP, mobile node", 0, self.spi, whose, address(HOME), ip=HOME)
        return self.share(m, self.mobile_answer)

    def finish(self, m):
        return m.authentication(32, "mobile-home", self.spi, self.derive("KEY 0", KEY0, "auth ha>mn", MH))

    def put_handle(self, m):
        m.ours(8, "handle", struct.pack("!QII", self.handle, self.key2_fa, self.key3_fa),
               means={"handle": f"{self.handle:016x}", "key2": self.key2_fa, "key3": self.key3_fa})

    def revocation_support(self, m, seconds):
        m.short(137, "revocation support", struct.pack("!HI", 0, seconds))

    def agent_request(self, m):
        m.plain(1, "NAI, foreign agent", 1, FA.encode(), agent=FA)
        m.plain(2, "IP, router", 1, address(CARE_OF), ip=CARE_OF)
        self.put_handle(m)
        self.share(m, self.agents_share)
        self.revocation_support(m, self.identification >> 32)
        return m.authentication(34, "foreign-home", SPI_FA, self.derive("FA–HA key", KEY_FA, "auth fa>ha", FH))

    def agent_reply(self, m, t2):
        answer = public_value(self.agents_answer)
        shared = exchange(self.agents_answer, public_value(self.agents_share))
        self.note("T2", t2)
        self.note("home agent's share for the foreign agent, private", self.agents_answer)
        self.note("X25519 of it and the foreign agent's", shared)
        seal = self.derive("FA–HA key, X25519 and T2", KEY_FA, "seal ha>fa", FH + t2 + lp(answer), shared)
        whose = ("seal ha>fa", "aes-256-gcm", seal)
        self.put_handle(m)
        self.sealed_association(m, "KEY 2", 1, SPI_FA, whose, (self.key2_fa, self.key2_ha, self.keys[2], FA, HA))
        self.sealed_association(m, "KEY 3", 0, SPI_FA, whose,
                                (self.key3_fa, self.key3_mn, self.keys[3], FA, self.visit))
        m.sealed(2, "IP, mobile node", 0, SPI_FA, whose, address(HOME), ip=HOME)
        self.share(m, self.agents_answer)
        self.revocation_support(m, self.identification >> 32)
        return m.authentication(34, "foreign-home", SPI_FA, self.derive("FA–HA key", KEY_FA, "auth ha>fa", FH))

    def visit_auth(self, label, spi):
        return self.derive(f"KEY 3 of registration {self.number}", self.keys[3], label,
                           lp(self.visit.encode()) + lp(FA.encode()) + struct.pack("!I", spi))


def by_one_time_index(registration, n):
    indices = registration.derive("KEY 0", KEY0, "spi", MH)
    registration.spi = one_time_spi(indices, n)
    registration.note(f"SPI({n})", str(registration.spi))
    registration.note("mobile node's share, private", registration.mobile_share)
    return registration.derive("KEY 0", KEY0, "seal mn>ha", MH)


def through_agent(r, n, write, before=None):
    seal = by_one_time_index(r, n)
    fixed = request("------T-", 600, "0.0.0.0", HOME_AGENT, CARE_OF, r.identification)
    mobile = r.mobile_part(fixed, n, seal, heard=True)
    t1 = hashlib.sha256(mobile.bytes()).digest()
    r.note("T1", t1)
    on_link = mobile.copy().short(132, "challenge", r.challenge)
    if before:
        on_link.authentication(33, "mobile-foreign", before.key3_fa, before.visit_auth("auth mn>fa", before.key3_fa))
        r.rows += before.rows
        before.rows = []
        r.more["before"] = {"visit_name": before.visit, "key3": before.keys[3].hex()}
    r.publish(write, "request", "Request on the visited link", on_link)
    r.more.pop("before", None)
    r.note("foreign agent's share, private", r.agents_share)
    relayed = r.agent_request(mobile.copy())
    r.publish(write, "request-relayed", "Relayed to the home agent", relayed)
    answer = r.mobile_reply(reply(0, 600, "0.0.0.0", HOME_AGENT, r.identification), t1, through_agent=True)
    answer = r.finish(answer)
    whole = r.agent_reply(answer.copy(), hashlib.sha256(relayed.bytes()).digest())
    r.publish(write, "reply", "Reply of the home agent", whole, answers="request-relayed")
    handed_on = answer.copy().short(132, "next challenge", r.next_challenge)
    handed_on.authentication(33, "mobile-foreign", r.key3_mn, r.visit_auth("auth fa>mn", r.key3_mn))
    r.publish(write, "reply-handed-on", "Handed on to the mobile node", handed_on, answers="request-relayed")
    return r.page


def way_back(r, write):
    r.spi = REALM_SPI
    value = public_value(r.mobile_share)
    shared = exchange(r.mobile_share, public_value(REALM_SECRET))
    r.note("mobile node's share, private", r.mobile_share)
    r.note("X25519 of it and the realm key", shared)
    seal = r.derive("32 zero bytes and that", bytes(32), "seal realm", lp(REALM.encode()) + lp(value), shared)
    fixed = request("--D---T-", 600, "0.0.0.0", HOME_AGENT, COLOCATED, r.identification)
    mobile = r.mobile_part(fixed, 0, seal, heard=False)
    t1 = hashlib.sha256(mobile.bytes()).digest()
    r.note("T1", t1)
    r.publish(write, "request", "Request", mobile)
    source, port = "198.51.100.7", 40123
    covered = address(source) + struct.pack("!HI", port, r.low)
    cookie = hmac.digest(COOKIES, covered, "sha256")[:16]
    r.note("the home agent's secret for cookies", COOKIES)
    r.note("the request came from", f"{source}, port {port}")
    asked = reply(128, 0, "0.0.0.0", HOME_AGENT, r.identification)
    asked.ours(10, "cookie", cookie, means={"cookie": cookie.hex()})
    r.publish(write, "cookie", "The home agent asks for its cookie", asked, keyed=False)
    again = mobile.copy().ours(10, "cookie", cookie, means={"cookie": cookie.hex()})
    r.publish(write, "request-again", "The same request again, with the cookie", again)
    m = reply(0, 600, "0.0.0.0", HOME_AGENT, r.identification)
    m = r.mobile_reply(m, t1, through_agent=False, index=3)
    m.short(44, "UDP tunnel reply", bytes([0, 0, 0, 0, 0, 110]),
            means={"code": 0, "forced": False, "keepalive": 110})
    r.publish(write, "reply", "Reply of the home agent", r.finish(m), answers="request-again")
    return r.page


def write(write_vector):
    """Hands every message to `write_vector(name, message, **more)` and returns the page."""
    given = [("mobile node", NAI), ("home realm", REALM), ("home agent", f"{HA}, {HOME_AGENT}"),
             ("foreign agent", f"{FA}, care-of address {CARE_OF}"), ("home address", HOME),
             ("link address of the mobile node", f"`{LINK.hex(':')}`"), ("enterprise number", "32473"),
             ("KEY 0", hexed(KEY0)), ("FA–HA key, SPI 1001", hexed(KEY_FA)),
             (f"realm key {REALM_SPI}, private", hexed(REALM_SECRET)),
             (f"realm key {REALM_SPI}, public", hexed(public_value(REALM_SECRET))),
             ("cipher of both associations", "AES-256-GCM")]
    first = Registration(1, ONE.format(fa=FA, care_of=CARE_OF, challenge=secret("challenge 1")[:16].hex()),
                         {"number": 1})
    second = Registration(2, TWO, {"number": 2})
    third = Registration(3, THREE.format(realm_spi=REALM_SPI), {"realm_key": REALM_SECRET.hex()})
    pages = [PAGE.format(given="\n".join(row(*r) for r in given))]
    pages += through_agent(first, 1, write_vector)
    first.rows = []
    pages += through_agent(second, 2, write_vector, before=first)
    pages += way_back(third, write_vector)
    return "".join(pages)
