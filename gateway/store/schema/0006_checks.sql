-- Intervals that a physical check found odd (gateway.checks.alarms), each with the numbers that say so, as JSON.
CREATE TABLE flags (
    meter_id    BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    epochs      INTEGER NOT NULL,
    code        TEXT    NOT NULL,
    evidence    TEXT    NOT NULL,
    found_at    INTEGER NOT NULL,
    PRIMARY KEY (meter_id, epoch, epochs, code)
) STRICT, WITHOUT ROWID;
CREATE INDEX flags_by_epoch ON flags (epoch);

-- One alarm for a meter and a code, from its first finding until an interval is well again. `evidence` is the newest.
CREATE TABLE alarms (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    meter_id    BLOB    NOT NULL,
    code        TEXT    NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'closed')),
    findings    INTEGER NOT NULL DEFAULT 1,
    epoch       INTEGER NOT NULL,
    evidence    TEXT    NOT NULL,
    raised_at   INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alarms_standing ON alarms (meter_id, code) WHERE state <> 'closed';
CREATE INDEX alarms_closed ON alarms (id) WHERE state = 'closed';

-- Up to which reading intervals are checked; what an older gateway stored is not checked again.
CREATE TABLE checked (reading INTEGER NOT NULL) STRICT;
INSERT INTO checked SELECT coalesce(max(id), 0) FROM readings;
