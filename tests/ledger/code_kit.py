"""How each code is reached: one scenario a code, walked by `test_codes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.block import Block
from ledger.codes import Code
from ledger.modules import money
from ledger.modules.kinds import Bytes, Flag, Integer, Kind, Many
from ledger.runtime import InvalidBlockError, Runtime
from tests.ledger.chain_kit import START_EPOCH, Chain, TestMeter

E = START_EPOCH + 1
Scenario = Callable[[Chain], Code]
SCENARIOS: dict[Code, Scenario] = {}


def reaches(code: Code) -> Callable[[Scenario], Scenario]:
    def register(scenario: Scenario) -> Scenario:
        assert code not in SCENARIOS
        SCENARIOS[code] = scenario
        return scenario

    return register


def reject(chain: Chain, block: Block, expected: Code | None = None) -> Code:
    with pytest.raises(InvalidBlockError) as caught:
        Runtime(chain.genesis).execute(chain.state, block)
    assert expected in (None, caught.value.code)
    return caught.value.code


def next_block(chain: Chain, **changes: Any) -> Block:
    header = chain.state.header
    arguments: dict[str, Any] = {
        "height": header.height + 1, "time_ms": header.time_ms + 1, "proposer": 0, "evidence": (), "transactions": (),
        "last_commit": chain.commit(),
    } | changes  # fmt: skip
    return chain.runtime.build(chain.state, **arguments)[0]


def must_refuse(chain: Chain, who: str, *call: Any) -> Code:
    """Run a call that is refused: its nonce is used and nothing else of its sender changed."""
    holding = money.find(chain.state, chain.people[who].id)
    receipt = chain.run(who, *call)
    assert receipt.events == ()
    assert receipt.text
    assert money.find(chain.state, chain.people[who].id) == holding
    return receipt.code


def sell(
    chain: Chain, *, meter: TestMeter | None = None, epoch: int = E, price: int = 3_000_000, wh: int = 100
) -> tuple[Any, ...]:
    return "market", "create_sell_order", (meter or chain.meters[0]).id, epoch, price, wh


def buy(
    chain: Chain, *, meter: TestMeter | None = None, epoch: int = E, price: int = 3_000_000, wh: int = 100
) -> tuple[Any, ...]:
    return "market", "create_buy_order", (meter or chain.meters[1]).id, epoch, price, wh


def fork(chain: Chain) -> Code:
    """Sign two readings for one boundary, and report both."""
    chain.to_epoch(E)
    meter = chain.meters[0]
    codes = chain.report(meter.boundary(E, 1, 1), meter.boundary(E, 2, 2))
    assert codes[0] is Code.DONE
    return codes[1]


def fill(kind: Kind) -> Any:
    """Return some argument of *kind*."""
    if isinstance(kind, Many):
        return [fill(kind.item)]
    if isinstance(kind, Bytes):
        return bytes(kind.lowest)
    if isinstance(kind, Integer):
        return max(0, kind.lowest)
    return True if isinstance(kind, Flag) else "text"
