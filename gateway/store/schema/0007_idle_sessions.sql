-- When a session was last used: one that nobody uses for a while ends. Those of before count from their log-in.
ALTER TABLE sessions ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET seen_at = created_at;
