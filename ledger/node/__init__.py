"""The shell around the consensus core: disk, network, clock and signals of one authority's node."""
