"""Fixtures: authorities that run as real processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.node.network import Network, make_network


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Four nodes' directories; whatever was started is stopped at the end."""
    made = make_network(tmp_path / "campus")
    yield made
    for place in list(made.processes):
        made.stop(place, signal.SIGKILL)
