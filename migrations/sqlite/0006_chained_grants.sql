-- Each grant names the one before it of the same subscriber: whoever knows the newest finds all of them by their numbers,
-- without an index that every registration would have to keep in order. The index by end goes for the same reason:
-- grants are issued in the order of their numbers, and none runs longer than 65,535 s.
ALTER TABLE grants ADD COLUMN earlier INTEGER;
UPDATE grants SET earlier = before.id
    FROM (SELECT id AS of, lag(id) OVER (PARTITION BY nai ORDER BY id) AS id FROM grants) AS before
    WHERE grants.id = before.of;
DROP INDEX grants_by_end;

-- Home agents that were away are told of these.
CREATE INDEX grants_revoked ON grants (ends) WHERE revoked IS NOT NULL;
