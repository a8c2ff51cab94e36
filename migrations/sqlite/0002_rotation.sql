-- Rotation of KEY 0 and of the realm's keys, one-time indices, change-over of associations, broadcasts,
-- revocation, and two more encapsulations. Rows that stand keep what they say; what is new in them is what a
-- program of the first schema did without a word.

ALTER TABLE subscribers ADD COLUMN one_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscribers ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
-- KEY 0 of the generation before, while it is accepted too: all four or none.
ALTER TABLE subscribers ADD COLUMN sealed_retiring_key0 BLOB;
ALTER TABLE subscribers ADD COLUMN retiring_spi INTEGER;
ALTER TABLE subscribers ADD COLUMN retiring_generation INTEGER;
ALTER TABLE subscribers ADD COLUMN retiring_ends INTEGER;
-- Of a mobile node without our extensions: both or none.
ALTER TABLE subscribers ADD COLUMN plain_nonces INTEGER;
ALTER TABLE subscribers ADD COLUMN plain_md5 INTEGER;

-- The highest index of a one-time security parameter index, and the generation of KEY 0 it belongs to.
ALTER TABLE identifications ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE identifications ADD COLUMN highest_index INTEGER NOT NULL DEFAULT 0;

-- Private halves of the key pairs of the realm.
CREATE TABLE realm_keys (
    id            INTEGER PRIMARY KEY CHECK (id BETWEEN 256 AND 511),
    sealed_secret BLOB NOT NULL,
    made          INTEGER NOT NULL,
    ends          INTEGER,
    change        INTEGER NOT NULL
) STRICT;

-- Checks cannot be changed in place. The renamed tables keep pointing at each other, so the children of the old
-- ones are dropped before their parents, and nothing cascades into the new ones.
ALTER TABLE binding_associations RENAME TO old_binding_associations;
ALTER TABLE bindings RENAME TO old_bindings;
ALTER TABLE visitor_associations RENAME TO old_visitor_associations;
ALTER TABLE visitors RENAME TO old_visitors;

CREATE TABLE bindings (
    home_address   TEXT PRIMARY KEY,
    nai            TEXT NOT NULL,
    care_of        TEXT NOT NULL,
    tunnel         TEXT NOT NULL CHECK (tunnel IN ('ipip', 'minimal', 'gre', 'udp')),
    tunnel_address TEXT NOT NULL,
    tunnel_port    INTEGER CHECK ((tunnel_port IS NULL) = (tunnel <> 'udp')),
    reverse_tunnel INTEGER NOT NULL,
    broadcasts     INTEGER NOT NULL,
    -- Timestamp of the foreign agent's revocation support extension, as far as agreed on.
    revocation     INTEGER,
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
    -- Something verified under it.
    confirmed    INTEGER NOT NULL,
    -- Only receives, until then.
    retires      INTEGER,
    PRIMARY KEY (home_address, position)
) STRICT;

CREATE TABLE visitors (
    home_address           TEXT PRIMARY KEY,
    link                   INTEGER NOT NULL,
    link_address           BLOB NOT NULL CHECK (length(link_address) = 6),
    home_agent             TEXT NOT NULL,
    care_of                TEXT NOT NULL,
    tunnel                 TEXT NOT NULL CHECK (tunnel IN ('ipip', 'minimal', 'gre', 'udp')),
    tunnel_address         TEXT NOT NULL,
    tunnel_port            INTEGER CHECK ((tunnel_port IS NULL) = (tunnel <> 'udp')),
    reverse_tunnel         INTEGER NOT NULL,
    encapsulating_delivery INTEGER NOT NULL,
    broadcasts             INTEGER NOT NULL,
    -- Timestamp of the home agent's revocation support extension, as far as agreed on.
    revocation             INTEGER,
    lifetime               INTEGER NOT NULL,
    granted                INTEGER NOT NULL
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
    confirmed    INTEGER NOT NULL,
    retires      INTEGER,
    PRIMARY KEY (home_address, position)
) STRICT;

INSERT INTO bindings (home_address, nai, care_of, tunnel, tunnel_address, tunnel_port, reverse_tunnel,
        broadcasts, foreign_agent, lifetime, granted)
    SELECT home_address, nai, care_of, tunnel, tunnel_address, tunnel_port, reverse_tunnel,
        0, foreign_agent, lifetime, granted
    FROM old_bindings;
INSERT INTO binding_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own,
        peer, made, ends, confirmed)
    SELECT home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends, 0
    FROM old_binding_associations;
INSERT INTO visitors (home_address, link, link_address, home_agent, care_of, tunnel, tunnel_address,
        tunnel_port, reverse_tunnel, encapsulating_delivery, broadcasts, lifetime, granted)
    SELECT home_address, link, link_address, home_agent, care_of, tunnel, tunnel_address,
        tunnel_port, reverse_tunnel, 0, 0, lifetime, granted
    FROM old_visitors;
INSERT INTO visitor_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own,
        peer, made, ends, confirmed)
    SELECT home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends, 0
    FROM old_visitor_associations;

DROP TABLE old_binding_associations;
DROP TABLE old_bindings;
DROP TABLE old_visitor_associations;
DROP TABLE old_visitors;
