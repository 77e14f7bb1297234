"""The market's clearing engine: orders in, one uniform price and exact fills out; no state, no clock, no files.

Start reading at `book` (the words and the limits), then `reference` (the slow, obvious engine), then `clearing` (the
fast one, which gives the same results).
"""
