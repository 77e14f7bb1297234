"""Fixtures: authorities that run as real processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledger.node.network import EPOCH_S, NAMES, PARAMETERS, Network, make_network


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Four nodes' directories; whatever was started is stopped at the end."""
    made = make_network(tmp_path / "campus")
    yield made
    made.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Four running nodes, each linked to all others, that the tests of a file share which stop none of them."""
    parameters = replace(PARAMETERS, epoch_s=EPOCH_S, settle_deadline_s=60, settle_deadline_blocks=5)
    made = make_network(tmp_path_factory.mktemp("running") / "campus", parameters)
    for place in range(len(NAMES)):
        made.start(place)
    try:
        asyncio.run(made.ready())
        asyncio.run(made.linked())
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One running node, which is a ledger by itself: for tests of what a node answers, at the price of one process."""
    parameters = replace(PARAMETERS, epoch_s=EPOCH_S, settle_deadline_s=60, settle_deadline_blocks=5)
    made = make_network(tmp_path_factory.mktemp("lone") / "campus", parameters, NAMES[:1])
    made.start(0)
    try:
        asyncio.run(made.ready(0))
        yield made
    finally:
        made.end()
