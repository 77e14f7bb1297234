"""What a node counts while it runs, for Prometheus; what it can tell when asked is in `ledger.api.metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from ledger.node.reporting.nils import Nil, NilReason

PREFIX = "campusgrid_ledger"


class Metrics:
    """The counters and histograms of one node. `observe` of a histogram may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sync_seconds = Histogram(
            f"{PREFIX}_sync_seconds", "How long the disk took to make a transaction durable.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3), registry=self.registry,
        )  # fmt: skip
        self._rounds = Histogram(
            f"{PREFIX}_rounds_per_height", "Rounds that a decided height took; one is well.",
            buckets=(1, 2, 3, 5, 8, 13), registry=self.registry,
        )  # fmt: skip
        self._commit_seconds = Histogram(
            f"{PREFIX}_commit_seconds", "From the start of a height's first round to its decision on the disk.",
            buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60), registry=self.registry,
        )  # fmt: skip
        self._missed_proposals = Counter(
            f"{PREFIX}_missed_proposals", "Rounds of decided heights whose proposer got no block through.",
            ["authority"], registry=self.registry,
        )  # fmt: skip
        self._nils = Counter(
            f"{PREFIX}_nil_votes", "This node's own votes for nil, by reason.", ["reason"], registry=self.registry
        )
        for reason in NilReason:  # shown from the start, so that an alert sees its first step
            self._nils.labels(reason.value)

    def name_authorities(self, names: Iterable[str]) -> None:
        """Show the count of each authority from the start, as those of nil votes."""
        for name in names:
            self._missed_proposals.labels(name)

    def count_decision(self, round_: int, taken_s: float | None, failed: Iterable[str]) -> None:
        """Count a height decided in *round_*, *taken_s* after its first round began (None: it was copied)."""
        self._rounds.observe(round_ + 1)
        if taken_s is not None:
            self._commit_seconds.observe(taken_s)
        for name in failed:
            self._missed_proposals.labels(name).inc()

    def count_nil(self, nil: Nil) -> None:
        """Count one of this node's votes for nil."""
        self._nils.labels(nil.reason.value).inc()
