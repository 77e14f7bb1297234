"""A day in seconds: the firmware's application on CPython, on a clock, a flash and a network that are handed to it."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from typing import Any

from meter import mqtt
from meter.board import linux
from meter.board.watchdog import Watchdog
from nacl.signing import SigningKey

from gateway.intake.sequence import Chain, Link, advance
from hil.resources.mqtt_gate import Answer, pass_all
from hil.resources.time_server import ServedTime
from ledger.keys import PrivateKey, verify
from ledger.reading import Reading, decode
from tests.firmware.gateway import make_receipt

START_S = 1_795_000_500
"""Wall clock at the loop's beginning; a multiple of 900 s."""
DEAD = OSError(113, "No route to host")
TICKS = 2**30
RESOLUTION_S = 1e-6
"""To which two times are the same."""
THERE_S, BACK_S = 0.004, 0.009
"""How long a datagram takes to a time server and back."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time: its clock jumps to whatever is due next."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the virtual seconds since the loop began."""
        return self.now_s


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for somebody else"
        self._loop.now_s += max(timeout, 0)
        return super().select(0)


class VirtualBoard:
    """What `meter.board` promises, in virtual time; `network` answers `connect`, or None: it is down.

    Files are real ones; `fed_s` has the times at which the watchdog was fed.
    """

    INTERPRETER = "virtual"
    Directory = staticmethod(linux.Directory)
    claim = staticmethod(linux.claim)
    journal_files = staticmethod(linux.journal_files)

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.network: VirtualBroker | None = None
        self.events: list[dict[str, Any]] = []
        self.set_by_ms = 0
        self.is_synced = True
        self.fed_s: list[float] = []
        self.crystal_ppb = 0
        """How much slower than time the ticks go."""
        self.time_servers: dict[str, ServedTime] = {}
        self.set_to_ms: list[int] = []
        """What the board's own clock was set to."""
        self._random = 0

    def check(self, _settings: Any) -> None:
        """Take every configuration."""

    def watchdog(self, timeout_s: int) -> VirtualWatchdog:
        """Return a watchdog that notes when it was fed."""
        return VirtualWatchdog(timeout_s, self._loop, self.fed_s)

    def now_ms(self) -> int:
        """Return the wall clock, wrong by `set_by_ms`."""
        return 1000 * START_S + int(1000 * self._loop.now_s) + self.set_by_ms

    def clock_state(self) -> tuple[bool, int]:
        """Tell whether the clock is kept in step, and its offset."""
        return self.is_synced, 3

    def set_clock(self, now_ms: int) -> None:
        """Set the board's own clock, which nobody here asks after a start."""
        self.set_to_ms.append(now_ms)

    def ticks_ms(self) -> int:
        """Return the monotonic clock, which wraps."""
        return int((TICKS - 600_000 + self._loop.now_s * (1000 - self.crystal_ppb / 1_000_000)) % TICKS)

    def ticks_since(self, start: int) -> int:
        """Return the milliseconds since *start*."""
        return (self.ticks_ms() - start + TICKS // 2) % TICKS - TICKS // 2

    def random_bytes(self, count: int) -> bytes:
        """Return bytes that differ from call to call."""
        found = b""
        while len(found) < count:
            self._random = (self._random * 1_103_515_245 + 12_345) % 2**31
            found += self._random.to_bytes(4, "big")
        return found[:count]

    async def exchange(
        self, host: str, _port: int, question: bytes, is_answer: Any, timeout_s: float, count_ms: Any
    ) -> tuple[bytes, int, int]:
        """Ask one of the time servers; those that there are not are not found."""
        if host not in self.time_servers:
            raise OSError(-2, "Name or service not known")
        asked_ms = count_ms()
        await asyncio.sleep(THERE_S)
        answers = self.time_servers[host].answers(question, int(1_000_000_000 * (START_S + self._loop.now_s)))
        await asyncio.sleep(BACK_S)
        for answer in answers:
            if is_answer(answer):
                return answer, asked_ms, count_ms()
        await asyncio.sleep(timeout_s - THERE_S - BACK_S)
        raise TimeoutError

    secret_bytes = random_bytes

    def emit(self, event: dict[str, Any]) -> None:
        """Keep *event*, and when it was."""
        self.events.append(event | {"at_s": self._loop.now_s})

    async def connect(self, _host: str, _port: int, _ca: str, _timeout_s: float) -> tuple[Any, Any]:
        """Reach the broker, if there is one."""
        if self.network is None:
            raise DEAD
        return self.network.accept()

    async def command_line_ended(self) -> None:
        """Never end by itself."""
        await asyncio.Event().wait()


class VirtualWatchdog(Watchdog):  # type: ignore[misc]
    """A watchdog that never bites."""

    def __init__(self, timeout_s: float, loop: VirtualLoop, fed_s: list[float]) -> None:
        super().__init__(timeout_s)
        self._loop, self._fed_s = loop, fed_s

    def feed(self) -> None:
        """Note the time."""
        self._fed_s.append(self._loop.now_s)


class VirtualLine:
    """A meter that answers every request with zeros."""

    async def read(self, _slave: int, _function: int, _address: int, words: int) -> bytes:
        """Return *words* registers."""
        return bytes(2 * words)


class FastKey:
    """The meter's key, signing in C: same bytes, a hundredth of the time."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)
        self.id = PrivateKey(seed).key_id

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*."""
        return self._key.sign(message).signature


def verify_fast(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Stand in for `meter.ed25519.verify`, in C."""
    return verify(public_key, message, signature)


class VirtualBroker:
    """Broker and gateway in one: works off one PUBLISH every `pace_s`, then acknowledges and receipts.

    `levels` are the versions of MQTT of the log-ins so far and `logged_in_s` when they were; `answer` may refuse one.
    `terms` are properties for a CONNACK of MQTT 5.
    """

    def __init__(self, loop: VirtualLoop, meter_id: bytes, key: PrivateKey, pace_s: float) -> None:
        self.readings: dict[int, Reading] = {}
        self.deliveries: Counter[int] = Counter()
        self.arrived_s: dict[int, float] = {}
        self.goodbyes = 0
        self.hints: list[str] = []
        self.levels: list[int] = []
        self.logged_in_s: list[float] = []
        self.answer: Answer = pass_all
        self.is_silent = False
        self.terms = b""
        self.pinged_s: list[float] = []
        self._loop, self._meter_id, self._key, self._pace_s = loop, meter_id, key, pace_s
        self._free_s = 0.0
        self._receipted = 0
        self._chain = Chain()

    def accept(self) -> tuple[asyncio.StreamReader, _Connection]:
        """Return the two ends of a new connection."""
        reader = asyncio.StreamReader(loop=self._loop)
        self._connection = _Connection(self, reader)
        return reader, self._connection

    def hang_up(self, last_words: bytes = b"") -> None:
        """End the newest connection."""
        self._connection.answer(last_words)
        self._connection.close()

    def take(self, first: int, body: bytes, answer: Any) -> None:
        """Handle one packet of the meter; *answer* sends bytes back."""
        kind = first >> 4
        is_v5 = self.levels[-1:] == [mqtt.V5]
        if kind == 1:
            self._log_in(body[6], answer)
        elif kind == 8:
            answer(b"\x90\x04" + body[:2] + b"\x00\x01" if is_v5 else b"\x90\x03" + body[:2] + b"\x01")
        elif kind == 12:
            self.pinged_s.append(self._loop.now_s)
            answer(b"\xd0\x00")
        elif kind == 14:
            self.goodbyes += 1
        elif kind == 3:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            payload = body[topic_end + (3 if is_v5 else 2) :]  # behind a length of no properties
            if body[:topic_end].endswith(b"/status"):
                self.hints.append(payload.decode("ascii"))
                answer(b"\x40\x02" + body[topic_end : topic_end + 2])
                return
            self._note(payload)
            self._free_s = max(self._free_s, self._loop.now_s) + self._pace_s
            self._loop.call_at(self._free_s, self._store, body[topic_end : topic_end + 2], payload, answer)

    def _log_in(self, level: int, answer: Any) -> None:
        self.levels.append(level)
        self.logged_in_s.append(self._loop.now_s)
        refusal = self.answer(level)
        if self.is_silent:
            return
        if refusal is not None:
            self.hang_up(refusal)
        elif level == mqtt.V5:
            answer(bytes([0x20, 3 + len(self.terms), 0, 0, len(self.terms)]) + self.terms)
        else:
            answer(b"\x20\x02\x00\x00")

    def _note(self, sealed: bytes) -> None:
        reading = decode(sealed)
        self.arrived_s.setdefault(reading.sequence, self._loop.now_s)
        self.deliveries[reading.sequence] += 1

    def _store(self, packet_id: bytes, sealed: bytes, answer: Any) -> None:
        reading = decode(sealed)
        self.readings.setdefault(reading.sequence, reading)
        answer(b"\x40\x02" + packet_id)
        head = self._advance()
        is_idle = self._loop.now_s > self._free_s - RESOLUTION_S  # as a gateway, which receipts after each batch
        if head and head.sequence >= self._receipted + (1 if is_idle else 4):
            self._receipted = head.sequence
            message = make_receipt(self._key, self._meter_id, head.sequence, head.hash)
            answer(mqtt.publish(self.levels[-1], f"meter/{self._meter_id.hex()}/receipt", message, 1))

    def _advance(self) -> Reading | None:
        """Return the last reading up to which the chain is complete, over what was thinned."""
        above = [Link(r.sequence, r.hash, r.previous) for n, r in sorted(self.readings.items()) if n > self._chain.head]
        runs = [reading.thinned for reading in self.readings.values() if reading.thinned]
        self._chain = advance(self._chain, above, (), sorted(runs, key=lambda run: run.first))
        return self.readings.get(self._chain.head)


class _Connection:
    def __init__(self, broker: VirtualBroker, reader: asyncio.StreamReader) -> None:
        self._broker, self._reader, self._buffer = broker, reader, b""
        self._is_open = True

    def write(self, data: bytes) -> None:
        self._buffer += data
        while True:
            place, end = mqtt._frame(self._buffer)
            if end is None or end > len(self._buffer):
                return
            self._broker.take(self._buffer[0], self._buffer[place:end], self.answer)
            self._buffer = self._buffer[end:]

    def answer(self, data: bytes) -> None:
        if self._is_open:
            self._reader.feed_data(data)

    async def drain(self) -> None:
        """Take everything at once."""

    def close(self) -> None:
        self._is_open = False
        self._reader.feed_eof()

    async def wait_closed(self) -> None:
        """Be closed."""
