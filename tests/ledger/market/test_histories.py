"""Whatever happens over several epochs, all is settled to the last unit; `Chain.block` recounts after every block."""

from __future__ import annotations

from collections import Counter

from ledger.modules import money
from ledger.modules.market.supply import measure_supply
from ledger.modules.market.tables import CLAIMS, EPOCHS, SHORTFALLS, SPANS, UNCORRECTED
from ledger.modules.meters import epoch_key
from ledger.modules.tariffs import tariffs_at
from ledger.records import LineFlag
from tests.ledger.chain_kit import lines_of
from tests.ledger.market.histories import History, find_locks, play

SEEDS = range(8)
MUST_HAPPEN = {
    "DONE", "cancelled", "silent", "SELF_CROSS", "BALANCE_TOO_LOW", "IN_ARREARS", "ABOVE_RATED_POWER", "behind: DONE",
    "behind: READING_OUTDATED",
}  # fmt: skip
MUST_SETTLE = {
    "sold",
    "undelivered",
    "bought",
    "unused",
    "gap",
    "not reported",
    "owed",
    "two tariffs",
    "corrected",
    "corrected within a gap",
    "rolled over",
}


def test_histories_with_faults_book_every_wh_once_and_leave_nothing_locked() -> None:
    done: Counter[str] = Counter()
    for seed in SEEDS:
        history = play(seed)
        for meter in history.chain.meters:
            assert history.settled_wh(meter) == history.registers[meter.id], seed
        assert find_locks(history) == 0, seed
        check_corrections(history)
        assert history.tariffs == {epoch: tariffs_now(history, epoch) for epoch in history.tariffs}, seed
        supply = measure_supply(history.chain.state)
        total = [sum(registers[place] for registers in history.registers.values()) for place in range(2)]
        assert [supply.import_wh, supply.export_wh] == total, seed
        done += Counter(history.done) + count_settled(history)
    assert {name for name in MUST_HAPPEN | MUST_SETTLE if not done[name]} == set()


def test_a_history_played_twice_ends_in_the_same_state() -> None:
    first, second = play(3), play(3)
    assert first.chain.state.header.state_root == second.chain.state.header.state_root


def tariffs_now(history: History, epoch: int) -> tuple[int, int]:
    """Return the tariffs at which a late line of *epoch* would be booked now."""
    state = history.chain.state
    agreed = tariffs_at(state, history.chain.runtime.look(state).parameters, epoch)
    return agreed.retail_uaip_per_kwh, agreed.feed_in_uaip_per_kwh


def check_corrections(history: History) -> None:
    """A meter's epoch is corrected once at most, by no more than it missed, and no gap gives back more than it paid."""
    chain = history.chain
    lines = [line for execution in chain.executions for line in lines_of(execution)]
    missed = {(line.meter, line.epoch): line.sold_wh for line in lines if line.flags & LineFlag.NOT_REPORTED}
    paid_aaip: Counter[bytes] = Counter()
    for line in lines:
        paid_aaip[line.meter] += line.grid_income_aaip if line.flags == LineFlag.GAP else 0
        if line.flags & LineFlag.CORRECTION:
            book = chain.row(EPOCHS, epoch_key(line.epoch))
            returned = book.retail_uaip_per_kwh + book.penalty_uaip_per_kwh
            assert line.grid_income_aaip <= missed.pop((line.meter, line.epoch)) * returned * 10**9
            paid_aaip[line.meter] -= line.grid_cost_aaip
        assert paid_aaip[line.meter] >= 0
    waiting = Counter(epoch_key(claim.last_epoch) + key[8:] for key, claim in chain.state.scan(CLAIMS))
    assert waiting == {key: span.claims for key, span in chain.state.scan(SPANS)}
    missed_now = {key for key, _ in chain.state.scan(SHORTFALLS)}
    assert missed_now >= {key for key, _ in chain.state.scan(CLAIMS)}
    assert missed_now == {key[8:] + key[:8] for key, _ in chain.state.scan(UNCORRECTED)}


def count_settled(history: History) -> Counter[str]:
    """Count what the lines of a history came to."""
    chain, counts = history.chain, Counter[str]()
    lines = [line for execution in chain.executions for line in lines_of(execution)]
    gaps = {(line.first_reading, line.last_reading) for line in lines if line.flags == LineFlag.GAP}
    for line in lines:
        counts["sold"] += line.sold_wh > 0
        counts["undelivered"] += line.sold_wh > line.delivered_wh
        counts["bought"] += line.bought_wh > 0
        counts["unused"] += line.bought_wh > line.import_wh
        counts["gap"] += bool(line.flags & LineFlag.GAP)
        counts["not reported"] += bool(line.flags & LineFlag.NOT_REPORTED)
        counts["corrected"] += bool(line.flags & LineFlag.CORRECTION)
        is_within = line.flags & LineFlag.CORRECTION and (line.first_reading, line.last_reading) not in gaps
        counts["corrected within a gap"] += bool(is_within)
    events = (event.name for execution in chain.executions for event in execution.events)
    counts["rolled over"] += sum(name == "rolled_over" for name in events)
    counts["owed"] += sum(1 for _ in chain.state.scan(money.OWED))
    counts["two tariffs"] += len({row.retail_uaip_per_kwh for _, row in chain.state.scan(EPOCHS)}) > 1
    return counts
