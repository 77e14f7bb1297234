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


def probe(target=None, slave=None, path="/config.json"):
    """Say what meter is on the line *target*, at the prompt of a board, and return it; see `identify.find`.

    Without *target* it is the one line that the board has, or that which the file *path* configures. Returns None where
    no meter answers.
    """
    import asyncio

    from meter import identify
    from meter.errors import LineError

    board = _board()
    target = target or getattr(board, "LINE", None) or _configured_line(path)
    try:
        found = asyncio.run(identify.find(board, target, slave, print))
    except LineError as error:
        print("\n".join(identify.advice(target, error)))
        return None
    print("\n".join(identify.page(found) if found else identify.advice(target)))
    return found


def _board():
    import sys

    board = __import__("meter.board." + sys.platform).board
    return getattr(board, sys.platform)


def _configured_line(path):
    from meter import config
    from meter.errors import ConfigError

    try:
        line = config.load(path).line
    except ConfigError as error:
        raise ValueError("say which line, as in config.json: meter.probe('…') ({})".format(error)) from None
    return "{}:{}".format(line.host, line.port) if hasattr(line, "host") else line.path
