"""What `make test` begins with: were a long file the last one, a single worker would be busy with it at the end."""

from __future__ import annotations

import pytest

LONGEST = (
    "tests/test_demo.py",
    "tests/firmware/test_launch.py",
    "tests/firmware/test_progress.py",
    "tests/firmware/test_watchdog.py",
    "tests/gateway/settlement/test_late.py",
    "tests/gateway/intake/test_intake.py",
    "tests/provisioning/test_cli.py",
    "tests/gateway/access/test_commands.py",
    "tests/ledger/simulation/test_simulation.py",
    "tests/firmware/test_virtual_board.py",
    "tests/gateway/api/test_stream.py",
    "tests/firmware/test_interpreters.py",
    "tests/gateway/api/test_gate.py",
    "tests/firmware/test_damaged_flash.py",
    "tests/firmware/test_uplink.py",
    "tests/ledger/node/test_network.py",
)
"""The files that take half a minute or more: the demo, what mostly waits beside it, then the longest first."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have a worker's tests in this order; in one process they stay in the order of the tree."""
    if hasattr(config, "workerinput"):
        places = {file: place for place, file in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))
