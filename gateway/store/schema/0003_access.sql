-- People who may log in. `password` is an Argon2id string, NULL until the person has used an enrolment link.
-- `account` is the ledger account whose meters a tenant sees.
CREATE TABLE people (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    role        TEXT    NOT NULL,
    account     BLOB    CHECK (account IS NULL OR length(account) = 8),
    password    TEXT,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

-- One-time links with which a person chooses a password. Without a person: the first admin chooses a name too.
-- Of links, sessions and keys only the SHA-256 of their secret is here.
CREATE TABLE links (
    id          TEXT    PRIMARY KEY,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    person      INTEGER REFERENCES people (id),
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id          TEXT    PRIMARY KEY,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    person      INTEGER NOT NULL REFERENCES people (id),
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_person ON sessions (person, created_at);

-- Keys of programs. `person` made it for themselves (it ends with them), or NULL; `meters` is a JSON list of ids, or
-- NULL for all that the role sees.
CREATE TABLE api_keys (
    id          TEXT    PRIMARY KEY,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    person      INTEGER REFERENCES people (id),
    name        TEXT    NOT NULL,
    role        TEXT    NOT NULL,
    account     BLOB    CHECK (account IS NULL OR length(account) = 8),
    meters      TEXT,
    read_only   INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

-- Who wrote what, when, from where; `hash` covers all other columns, so each row seals those before it.
CREATE TABLE audit (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    who         TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    previous    BLOB    NOT NULL CHECK (length(previous) = 32),
    hash        BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is never shortened'); END;
CREATE TRIGGER audit_keeps_text BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;

-- The newest row of the audit log, so that a log cut at its end shows.
CREATE TABLE audit_head (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    count       INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Random secrets of this gateway, made on first use.
CREATE TABLE secrets (
    name        TEXT    PRIMARY KEY,
    value       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
