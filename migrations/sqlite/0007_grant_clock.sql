-- The latest time at which this grant or one with a lower number was issued. It rises with the numbers even where the
-- clock was turned back, so that the first grant since a time is found by halving.
ALTER TABLE grants ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;
UPDATE grants SET clock = so_far.clock
    FROM (SELECT id AS of, max(issued) OVER (ORDER BY id) AS clock FROM grants) AS so_far
    WHERE grants.id = so_far.of;
