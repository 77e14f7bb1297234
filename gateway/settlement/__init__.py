"""The outbox: boundary readings on their way to the ledger, exactly once."""
