-- The log's hashes above its leaves: at level n, one for every whole subtree of 256^n leaves. Kept for ever.
CREATE TABLE subtrees (
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;
