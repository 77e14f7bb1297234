"""`time` for the virtual board, whose port has none: frozen there under that name. Source: the CLINT's mtime, 10 MHz.

The counter starts at zero with the board, which has no other clock: `set_ms` tells it the Unix time.
"""

from machine import mem32

_MTIME = 0x0200BFF8
_TICKS_PER_MS = 10_000
_PERIOD = 1 << 30
_offset_ms = [0]


def counted():
    """Return mtime; under QEMU's `-icount shift=0` one count is a hundred instructions."""
    while True:
        high = mem32[_MTIME + 4]
        low = mem32[_MTIME]
        if high == mem32[_MTIME + 4]:
            return high << 32 | low


def set_ms(now_ms):
    """Set the clock to the Unix time *now_ms*."""
    _offset_ms[0] = now_ms - counted() // _TICKS_PER_MS


def time_ns():
    """Return Unix time in nanoseconds."""
    return (_offset_ms[0] + counted() // _TICKS_PER_MS) * 1_000_000


def time():
    """Return Unix time in whole seconds."""
    return time_ns() // 1_000_000_000


def ticks_ms():
    """Return milliseconds modulo 2^30."""
    return counted() // _TICKS_PER_MS % _PERIOD


def ticks_add(ticks, delta):
    """Return *ticks* moved by *delta*."""
    return (ticks + delta) % _PERIOD


def ticks_diff(later, earlier):
    """Return the milliseconds from *earlier* to *later*."""
    return (later - earlier + _PERIOD // 2) % _PERIOD - _PERIOD // 2


def sleep_ms(delay_ms):
    """Wait."""
    start = ticks_ms()
    while ticks_diff(ticks_ms(), start) < delay_ms:
        pass
