"""The parts of the bench: a name, and the "module:function" that yields its rows.

Each row's name begins with the part's name and a dot. A part runs in a process of its own and has ten minutes.
"""

from __future__ import annotations

PARTS = {
    "cli": "tests.bench.command:measure",
    "gateway": "tests.bench.gateway:measure",
    "firmware": "tests.bench.firmware:measure",
    "market": "tests.bench.market:measure",
    "ledger": "tests.bench.ledger:measure",
    "ledger_growth": "tests.bench.ledger_growth:measure",
    "ledger_peers": "tests.bench.ledger_peers:measure",
    "market_end_to_end": "tests.bench.market_end_to_end:measure",
    "market_lp": "tests.bench.market_lp:measure",
    "market_peers": "tests.bench.market_peers:measure",
}
