-- The store of every daemon: each uses its own tables and leaves the others empty.
--
-- Numbers of 64 bits keep all their bits: those above 2^63 - 1 stand here as negative ones.
-- Times are seconds since 1970-01-01 unless the column says otherwise. Addresses are dotted decimal.
-- Columns named sealed_* hold a 12-byte nonce, ciphertext and a 16-byte tag; libs/io/keystore says under
-- which key. The position of an association or a key is its place in the list of its parent.

-- "Sjrn": tells a store from any other SQLite file.
PRAGMA application_id = 0x536a726e;

-- Opens only under the key-encryption key that the store was made with.
CREATE TABLE key_check (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    sealed_value BLOB NOT NULL
) STRICT;

CREATE TABLE subscribers (
    nai                TEXT PRIMARY KEY,
    sealed_key0        BLOB NOT NULL,
    spi                INTEGER NOT NULL,
    cipher             TEXT NOT NULL,
    home_address       TEXT NOT NULL,
    home_prefix_length INTEGER NOT NULL,
    home_agent         TEXT NOT NULL,
    home_gateway       TEXT,
    no_fs              INTEGER NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
    max_lifetime       INTEGER,
    change             INTEGER NOT NULL
) STRICT;

-- Highest subscriber change that a home agent has taken over.
CREATE TABLE subscriber_cursor (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    change INTEGER NOT NULL
) STRICT;

-- Last identification that passed, which is what a replay after a restart is measured against.
CREATE TABLE identifications (
    nai            TEXT PRIMARY KEY,
    identification INTEGER NOT NULL
) STRICT;

CREATE TABLE bindings (
    home_address   TEXT PRIMARY KEY,
    nai            TEXT NOT NULL,
    care_of        TEXT NOT NULL,
    tunnel         TEXT NOT NULL CHECK (tunnel IN ('ipip', 'udp')),
    tunnel_address TEXT NOT NULL,
    tunnel_port    INTEGER CHECK ((tunnel_port IS NULL) = (tunnel = 'ipip')),
    reverse_tunnel INTEGER NOT NULL,
    foreign_agent  TEXT,
    lifetime       INTEGER NOT NULL,
    granted        INTEGER NOT NULL
) STRICT;

CREATE TABLE binding_associations (
    home_address TEXT NOT NULL REFERENCES bindings (home_address) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    inbound_spi  INTEGER NOT NULL,
    outbound_spi INTEGER NOT NULL,
    sealed_key   BLOB NOT NULL,
    own          TEXT NOT NULL,
    peer         TEXT NOT NULL,
    made         INTEGER NOT NULL,
    ends         INTEGER NOT NULL,
    PRIMARY KEY (home_address, position)
) STRICT;

CREATE TABLE visitors (
    home_address   TEXT PRIMARY KEY,
    link           INTEGER NOT NULL,
    link_address   BLOB NOT NULL CHECK (length(link_address) = 6),
    home_agent     TEXT NOT NULL,
    care_of        TEXT NOT NULL,
    tunnel         TEXT NOT NULL CHECK (tunnel IN ('ipip', 'udp')),
    tunnel_address TEXT NOT NULL,
    tunnel_port    INTEGER CHECK ((tunnel_port IS NULL) = (tunnel = 'ipip')),
    reverse_tunnel INTEGER NOT NULL,
    lifetime       INTEGER NOT NULL,
    granted        INTEGER NOT NULL
) STRICT;

CREATE TABLE visitor_associations (
    home_address TEXT NOT NULL REFERENCES visitors (home_address) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    inbound_spi  INTEGER NOT NULL,
    outbound_spi INTEGER NOT NULL,
    sealed_key   BLOB NOT NULL,
    own          TEXT NOT NULL,
    peer         TEXT NOT NULL,
    made         INTEGER NOT NULL,
    ends         INTEGER NOT NULL,
    PRIMARY KEY (home_address, position)
) STRICT;

-- Advertisement sequence numbers that may have been used, by visited link.
CREATE TABLE sequences (
    link  INTEGER PRIMARY KEY,
    below INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
    id            INTEGER PRIMARY KEY,
    request       BLOB NOT NULL CHECK (length(request) = 16),
    nai           TEXT NOT NULL,
    home_agent    TEXT NOT NULL,
    foreign_agent TEXT,
    care_of       TEXT NOT NULL,
    issued        INTEGER NOT NULL,
    ends          INTEGER NOT NULL,
    revoked       INTEGER
) STRICT;
CREATE INDEX grants_of_subscriber ON grants (nai, id);
CREATE INDEX grants_by_end ON grants (ends);

-- Issued keys by name only: the keys themselves are never stored by who issues them.
CREATE TABLE grant_keys (
    grant_id    INTEGER NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    first_spi   INTEGER NOT NULL,
    second_spi  INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (grant_id, position)
) STRICT;

CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    unix_ms INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    role    TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only appended to'); END;

CREATE TABLE home_agents (
    name       TEXT PRIMARY KEY,
    address    TEXT,
    registered INTEGER NOT NULL
) STRICT;
