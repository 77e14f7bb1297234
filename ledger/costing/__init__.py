"""What a call costs: `campusgrid ledger bench-call` makes a small chain of its own and times the call on its state.

`campus.py` is that chain, `samples.py` makes senders and arguments, `measure.py` the times.
"""
