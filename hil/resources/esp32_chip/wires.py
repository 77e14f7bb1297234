"""The module `machine` (ports/esp32/machine_uart.c, machine_wdt.c, machine_rtc.c, machine_pin.c, machine_timer.c)."""

import termios
import time

from .chip import CHIP, ResetError, now_ms

MAX_UART = {"ESP32": 3, "ESP32S3": 3, "ESP32C3": 2}
MAX_SPI = {"ESP32": 2, "ESP32S3": 2, "ESP32C3": 1}
MAX_PIN = {"ESP32": 39, "ESP32S3": 48, "ESP32C3": 21}
FIRST_INPUT_ONLY = 34  # of the classic chip
MIN_RECEIVE_BYTES = 129  # ESP-IDF wants more than the hardware's 128
WDT_RESET, HARD_RESET, PWRON_RESET = 3, 2, 1
_BITS_PER_BYTE = 11
_VTIME, _VMIN = 5, 6  # of Linux; MicroPython's termios does not name them
_EPOCH_S = 946_684_800


class Pin:
    """A pin; a transceiver may hang on it."""

    IN, OUT = 1, 3

    def __init__(self, number: int, mode: int = 1, *, value: int = 0) -> None:
        check_pin(number)
        if mode == Pin.OUT and CHIP.model == "ESP32" and number >= FIRST_INPUT_ONLY:
            raise ValueError("pin can only be input")
        self.number = number
        if mode == Pin.OUT:
            CHIP.levels[number] = value

    def value(self, *level: int):
        """Set the level, or return it."""
        if not level:
            return CHIP.levels.get(self.number, 0)
        CHIP.levels[self.number] = level[0]
        for uart in UART.open_ones:
            uart.turned(self.number)
        return None


def check_pin(number: int) -> None:
    """Raise ValueError for a pin that the chip has not, or needs for its flash."""
    if not 0 <= number <= MAX_PIN[CHIP.model] or (CHIP.model == "ESP32" and 6 <= number <= 11):
        raise ValueError("invalid pin")


class UART:
    """A UART wired to a tty of the host. What is written leaves at the pace of the baud rate.

    Behind a transceiver (`CHIP.turning`) it leaves only while the direction pin is high, and nothing is heard then.
    """

    open_ones: list = []  # MicroPython knows no ClassVar

    def __init__(
        self, id: int, baudrate: int = 115200, bits: int = 8, parity=None, stop: int = 1, *,
        tx: int, rx: int, txbuf: int = 256, rxbuf: int = 256, timeout: int = 0,
    ) -> None:  # fmt: skip
        if not 0 <= id < MAX_UART[CHIP.model]:
            raise ValueError("UART(" + str(id) + ") does not exist")
        if id == 0:
            raise ValueError("UART buffer size is fixed")  # the console's
        if bits != 8 or stop not in (1, 2) or parity not in (None, 0, 1):
            raise ValueError("invalid data bits")
        if rxbuf < MIN_RECEIVE_BYTES:
            raise OSError(-1, "ESP_FAIL")
        check_pin(tx)
        check_pin(rx)
        self._id = id
        self._byte_us = _BITS_PER_BYTE * 1_000_000 // baudrate
        self._file = open(CHIP.ttys[id], "r+b", buffering=0)  # closed by deinit
        _let_reads_return(self._file.fileno())
        self._unsent = b""
        UART.open_ones.append(self)

    def read(self, count: int):
        """Return up to *count* bytes, None where there are none; never waits, its timeout being 0."""
        data = self._file.read(count)
        return data or None if self._may_hear() else None

    def write(self, data: bytes) -> int:
        """Take *data*, which leaves in its own time."""
        if self._may_send():
            self._unsent += data
        return len(data)

    def flush(self) -> None:
        """Wait until everything has left."""
        time.sleep(self._byte_us * len(self._unsent) / 1_000_000)
        data, self._unsent = self._unsent, b""
        self._file.write(data)

    def turned(self, pin: int) -> None:
        """Lose what has not left when the direction pin is let go."""
        if pin == CHIP.turning.get(self._id) and not self._may_send():
            self._unsent = b""

    def deinit(self) -> None:
        """Let go."""
        if self in UART.open_ones:
            UART.open_ones.remove(self)
            self._file.close()

    def _may_send(self) -> bool:
        pin = CHIP.turning.get(self._id)
        return pin is None or bool(CHIP.levels.get(pin))

    def _may_hear(self) -> bool:
        return CHIP.turning.get(self._id) is None or not self._may_send()


def _let_reads_return(descriptor: int) -> None:
    """Make the tty raw, and a read come back with what is there."""
    settings = termios.tcgetattr(descriptor)
    settings[0] = settings[1] = settings[3] = 0
    settings[6][_VMIN] = settings[6][_VTIME] = 0
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


class SPI:
    """A hardware SPI bus; only its existence matters here."""

    def __init__(self, id: int, *, sck: int, mosi: int, miso: int) -> None:
        if not 1 <= id <= MAX_SPI[CHIP.model]:
            raise ValueError("SPI(" + str(id) + ") doesn't exist")
        for pin in (sck, mosi, miso):
            check_pin(pin)


class WDT:
    """The one watchdog: a second WDT is the first with another timeout; there is no way to stop it."""

    fed_ms = None
    timeout_ms = 0

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        WDT.timeout_ms = timeout
        WDT.fed_ms = now_ms()

    def feed(self) -> None:
        """Begin its time anew."""
        WDT.fed_ms = now_ms()


class Timer:
    """A hardware timer that calls back once."""

    ONE_SHOT, PERIODIC = 0, 1
    armed: dict = {}  # id -> (when in ms, callback)

    def __init__(self, id: int, *, mode: int = 1, period: int = 0, callback=None) -> None:
        self._id = id
        if callback is not None:
            Timer.armed[id] = (now_ms() + period, callback)

    def deinit(self) -> None:
        """Stop it."""
        Timer.armed.pop(self._id, None)


class RTC:
    """The clock. The eighth value is microseconds, and the weekday, the fourth, is not looked at."""

    def datetime(self, *values: tuple):
        """Set the clock, or return it as (year, month, day, weekday, hour, minute, second, microsecond)."""
        if not values:
            now_us = host_us() + CHIP.clock_offset_us
            moment = time.gmtime(now_us // 1_000_000)
            return tuple(moment[:3]) + (moment[6],) + tuple(moment[3:6]) + (now_us % 1_000_000,)
        year, month, day, _, hour, minute, second, microsecond = values[0]
        wanted_us = 1_000_000 * unix_s(year, month, day, hour, minute, second) + microsecond
        CHIP.clock_offset_us = wanted_us - host_us()
        return None


def host_us() -> int:
    """Return the host's Unix time in microseconds."""
    return time.time_ns() // 1000


def unix_s(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Return the Unix time of a moment in UTC (days by Howard Hinnant's `days_from_civil`)."""
    year -= month <= 2
    era = year // 400
    of_era = year - 400 * era
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = 146_097 * era + 365 * of_era + of_era // 4 - of_era // 100 + of_year - 719_468
    return 86_400 * days + 3600 * hour + 60 * minute + second


def reset() -> None:
    """Reset the chip: does not come back."""
    CHIP.resets += 1
    raise ResetError("machine.reset()")
