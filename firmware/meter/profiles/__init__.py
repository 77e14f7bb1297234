"""Meter profiles: one small file per model, data only, each register with its sources."""
