"""A deterministic simulator of a whole ledger network: one thread, one seed, the real consensus core.

    run(sample(seed)) -> Outcome          raises Violation, with the seed, where a promise breaks

`application.py` is the port for what is agreed on, with a trivial chain behind it; `runtime.py` puts the real runtime
there. `node.py` is the shell's duties in small, `surroundings.py` what a node can reach, `witness.py` the list of
promises, `world.py` one run of all of them.

Time is a number, the network a heap of deliveries, a disk a dictionary that survives a power cut. Nothing here reads
a clock or a file; a seed always gives the same run.
"""
