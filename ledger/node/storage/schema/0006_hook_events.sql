-- What the hooks of a block did, as encoded arrays; what its transactions did stands in their rows. Blocks that were
-- decided before this table was made have none here.
CREATE TABLE hook_events (
    height INTEGER PRIMARY KEY,
    events BLOB NOT NULL
) STRICT;

CREATE INDEX transactions_by_place ON transactions (height, place);

CREATE INDEX blocks_by_id ON blocks (block_id);
