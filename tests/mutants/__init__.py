"""`make mutants`: the core with one mistake at a time; each must be noticed."""
