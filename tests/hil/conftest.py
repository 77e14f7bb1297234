from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firmware.broker import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a running broker, with its files in `tmp_path`."""
    with Broker(tmp_path) as running:
        yield running
