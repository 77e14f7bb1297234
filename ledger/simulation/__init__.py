"""A deterministic simulator of a whole ledger network: one thread, one seed, the real consensus core.

    run(sample(seed), Chained.create) -> Outcome          raises Violation, with the seed, where a promise breaks

Time is a number, the network a heap of deliveries, a disk a dictionary that survives a power cut. Nothing here reads
a clock or a file; a seed always gives the same run.
"""
