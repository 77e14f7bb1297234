"""Runs under MicroPython: the meter on an ESP32 of contract fakes, told by lines of Python on its stdin.

Argument: a JSON file with flash, table, tty, turning, config, setup and paths; `setup` is run first, with CHIP at hand.
The line `stop` ends the meter.
"""

import asyncio
import json
import sys

with open(sys.argv[1]) as file:
    ARGUMENTS = json.load(file)
sys.path[:0] = ARGUMENTS["paths"]

from esp32_chip import modules  # noqa: E402
from esp32_chip.chip import CHIP  # noqa: E402

exec(ARGUMENTS["setup"])
modules.install()
CHIP.insert_flash(ARGUMENTS["flash"], ARGUMENTS["table"])
CHIP.ttys[1] = ARGUMENTS["tty"]
CHIP.turning[1] = ARGUMENTS["turning"]

from meter import service  # noqa: E402
from meter.board import esp32 as board  # noqa: E402
from meter.board import esp32_network  # noqa: E402

esp32_network.ATTEMPT_S, esp32_network.POLL_S = 0.5, 0.05
esp32_network.BACKOFF_FIRST_S, esp32_network.BACKOFF_LIMIT_S = 0.1, 0.2


async def commands() -> None:
    """Do what stdin says until it says `stop`, or ends."""
    reader = asyncio.StreamReader(sys.stdin.buffer)
    while True:
        line = await reader.readline()
        if line.strip() in (b"", b"stop"):
            return
        exec(line.decode())


board.command_line_ended = commands
board.prepare()
service.serve(board, ARGUMENTS["config"])
