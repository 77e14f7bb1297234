"""The shell around the consensus core: disk, network, clock and signals of one authority's node.

Read `driver` first: it performs what the core asks for, in the safe order. `chain` is what is executed, `mempool` and
`blocks` what waits for it; `parts` and `service` join all, `process` runs them with the API in one event loop;
`answers` are what its peers ask for, `archive` writes its log as files.

The packages: `storage` is what survives, `network` how nodes talk and catch up, `signers` who signs, with which keys,
and the witnesses beside them, `snapshots` how a node far behind gets a state and others prune, `recovery` how a node
signs again that was restored or lost data, `reporting` what a node tells its operators.
"""
