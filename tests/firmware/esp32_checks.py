"""Runs under MicroPython, with contract fakes in the place of an ESP32's modules: what its board promises, in pieces.

Each check prints what its test compares; it raises where a promise is broken.
"""

import sys

from esp32_chip import modules
from esp32_chip.chip import CHIP, PowerCutError

SEGMENT_BYTES = 16384
STATE = "/data"


def insert(flash: str, table: str) -> None:
    """Give the chip its flash and put the fakes in place."""
    CHIP.insert_flash(flash, table)
    modules.install()


def restart() -> None:
    """Forget the board's modules and mounts, as a reset does."""
    import vfs

    for _, place in vfs.mount():
        if place != "/":
            vfs.umount(place)
    for name in list(sys.modules):
        if name.startswith("meter.board.esp32"):
            del sys.modules[name]


def prepared():
    """Return the board, its flash mounted."""
    from meter.board import esp32

    esp32.prepare()
    return esp32


def fill_journal() -> None:
    """Print how many files the journal may have: they fit, and one can still be written anew beside the rest."""
    board = prepared()
    for name, files in (("journal", board.journal_files()), ("archive", 19)):
        directory = board.Directory("/data/" + name)
        for number in range(files):
            directory.append(f"{number:010d}.log", bytes(SEGMENT_BYTES))
        directory.replace("0000000000.log", bytes(SEGMENT_BYTES))
    print(board.journal_files())


def cut_first_start() -> None:
    """Cut the power at every flash operation of a first start and of the first key; print how many there were."""
    restart()
    place = 0
    while True:
        CHIP.flash.fill_with_ones()
        CHIP.flash.operations, CHIP.flash.cut_at = 0, place
        is_cut = False
        try:
            prepared().Directory(STATE).replace("key", b"k" * 65)
        except PowerCutError:
            is_cut = True
        CHIP.flash.cut_at = -1
        restart()
        kept = prepared().Directory(STATE)
        if not is_cut:
            assert kept.read("key") == b"k" * 65
            break
        kept.replace("key", b"l" * 65)
        restart()
        assert prepared().Directory(STATE).read("key") == b"l" * 65
        restart()
        place += 1
    print(place)


def damage(label: str, rubbish: str) -> None:
    """Print what is said of a partition whose first blocks hold *rubbish*, and that the others are used still."""
    board = prepared()
    for path in ("/data", "/data/journal", "/data/archive"):
        board.Directory(path).replace("file", b"x" * 2000)
    part = next(part for part in CHIP.parts if part.label == label)
    for block in (0, 1):
        CHIP.flash.erase(part.address + 4096 * block)
        CHIP.flash.program(part.address + 4096 * block, rubbish.encode())
    restart()
    board = prepared()
    for path in ("/data", "/data/journal", "/data/archive"):
        try:
            print(path, board.Directory(path).names())
        except OSError as error:
            print(path, error)


def use_halves(image: str) -> None:
    """Write an image into each half, mount one, and print what of it can be imported and read."""
    board = prepared()
    with open(image, "rb") as file:
        data = file.read()
    for slot in (0, 1):
        half = board.open_image("/data", slot, 7)
        assert half.capacity == 256 * 1024
        half.prepare(0)
        for offset in range(0, len(data), 2048):
            half.write(offset, data[offset : offset + 2048])
    for slot in (0, 1):
        assert board.open_image("/data", slot, 7).read(0, len(data)) == data
    other = board.open_image("/data", 0, 8)
    other.write(0, b"\0" * 2048)
    assert board.open_image("/data", 1, 7).read(0, len(data)) == data
    sys.path.insert(0, board.open_image("/data", 1, 7).mount())
    import written

    print(written.WORD)


def lack_romfs() -> None:
    """Print what a build without ROMFS says to an update."""
    image = prepared().open_image("/data", 0, 1)
    try:
        image.write(0, b"x")
    except OSError as error:
        print(image.capacity, error)


def set_clock() -> None:
    """Print a time that was set, as the board tells it and as the chip's clock shows it."""
    import time

    import machine

    board = prepared()
    board.set_clock(1_795_000_001_500)
    print(board.now_ms() // 1000, time.time(), machine.RTC().datetime()[:7])


def draw_secret() -> None:
    """Print whether the radio was on when bytes were drawn: for anything, for a key, and afterwards."""
    board = prepared()
    board.random_bytes(4)
    assert len(board.secret_bytes(32)) == 32
    print(CHIP.noise, CHIP.radio_is_on)


def look_up() -> None:
    """Print how often another task ran while names were looked up, and what a third asker is told."""
    import asyncio
    import socket
    import time

    from meter.board import lookup

    class DeadNameServer:
        @staticmethod
        def getaddrinfo(*_):
            time.sleep(0.5)
            raise OSError(-2)

    lookup.socket = DeadNameServer
    turns, said = [], []

    async def ask(pause_s):
        await asyncio.sleep(pause_s)
        try:
            await lookup.look_up_aside("gateway.campus", 8883, socket.SOCK_STREAM)
        except OSError as error:
            said.append(error.errno)

    async def measure():
        for _ in range(20):
            turns.append(1)
            await asyncio.sleep(0.02)

    async def everything():
        await asyncio.gather(ask(0), ask(0), ask(0.1), measure())

    asyncio.run(everything())
    print(len(turns), sorted(said), len([found for found in lookup._asking if found[0] is None]))


def drive_line(tty: str) -> None:
    """Print what a line does to a driver that lets go too soon, and to ours."""
    import machine
    from meter.board import esp32
    from meter.config import Line

    CHIP.ttys[1], CHIP.turning[1] = tty, 4
    pin = machine.Pin(4, machine.Pin.OUT, value=0)
    hasty = machine.UART(1, 9600, tx=17, rx=16)
    hasty.write(b"lost")
    pin.value(1)
    hasty.write(b"lost too")
    pin.value(0)
    hasty.flush()
    hasty.deinit()
    line = esp32.open_uart(Line("uart1:tx=17,rx=16,de=4", 9600, "even", 1))
    line.write(b"heard")
    print(CHIP.levels[4], line.read(10))
    line.close()


def watch() -> None:
    """Print the chip's timeout while the meter runs and when it is left at its prompt."""
    import machine

    dog = prepared().watchdog(180)
    found = [machine.WDT.timeout_ms, dog.period_s]
    dog.feed()
    dog.stopping()
    print(found, machine.WDT.timeout_ms)


def refuse(model: str, changes: str) -> None:
    """Print what `check` says to a configuration with *changes* on a chip of kind *model*."""
    import json

    from meter import config
    from meter.errors import ConfigError

    CHIP.model = model
    with open(sys.path[-1] + "/good.json") as file:
        values = json.load(file)
    values.update(json.loads(changes))
    try:
        prepared().check(config.parse(json.dumps(values).encode(), sys.path[-1] + "/"))
        print("taken")
    except ConfigError as error:
        print(error)


def refuse_storage() -> None:
    """Print what is said where the flash has other partitions."""
    from meter.errors import ConfigError

    try:
        prepared().Directory("/data")
    except ConfigError as error:
        print(error)
