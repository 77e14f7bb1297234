"""The campusgrid meter: reads an electricity meter's registers, signs them, and keeps them until they are receipted."""


def probe(path, slave=None):
    """Say what meter is on the line *path*, at the prompt of a board; see `identify.find`."""
    import asyncio
    import sys

    from meter import identify

    board = __import__("meter.board." + sys.platform).board
    return asyncio.run(identify.find(getattr(board, sys.platform), path, slave))
