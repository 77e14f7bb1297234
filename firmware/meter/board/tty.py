"""Line settings of a Linux tty through termios, on MicroPython and CPython alike.

MicroPython's termios names only B9600 and B57600 upwards and no flags, so all are given as numbers. They are those of
the kernel's asm-generic/termbits.h, the same on x86, ARM and RISC-V.
"""

import termios

from meter.errors import ConfigError

SPEEDS = {
    1200: 0o11, 2400: 0o13, 4800: 0o14, 9600: 0o15, 19200: 0o16, 38400: 0o17,
    57600: 0o10001, 115200: 0o10002, 230400: 0o10003,
}  # fmt: skip
PARITIES = {"none": 0, "even": 0o400, "odd": 0o400 | 0o1000}
"""PARENB, and PARODD with it."""
STOP_BITS = {1: 0, 2: 0o100}

_CS8, _CREAD, _CLOCAL = 0o60, 0o200, 0o4000
_VTIME, _VMIN = 5, 6
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _ISPEED, _OSPEED, _CC = range(7)


def set_line(descriptor, baud, parity, stop_bits):
    """Set the tty to raw mode with the given line settings; a read returns at once with what is there."""
    speed = code_of(baud)
    settings = termios.tcgetattr(descriptor)
    settings[_IFLAG] = settings[_OFLAG] = settings[_LFLAG] = 0
    settings[_CFLAG] = _CS8 | _CREAD | _CLOCAL | PARITIES[parity] | STOP_BITS[stop_bits] | speed
    settings[_ISPEED] = settings[_OSPEED] = speed
    settings[_CC][_VMIN] = settings[_CC][_VTIME] = 0
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    if termios.tcgetattr(descriptor)[_OSPEED] != speed:
        raise OSError(22, "the tty does not take {} baud".format(baud))


def code_of(baud):
    """Return the number by which termios knows the speed *baud*; raises ConfigError where it knows none."""
    if baud not in SPEEDS:
        raise ConfigError("line.baud {} is not a speed of this board: {}".format(baud, sorted(SPEEDS)))
    return SPEEDS[baud]
