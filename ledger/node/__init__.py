"""The shell around the consensus core: disk, network, clock and signals of one authority's node.

Read `driver` first: it performs what the core asks for, in the safe order. `store` (behind `disk`) is what survives,
`chain` what is executed, `peers` and `wire` how nodes talk, `mempool`, `blocks`, `sync` and `cosigning` what they talk
about; `service` joins them, `process` runs them with the API in one event loop.
"""
