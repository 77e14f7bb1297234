-- One node's ledger. Heights, sizes and places are integers; everything else is the ledger's canonical bytes.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- A decided block, with the commit certificate that decided it here (other nodes may hold another one).
CREATE TABLE blocks (
    height   INTEGER PRIMARY KEY,
    block_id BLOB NOT NULL,
    body     BLOB NOT NULL,
    "commit" BLOB NOT NULL
) STRICT;

-- What this node signed as an authority: one value for one (height, round, type). Kept well beyond the decision.
CREATE TABLE sign_state (
    height  INTEGER NOT NULL,
    round   INTEGER NOT NULL,
    type    INTEGER NOT NULL,
    value   BLOB NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (height, round, type)
) STRICT, WITHOUT ROWID;

-- What the consensus core was told at the height in progress, in order: locks are rebuilt from it.
CREATE TABLE inputs (
    number INTEGER PRIMARY KEY,
    height INTEGER NOT NULL,
    data   BLOB NOT NULL
) STRICT;

-- Blocks that this node proposed or voted for at the height in progress.
CREATE TABLE candidates (
    block_id BLOB PRIMARY KEY,
    height   INTEGER NOT NULL,
    body     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The state after the newest block.
CREATE TABLE state_rows (
    name  TEXT NOT NULL,
    id    BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (name, id)
) STRICT, WITHOUT ROWID;

-- The log. record and salt open the leaf; the header leaf needs no opening.
CREATE TABLE leaves (
    place  INTEGER PRIMARY KEY,
    hash   BLOB NOT NULL,
    data   BLOB NOT NULL,
    record BLOB,
    salt   BLOB
) STRICT;

CREATE TABLE settlement_lines (
    epoch INTEGER NOT NULL,
    meter BLOB NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (epoch, meter, place)
) STRICT, WITHOUT ROWID;

-- Boundary readings that stand in blocks, by the hash that settlement lines name.
CREATE TABLE readings (
    hash BLOB PRIMARY KEY,
    raw  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE transactions (
    id     BLOB PRIMARY KEY,
    height INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    code   INTEGER NOT NULL,
    text   TEXT NOT NULL,
    events BLOB NOT NULL
) STRICT, WITHOUT ROWID;
