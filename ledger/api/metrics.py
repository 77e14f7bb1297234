"""A node's numbers in Prometheus' text form: what it counted, where it stands, and what the modules declare."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from ledger.api import views
from ledger.api.readonly import ReadOnlySource
from ledger.node.chain import Chain
from ledger.node.reporting.health import ChainHealth, is_signing, measure_chain, measure_lag
from ledger.node.reporting.metrics import PREFIX
from ledger.node.service import Node
from ledger.node.storage.store import Store


async def render(node: Node) -> bytes:
    """Return all metrics of *node* as text."""
    chain, modules = await node.ledger.run(_measure)
    registry = CollectorRegistry()
    registry.register(_Numbers(node, chain))
    return generate_latest(node.observer.metrics.registry) + generate_latest(registry) + modules.encode()


async def render_reader(source: ReadOnlySource) -> bytes:
    """Return all metrics of a process that answers beside its node as text."""
    chain, modules = await source.ledger.run(_measure)
    registry = CollectorRegistry()
    registry.register(_ReaderNumbers(source, await source.disk.read(Store.height), chain))
    return generate_latest(registry) + modules.encode()


def reader_routes(source: ReadOnlySource) -> APIRouter:
    """Return the route of those metrics."""
    router = APIRouter()

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(await render_reader(source), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _measure(chain: Chain) -> tuple[ChainHealth, str]:
    return measure_chain(chain), views.show_metrics(chain.runtime.look(chain.state))


class _Numbers(Collector):
    def __init__(self, node: Node, chain: ChainHealth) -> None:
        self._node = node
        self._chain = chain

    def collect(self) -> Iterator[Metric]:
        """Yield what is known when asked."""
        yield from self._consensus()
        yield from self._peers()
        yield _missed_votes(self._chain)
        node, days_left = self._node, self._node.room.days_left
        dropped = node.driver.dropped_jobs + node.admission.dropped_gossip
        yield _counter("dropped_events", "Messages and transactions dropped on a full queue.", dropped)
        yield _gauge("mempool_transactions", "Transactions that wait for a block.", len(node.mempool))
        yield _gauge("disk_free_bytes", "Free bytes on the disk of the database.", node.room.free_bytes)
        yield _gauge(
            "disk_days_left", "Days until the disk is full; infinite while it does not fill up or the rate is unknown.",
            math.inf if days_left is None else days_left,
        )  # fmt: skip

    def _consensus(self) -> Iterator[Metric]:
        driver, at, observer = self._node.driver, self._node.machine.state, self._node.observer
        is_held = observer.round_since_s is not None
        yield _gauge("height", "The newest decided block.", driver.position.header.height)
        yield _gauge("round", "The round in progress.", at.round if at else 0)
        yield _gauge(
            "in_progress_seconds", "How long the height in progress has been tried; 0 while nothing is to decide.",
            time.monotonic() - observer.height_since_s if is_held else 0,
        )  # fmt: skip
        failures = GaugeMetricFamily(
            f"{PREFIX}_witness_failures", "Times in a row that a witness did not cosign.", labels=["witness"]
        )
        for one in self._node.witnessing.witnesses:
            failures.add_metric([one.key.name], one.failures)
        yield failures
        yield _gauge("alarm", "1 after an alarm: the node signs no more.", int(driver.alarm is not None))
        yield _gauge("signing", "1 while the node takes part in deciding.", int(is_signing(self._node)))

    def _peers(self) -> Iterator[Metric]:
        peers = self._node.peers.by_name
        yield _gauge("peers", "Peers that node.toml names.", len(peers))
        yield _gauge("peers_linked", "Peers with a link.", sum(peer.linked for peer in peers.values()))
        yield _gauge("sync_lag_blocks", "How far the node is behind its peers.", measure_lag(self._node))
        offsets = GaugeMetricFamily(
            f"{PREFIX}_clock_offset_seconds", "How far a peer's clock is ahead of this node's.", labels=["peer"]
        )
        for name, heard in self._node.observer.reports.items():
            if heard.clock_offset_ms is not None:
                offsets.add_metric([name], heard.clock_offset_ms / 1000)
        yield offsets
        yield from self._conduct()

    def _conduct(self) -> Iterator[Metric]:
        faults = CounterMetricFamily(
            f"{PREFIX}_peer_faults", "What a peer sent that no correct node sends.", labels=["peer", "fault"]
        )
        cut_offs = CounterMetricFamily(f"{PREFIX}_peer_cut_offs", "Times a peer was cut off for it.", labels=["peer"])
        for name, peer in self._node.peers.by_name.items():
            cut_offs.add_metric([name], peer.conduct.cut_offs)
            for fault, count in peer.conduct.faults.items():
                faults.add_metric([name, fault.value], count)
        yield faults
        yield cut_offs


class _ReaderNumbers(Collector):
    def __init__(self, source: ReadOnlySource, newest: int, chain: ChainHealth) -> None:
        self._source, self._newest, self._chain = source, newest, chain

    def collect(self) -> Iterator[Metric]:
        """Yield what is known when asked."""
        height, provable = self._source.heads.height, self._source.provable
        yield _gauge("height", "The newest decided block.", height)
        yield _gauge("reader_lag_blocks", "Blocks in the node's database that are not read yet.", self._newest - height)
        size = provable.checkpoint.size if provable else 0
        yield _gauge("reader_checkpoint_size", "Leaves of the log that are provable here.", size)
        yield _missed_votes(self._chain)


def _missed_votes(chain: ChainHealth) -> Metric:
    missed = CounterMetricFamily(
        f"{PREFIX}_missed_votes", "Certificates in blocks that lacked an authority's precommit.", labels=["authority"]
    )
    for one in chain.missed_votes:
        missed.add_metric([one.name], one.missed_votes)
    return missed


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
