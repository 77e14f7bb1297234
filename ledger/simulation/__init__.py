"""A deterministic simulator of a whole ledger network: one thread, one seed, the real consensus core.

    run(sample(seed)) -> Outcome          raises Violation, with the seed, where a promise breaks

`schedule.py` is what can go wrong; `sampling.py` and `twins.py` say what does. `node.py` is the shell in small,
`byzantine.py` those who neglect them, `surroundings.py` what a node can reach, `witness.py` the list of promises,
`coverage.py` what a batch must have seen, `world.py` one run of all of them. `batch.py`, `shrinking.py`, `trace.py` and
`command.py` are `campusgrid ledger simulate`; `forensics.py` tells who made a fork. `application.py` is the port for
what is agreed on, with a trivial chain behind it and ideal signatures (`ideal.py`); `runtime.py` puts the real runtime
and real signatures there.

Time is a number, the network a heap of deliveries, a disk a dictionary that survives a power cut. Nothing here reads
a clock or a file; a seed always gives the same run.
"""
