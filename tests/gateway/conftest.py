from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.ledger_node import LedgerNode, made_node
from tests.gateway.plant import Holder, Plant, ended


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """A campus of two meters with a real broker and no ledger; the gateway is not started yet."""
    with ended(Plant(tmp_path / "plant", meters=2)) as made:
        yield made


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LedgerNode]:
    """A real ledger node, not started yet."""
    with made_node(tmp_path / "ledger", Holder()) as made:
        yield made


@pytest.fixture
def settling_plant(tmp_path: Path, node: LedgerNode) -> Iterator[Plant]:
    """A campus of two meters whose gateway reports to `node`."""
    with ended(Plant(tmp_path / "plant", 2, node.gateway, node.genesis, node.url)) as made:
        yield made
