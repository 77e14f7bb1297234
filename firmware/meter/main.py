"""The meter's command line: `<micropython> firmware/meter/main.py run|enrol --config CONFIG.json`.

`enrol` makes the meter's key where there is none and prints its public part; `run` measures until stdin, where it is a
pipe, ends or says `stop`, or until SIGINT. SIGTERM just ends the process: to the journal that is a power cut.
"""

import sys

sys.path[0] = __file__.rpartition("/")[0] + "/.." if "/" in __file__ else ".."

import asyncio  # noqa: E402

from meter import config, keystore  # noqa: E402
from meter.app import Application  # noqa: E402
from meter.board import linux as board  # noqa: E402
from meter.configuration import Store  # noqa: E402
from meter.errors import MeterError  # noqa: E402
from meter.journal import Journal  # noqa: E402

USAGE = "usage: main.py run|enrol --config CONFIG.json"


def main(arguments):
    """Run the command in *arguments*; return the exit status."""
    if len(arguments) != 3 or arguments[0] not in ("run", "enrol") or arguments[1] != "--config":
        sys.stderr.write(USAGE + "\n")
        return 2
    board.prepare()
    try:
        settings = config.load(arguments[2])
        storage = board.Directory(settings.data_dir)
        key = keystore.load_or_make(storage, board)
        if arguments[0] == "enrol":
            enrol(settings, key)
        else:
            run(settings, key, storage)
    except MeterError as error:
        sys.stderr.write("meter: {}\n".format(error))
        return 2
    return 0


def enrol(settings, key):
    """Print what the campus must know of this meter."""
    board.emit({"meter_id": settings.meter_id.hex(), "public_key": key.public.hex(), "interpreter": board.INTERPRETER})


def run(settings, key, storage):
    """Measure until told to stop."""
    board.check(settings)
    claim = board.claim(settings.data_dir)
    log = board.Directory(settings.data_dir + "/journal")
    archive = board.Directory(settings.data_dir + "/archive")
    application = Application(Store(storage, settings), board, key, Journal(log, archive, storage))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(application.run())
    except KeyboardInterrupt:
        pass  # asked to stop, as by a `stop` line
    loop.run_until_complete(application.finish())
    claim.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
