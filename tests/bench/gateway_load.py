"""What the running gateway bears: the everyday load of a campus, meters that all connect anew, an outage's backlog.

Meters, broker and gateway share this machine; the meters are Python, which sets the pace of the backlog.
"""

from __future__ import annotations

import os
import queue
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ledger import envelope
from tests.bench.measure import Row, at_most, spent_s
from tests.gateway.plant import GatewayProcess, Line, Pen, Plant, ended, wait_for

CAMPUS_METERS = 5000
PERIOD_S = 60
METERS = 100
"""Stand for those of the campus."""
EVERYDAY_READINGS = 2000
EVERYDAY_BAR_PERCENT = 20
RECONNECTS = 2000
VISITORS = 16
"""Meters that connect at the same moment."""
BACKLOG = 20_000
OUTAGE_S = 24 * 60 * 60
WINDOW = 64
"""Readings without a receipt that a meter has on its way at most: PROTOCOL.md."""
SENDERS = 4
LIVE_METERS = 20
LIVE_BAR_S = 2
BOUND_S = 180


def measure() -> Iterator[Row]:
    """Put the three loads on one gateway, one after the other; nothing that a meter signed may be missing."""
    with tempfile.TemporaryDirectory() as folder, ended(Plant(Path(folder) / "plant", METERS)) as plant:
        gateway = plant.start()
        yield _bear_everyday_load(plant, gateway)
        yield _bear_reconnects(plant)
        yield _bear_backlog(plant, gateway)


def _bear_everyday_load(plant: Plant, gateway: GatewayProcess) -> Row:
    """Send as many readings a second as the campus does; yield the share of a core that they take the gateway."""
    lines = [plant.line(pen.meter_id.hex()) for pen in plant.pens]
    step_s = PERIOD_S / CAMPUS_METERS
    before_s, start_s = spent_s([gateway.process.pid]), time.perf_counter()
    for number in range(EVERYDAY_READINGS):
        time.sleep(max(0, start_s + number * step_s - time.perf_counter()))
        pen = plant.pens[number % METERS]
        lines[number % METERS].send(pen.topic, pen.sign())
    _await_all(plant)
    a_reading_s = (spent_s([gateway.process.pid]) - before_s) / EVERYDAY_READINGS
    for line in lines:
        line.close()
    what = f"% of a core, {CAMPUS_METERS} meters at a reading a minute"
    return at_most("gateway.everyday_percent", round(100 * a_reading_s / step_s, 1), what, EVERYDAY_BAR_PERCENT)


def _bear_reconnects(plant: Plant) -> Row:
    """Have meters connect over TLS, send one reading and go, many at a time; yield how many readings are missing."""
    start_s = time.perf_counter()
    with ThreadPoolExecutor(VISITORS) as visitors:
        visits = [visitors.submit(_visit, plant, plant.pens[place::VISITORS], place) for place in range(VISITORS)]
    count = sum(visit.result() for visit in visits)
    print(f"{count} TLS connections in {time.perf_counter() - start_s:.1f} s", flush=True)
    _await_all(plant)
    missing = sum(pen.sequence for pen in plant.pens) - plant.stored()
    return at_most("gateway.reconnects_lost", missing, f"readings, after {count} TLS connections", 0)


def _visit(plant: Plant, pens: Sequence[Pen], place: int) -> int:
    """Make the connections of one visitor, whose meters are *pens*, and return how many they were."""
    trust = ssl.create_default_context(cafile=str(plant.broker.folder / "ca.crt"))
    numbers = range(place, RECONNECTS, VISITORS)
    for number in numbers:
        pen = pens[number // VISITORS % len(pens)]
        client = Client(CallbackAPIVersion.VERSION2, pen.meter_id.hex(), clean_session=False)
        client.tls_set_context(trust)
        client.username_pw_set(pen.meter_id.hex(), plant.broker.password)
        client.connect("127.0.0.1", plant.broker.port)
        client.loop_start()
        sent = client.publish(pen.topic, pen.sign(), qos=1)
        sent.wait_for_publish(BOUND_S)
        client.disconnect()
        client.loop_stop()
    return len(numbers)


@dataclass(slots=True)
class _Meter:
    """A meter that keeps what it sent until a receipt covers it."""

    pen: Pen
    line: Line
    receipted: int
    backlog: list[bytes] = field(default_factory=list)
    sent_s: dict[int, float] = field(default_factory=dict)
    waited_s: list[float] = field(default_factory=list)

    def send(self) -> None:
        """Take a new reading and send it."""
        raw = self.pen.sign()
        self.sent_s[self.pen.sequence] = time.perf_counter()
        self.line.send(self.pen.topic, raw)

    def send_backlog(self) -> None:
        """Send as much of the backlog as fits the window."""
        self.hear()
        first = self.pen.sequence - len(self.backlog) + 1
        count = min(len(self.backlog), self.receipted + WINDOW + 1 - first)
        if count > 0:
            self.line.send(self.pen.topic, *self.backlog[:count])
            del self.backlog[:count]

    def hear(self) -> None:
        """Take the receipts that have come."""
        try:
            while True:
                raw = self.line.receipts.get_nowait()
                fields = envelope.fields(envelope.parse(raw).payload, envelope.Kind.RECEIPT, 6)
                self.receipted = max(self.receipted, fields[1])
        except queue.Empty:
            pass
        now_s = time.perf_counter()
        for number in [number for number in self.sent_s if number <= self.receipted]:
            self.waited_s.append(now_s - self.sent_s.pop(number))


def _bear_backlog(plant: Plant, gateway: GatewayProcess) -> Row:
    """Send a part of what a day without a gateway leaves; yield how long meanwhile new readings of others wait."""
    meters = [_Meter(pen, plant.line(pen.meter_id.hex()), pen.sequence) for pen in plant.pens]
    live, late = meters[:LIVE_METERS], meters[LIVE_METERS:]
    for meter in late:
        meter.backlog = [meter.pen.sign() for _ in range(BACKLOG // len(late))]
    done = Event()
    memory_mib, start_s = _memory_mib(gateway), time.perf_counter()
    with ThreadPoolExecutor(SENDERS + 1) as pool:
        living = pool.submit(_live, live, done)
        senders = [pool.submit(_drain, late[place::SENDERS], start_s + BOUND_S) for place in range(SENDERS)]
        _finish(senders, done)
        living.result()
    taken_s = time.perf_counter() - start_s
    _await_all(plant)
    _tell(BACKLOG / taken_s, len(late) * WINDOW)
    print(f"the gateway had {memory_mib:.0f} MiB of memory before and {_memory_mib(gateway):.0f} after", flush=True)
    waited_s = sorted(wait_s for meter in live for wait_s in meter.waited_s)
    slow_s = waited_s[len(waited_s) * 99 // 100]
    what = f"s from sent to receipt, 99th percentile of {len(waited_s)} new readings beside a backlog"
    return at_most("gateway.live_p99_s", round(slow_s, 2), what, LIVE_BAR_S)


def _tell(rate: float, under_way: int) -> None:
    """Print what the *rate*, in readings a second, means for a whole campus after an outage of a day."""
    outage = CAMPUS_METERS * OUTAGE_S // PERIOD_S
    print(
        f"{rate:.0f} readings/s of a backlog, {under_way:,} under way at a time: {outage:,}, what {CAMPUS_METERS}"
        f" meters keep in 24 h, would take {outage / rate / 60:.0f} min; if all of them come at once, each with the one"
        f" reading with which a meter's pace begins, a new one waits {CAMPUS_METERS / rate:.1f} s behind them",
        flush=True,
    )


def _finish(senders: Sequence[Future[None]], done: Event) -> None:
    try:
        for sender in senders:
            sender.result()
    finally:
        done.set()


def _drain(meters: Sequence[_Meter], deadline_s: float) -> None:
    """Send the backlogs of *meters* until receipts cover them."""
    while any(meter.receipted < meter.pen.sequence for meter in meters):
        assert time.perf_counter() < deadline_s, f"a backlog of {BACKLOG} readings is not receipted in {BOUND_S} s"
        for meter in meters:
            meter.send_backlog()
        time.sleep(0.002)


def _live(meters: Sequence[_Meter], done: Event) -> None:
    """Send new readings, as many as come from a whole campus, and go on until the last has its receipt."""
    step_s, start_s, number = PERIOD_S / CAMPUS_METERS, time.perf_counter(), 0
    while not done.is_set() or any(meter.sent_s for meter in meters):
        time.sleep(max(0, start_s + number * step_s - time.perf_counter()))
        if not done.is_set():
            meters[number % len(meters)].send()
        for meter in meters:
            meter.hear()
        number += 1


def _await_all(plant: Plant) -> None:
    signed = sum(pen.sequence for pen in plant.pens)
    wait_for(lambda: plant.stored() >= signed, f"{signed} readings to be stored", BOUND_S)


def _memory_mib(gateway: GatewayProcess) -> float:
    pages = int(Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
