from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.plant import Plant, ended


@pytest.fixture(scope="module")
def shared_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with a running gateway, for all tests of a file that do not change it."""
    folder: Path = tmp_path_factory.mktemp("api")
    with ended(Plant(folder / "plant", meters=1)) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def api(shared_plant: Plant) -> Iterator[httpx.Client]:
    """A client of the shared gateway's API."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shared_plant.api_port}", trust_env=False) as client:
        yield client
