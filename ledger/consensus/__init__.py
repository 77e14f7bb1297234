"""Tendermint consensus (arXiv:1807.04938, Algorithm 1) as a pure state machine: events in, effects out.

    machine = Machine(chain_id, Timing())
    effects = machine.handle(event, now_ms)     tuple of effects, to be performed in order
    machine.status()                            the Status to send to all peers every 300-500 ms

No I/O, no clock, no randomness, no threads, and no exception leaves `handle`. `machine.py` is the algorithm,
`ledger.node` the shell around it, `ledger.simulation` the shell of the tests.
"""
