"""Measurements against the product's bars: `make bench`. Parts are registered in `parts.py`."""
