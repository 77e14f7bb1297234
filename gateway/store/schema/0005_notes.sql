-- What was noted about readings that count all the same: codes from 32 on of gateway.intake.refusals.
CREATE TABLE notes (
    meter_id    BLOB    NOT NULL,
    sequence    INTEGER NOT NULL,
    code        INTEGER NOT NULL,
    PRIMARY KEY (meter_id, sequence, code)
) STRICT, WITHOUT ROWID;
