"""The gateway's one SQLite file: what it has acknowledged, and what it still owes the ledger."""
