"""Boards: the only files that know what the meter runs on. `linux` is the reference for their interface."""


def here():
    """Return the board that this runs on, which has the name of its port of MicroPython."""
    import sys

    return getattr(__import__("meter.board." + sys.platform).board, sys.platform)
