"""Random histories of the market: late and missing meters, cancelled orders, insolvent users, non-delivery."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codes import Code
from ledger.modules import grid, money
from ledger.modules.market import tables
from ledger.modules.market.lines import Position, draw_lines, share_pro_rata
from ledger.modules.market.tables import EpochRow, Interval
from ledger.records import LineFlag, SettlementLine
from tests.ledger.chain_kit import START_EPOCH, WH, Chain, lines_of, make_chain

USERS = 3
EPOCHS = 5
MAX_STEP_WH = 2500

orders = st.lists(
    st.tuples(
        st.integers(0, USERS - 1), st.booleans(), st.integers(0, 1_500_000), st.integers(100, MAX_STEP_WH),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=6,
)  # fmt: skip
steps_wh = st.integers(0, MAX_STEP_WH) | st.just(0)
readings = st.lists(
    st.none() | st.tuples(steps_wh, steps_wh) | st.tuples(steps_wh, steps_wh), min_size=USERS, max_size=USERS
)
histories = st.lists(st.tuples(orders, readings), min_size=3, max_size=EPOCHS)


@dataclass
class History:
    """Plays a history and keeps what every meter's registers say."""

    chain: Chain
    imported: list[int] = field(default_factory=lambda: [0] * USERS)
    exported: list[int] = field(default_factory=lambda: [0] * USERS)

    def play(self, epoch: int, placed: list, measured: list) -> None:
        """In *epoch*, trade for the next one; at its end, report what was measured in it."""
        for user, is_sale, price, quantity_wh, is_cancelled in placed:
            name = "create_sell_order" if is_sale else "create_buy_order"
            limit = 2_200_000 + price if is_sale else 4_500_000 - price
            meter = self.chain.meters[user].id
            receipt = self.chain.run(f"user{user}", "market", name, meter, epoch + 1, limit, quantity_wh)
            if receipt.code is Code.DONE and is_cancelled:
                order = dict(receipt.events[-1].values)["order"]
                self.chain.must(f"user{user}", "market", "cancel_order", order)
        self.chain.to_epoch(epoch + 1)
        self.report(epoch + 1, measured)

    def report(self, epoch: int, measured: list) -> None:
        raws = []
        for user, step in enumerate(measured):
            import_wh, export_wh = step or (0, 0)
            self.imported[user] += import_wh
            self.exported[user] += export_wh
            if step is not None:
                raws.append(self.chain.meters[user].boundary(epoch, self.imported[user], self.exported[user]))
        if raws:
            assert set(self.chain.report(*raws)) == {Code.DONE}

    def lines(self) -> list[SettlementLine]:
        return [line for execution in self.chain.executions for line in lines_of(execution)]


def play_history(epochs: list, **parameters: Any) -> History:
    chain = make_chain(settle_deadline_s=900, settle_deadline_blocks=2, order_fee_aaip=7, **parameters)
    for user in range(USERS):
        chain.add_based_meter(f"user{user}", user)
    chain.must("user1", "market", "keep_surplus", chain.meters[1].id, True)
    history = History(chain)
    for number, (placed, measured) in enumerate(epochs):
        history.play(START_EPOCH + number, placed, measured)
    final = START_EPOCH + EPOCHS + 4
    chain.to_epoch(final)
    for _ in range(3):
        chain.block()
    history.report(final, [(1, 1)] * USERS)
    for _ in range(4):
        chain.block()
    return history


@settings(max_examples=25)
@given(histories, st.sampled_from([10, 2 * 10**18, 10**19, 10**21]), st.sampled_from(["pro-rata", "price-time"]))
def test_whatever_happens_every_wh_and_every_aaip_is_accounted_for(epochs: list, balance_aaip: int, rule: str) -> None:
    """`Chain.block` holds money, GRID and energy against the tables after every block; here against the meters."""
    history = play_history(epochs, balance_aaip=balance_aaip, clearing_rule=rule)
    check_meters(history)
    check_accounts(history, balance_aaip)


def test_the_histories_meet_what_they_are_for() -> None:
    """With a fixed seed: trades, non-delivery, resale, missing meters, gaps, debts all occur, and all adds up."""
    random, seen = Random(1), Counter[str]()
    for _ in range(15):
        epochs = [(draw_orders(random), draw_readings(random)) for _ in range(EPOCHS)]
        balance_aaip = random.choice([3 * 10**18, 10**21])
        history = play_history(epochs, balance_aaip=balance_aaip)
        check_meters(history)
        check_accounts(history, balance_aaip)
        for line in history.lines():
            seen.update(str(flag.name) for flag in LineFlag if line.flags & flag)
            seen["traded"] += line.bought_wh > 0
            seen["not delivered"] += line.sold_wh > line.delivered_wh
            seen["delivered"] += line.delivered_wh > 0
            seen["resold"] += line.bought_wh > line.import_wh
            seen["burned"] += line.burned_agrid > 0
        seen["debts"] += any(True for _ in history.chain.state.scan(money.OWED))
    wanted = {"traded", "not delivered", "delivered", "resold", "burned", "debts", "GAP", "NOT_REPORTED", "KEPT"}
    assert min(seen[name] for name in wanted) >= 3, seen


def draw_orders(random: Random) -> list:
    return [
        (
            random.randrange(USERS),
            random.random() < 0.5,
            random.randrange(1_500_000),
            random.randrange(100, 1500),
            False,
        )
        for _ in range(random.randrange(2, 6))
    ]


def draw_readings(random: Random) -> list:
    return [
        None if random.random() < 0.15 else (random.randrange(MAX_STEP_WH), random.randrange(1500))
        for _ in range(USERS)
    ]


def check_meters(history: History) -> None:
    """Every Wh that a meter counted is in exactly one line, or held."""
    imported: defaultdict[bytes, int] = defaultdict(int)
    exported: defaultdict[bytes, int] = defaultdict(int)
    for line in history.lines():
        imported[line.meter] += line.import_wh
        exported[line.meter] += line.export_wh
    for key, held in history.chain.state.scan(tables.HELD):
        imported[key[:8]] += held.import_wh
        exported[key[:8]] += held.export_wh
    for user, meter in enumerate(history.chain.meters):
        assert imported[meter.id] == history.imported[user]
        assert exported[meter.id] == history.exported[user]


def check_accounts(history: History, balance_aaip: int) -> None:
    """Every account is worth what its lines and fees make of it, no lock is left, GRID is kept or the grid's."""
    state, chain = history.chain.state, history.chain
    created = [
        dict(event.values)["account"]
        for execution in chain.executions
        for receipt in execution.receipts
        for event in receipt.events
        if event.name == "order_created"
    ]
    grid_worth = balance_aaip + 7 * len(created)
    for user in range(USERS):
        account = chain.people[f"user{user}"].id
        worth = balance_aaip - 7 * created.count(account)
        for line in history.lines():
            if line.account == account:
                net = line.market_income_aaip + line.grid_income_aaip
                net -= line.market_cost_aaip + line.grid_cost_aaip + line.penalty_aaip
                worth += net
                grid_worth -= net
        holding = money.find(state, account)
        assert (holding.worth_aaip, holding.locked_aaip) == (worth, 0)
        kept_wh = sum(line.export_wh - line.delivered_wh for line in history.lines() if is_kept(line, account))
        assert grid.balance(state, account) == kept_wh * WH
    assert money.find(state, chain.people["grid"].id).worth_aaip == grid_worth


def is_kept(line: SettlementLine, account: bytes) -> bool:
    return line.account == account and bool(line.flags & LineFlag.KEPT)


amounts = st.integers(0, 10**9)


@given(st.lists(st.tuples(amounts, amounts, amounts, st.booleans()), min_size=1, max_size=8), st.randoms())
def test_lines_of_any_positions_conserve_energy_and_money(values: list, random: Random) -> None:
    """`draw_lines` raises rather than lose a unit; sales and purchases are made to match first."""
    bought = [quantity for quantity, _, _, _ in values]
    sold = list(bought)
    random.shuffle(sold)
    book = EpochRow(4_500_000, 2_200_000, 1_000_000, matched_wh=sum(bought), price_uaip_per_kwh=3_333_333)
    positions = []
    for number, (_, import_wh, export_wh, is_reported) in enumerate(values):
        key = bytes([number])
        interval = Interval(import_wh, export_wh, b"f" * 32, b"l" * 32, 0, b"") if is_reported else None
        positions.append(Position(key, key, b"", sold[number], 0, number, interval))
        positions.append(Position(key, key + b"b", b"", 0, bought[number], number, interval))
    lines = draw_lines(7, book, positions)
    assert all(min(line.resold_wh, line.retail_wh, line.unsold_wh, line.shortfall_wh) >= 0 for line in lines)


@given(st.lists(amounts, min_size=1, max_size=6), st.integers(0, 10**6))
def test_shares_are_within_one_wh_of_the_exact_proportion(bought: list[int], part: int) -> None:
    total = sum(bought)
    delivered = total * part // 10**6
    positions = [Position(b"", bytes([n]), b"", 0, quantity, n, None) for n, quantity in enumerate(bought)]
    shares = share_pro_rata(delivered, positions)
    assert sum(shares) == delivered
    assert all(
        abs(share * total - quantity * delivered) < max(total, 1)
        for share, quantity in zip(shares, bought, strict=True)
    )
