"""The ledger that the authorities replicate: formats, state machine, market, consensus and node."""
