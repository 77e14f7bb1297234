"""Boards: the only files that know what the meter runs on. `linux` is the reference for their interface."""
