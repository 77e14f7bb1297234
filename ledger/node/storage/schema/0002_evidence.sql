-- Proof that an authority signed two values, until a block holds it.
CREATE TABLE evidence (
    data BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
