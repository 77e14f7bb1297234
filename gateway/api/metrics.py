"""The gateway's numbers in Prometheus' text format, read from the running parts when asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gateway.access.doorkeeper import Doorkeeper
from gateway.checks.alarms import ALARM_STATES, AlarmCode
from gateway.intake.refusals import RefusalCode
from gateway.readings.faults import AREAS, Fault
from gateway.readings.overview import Overview

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_COUNTED: Final = {
    "evidence_dropped": "Evidence beyond what is kept of one meter.",
    "flags": "Intervals flagged, once for each code.",
    "flags_dropped": "Flags beyond what is kept of one meter.",
    "readings_pruned": "Readings removed by the retention rule.",
}
"""Counters of the store that only the database knows."""


async def render(overview: Overview, door: Doorkeeper, faults: Sequence[Fault], open_: Mapping[str, int]) -> bytes:
    """Return all metrics as text; *faults* are those of this moment, *open_* what the server holds open, by name."""
    registry = CollectorRegistry()
    asked = _Asked(
        await overview.outbox.count_open(), (await overview.anchors.find_open())[0],
        await overview.checks.count_alarms(), await overview.queries.counters(),
        Counter(fault.area for fault in faults), open_,
    )  # fmt: skip
    registry.register(_Numbers(overview, door, asked))
    return generate_latest(registry)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What had to be asked for; alarms by (code, state), the others by name."""

    outbox: int
    anchors: int
    alarms: Mapping[tuple[str, str], int]
    counters: Mapping[str, int]
    faults: Mapping[str, int]
    open: Mapping[str, int]


class _Numbers(Collector):
    def __init__(self, overview: Overview, door: Doorkeeper, asked: _Asked) -> None:
        self._overview = overview
        self._door = door
        self._asked = asked

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        counts = self._overview.store.counts
        yield _counter("readings_stored", "Readings stored.", counts["stored"])
        yield _counter("readings_duplicate", "Readings that were stored already.", counts["duplicates"])
        yield _counter("quarantine_evicted", "Quarantined messages dropped for newer ones.", counts["evicted"])
        yield _counter("receipts_dropped", "Receipts dropped on a full queue.", self._overview.link.dropped_receipts)
        yield _counter("login_failures", "Log-ins refused since the start.", self._door.failures.count)
        yield _counter("hints_dropped", "Status messages that are no hint of a meter.", self._overview.hints.dropped)
        for name, text in _COUNTED.items():
            yield _counter(name, text, self._asked.counters.get(name, 0))
        limited = CounterMetricFamily("campusgrid_gateway_limited", "Told to wait since the start.", labels=["what"])
        limited.add_metric(["logins"], self._door.logins.refused)
        limited.add_metric(["requests"], self._door.requests.refused)
        yield limited
        refused = CounterMetricFamily("campusgrid_gateway_refused", "Messages refused, by reason.", labels=["reason"])
        noted = CounterMetricFamily("campusgrid_gateway_noted", "Readings to look at, by reason.", labels=["reason"])
        for code in RefusalCode:
            (noted if code.is_note else refused).add_metric([code.name], counts[code.counter])
        yield refused
        yield noted

    def _gauges(self) -> Iterator[Metric]:
        overview = self._overview
        yield _gauge("in_flight", "Messages received and not acknowledged yet.", overview.link.in_flight)
        yield _gauge("outbox", "Boundary readings that the ledger has not answered for.", self._asked.outbox)
        yield _gauge("anchors_open", "Anchors that the ledger has not answered for.", self._asked.anchors)
        yield _gauge("anchor_time", "When the newest anchor was made (Unix seconds).", overview.anchors.newest.time)
        yield _gauge("streams", "Live streams open.", self._asked.open["streams"])
        yield _gauge("connections", "HTTP connections open.", self._asked.open["connections"])
        yield _gauge("broker_connected", "1 while the broker is connected.", int(overview.link.is_connected))
        yield _gauge("meters", "Enrolled meters.", len(overview.roster))
        yield _gauge("disk_free_bytes", "Free bytes on the disk of the database.", overview.retention.free_bytes())
        faults = GaugeMetricFamily("campusgrid_gateway_faults", "What /health names now, by area.", labels=["area"])
        for area in AREAS:
            faults.add_metric([area], self._asked.faults.get(area, 0))
        yield faults
        alarms = GaugeMetricFamily("campusgrid_gateway_alarms", "Alarms kept.", labels=["code", "state"])
        for code in AlarmCode:
            for state in ALARM_STATES:
                alarms.add_metric([code, state], self._asked.alarms.get((code, state), 0))
        yield alarms
        yield _gauge("ledger_height", "Newest finalised block seen.", overview.follower.height or 0)
        nodes = [node for node in overview.follower.nodes if node.status is not None]
        yield _gauge("ledger_nodes", "Ledger nodes that answer.", len(nodes))
        if (made_at := overview.backup_made_at()) is not None:
            yield _gauge("backup_timestamp_seconds", "When the last backup restored on trial was made.", made_at)


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"campusgrid_gateway_{name}", text, value=value)


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(f"campusgrid_gateway_{name}", text, value=value)
