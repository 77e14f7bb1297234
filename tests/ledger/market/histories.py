"""Random histories of a market with faults: late and silent meters, cancellations, a poor user, tariffs that change."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from ledger.codes import Code
from ledger.modules import money
from ledger.modules.market.tables import ORDERS
from ledger.modules.tariffs import tariffs_at
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, TestMeter, lines_of, make_chain

USERS, EPOCHS = 4, 7
POOR_AAIP = 15 * 10**15
CALENDARS = ("daily 00:00-24:00 4800000/2100000", "fri 15:30-16:00 6000000/2500000")
MOST_WH = 2_400
"""A little less than what 10 kW yield in an epoch."""


@dataclass
class History:
    """A chain that has run to its end: every meter has reported, every deadline has passed."""

    chain: Chain
    registers: dict[bytes, list[int]]
    done: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    withheld: list[bytes] = field(default_factory=list)
    tariffs: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Retail and feed-in of each epoch, as they were agreed when it began."""

    def settled_wh(self, meter: TestMeter) -> list[int]:
        """Return the import and export that lines booked for *meter*."""
        lines = [line for execution in self.chain.executions for line in lines_of(execution) if line.meter == meter.id]
        return [sum(line.import_wh for line in lines), sum(line.export_wh for line in lines)]


def play(seed: int) -> History:
    """Run the history of *seed*; the chain itself holds the conservation laws after each of its blocks."""
    random, chain = Random(seed), make_chain(settle_deadline_s=EPOCH_S, settle_deadline_blocks=2, min_order_wh=1)
    for number in range(USERS):
        chain.add_based_meter(f"user{number}", number)
    poor, grid = chain.people["user3"], chain.people["grid"]
    chain.must("user3", "money", "transfer", grid.id, money.find(chain.state, poor.id).balance_aaip - POOR_AAIP)
    history = History(chain, {meter.id: [0, 0] for meter in chain.meters})
    for epoch in range(START_EPOCH + 1, START_EPOCH + 1 + EPOCHS):
        _trade(history, random, epoch)
        if epoch == START_EPOCH + 3:
            chain.decide("governance", "set_parameter", "retail_uaip_per_kwh", random.choice([4_000_000, 5_000_000]),
                         chain.state.header.height + 15)  # fmt: skip
            chain.decide("tariffs", "set_calendar", 420, [random.choice(CALENDARS)], epoch + 2)
        _report(history, random, epoch, silent=0.3)
    _report(history, random, START_EPOCH + 1 + EPOCHS, silent=0)
    for later in range(2, 8):
        chain.to_epoch(START_EPOCH + EPOCHS + later)
    return history


def _trade(history: History, random: Random, epoch: int) -> None:
    """Have users order for *epoch* and the next, and cancel some of it; what is refused counts as such."""
    chain = history.chain
    for _ in range(random.randint(3, 9)):
        number = random.randrange(USERS)
        side = random.choice(["create_sell_order", "create_buy_order"])
        price, quantity = random.randrange(2_200_000, 4_500_000, 100_000), random.randint(1, MOST_WH)
        target = random.choice([epoch, epoch + 1])
        receipt = chain.run(f"user{number}", "market", side, chain.meters[number].id, target, price, quantity)
        history.done[Code(receipt.record.code).name] += 1
        if receipt.code is Code.DONE and random.random() < 0.15:
            chain.must(f"user{number}", "market", "cancel_order", receipt.record.transaction_id[:8])
            history.done["cancelled"] += 1
        elif receipt.code is Code.DONE and random.random() < 0.3:
            chain.must(f"user{number}", "market", "roll_over", receipt.record.transaction_id[:8], target + 2)


def _report(history: History, random: Random, epoch: int, silent: float) -> None:
    """Let all meters measure up to the start of *epoch*; some readings never come, some late, or behind the next."""
    chain, readings = history.chain, []
    late, history.withheld = history.withheld, []
    for meter in chain.meters:
        registers = history.registers[meter.id]
        moved = random.choice([(1, 0), (0, 1), (1, 1), (0, 0)])
        registers[0] += moved[0] * random.randint(0, MOST_WH)
        registers[1] += moved[1] * random.randint(0, MOST_WH)
        reading = meter.boundary(epoch, *registers)
        if random.random() >= silent:
            readings.append(reading)
        elif random.random() < 0.85:
            history.withheld.append(reading)
        else:
            history.done["silent"] += 1
    chain.to_epoch(epoch)
    agreed = tariffs_at(chain.state, chain.runtime.look(chain.state).parameters, epoch)
    history.tariffs[epoch] = (agreed.retail_uaip_per_kwh, agreed.feed_in_uaip_per_kwh)
    if late and random.random() < 0.4:
        assert set(chain.report(*late)) == {Code.DONE}
        late = []
    if readings:
        codes = chain.report(*random.sample(readings, len(readings)))
        assert set(codes) == {Code.DONE}
    for code in chain.report(*late) if late else ():
        history.done[f"behind: {code.name}"] += 1


def find_locks(history: History) -> int:
    """Return what is locked on accounts or in orders; nothing may be once all is settled."""
    state = history.chain.state
    accounts = sum(row.locked_aaip for _, row in state.scan(money.HOLDINGS))
    orders = sum(row.locked_aaip for _, row in state.scan(ORDERS, b""))
    return accounts + orders
