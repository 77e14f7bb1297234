"""From 10,000 signed orders to a settled epoch: what one node does, stage by stage, in processor time.

The node admits every order to its mempool, executes the blocks that another proposes (so its cache of checked
signatures counts, as it does in life), clears at gate closure, takes the meters' reports and settles.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ledger.codes import Refusal
from ledger.market.book import MAX_ORDERS_PER_EPOCH, Order, Rule, Side, build_arrays
from ledger.market.clearing import clear_arrays, warm
from ledger.modules import accounts
from ledger.modules.kinds import MAX_READINGS_PER_REPORT
from ledger.modules.market.tables import ORDERS, read_epoch
from ledger.modules.meters import epoch_key
from ledger.node.mempool import Mempool
from ledger.runtime import MAX_BLOCK_SIGNATURES, Runtime
from tests.bench.measure import Row, at_most, processor_s, signature_check_s
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, TestMeter, id_of, key_of, lines_of, make_genesis

USERS = 400
ORDERS_PER_USER = MAX_ORDERS_PER_EPOCH // USERS
E = START_EPOCH + 1
RATIO_BAR, KERNEL_BAR = 16.0, 0.01
SHARE_BARS = {"admission": 0.4, "orders": 0.7, "gate_closure": 0.25, "reports": 0.1, "settlement": 0.2}


class _Node:
    """One node: *chain* proposes, this one admits and executes; `spent` adds up its seconds."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.pool, self.runtime = chain, Mempool(), Runtime(chain.genesis)

    def admit(self, raws: Sequence[bytes]) -> None:
        for raw in raws:
            found = self.runtime.check_transaction(self.chain.state, raw)
            assert not isinstance(found, Refusal), found.text
            assert self.pool.add(found, 0) is None

    def execute(self, raws: Sequence[bytes], time_ms: int = 0) -> float:
        """Have the chain propose a block of *raws*, execute and apply it; return the seconds that this took us."""
        chain, header = self.chain, self.chain.state.header
        proposed, _ = chain.runtime.build(
            chain.state, height=header.height + 1, time_ms=time_ms or header.time_ms + 1, proposer=1,
            transactions=raws, evidence=(), last_commit=chain.commit(),
        )  # fmt: skip
        assert len(proposed.transactions) == len(raws)

        def run() -> None:
            execution = self.runtime.execute(chain.state, proposed)
            assert all(not receipt.code for receipt in execution.receipts)
            chain.state.apply(execution)
            chain.executions.append(execution)

        return processor_s(run)


def measure() -> Iterator[Row]:
    """Run the stages one after the other."""
    warm()
    chain = Chain(*make_genesis(users=USERS, min_order_wh=1))
    node = _Node(chain)
    _install_meters(node)
    orders = _sign_orders(chain)
    spent = {"admission": processor_s(lambda: node.admit(orders)), "orders": 0.0}
    while len(node.pool):
        spent["orders"] += node.execute(node.pool.ready(MAX_BLOCK_SIGNATURES, 2**20))
        node.pool.settle({sender: chain.row(accounts.ACCOUNTS, sender).nonce for sender in node.pool.senders()}, 0)
    spent["gate_closure"] = node.execute([], E * EPOCH_S * 1000)
    kernel_s = _time_kernel_s(chain)
    node.execute(_report(chain, E, chain.meters))
    node.execute([], (E + 1) * EPOCH_S * 1000)
    spent["reports"] = node.execute(_report(chain, E + 1, chain.meters[:-1]))
    spent["settlement"] = node.execute(_report(chain, E + 1, chain.meters[-1:]))
    assert len(lines_of(chain.executions[-1])) == USERS
    total_s = sum(spent.values())
    yield at_most(
        "market_end_to_end.ratio",
        round(total_s / (MAX_ORDERS_PER_EPOCH * signature_check_s()), 2),
        f"all ({total_s:.2f} s)/bare signature checks",
        RATIO_BAR,
    )
    yield at_most("market_end_to_end.kernel_share", round(kernel_s / total_s, 5), "of all", KERNEL_BAR)
    for stage, stage_s in spent.items():
        unit = f"of all ({stage_s:.2f} s)"
        yield at_most(f"market_end_to_end.{stage}_share", round(stage_s / total_s, 3), unit, SHARE_BARS[stage])


def _install_meters(node: _Node) -> None:
    chain = node.chain
    chain.to_epoch(START_EPOCH)
    for number in range(USERS):
        chain.meters.append(TestMeter(id_of(500 + number), key_of(500 + number), chain.people[f"user{number}"]))
    node.execute([
        chain.sign(
            "admin", "registry", "assign_meter", meter.id, meter.owner.id, "eastron_sdm120", 10_000,
            meter.key.public_key, True, "east",
        )
        for meter in chain.meters
    ])  # fmt: skip
    node.execute([
        chain.sign("admin", "registry", "rebase", meter.id, meter.boundary(START_EPOCH, 0, 0)) for meter in chain.meters
    ])  # fmt: skip


def _sign_orders(chain: Chain) -> list[bytes]:
    """Return every user's orders; one half sells, the other buys, at prices all between the tariffs."""
    rng, signed = random.Random(6), []
    for _ in range(ORDERS_PER_USER):
        for number, meter in enumerate(chain.meters):
            side = "create_sell_order" if number % 2 else "create_buy_order"
            price, quantity_wh = rng.randrange(2_200_000, 4_500_000), rng.randint(1, 2_500 // ORDERS_PER_USER)
            signed.append(chain.sign(f"user{number}", "market", side, meter.id, E, price, quantity_wh))
    return signed


def _report(chain: Chain, epoch: int, meters: Sequence[TestMeter]) -> list[bytes]:
    readings = [meter.boundary(epoch, 700 * (epoch - E), 900 * (epoch - E)) for meter in meters]
    return [
        chain.sign("gateway", "market", "report_intervals", readings[place : place + MAX_READINGS_PER_REPORT])
        for place in range(0, len(readings), MAX_READINGS_PER_REPORT)
    ]


def _time_kernel_s(chain: Chain) -> float:
    """Return the seconds of clearing alone, on the very book."""
    rows = sorted((row for _, row in chain.state.scan(ORDERS, epoch_key(E))), key=lambda row: row.sequence)
    orders = [Order(r.id, r.meter, Side(r.side), r.price_uaip_per_kwh, r.quantity_wh, r.sequence) for r in rows]
    assert len(orders) == MAX_ORDERS_PER_EPOCH
    arrays = build_arrays(
        [order for order in orders if order.side is Side.BUY], [order for order in orders if order.side is Side.SELL]
    )
    book = read_epoch(chain.state, E, chain.genesis.parameters)
    assert clear_arrays(arrays, Rule.PRO_RATA).matched_wh == book.matched_wh > 0
    return processor_s(lambda: clear_arrays(arrays, Rule.PRO_RATA))
