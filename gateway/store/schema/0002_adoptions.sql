-- Chains that an operator declared complete from a reading on, because what came before it is lost: between `head`, up
-- to which the chain was complete, and `first`, whose hash is given. Never changed: it answers who gave up what, when.
CREATE TABLE adoptions (
    id          INTEGER PRIMARY KEY,
    meter_id    BLOB    NOT NULL,
    head        INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    first_hash  BLOB    NOT NULL,
    adopted_at  INTEGER NOT NULL,
    adopted_by  TEXT    NOT NULL
) STRICT;
