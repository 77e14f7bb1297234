-- Each time this database came out of a backup. `generation` is when that was (Unix seconds, ever higher): receipts
-- issued between `made_at` and then are not in here, so a meter gets none before its chain reaches beyond them.
CREATE TABLE restores (
    generation  INTEGER PRIMARY KEY,
    made_at     INTEGER NOT NULL,
    restored_by TEXT    NOT NULL
) STRICT;

-- Up to which number the raw readings of a meter may be gone by the retention rule; boundary readings never go. The
-- chain is proven from here on: `hash` is that of reading `sequence`.
CREATE TABLE floors (
    meter_id    BLOB    PRIMARY KEY,
    sequence    INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;
