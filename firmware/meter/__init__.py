"""The campusgrid meter: reads an electricity meter's registers, signs them, and keeps them until they are receipted."""


def run(path="/config.json"):
    """Be the meter that the file *path* configures, from a board's main.py; comes back to the prompt on Ctrl-C.

    Without a configuration that ever worked it comes back too, and the board starts again in an hour.
    """
    from meter import launch
    from meter.board import here

    board = here()  # not that of the image which is started: it may have none that can be imported
    if launch.main(["run", "--config", path]) == launch.RESTART_STATUS:
        board.restart()


def enrol(path="/config.json"):
    """Make the meter's key where there is none, at the prompt of a board; print what the campus must know of it."""
    from meter import main

    main.main(["enrol", "--config", path])


def probe(target=None, slave=None, path="/config.json"):
    """Say what meter is on the line *target*, at the prompt of a board, and return it; see `identify.find`.

    Without *target* it is the one line that the board has, or that which the file *path* configures. Returns None where
    no meter answers.
    """
    import asyncio

    from meter import identify
    from meter.board import here
    from meter.errors import LineError

    board = here()
    target = target or getattr(board, "LINE", None) or _configured_line(path)
    try:
        found = asyncio.run(identify.find(board, target, slave, print))
    except LineError as error:
        print("\n".join(identify.advice(target, error)))
        return None
    print("\n".join(identify.page(found) if found else identify.advice(target)))
    return found


def _configured_line(path):
    from meter import config
    from meter.errors import ConfigError

    try:
        line = config.load(path).line
    except ConfigError as error:
        raise ValueError("say which line, as in config.json: meter.probe('…') ({})".format(error)) from None
    return "{}:{}".format(line.host, line.port) if hasattr(line, "host") else line.path
