"""The line of an ESP32: `line.path` names the UART and its pins, "uart1:tx=17,rx=16" or "uart1:tx=17,rx=16,de=4".

`de` drives the direction of an RS-485 transceiver (DE and /RE joined); one that turns by itself has none. MicroPython
1.25 has no access to the chip's own RS-485 mode, so `rs485` turns the pin when the last bit has left.
"""

from collections import namedtuple

import machine

from meter.board.rs485 import Rs485Uart
from meter.errors import ConfigError

CONSOLE = 0
RECEIVE_BYTES = 512
"""A frame of Modbus has up to 256, and as many may come unasked for."""

Port = namedtuple("Port", ("uart", "tx", "rx", "de"))

_PINS = ("tx", "rx", "de")
_PARITIES = {"none": None, "even": 0, "odd": 1}
_NEEDED = 'write "uart1:tx=PIN,rx=PIN" or "uart1:tx=PIN,rx=PIN,de=PIN"'


def parse(path):
    """Return the Port that *path* names; raises ConfigError."""
    name, _, listed = path.partition(":")
    if name[:4] != "uart" or not name[4:].isdigit():
        raise _mistake(path, "it names no UART")
    if int(name[4:]) == CONSOLE:
        raise _mistake(path, "UART 0 is the console")
    pins = {}
    for item in listed.split(","):
        pin, _, number = item.partition("=")
        if pin not in _PINS:
            raise _mistake(path, "{} is no pin of it".format(pin or "nothing"))
        if pin in pins or not number.isdigit():
            raise _mistake(path, "pin {} must be given once, by its GPIO number".format(pin))
        pins[pin] = int(number)
    for pin in _PINS[:2]:
        if pin not in pins:
            raise _mistake(path, "pin {} is missing".format(pin))
    return Port(int(name[4:]), pins["tx"], pins["rx"], pins.get("de"))


def open_uart(settings):
    """Return the UART of *settings* (a config.Line); raises ConfigError where this chip has not what it names."""
    port = parse(settings.path)
    try:
        pin = _SelfTurning() if port.de is None else machine.Pin(port.de, machine.Pin.OUT, value=0)
        uart = machine.UART(
            port.uart, settings.baud, bits=8, parity=_PARITIES[settings.parity], stop=settings.stop_bits,
            tx=port.tx, rx=port.rx, rxbuf=RECEIVE_BYTES, timeout=0,
        )  # fmt: skip
    except ValueError as error:
        raise _mistake(settings.path, "this chip says: {}".format(error)) from None
    return Rs485Uart(uart, pin)


class _SelfTurning:
    """The direction pin of a transceiver that has none."""

    def value(self, level):
        """Do nothing."""


def _mistake(path, what):
    return ConfigError("line.path {}: {}; {}".format(path, what, _NEEDED))
