"""Runs under MicroPython: an ESP32 of contract fakes from power to reset, its surroundings told by lines on its stdin.

Argument: a JSON file with flash, table, tty, turning, config, setup and paths; `setup` is run first, with CHIP at hand.
A reset ends the process.
"""

import _thread
import json
import sys
import time

with open(sys.argv[1]) as file:
    ARGUMENTS = json.load(file)
sys.path[:0] = ARGUMENTS["paths"]

from esp32_chip import modules  # noqa: E402
from esp32_chip.chip import CHIP, ResetError  # noqa: E402

RESET = 75
IMPATIENT = {"ATTEMPT_S": 0.5, "POLL_S": 0.05, "BACKOFF_FIRST_S": 0.1, "BACKOFF_LIMIT_S": 0.2}
KEEPER = "meter.board.esp32_network"


def hurry():
    """Let the keeper of the network, whenever it is imported anew, be impatient: long before its first attempt ends."""
    while True:
        keeper = sys.modules.get(KEEPER)
        if getattr(keeper, "BACKOFF_LIMIT_S", 0) > 1:
            for name, value in IMPATIENT.items():
                setattr(keeper, name, value)
        time.sleep_ms(5)


def listen():
    """Do what stdin says until it ends."""
    for line in sys.stdin:
        exec(line, {"CHIP": CHIP, "board": sys.modules["meter.board.esp32"]})


exec(ARGUMENTS["setup"])
modules.install()
CHIP.insert_flash(ARGUMENTS["flash"], ARGUMENTS["table"])
CHIP.ttys[1] = ARGUMENTS["tty"]
CHIP.turning[1] = ARGUMENTS["turning"]
_thread.start_new_thread(hurry, ())
_thread.start_new_thread(listen, ())

import meter  # noqa: E402

try:
    meter.run(ARGUMENTS["config"])
except ResetError:
    sys.exit(RESET)
