-- Registrations that were ended here and of which the other end has to be told (RFC 3543), and whether the home agent
-- decides if the mobile node is told of such an end.

ALTER TABLE bindings ADD COLUMN revocation_inform INTEGER NOT NULL DEFAULT 0;
ALTER TABLE visitors ADD COLUMN revocation_inform INTEGER NOT NULL DEFAULT 0;

CREATE TABLE revocations (
    -- Home address, space, care-of address.
    registration TEXT PRIMARY KEY,
    home_address TEXT NOT NULL,
    care_of      TEXT NOT NULL,
    home_agent   TEXT NOT NULL,
    peer_address TEXT NOT NULL,
    peer_port    INTEGER NOT NULL,
    inform       INTEGER NOT NULL,
    -- When the registration would have ended.
    ends         INTEGER
) STRICT;

CREATE TABLE revocation_associations (
    registration TEXT NOT NULL REFERENCES revocations (registration) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 2),
    inbound_spi  INTEGER NOT NULL,
    outbound_spi INTEGER NOT NULL,
    sealed_key   BLOB NOT NULL,
    own          TEXT NOT NULL,
    peer         TEXT NOT NULL,
    made         INTEGER NOT NULL,
    ends         INTEGER NOT NULL,
    confirmed    INTEGER NOT NULL,
    retires      INTEGER,
    PRIMARY KEY (registration, position)
) STRICT;
