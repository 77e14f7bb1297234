-- The gateway's anchors (ledger.anchor), one a minute: each over the readings with ids from `first` to `last`, in the
-- order of their ids. A refused one does not stand: another has its number, or its readings.
CREATE TABLE anchors (
    id          INTEGER PRIMARY KEY,
    number      INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    root        BLOB    NOT NULL CHECK (length(root) = 32),
    previous    BLOB    NOT NULL CHECK (length(previous) = 32),
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    state       TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'submitted', 'done', 'refused')),
    transaction_id BLOB,
    code        INTEGER
) STRICT;
CREATE UNIQUE INDEX anchors_standing ON anchors (number) WHERE state <> 'refused';
CREATE INDEX anchors_open ON anchors (number) WHERE state IN ('waiting', 'submitted');
CREATE INDEX anchors_by_reading ON anchors (last) WHERE state <> 'refused';

-- Where the chain of anchors stands: the newest anchor, and the id up to which readings are anchored. `generation` is
-- that of the restore after which the ledger was last asked where the chain stands; NULL: it never was.
CREATE TABLE anchor_chain (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    generation  INTEGER,
    number      INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    reading     INTEGER NOT NULL
) STRICT;
INSERT INTO anchor_chain SELECT 1, NULL, 0, 0, zeroblob(32), coalesce(max(id), 0) FROM readings;
