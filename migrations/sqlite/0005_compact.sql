-- One row a binding and one row a grant, so that many of them fit into one flush. Everything of a binding but what it
-- is found by stands in one sealed value; opening the store moves the bindings that stand (libs/io/keystore/src/packed.rs)
-- and drops the tables named old_*.

ALTER TABLE binding_associations RENAME TO old_binding_associations;
ALTER TABLE bindings RENAME TO old_bindings;

-- Addresses are numbers of 32 bits.
CREATE TABLE bindings (
    home_address  INTEGER NOT NULL,
    care_of       INTEGER NOT NULL,
    nai           TEXT NOT NULL,
    sealed_record BLOB NOT NULL,
    PRIMARY KEY (home_address, care_of)
) STRICT, WITHOUT ROWID;

-- Each key in 17 octets: kind, both indices, fingerprint.
ALTER TABLE grants ADD COLUMN keys BLOB NOT NULL DEFAULT x'' CHECK (length(keys) % 17 = 0);
UPDATE grants SET keys = coalesce(
    (SELECT unhex(group_concat(printf('%02x%08x%08x%s', kind, first_spi, second_spi, fingerprint), '' ORDER BY position))
     FROM grant_keys WHERE grant_id = grants.id), x'');
DROP TABLE grant_keys;
-- Nobody asks the database for the grants of one subscriber, and to keep this order cost most of a commit.
DROP INDEX grants_of_subscriber;
