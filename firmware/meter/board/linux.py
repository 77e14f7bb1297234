"""Linux: a Raspberry Pi, or any machine, under MicroPython's unix port; CPython for unit tests.

The interface of a board, which others take over: `INTERPRETER`, `prepare`, `check`, `now_ms`, `ticks_ms`,
`ticks_since`, `random_bytes`, `emit`, `open_uart`, `connect`, `Directory`, `command_line_ended`.
"""

import asyncio
import json
import os
import sys
import time

try:
    import tls  # MicroPython's unix port in Debian has no `ssl`

    MICROPYTHON = True
except ImportError:
    import ssl

    MICROPYTHON = False

from meter.board import tty
from meter.errors import ConfigError

INTERPRETER = "{} {}".format(sys.implementation.name, ".".join([str(part) for part in sys.implementation.version[:3]]))
CONNECT_POLL_S = 0.02

_FIFO, _SOCKET, _KIND = 0o010000, 0o140000, 0o170000
_SIGHUP, _SIG_IGN = 1, 1


def prepare():
    """Make files private to their owner, and outlive the hang-up of a serial line that became the controlling tty."""
    if MICROPYTHON:
        import ffi

        libc = ffi.open("libc.so.6")
        libc.func("i", "umask", "i")(0o077)
        libc.func("p", "signal", "ii")(_SIGHUP, _SIG_IGN)
    else:
        os.umask(0o077)


def check(settings):
    """Raise ConfigError where this board cannot do what *settings* (a config.Config) ask of it."""
    tty.code_of(settings.line.baud)
    try:
        open(settings.broker.ca, "rb").close()
    except OSError as error:
        raise ConfigError("cannot read broker.ca {}: {}".format(settings.broker.ca, error)) from None


def now_ms():
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def ticks_ms():
    """Return a millisecond count that no clock setting disturbs; only `ticks_since` makes sense of it."""
    return time.ticks_ms() if MICROPYTHON else time.monotonic_ns() // 1_000_000


def ticks_since(start):
    """Return the milliseconds since `ticks_ms` gave *start*."""
    return time.ticks_diff(time.ticks_ms(), start) if MICROPYTHON else ticks_ms() - start


def random_bytes(count):
    """Return *count* bytes from the kernel's random source."""
    return os.urandom(count)


def emit(event):
    """Print *event* (a dict) as one JSON line."""
    sys.stdout.write(json.dumps(event) + "\n")
    if not MICROPYTHON:
        sys.stdout.flush()  # MicroPython does not buffer it


class Directory:
    """A folder with durable files: what `append`, `replace` and `remove` did is on the disk when they return."""

    def __init__(self, path):
        self._path = path
        self._name = None
        self._file = None
        _make_folder(path)

    def names(self):
        """Return the names of all files."""
        return os.listdir(self._path)

    def read(self, name):
        """Return the content of file *name*."""
        with open(self._path + "/" + name, "rb") as file:
            return file.read()

    def append(self, name, data):
        """Write *data* at the end of file *name*, which is made if it is new."""
        if name != self._name:
            self._close()
            self._file = open(self._path + "/" + name, "ab")  # noqa: SIM115  stays open for the next append
            self._name = name
            sync_folder(self._path)
        self._file.write(data)
        _sync(self._file)

    def replace(self, name, data):
        """Give file *name* the content *data*: after a power cut it has the old content or the new, never a mixture."""
        self._close()
        path = self._path + "/" + name
        with open(path + ".new", "wb") as file:
            file.write(data)
            _sync(file)
        os.rename(path + ".new", path)
        sync_folder(self._path)

    def remove(self, name):
        """Remove file *name*."""
        if name == self._name:
            self._close()
        os.remove(self._path + "/" + name)
        sync_folder(self._path)

    def _close(self):
        if self._file is not None:
            self._file.close()
            self._file = self._name = None


def sync_folder(path):
    """Make the names in folder *path* durable."""
    if MICROPYTHON:
        with open(path) as folder:  # the unix port opens folders too, and its flush is an fsync
            folder.flush()
    else:
        folder = os.open(path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def open_uart(settings):
    """Return the serial line of *settings* (a config.Line) in raw mode, non-blocking."""
    return Uart(settings)


class Uart:
    """A tty as a UART: `read` gives what has come, possibly nothing, and never waits."""

    def __init__(self, settings):
        self._file = open(settings.path, "r+b", buffering=0)  # noqa: SIM115  closed by close()
        try:
            tty.set_line(self._file.fileno(), settings.baud, settings.parity, settings.stop_bits)
        except Exception:
            self._file.close()
            raise

    def read(self, count):
        """Return up to *count* bytes."""
        return self._file.read(count) or b""

    def write(self, data):
        """Send *data*."""
        self._file.write(data)

    def close(self):
        """Let go of the tty."""
        self._file.close()


async def connect(host, port, authority_path, timeout_s):
    """Return (reader, writer) of a TLS connection whose server certificate *authority_path* vouches for as *host*.

    Raises OSError when it cannot be made in *timeout_s*.
    """
    if MICROPYTHON:
        return await asyncio.wait_for(_connect_micropython(host, port, authority_path), timeout_s)
    context = ssl.create_default_context(cafile=authority_path)
    return await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), timeout_s)


async def _connect_micropython(host, port, authority_path):
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    with open(authority_path, "rb") as file:
        context.load_verify_locations(file.read() + b"\0")
    sock = await _open_socket(host, port)
    try:
        secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        secure.setblocking(False)
    except Exception:
        sock.close()
        raise
    stream = asyncio.StreamReader(secure)
    return stream, stream


async def _open_socket(host, port):
    """Return a connected, non-blocking socket: the first address of *host* that answers. Names are looked up afresh."""
    import errno
    import select
    import socket

    failure = OSError(errno.ECONNREFUSED)
    for family, kind, _, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        try:
            sock.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                failure = error
                sock.close()
                continue
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        while not (events := poller.poll(0)):
            await asyncio.sleep(CONNECT_POLL_S)
        if not events[0][1] & (select.POLLERR | select.POLLHUP):
            return sock
        sock.close()
    raise failure


async def command_line_ended():
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


async def _stdin_reader():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _sync(file):
    file.flush()  # an fsync on MicroPython
    if not MICROPYTHON:
        os.fsync(file.fileno())


def _make_folder(path):
    """Make folder *path* and those above it; raises ConfigError where that is not possible."""
    built = ""
    for part in path.split("/"):
        built += part + "/"
        if part and not _exists(built):
            try:
                os.mkdir(built)
            except OSError as error:
                raise ConfigError("cannot make folder {}: {}".format(built, error)) from None


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True
