"""The meter's command line: `<micropython> firmware/meter/main.py run|enrol --config CONFIG.json`,
or `probe --line TTY|HOST:PORT [--slave N] [--json]`, which says what meter is there: status 0 if all is well, else 1.

`enrol` makes the meter's key where there is none and prints its public part; `run` measures until stdin, where it is a
pipe, ends or says `stop`, or until SIGINT; where it cannot measure it stays, in safe mode. SIGTERM just ends the
process: to the journal that is a power cut. Status 2: the configuration never worked, and it or the call is wrong;
1: another process runs this meter; 75: it wants to be started anew, after an update.

`launch.py` runs this file, and adds `--slot a|b|none|unknown` or `--trial a|b` to `run`: which copy of the firmware it
started.
"""

import sys

if __name__ == "__main__":  # else the launcher has found it
    sys.path[0] = __file__.rpartition("/")[0] + "/.." if "/" in __file__ else ".."

import asyncio  # noqa: E402

from meter import curve, sha512  # noqa: E402, F401  first: a board has no stack for all imports in one chain

# isort: split
from meter import config, identify, keystore, service  # noqa: E402
from meter.board import here  # noqa: E402
from meter.errors import ClaimError, LineError, MeterError, in_words  # noqa: E402

board = here()

RESTART_STATUS = 75
USAGE = "usage: main.py run|enrol --config CONFIG.json | probe --line TTY|HOST:PORT [--slave N] [--json]"
MAX_SLAVE = 247
INTERRUPTED = 130
"""Status of what SIGINT ended, as shells have it."""


def main(arguments):
    """Run the command in *arguments*; return the exit status."""
    if arguments and arguments[0] == "probe":
        return probe(arguments[1:])
    slot, is_on_trial = None, False
    if len(arguments) == 5 and arguments[0] == "run" and arguments[3] in ("--slot", "--trial"):
        slot, is_on_trial, arguments = arguments[4], arguments[3] == "--trial", arguments[:3]
    if len(arguments) != 3 or arguments[0] not in ("run", "enrol") or arguments[1] != "--config":
        sys.stderr.write(USAGE + "\n")
        return 2
    board.prepare()
    try:
        if arguments[0] == "enrol":
            enrol(config.load(arguments[2]))
        elif service.serve(board, arguments[2], slot, is_on_trial):
            return RESTART_STATUS
    except MeterError as error:
        sys.stderr.write("meter: {}\n".format(error))
        return 1 if isinstance(error, ClaimError) else 2
    return 0


def probe(arguments):
    """Find the meter on a line and print what it is; return the exit status."""
    is_json = "--json" in arguments
    options = [argument for argument in arguments if argument != "--json"]
    values = dict(zip(options[::2], options[1::2]))  # noqa: B905  MicroPython's zip knows no strict
    slave = values.pop("--slave", "1")
    if list(values) != ["--line"] or len(options) % 2 or not slave.isdigit() or not 1 <= int(slave) <= MAX_SLAVE:
        sys.stderr.write(USAGE + "\n")
        return 2
    target, asked = values["--line"], int(slave) if "--slave" in options else None
    found, failure = None, None
    try:
        found = asyncio.run(identify.find(board, target, asked, lambda text: sys.stderr.write(text + "\n")))
    except OSError as error:
        sys.stderr.write("meter: cannot use {}: {}\n".format(target, in_words(error)))
        return 2
    except LineError as error:
        failure = error
    except KeyboardInterrupt:
        return INTERRUPTED
    if found is None:
        sys.stderr.write("meter: " + "\n".join(identify.advice(target, failure)) + "\n")
        return 1
    if is_json:
        board.emit(found)
    else:
        print("\n".join(identify.page(found)))
    return 0 if found["profile"] and identify.is_set_right(found) else 1


def enrol(settings):
    """Make the meter's key where there is none; print what the campus must know of this meter."""
    key = keystore.load_or_make(board.Directory(settings.data_dir), board)
    board.emit(keystore.card(settings, key, board))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
