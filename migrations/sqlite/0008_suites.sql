-- Algorithms of an association and how its key was made: encryption, integrity, mode, and the group in two octets. What
-- stood before has what was the only suite.
ALTER TABLE visitor_associations ADD COLUMN suite BLOB NOT NULL DEFAULT x'0101010000' CHECK (length(suite) = 5);
ALTER TABLE revocation_associations ADD COLUMN suite BLOB NOT NULL DEFAULT x'0101010000' CHECK (length(suite) = 5);
