"""Epoch arithmetic and the intervals that boundary readings make."""
