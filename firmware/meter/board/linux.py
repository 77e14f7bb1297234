"""Linux: a Raspberry Pi, or any machine, under MicroPython's unix port; CPython for unit tests.

The interface of a board, which others take over: `INTERPRETER`, `prepare`, `check`, `now_ms`, `clock_state`,
`set_clock`, `ticks_ms`, `ticks_since`, `random_bytes`, `secret_bytes`, `emit`, `open_uart`, `connect`, `connect_plain`,
`exchange`, `claim`, `Directory`, `journal_files`, `command_line_ended`, `watchdog`; for updates `TARGET`, `open_image`,
`limit_trial` (see `slots.py`); and `keep_network` where the board has to bring its network up. Its UART's `write`
drives an RS-485 direction pin where there is one (see `rs485`); here the adapter, or the kernel's RS-485 mode, does.
"""

import asyncio
import errno
import json
import os
import struct
import sys
import time

MICROPYTHON = sys.implementation.name == "micropython"
if MICROPYTHON:
    import ffi
    import vfs
else:
    import ctypes
    import fcntl
    import signal

from meter.board import folder, systemd, tty
from meter.board.datagram import exchange  # noqa: F401  part of a board's interface
from meter.board.folder_image import FolderImage
from meter.board.network import connect, connect_plain  # noqa: F401
from meter.errors import ClaimError, ConfigError

INTERPRETER = "{} {}".format(sys.implementation.name, ".".join([str(part) for part in sys.implementation.version[:3]]))

TARGET = "linux"
IMAGE_FOLDER = "/meter-image"

_FIFO, _SOCKET, _KIND = 0o010000, 0o140000, 0o170000
_SIGHUP, _SIGINT = 1, 2
_SIG_DFL, _SIG_IGN = 0, 1
_SIG_BLOCK, _SIG_UNBLOCK = 0, 1
_SIGSET_BYTES, _SIGINFO_BYTES = 128, 128
_LOCK_EX_NB = 2 | 4
_F_GETFL, _F_SETFL, _O_NONBLOCK = 3, 4, 0o4000
_TIMEX_BYTES = 256
_TIMEX = "<qqqqi"
"""From byte 8 of struct timex on 64-bit Linux: offset (µs, or ns by status), freq, maxerror, esterror, status."""
_TIME_ERROR, _STA_UNSYNC, _STA_NANO = 5, 0x40, 0x2000


def prepare():
    """Make files private to their owner, and outlive the hang-up of a serial line that became the controlling tty."""
    if MICROPYTHON:
        _libc().func("i", "umask", "i")(0o077)
        _libc().func("p", "signal", "ii")(_SIGHUP, _SIG_IGN)
    else:
        os.umask(0o077)


def check(settings):
    """Raise ConfigError where this board cannot do what *settings* (a config.Config) ask of it."""
    if settings.network is not None:
        raise ConfigError("network must be null here: the system has the network")
    if hasattr(settings.line, "baud"):
        tty.code_of(settings.line.baud)
    try:
        open(settings.broker.ca, "rb").close()
    except OSError as error:
        raise ConfigError("cannot read broker.ca {}: {}".format(settings.broker.ca, error)) from None


def now_ms():
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def clock_state():
    """Return (whether the kernel's clock is kept in step with a time server or GPS, its estimated offset in ms).

    This board leaves the time to the system (systemd-timesyncd, chrony, ntpd, ptp): the kernel knows from whichever it
    is, and tells by adjtimex(2), which needs no privilege while it sets nothing.
    """
    timex = bytearray(_TIMEX_BYTES)
    state = _adjtimex(timex)
    offset, _, _, _, status = struct.unpack_from(_TIMEX, timex, 8)
    offset_ms = offset // (1_000_000 if status & _STA_NANO else 1000)
    return state not in (-1, _TIME_ERROR) and not status & _STA_UNSYNC, max(-32767, min(offset_ms, 32767))


def set_clock(now_ms):
    """Leave the system's clock as it is: setting it takes a privilege, and whoever has that keeps the time."""


def ticks_ms():
    """Return a millisecond count that no clock setting disturbs; only `ticks_since` makes sense of it."""
    return time.ticks_ms() if MICROPYTHON else time.monotonic_ns() // 1_000_000


def ticks_since(start):
    """Return the milliseconds since `ticks_ms` gave *start*."""
    return time.ticks_diff(time.ticks_ms(), start) if MICROPYTHON else ticks_ms() - start


def random_bytes(count):
    """Return *count* bytes from the kernel's random source."""
    return os.urandom(count)


secret_bytes = random_bytes
"""What a key may be made of."""


def emit(event):
    """Print *event* (a dict) as one JSON line."""
    sys.stdout.write(json.dumps(event) + "\n")
    if not MICROPYTHON:
        sys.stdout.flush()  # MicroPython does not buffer it


def claim(path):
    """Return a file that holds folder *path* for this process while it is open; raises ClaimError where it is taken.

    Two processes on one journal would use the same numbers for different readings.
    """
    try:
        file = open(path + "/lock", "ab")  # noqa: SIM115  open as long as the process lives
    except OSError:
        file = open(path + "/lock", "rb")  # noqa: SIM115  a disk that takes no writing can still be claimed
    if _lock(file.fileno()):
        return file
    file.close()
    raise ClaimError("another process is already running the meter in {}: stop that one first".format(path))


class Directory(folder.Directory):
    """A folder of this machine with durable files."""

    def __init__(self, path):
        super().__init__(path, Disk())


def journal_files():
    """Return how many files of 16 KB a journal may have: room that any machine has."""
    return 256


class Disk(folder.Disk):
    """The files of this machine; here a name is durable only when its folder is synced too."""

    def sync(self, file):
        """Make the content of *file* durable."""
        file.flush()  # an fsync on MicroPython
        if not MICROPYTHON:
            os.fsync(file.fileno())

    def sync_folder(self, path):
        """Make the names in folder *path* durable."""
        if MICROPYTHON:
            with open(path) as names:  # the unix port opens folders too, and its flush is an fsync
                names.flush()
        else:
            names = os.open(path, os.O_RDONLY)
            os.fsync(names)
            os.close(names)


def open_image(data_dir, slot, version):
    """Return the image of *version* in *slot*."""
    return Image(data_dir, slot, version, Disk())


class Image(FolderImage):
    """A file that MicroPython mounts from memory; CPython knows no ROMFS, and no launcher starts it there."""

    def mount(self):
        """Make the files readable; return the folder to import from."""
        with open(self.path, "rb") as file:
            vfs.mount(vfs.VfsRom(memoryview(file.read())), IMAGE_FOLDER)
        return IMAGE_FOLDER


def limit_trial(seconds):
    """Let SIGALRM end this process in so many *seconds*, whatever it does; 0: not any more."""
    if MICROPYTHON:
        _libc().func("I", "alarm", "I")(seconds)
    else:
        signal.alarm(seconds)


def open_uart(settings):
    """Return the serial line of *settings* (a config.Line) in raw mode, non-blocking."""
    return Uart(settings)


class Uart:
    """A tty as a UART: `read` gives what has come, possibly nothing; neither it nor `write` ever waits."""

    def __init__(self, settings):
        self._file = open(settings.path, "r+b", buffering=0)  # noqa: SIM115  closed by close()
        try:
            _set_non_blocking(self._file.fileno())
            tty.set_line(self._file.fileno(), settings.baud, settings.parity, settings.stop_bits)
        except Exception:
            self._file.close()
            raise

    def read(self, count):
        """Return up to *count* bytes."""
        return self._file.read(count) or b""

    def write(self, data):
        """Send *data*; raises OSError where the tty does not take it all at once: its adapter hangs."""
        if self._file.write(data) != len(data):
            raise OSError(errno.EAGAIN, "the tty takes no more bytes")

    def close(self):
        """Let go of the tty."""
        self._file.close()


async def command_line_ended():
    """Return when SIGINT comes, or the line `stop`, or the end of the input, on a piped stdin.

    Until then SIGINT interrupts nothing: MicroPython would raise KeyboardInterrupt wherever it happens to be, also in
    the midst of its allocator or of asyncio's queues, and what goes on after that may hang. Once this has returned,
    SIGINT ends the process at once.
    """
    ended = asyncio.Event()
    tasks = [asyncio.create_task(_tell(ended, part)) for part in (_interrupted(), _told_to_stop())]
    try:
        await ended.wait()
    finally:
        for task in tasks:
            task.cancel()


async def _tell(event, part):
    await part
    event.set()


async def _interrupted():
    """Return at SIGINT; the next one, or one after this was cancelled, has its default effect."""
    if not MICROPYTHON:
        came, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, came.set)
        try:
            await came.wait()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        return
    mask, block = bytearray(_SIGSET_BYTES), _libc().func("i", "sigprocmask", "ipp")
    mask[0] = 1 << _SIGINT - 1
    block(_SIG_BLOCK, mask, None)
    try:
        descriptor = _libc().func("i", "signalfd", "ipi")(-1, mask, _O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as signals:
            await asyncio.StreamReader(signals).read(_SIGINFO_BYTES)
    finally:
        _libc().func("p", "signal", "ii")(_SIGINT, _SIG_DFL)
        block(_SIG_UNBLOCK, mask, None)


async def _told_to_stop():
    """Return when the line `stop`, or the end of the input, comes on a piped stdin; never where it is not piped."""
    if os.stat("/dev/stdin")[0] & _KIND not in (_FIFO, _SOCKET):
        await asyncio.Event().wait()
    reader = asyncio.StreamReader(sys.stdin.buffer) if MICROPYTHON else await _stdin_reader()
    line = b""
    while True:
        byte = await reader.read(1)
        if not byte or (byte == b"\n" and line.strip() == b"stop"):
            return
        line = b"" if byte == b"\n" else (line + byte)[-16:]


def watchdog(timeout_s):
    """Return the watchdog (see `watchdog.py`): systemd's, where that started the meter."""
    return systemd.watchdog(timeout_s, _libc().func("i", "getpid", "")() if MICROPYTHON else os.getpid())


async def _stdin_reader():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _lock(descriptor):
    if MICROPYTHON:
        return _libc().func("i", "flock", "ii")(descriptor, _LOCK_EX_NB) == 0
    try:
        fcntl.flock(descriptor, _LOCK_EX_NB)
    except BlockingIOError:
        return False
    return True


def _set_non_blocking(descriptor):
    if MICROPYTHON:
        control = _libc().func("i", "fcntl", "iii")
        control(descriptor, _F_SETFL, control(descriptor, _F_GETFL, 0) | _O_NONBLOCK)
    else:
        os.set_blocking(descriptor, False)


def _adjtimex(timex):
    if MICROPYTHON:
        return _libc().func("i", "adjtimex", "p")(timex)
    return ctypes.CDLL(None).adjtimex((ctypes.c_char * len(timex)).from_buffer(timex))


def _libc():
    return ffi.open("libc.so.6")
