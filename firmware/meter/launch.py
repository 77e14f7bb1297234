"""Starts the right image of the meter: `<micropython> firmware/meter/launch.py run --config CONFIG.json`.

Arguments, output and status are those of `main.py`. This is the first thing that runs and no update ever replaces it:
it counts the boots of an image on trial, checks that an image is whole, and starts its `meter.main`; where there is
none to start, or anything goes wrong, that of the folder in which it lies itself. A meter that ended with a status
other than 0 is to be started again (by systemd's Restart=always; on a board `meter.run` does it by a reset).
"""

import json
import sys
from binascii import crc32

if __name__ == "__main__":
    sys.path[0] = __file__.rpartition("/")[0] + "/.." if "/" in __file__ else ".."

from meter import curve, sha512  # noqa: E402, F401  first: a board has no stack for all imports in one chain

# isort: split
from meter import slots  # noqa: E402
from meter.board import here  # noqa: E402

FORCED_TRIALS = 2
"""An image on trial ends itself when its time is up; what has not after so many times that, is ended by force."""
RESTART_STATUS = 75
RESTART_TEXT = "ended with status 75, to be started again with the same arguments: systemd's Restart=always does it"


def main(arguments):
    """Start the meter with *arguments*, as main.py takes them; return its exit status."""
    board = here()
    board.prepare()
    is_on_trial = False
    if arguments[:2] == ["run", "--config"] and len(arguments) == 3:
        name, is_on_trial = _prepare(arguments[2], board)
        arguments = arguments + ["--trial" if is_on_trial else "--slot", name]
    _forget_modules()
    try:
        from meter import main as meter

        status = meter.main(arguments)
        return RESTART_STATUS if is_on_trial and status else status  # it may misjudge what keeps it from running
    except Exception as error:
        if not is_on_trial:
            raise
        sys.print_exception(error, sys.stderr)
        return RESTART_STATUS


def _forget_modules():
    """Let go of all modules of this copy: those of the image must not meet them, and a board's heap has no room."""
    for name in list(sys.modules):
        if name == "meter" or name.startswith("meter."):
            del sys.modules[name]
    for name in ("curve", "sha512", "slots", "here"):
        globals().pop(name)


def _prepare(config_path, board):
    """Choose what to start and make it importable.

    Return its name and whether it is on trial. The copy beside this file is "none"; "unknown" where nothing tells
    whether there is another: that copy asks for a new start once the configuration is mended.
    """
    try:
        data_dir = _find_data_dir(config_path)
        if not data_dir.startswith("/"):
            data_dir = config_path[: config_path.rfind("/") + 1] + data_dir
        return _choose(slots.of_board(board, data_dir), board)
    except Exception as error:
        board.emit({"event": "error", "text": "no update can be started: {}: {}".format(type(error).__name__, error)})
        return "unknown", False


def _find_data_dir(config_path):
    """Return where the configuration, or else the last one that worked, says that the meter keeps its files."""
    try:
        with open(config_path) as file:
            return json.load(file)["data_dir"]  # the rest is for the image to judge: it may know other keys
    except Exception:  # whatever damage does to it
        copy = _read_copy(config_path)
        if copy is None:
            raise
        return json.loads(copy.decode())["data_dir"]


def _read_copy(config_path):
    """Return what `last_good.py` kept; None where that is no use. That module itself costs a board too much heap."""
    try:
        with open(config_path + ".good", "rb") as file:
            data, _, checksum = file.read().rpartition(b"\n")
    except OSError:
        return None
    return data if checksum == str(crc32(data)).encode() else None


def _choose(found, board):
    while True:
        slot = found.next_boot()
        if slot is None:
            return "none", False
        try:
            sys.path.insert(0, found.image(slot).mount())
        except (OSError, ValueError):  # ValueError: no ROMFS
            found.give_up(slot)
            continue
        is_on_trial = slot == found.other
        if is_on_trial:
            board.limit_trial(FORCED_TRIALS * found.manifest(slot).trial_s)
        return slots.NAMES[slot], is_on_trial


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if status == RESTART_STATUS:
        print(RESTART_TEXT, file=sys.stderr)
    sys.exit(status)
