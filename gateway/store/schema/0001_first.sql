-- Every reading that a meter signed, once per (meter, sequence). `refusal` 0 = good, else gateway.intake.refusals.
-- Energy in Wh, power in W, times in Unix seconds. `id` grows with arrival and is the cursor of the API.
CREATE TABLE readings (
    id          INTEGER PRIMARY KEY,
    meter_id    BLOB    NOT NULL CHECK (length(meter_id) = 8),
    sequence    INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    previous    BLOB    NOT NULL CHECK (length(previous) = 8),
    time        INTEGER NOT NULL,
    reason      INTEGER NOT NULL,
    epoch       INTEGER,
    import_wh   INTEGER,
    export_wh   INTEGER,
    power_w     INTEGER,
    status      INTEGER NOT NULL,
    refusal     INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    raw         BLOB    NOT NULL,
    UNIQUE (meter_id, sequence)
) STRICT;

-- The boundary reading of an epoch: at most one good one per meter.
CREATE UNIQUE INDEX boundaries ON readings (meter_id, epoch) WHERE epoch IS NOT NULL AND refusal = 0;
CREATE INDEX boundaries_by_epoch ON readings (epoch) WHERE epoch IS NOT NULL AND refusal = 0;
CREATE INDEX refused_readings ON readings (meter_id, sequence) WHERE refusal <> 0;

-- Readings with a good signature that contradict a stored one: evidence, never dropped.
CREATE TABLE evidence (
    id          INTEGER PRIMARY KEY,
    meter_id    BLOB    NOT NULL,
    sequence    INTEGER NOT NULL,
    hash        BLOB    NOT NULL UNIQUE,
    refusal     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    raw         BLOB    NOT NULL
) STRICT;
CREATE INDEX evidence_by_meter ON evidence (meter_id, id);

-- How far each meter's hash chain is complete (head), and the highest number seen.
CREATE TABLE chains (
    meter_id    BLOB    PRIMARY KEY,
    head        INTEGER NOT NULL,
    head_hash   BLOB    NOT NULL,
    highest     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Unauthenticated bytes as they came; bounded, the oldest go first.
CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at INTEGER NOT NULL,
    topic       TEXT    NOT NULL,
    refusal     INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    raw         BLOB    NOT NULL
) STRICT;

-- What was counted, kept over restarts.
CREATE TABLE counters (
    name        TEXT    PRIMARY KEY,
    value       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Boundary readings that the ledger has not finally answered for, and what it answered.
CREATE TABLE outbox (
    meter_id    BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    reading     INTEGER NOT NULL REFERENCES readings (id),
    state       TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'submitted', 'done', 'refused')),
    transaction_id BLOB,
    code        INTEGER,
    PRIMARY KEY (meter_id, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_open ON outbox (epoch, meter_id) WHERE state IN ('waiting', 'submitted');
