"""What `make test` begins with: were a long file the last one, a single worker would be busy with it at the end."""

from __future__ import annotations

import pytest

LONGEST = (
    "tests/test_demo.py",
    "tests/firmware/test_launch.py",
    "tests/gateway/settlement/test_anchors.py",
    "tests/ledger/simulation/test_simulation.py",
    "tests/faults/test_campaign.py",
    "tests/ledger/node/test_network.py",
    "tests/gateway/settlement/test_late.py",
    "tests/gateway/ops/test_adoption.py",
    "tests/gateway/settlement/test_proofs.py",
    "tests/ledger/node/test_bill_of_node.py",
    "tests/gateway/dashboard/test_entrance.py",
    "tests/gateway/dashboard/test_access_pages.py",
    "tests/ledger/node/test_snapshots.py",
    "tests/ledger/node/test_watching.py",
    "tests/ledger/node/test_restoring.py",
    "tests/ledger/node/test_membership.py",
    "tests/ledger/faults/test_process_faults.py",
    "tests/ledger/node/test_hostile_node.py",
    "tests/gateway/intake/test_intake.py",
    "tests/firmware/test_progress.py",
    "tests/firmware/test_watchdog.py",
    "tests/provisioning/test_cli.py",
    "tests/gateway/access/test_commands.py",
    "tests/firmware/test_virtual_board.py",
    "tests/firmware/test_interpreters.py",
    "tests/gateway/api/test_gate.py",
    "tests/gateway/api/test_stream.py",
    "tests/firmware/test_damaged_flash.py",
    "tests/firmware/test_uplink.py",
    "tests/firmware/test_update_board.py",
    "tests/firmware/test_app.py",
    "tests/gateway/bidding/test_run.py",
    "tests/gateway/test_enrolment.py",
)
"""The files that take about twenty seconds or more, the longest first."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have a worker's tests in this order; in one process they stay in the order of the tree."""
    if hasattr(config, "workerinput"):
        places = {file: place for place, file in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))
