"""A real node's process with one thing about it altered: a wrong clock, or a runtime that computes something else."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from tests.kernels import compile_kernels
from tests.ledger.node.network import Network

_RUN: Final = (
    "from pathlib import Path; from ledger.node import process; process.run(Path(sys.argv[1]), exit_with_parent=True)"
)


def clock_ahead(ms: int) -> str:
    """Return the alteration of a node whose clock is *ms* ahead."""
    return f"""
from ledger.node import driver, service
true_ms = driver._now_ms
driver._now_ms = service._now_ms = lambda: true_ms() + {ms}
"""


WRONG_TRANSFERS: Final = """
from dataclasses import replace
from ledger.modules import money
transfer = money.module.calls["transfer"]
def pay_one_more(context, to, amount_aaip):
    return transfer.function(context, to, amount_aaip + 1)
money.module.calls["transfer"] = replace(transfer, function=pay_one_more)
"""
"""The alteration of a node that moves 1 aAIP too much with every transfer."""


def start_altered(network: Network, place: int, alteration: str) -> None:
    """Start a node of *network* as `Network.start` does, altered."""
    compile_kernels()
    with (network.directory(place) / "node.log").open("ab") as log:
        network.processes[place] = subprocess.Popen(
            [sys.executable, "-c", f"import sys\n{alteration}\n{_RUN}", str(network.directory(place) / "node.toml")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
