"""Runs on the virtual board: a whole meter, the other ends of its wires in the board's own memory.

On its line is an SDM120, behind its broker a gateway that keeps no more than the end of the chain, and waiting takes no
time. The broker speaks whichever MQTT it is spoken to in, 3.1.1 or 5, without TLS.
"""

import asyncio
import gc
import time

import uctypes  # type: ignore[import-not-found]  # MicroPython's, like vfs
import vfs  # type: ignore[import-not-found]
from meter import cbor, envelope, modbus, reading
from meter import journal as meter_journal
from meter.board import qemu
from meter.service import Service

REGISTERS = b"\x44\x9a\x52\x25"
"""1234.567 as float32: what every register pair holds."""
BEACON = [4_000_000_000, 1_795_000_000, b"\x11" * 8, 4_294_967_295, 1_795_000_030, b"\xee" * 8]
START_MS = 1_795_000_480_000
"""20 s before a boundary."""
TICKS_PER_MS = 10_000
BALLAST_BYTES = 512
TELEMETRY = ((180, 123_456_789), (280, 23), (1670, -1500), (3270, 2305), (5270, 2299), (7270, 2310))
BOUNDARY_EVERY, RECEIPT_EVERY = 15, 8
GATEWAY_SEED = b"\x07" * 32


class Flash:
    """A flash chip as an ESP32 has it, 4 KB sectors, in memory of the machine that MicroPython does not use.

    Counts what littlefs does to it. The board's own NOR flash has sectors of 256 KB, which no meter has.
    """

    SECTOR_BYTES, SECTORS, ADDRESS = 4096, 512, 0x84000000

    def __init__(self) -> None:
        self._memory = memoryview(uctypes.bytearray_at(self.ADDRESS, self.SECTORS * self.SECTOR_BYTES))
        self.erased = self.programmed = self.programmed_bytes = 0

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill *buffer* from sector *block*."""
        start = block * self.SECTOR_BYTES + offset
        buffer[:] = self._memory[start : start + len(buffer)]

    def writeblocks(self, block: int, data: bytes, offset: int = 0) -> None:
        """Program *data* into sector *block*."""
        start = block * self.SECTOR_BYTES + offset
        self._memory[start : start + len(data)] = data
        self.programmed += 1
        self.programmed_bytes += len(data)

    def ioctl(self, operation: int, _argument: int) -> int:
        """Answer as `vfs.AbstractBlockDev` says."""
        self.erased += operation == 6
        return {4: self.SECTORS, 5: self.SECTOR_BYTES}.get(operation, 0)

    def mount(self) -> None:
        """Make a new littlefs and mount it."""
        vfs.VfsLfs2.mkfs(self)
        vfs.mount(vfs.VfsLfs2(self, mtime=False), "/")
        self.erased = self.programmed = self.programmed_bytes = 0


class Uart:
    """The line: an answer for each request, at once."""

    def __init__(self, _settings: object) -> None:
        self._answer = b""

    def write(self, request: bytes) -> None:
        """Take a request for registers."""
        words = request[4] << 8 | request[5]
        self._answer = modbus.rtu_frame(request[0], bytes([request[1], 2 * words]) + REGISTERS * (words // 2))

    def read(self, _count: int) -> bytes:
        """Return the answer, once."""
        answer, self._answer = self._answer, b""
        return answer

    def close(self) -> None:
        """Be closed."""


class Gateway:
    """What is behind the broker: follows the hash chain and receipts what is complete."""

    def __init__(self, meter_id: bytes) -> None:
        self._meter_id = meter_id
        self._key = envelope.Key(GATEWAY_SEED)
        self._link = reading.NO_PREVIOUS
        self._waiting: dict = {}  # previous -> (number, hash) of what follows it
        self._newest: tuple = (0, b"")
        self._receipted = 0

    def take(self, sealed: bytes) -> None:
        """Take a reading; a record of thinning also says what its run would have said."""
        taken = reading.decode(sealed)
        self._waiting[taken.previous] = taken.sequence, envelope.digest(sealed)
        if taken.reason == reading.THINNED:
            self._waiting.setdefault(taken.epoch[3], (0, taken.epoch[4]))
        while self._link in self._waiting:
            found = self._waiting.pop(self._link)
            self._link = found[1][:8]
            if found[0]:
                self._newest = found

    def receipt(self) -> bytes:
        """Return a receipt for all that came since the last one; nothing where that is nothing."""
        sequence, digest = self._newest
        if sequence <= self._receipted:
            return b""
        self._receipted = sequence
        fields = [envelope.RECEIPT, self._meter_id, sequence, digest, [], BEACON, 1_795_000_700]
        return envelope.seal(cbor.encode(fields), self._key)


class Broker:
    """Both ends of one connection, reader and writer, for the meter; *gateway* gets the readings."""

    def __init__(self, gateway: Gateway, topic: bytes) -> None:
        self._gateway = gateway
        self._topic = topic
        self._received = b""
        self._sent: list = []
        self._ready = asyncio.Event()
        self._properties = b""

    def write(self, data: bytes) -> None:
        """Take packets."""
        self._received += data
        while len(self._received) > 1:
            length, place = self._received[1], 2
            if length & 0x80:
                length, place = length & 0x7F | self._received[2] << 7, 3
            if len(self._received) < place + length:
                return
            self._take(self._received[0], self._received[place : place + length])
            self._received = self._received[place + length :]
        receipt = self._gateway.receipt()
        if receipt:
            self.publish(receipt)

    async def drain(self) -> None:
        """Have taken everything."""

    async def read(self, _count: int) -> bytes:
        """Return one packet."""
        while not self._sent:
            self._ready.clear()
            await self._ready.wait()
        return self._sent.pop(0)

    def close(self) -> None:
        """End the connection."""
        self._send(b"")

    async def wait_closed(self) -> None:
        """Be closed."""

    def publish(self, message: bytes) -> None:
        """Send *message* to the meter."""
        body = len(self._topic).to_bytes(2, "big") + self._topic + b"\x00\x01" + self._properties + message
        head = bytes([0x32, len(body) & 0x7F | 0x80, len(body) >> 7])
        self._send(head + body)

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == 1:
            self._properties = b"\x00" if body[6] == 5 else b""
            self._send(bytes([0x20, 2 + len(self._properties)]) + b"\x00\x00" + self._properties)
        elif kind == 8:
            self._send(bytes([0x90, 3 + len(self._properties)]) + body[:2] + self._properties + b"\x01")
        elif kind == 12:
            self._send(b"\xd0\x00")
        elif kind == 3:
            self._take_publication(body)

    def _take_publication(self, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        self._send(b"\x40\x02" + body[end : end + 2])
        start = end + 2 + (1 + body[end + 2] if self._properties else 0)
        if body[2:end].endswith(b"/reading"):
            self._gateway.take(body[start:])

    def _send(self, data: bytes) -> None:
        self._sent.append(data)
        self._ready.set()


class Life:
    """What a meter goes through: *outage* readings without a broker, then all drains, and a configuration comes."""

    def __init__(self, path: str, meter_id: bytes, outage: int, configuration: bytes) -> None:
        self._outage = outage
        self._configuration = configuration
        self._topic = b"meter/" + meter_id.hex().encode() + b"/receipt"
        self._gateway = Gateway(meter_id)
        self._broker: object = None
        self._service = Service(qemu, path)
        self.seen: dict = {}
        self.fault = ""

    def run(self) -> dict:
        """Return how many events there were of each kind, signed ones by their reason; and the fault that ended it."""
        qemu.open_uart, qemu.connect, qemu.emit = Uart, self._connect, self._emit
        asyncio.run(self._service.run())
        return self.seen

    async def _connect(self, _host: str, _port: int, _authority: str, _timeout_s: int) -> tuple:
        if sum([self.seen.get(reason, 0) for reason in reading.REASONS]) < self._outage:
            raise OSError(113)
        self._broker = Broker(self._gateway, self._topic)
        return self._broker, self._broker

    def _emit(self, event: dict) -> None:
        kind = event["reason"] if event["event"] == "signed" else event["event"]
        self.seen[kind] = self.seen.get(kind, 0) + 1
        if kind == "started":
            self._service._parts.journal._thin_files = 2  # until it was thinned once
        elif kind == "thinned":
            self._service._parts.journal._thin_files = meter_journal.THIN_SEGMENTS
        elif kind == "safe":
            self.fault = event["text"]
            self._service.stop()
        elif kind == "receipted":
            if self._configuration:
                self._broker.publish(self._configuration)  # type: ignore[attr-defined]
                self._configuration = b""
            elif "configuration" in self.seen and self._service._parts.journal.is_receipted():
                self._service.stop()


class Key:
    """Signs without a secret: nobody looks at these signatures."""

    id = b"\x01" * 8

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes."""
        return envelope.digest(message) * 2


def write_journal(readings: int) -> dict:
    """Journal and receipt so many readings, a boundary at every fifteenth; return what that did to the flash."""
    flash = Flash()
    flash.mount()
    storage = qemu.Directory("/state")
    journal = meter_journal.Journal(qemu.Directory("/log"), qemu.Directory("/archive"), storage)
    key = Key()
    for place in range(readings):
        sequence, previous = journal.link()
        is_boundary = place % BOUNDARY_EVERY == 0
        reason = reading.BOUNDARY if is_boundary else reading.PERIODIC
        taken = reading.Reading(
            sequence, 1_795_000_500, 0, 24, BEACON if is_boundary else None, reason,
            1_994_445 if is_boundary else None, TELEMETRY[:2] if is_boundary else TELEMETRY, 0, previous,
        )  # fmt: skip
        sealed = reading.seal(taken, key)
        journal.append(sequence, reason, sealed)
        if place % RECEIPT_EVERY == RECEIPT_EVERY - 1:
            assert journal.settle(sequence, envelope.digest(sealed))
    return {"erased": flash.erased, "programmed": flash.programmed, "programmed_bytes": flash.programmed_bytes}


def hurry_time() -> None:
    """Let waiting take no time: the clock jumps."""
    counted, skipped = time.counted, [0]  # type: ignore[attr-defined]

    def sleep_ms(delay_ms: int) -> None:
        skipped[0] += delay_ms * TICKS_PER_MS

    time.counted = lambda: counted() + skipped[0]  # type: ignore[attr-defined]
    time.sleep_ms = sleep_ms  # type: ignore[attr-defined]


def live(path: str, config: str, outage: int, configuration: bytes, ballast_bytes: int) -> dict:
    """Run a meter with *ballast_bytes* of the heap occupied; return what it went through, and the rest of the heap."""
    gc.collect()
    ballast = [bytearray(BALLAST_BYTES) for _ in range(ballast_bytes // BALLAST_BYTES)]  # from the heap's low end on
    Flash().mount()
    with open(path, "w") as file:  # noqa: PTH123
        file.write(config)
    qemu.seed_random(b"a test")
    hurry_time()
    time.set_ms(START_MS)  # type: ignore[attr-defined]
    life = Life(path, bytes.fromhex(config.split('"meter_id": "')[1][:16]), outage, configuration)
    seen = life.run()
    gc.collect()
    heap_bytes = gc.mem_alloc() + gc.mem_free() - BALLAST_BYTES * len(ballast)  # type: ignore[attr-defined]
    return {"seen": seen, "fault": life.fault, "heap": heap_bytes}
