-- Simultaneous bindings of one mobile node, and home addresses assigned to subscribers that were enrolled without one
-- (their home_address is 0.0.0.0). Rows that stand keep what they say.

-- Whose an assigned home address is.
CREATE TABLE home_addresses (
    home_address TEXT PRIMARY KEY,
    nai          TEXT NOT NULL UNIQUE
) STRICT;

-- Primary keys cannot be changed in place. The children of the old table are dropped before it.
ALTER TABLE binding_associations RENAME TO old_binding_associations;
ALTER TABLE bindings RENAME TO old_bindings;

CREATE TABLE bindings (
    home_address   TEXT NOT NULL,
    care_of        TEXT NOT NULL,
    nai            TEXT NOT NULL,
    tunnel         TEXT NOT NULL CHECK (tunnel IN ('ipip', 'minimal', 'gre', 'udp')),
    tunnel_address TEXT NOT NULL,
    tunnel_port    INTEGER CHECK ((tunnel_port IS NULL) = (tunnel <> 'udp')),
    reverse_tunnel INTEGER NOT NULL,
    broadcasts     INTEGER NOT NULL,
    -- Timestamp of the foreign agent's revocation support extension, as far as agreed on.
    revocation     INTEGER,
    -- The home agent decides whether the mobile node is told.
    revocation_inform INTEGER NOT NULL,
    foreign_agent  TEXT,
    lifetime       INTEGER NOT NULL,
    granted        INTEGER NOT NULL,
    PRIMARY KEY (home_address, care_of)
) STRICT;

CREATE TABLE binding_associations (
    home_address TEXT NOT NULL,
    care_of      TEXT NOT NULL,
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
    PRIMARY KEY (home_address, care_of, position),
    FOREIGN KEY (home_address, care_of) REFERENCES bindings (home_address, care_of) ON DELETE CASCADE
) STRICT;

INSERT INTO bindings (home_address, care_of, nai, tunnel, tunnel_address, tunnel_port, reverse_tunnel, broadcasts,
        revocation, revocation_inform, foreign_agent, lifetime, granted)
    SELECT home_address, care_of, nai, tunnel, tunnel_address, tunnel_port, reverse_tunnel, broadcasts,
        revocation, revocation_inform, foreign_agent, lifetime, granted
    FROM old_bindings;
INSERT INTO binding_associations (home_address, care_of, position, kind, inbound_spi, outbound_spi, sealed_key, own,
        peer, made, ends, confirmed, retires)
    SELECT home_address, care_of, position, kind, inbound_spi, outbound_spi, sealed_key, own,
        peer, made, ends, confirmed, retires
    FROM old_binding_associations JOIN old_bindings USING (home_address);

DROP TABLE old_binding_associations;
DROP TABLE old_bindings;
