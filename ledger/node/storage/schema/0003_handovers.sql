-- Hand-over certificates by the height of the header that announces the change. Kept for ever.
CREATE TABLE handovers (
    height INTEGER PRIMARY KEY,
    data   BLOB NOT NULL
) STRICT;
