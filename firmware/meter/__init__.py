"""The campusgrid meter: reads an electricity meter's registers, signs them, and keeps them until they are receipted."""


def run(path="/config.json"):
    """Be the meter that the file *path* configures, on a board; comes back to the prompt on Ctrl-C."""
    from meter import service
    from meter.errors import MeterError

    board = _board()
    board.prepare()
    try:
        service.serve(board, path)
    except MeterError as error:
        print("meter: {}".format(error))


def enrol(path="/config.json"):
    """Make the meter's key where there is none, at the prompt of a board; print what the campus must know of it."""
    from meter import config, keystore

    board = _board()
    board.prepare()
    settings = config.load(path)
    key = keystore.load_or_make(board.Directory(settings.data_dir), board)
    board.emit(keystore.card(settings, key, board))


def probe(path, slave=None):
    """Say what meter is on the line *path*, at the prompt of a board; see `identify.find`."""
    import asyncio

    from meter import identify

    return asyncio.run(identify.find(_board(), path, slave))


def _board():
    import sys

    board = __import__("meter.board." + sys.platform).board
    return getattr(board, sys.platform)
