from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.plant import Plant, open_plant


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """A campus of two meters with a real broker; the gateway is not started yet."""
    yield from open_plant(tmp_path, meters=2)
