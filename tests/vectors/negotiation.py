"""Bodies of negotiation extensions (sub-type 5): offers, answers, a refusal and two rounds.

Written from docs/wire.md, like everything in this folder.
"""
import hashlib
import struct

from build import Message, public_value

MN_HA, MN_FA, HA_FA, MN_SMM = 1, 2, 3, 4
KINDS = {MN_HA: "MN-HA", MN_FA: "MN-FA", HA_FA: "HA-FA", MN_SMM: "MN-SMM"}
AUTHENTICATION, ENCRYPTION, PRF = 1, 2, 3
PROTOCOLS = {AUTHENTICATION: "authentication", ENCRYPTION: "encryption", PRF: "prf"}
ALGORITHMS = {(1, 12): "HMAC-SHA-256", (1, 14): "HMAC-SHA-512-256", (2, 20): "AES-GCM-16",
              (2, 28): "ChaCha20-Poly1305", (3, 5): "HMAC-SHA-256"}
GROUPS = {14: "MODP-2048", 31: "X25519"}
LIFETIME = 600


def pi_times(power):
    """The whole part of pi · 2^power, by Machin's formula with 64 more bits."""
    one = 1 << (power + 64)

    def arctan(x):
        total, term, n = 0, one // x, 1
        while term:
            total += term // n if n % 4 == 1 else -(term // n)
            term, n = term // (x * x), n + 2
        return total
    return 4 * (4 * arctan(5) - arctan(239)) >> 64


def modp_2048():
    """The prime of group 14 (RFC 3526)."""
    return 2**2048 - 2**1984 - 1 + 2**64 * (pi_times(1918) + 124476)


def secret(name):
    return hashlib.sha256(f"negotiation: {name}".encode()).digest()


def modp_value(name):
    return pow(2, int.from_bytes(secret(name), "big"), modp_2048()).to_bytes(256, "big")


# A payload is a pair: its pieces, each with a comment, and what it means.

def payload(kind, subtype, comment, fields, nested, means):
    length = 4 + len(fields[1]) + sum(len(data) for _, data in nested)
    head = (comment, struct.pack("!BBH", kind, subtype, length))
    return [head, fields, *nested] if fields[1] else [head, *nested], means


def joined(payloads):
    return [piece for pieces, _ in payloads for piece in pieces]


def transform(number, protocol, algorithm, bits=None, unknown=()):
    keys = 1 if protocol == PRF else 2  # one of each direction
    name = ALGORITHMS.get((protocol, algorithm), f"algorithm {algorithm}")
    given = [(14, struct.pack("!H", bits))] if bits else []
    given += list(unknown)
    comments = [f"attribute {kind}: {bits} bits" if kind == 14 else f"attribute {kind}" for kind, _ in given]
    nested = [(comment, struct.pack("!HH", kind, len(value)) + value)
              for comment, (kind, value) in zip(comments, given)]
    return payload(3, 0, f"transform {number}", (f"number {number}, keys: {keys}, {algorithm}: {name}",
                                                 struct.pack("!BBH", number, keys, algorithm)), nested,
                   {"number": number, "keys": keys, "id": algorithm,
                    "attributes": [{"type": kind, "value": value.hex()} for kind, value in given]})


def share(group, value=b""):
    name = GROUPS.get(group, f"group {group}")
    nested = [("value", value)] if value else []
    return payload(4, 1, "key exchange" if value else "key exchange without a value",
                   (f"group {group}: {name}", struct.pack("!H", group)), nested,
                   {"subtype": 1, "group": group, "value": value.hex()})


def own(prime, generator, value):
    parts = [(prime.to_bytes((prime.bit_length() + 7) // 8, "big"), "prime"),
             (generator.to_bytes((generator.bit_length() + 7) // 8, "big"), "generator"), (value, "value")]
    nested = [(f"length of the {name}, {name}", struct.pack("!H", len(data)) + data) for data, name in parts]
    return payload(4, 3, "key exchange, a group of its own", ("", b""), nested,
                   {"subtype": 3, "prime": parts[0][0].hex(), "generator": parts[1][0].hex(),
                    "value": value.hex()})


def proposal(number, protocol_number, protocol, transforms, exchanges=(), lifetime=LIFETIME, spi=0):
    fields = struct.pack("!BBBBII", number, protocol_number, protocol, len(transforms), lifetime, spi)
    words = f"number {number}, protocol {protocol_number}: {PROTOCOLS[protocol]}, transforms: {len(transforms)}, " \
            f"{lifetime} s, SPI {spi}"
    return payload(2, 0, "proposal", (words, fields), joined(transforms) + joined(exchanges),
                   {"number": number, "protocol_number": protocol_number, "protocol": protocol,
                    "lifetime": lifetime, "spi": spi, "transforms": [means for _, means in transforms],
                    "exchanges": [means for _, means in exchanges]})


def tree(between, *proposals):
    words = "" if proposals else ", refused"
    return payload(1, between, f"security association {KINDS[between]}{words}", ("", b""), joined(proposals),
                   {"between": between, "proposals": [means for _, means in proposals]})


def body(number, earlier, *trees):
    """`earlier` are the bodies of the same part so far, in order."""
    digest = hashlib.sha256(b"".join(m.bytes() for m in earlier)).digest() if earlier else bytes(32)
    m = Message().put(f"round {number}, reserved", bytes([number, 0])).put("digest", digest)
    for comment, data in joined(trees):
        m.put(comment, data)
    m.expected = {"message": "negotiation", "round": number, "digest": digest.hex(),
                  "trees": [means for _, means in trees]}
    return m


def hmac(number=1):
    return transform(number, AUTHENTICATION, 12)


def gcm(number=1, bits=256):
    return transform(number, ENCRYPTION, 20, bits)


def chacha(number=1):
    return transform(number, ENCRYPTION, 28)


def both(number, *exchanges, more=()):
    """Authentication and encryption, all or nothing; ways to a key with the first of them."""
    first = proposal(number, 1, AUTHENTICATION, [hmac()], exchanges)
    return [first, proposal(number, 2, ENCRYPTION, [gcm(1), *more])]


def write(write_vector, seed):
    def vector(name, message, **more):
        write_vector(f"wire-negotiation/{name}", message, {**message.expected, **more})
        seed("negotiation", name, message)
        return message

    x25519, answered = public_value(secret("mobile node")), public_value(secret("home agent"))

    vector("offer-stateful", body(1, [], tree(
        MN_HA, proposal(1, 1, AUTHENTICATION, [hmac(1), transform(2, AUTHENTICATION, 14)]),
        proposal(1, 2, ENCRYPTION, [gcm(1), chacha(2), gcm(3, 128)]))))
    vector("offer-semi-stateful", body(1, [], tree(
        MN_HA, *both(1), proposal(1, 3, PRF, [transform(1, PRF, 5)]))))
    own_group = own(modp_2048(), 2, modp_value("mobile node"))
    vector("offer-own-group", body(1, [], tree(MN_HA, *both(1, own_group))))
    vector("offer-every-way", body(
        1, [], tree(MN_HA, *both(1, share(31, x25519)), *both(2), proposal(2, 3, PRF, [transform(1, PRF, 5)]),
                    *both(3, more=[chacha(2)])),
        tree(MN_FA, *both(1, share(31, public_value(secret("mobile node, KEY 3")))), *both(4))))
    vector("offer-foreign-agent", body(
        1, [], tree(HA_FA, *both(1, share(31, public_value(secret("foreign agent")))), *both(2)),
        tree(MN_FA, *both(1, share(31, public_value(secret("foreign agent, KEY 3")))))))
    vector("offer-unknown-attribute", body(1, [], tree(
        MN_SMM, proposal(7, 1, ENCRYPTION, [transform(3, ENCRYPTION, 20, 256, [(13, b"\1\2\3")]), chacha(200)],
                         lifetime=0xFFFFFFFF, spi=0x1000))))

    # Two exchanges that begin with the same offer: one that is taken, one that needs another round.
    offer = vector("offer-stateless", body(1, [], tree(
        MN_HA, *both(1, share(31, x25519), share(14)), *both(2))))
    vector("answer", body(1, [offer], tree(MN_HA, *both(1, share(31, answered)))),
           answers="wire-negotiation/offer-stateless")
    vector("refusal", body(1, [offer], tree(MN_HA)), answers="wire-negotiation/offer-stateless")
    counter = vector("counter-proposal", body(1, [offer], tree(MN_HA, *both(1, share(14)))),
                     answers="wire-negotiation/offer-stateless")
    vector("second-round", body(2, [offer, counter], tree(
        MN_HA, *both(1, share(14, modp_value("mobile node"))))), answers="wire-negotiation/counter-proposal")

    malformed(write_vector, seed, offer.bytes())
    # What stands in sealed extensions only has the same framing.
    hidden = tree(MN_HA, proposal(1, 1, ENCRYPTION, [gcm()], [
        payload(4, 2, "secret", ("group", struct.pack("!H", 31)), [("secret", bytes(32))], {}),
        payload(4, 4, "sealed secret", ("SPI", struct.pack("!I", 1001)), [("sealed", bytes(60))], {})]))
    seed("negotiation", "sealed-only", body(1, [], hidden))


def malformed(write_vector, seed, offer):
    """One change of the offer each. Behind the head of 34 bytes: the tree of 4, and at 38 the first proposal."""
    def change(name, error, at, value, of=offer):
        data = of[:at] + bytes([value]) + of[at + 1:]
        write_vector(f"malformed/negotiation-{name}", data, {"message": "negotiation", "error": error})
        seed("negotiation", name, data)

    change("round-0", 'Value("round of a negotiation")', 0, 0)
    change("reserved", 'Value("reserved byte of a negotiation")', 1, 1)
    change("kind-5", 'Value("sub-type of a security association payload")', 35, 5)
    change("tree-longer", 'Length("payload")', 37, offer[37] + 1)
    change("proposal-in-place-of-transform", 'Value("type of a payload")', 54, 2)
    change("sub-type-of-proposal", 'Value("sub-type of a payload")', 39, 1)
    change("split", 'Value("order of proposals")', 42, 2)
    change("protocol-4", 'Value("protocol of a proposal")', 44, 4)
    change("more-transforms", 'Value("type of a payload")', 45, 2)
    change("no-transforms", 'Length("number of transforms")', 45, 0)
    change("lifetime-0", 'Value("lifetime of a proposal")', 48, 0, offer[:49] + b"\0" + offer[50:])
    change("trailing", "Truncated", len(offer), 1)
