"""What a power cut leaves on the simulated disk, and on the real one when the tail of SQLite's log is torn."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from ledger.consensus.messages import Message, Vote, sign
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from ledger.node.storage.store import Signed, SignedType, Store
from ledger.simulation.disk import Disk, DiskFull
from ledger.simulation.surroundings import PowerCut

CHAIN = b"simulate"
KEY = PrivateKey(bytes(32))
PROMISES = 6
TORN_AT = 40
"""So many lengths of the log are tried, the whole one among them."""


def message(round_: int) -> Message:
    return sign(Vote(Kind.PREVOTE, 1, round_, None), CHAIN, 0, KEY)


@dataclass
class Failing:
    """Power that fails in the middle of the next commit, once it is told to."""

    is_due: bool = False

    def __call__(self) -> None:
        if self.is_due:
            self.is_due = False
            raise PowerCut


def test_what_was_not_committed_is_lost_and_what_was_is_not() -> None:
    disk = Disk()
    disk.record(message(1))
    disk.keep_block(b"id", b"block")
    disk.sign(message(0).statement, message(0))
    disk.record(message(2))
    disk.keep_block(b"other", b"block")
    disk.cut_power(Random(0), Counter())
    assert (disk.log, disk.blocks, len(disk.sign_state)) == ([message(1)], {b"id": b"block"}, 1)
    disk.sign(message(3).statement, message(3))
    assert disk.log == [message(1)]


def test_a_backup_taken_while_the_disk_was_full_lies_on_one_with_room() -> None:
    full = Disk()
    full.sign(message(0).statement, message(0))
    full.is_full = True
    restored = full.copy()
    with pytest.raises(DiskFull):
        full.sign(message(3).statement, message(3))
    restored.sign(message(3).statement, message(3))
    assert len(restored.sign_state) == 2


def test_a_power_cut_in_the_middle_of_a_commit_leaves_all_of_it_or_nothing() -> None:
    left, faults = set(), Counter[str]()
    for seed in range(20):
        power = Failing()
        disk = Disk(power=power)
        disk.sign(message(0).statement, message(0))
        disk.record(message(1))
        power.is_due = True
        with pytest.raises(PowerCut):
            disk.sign(message(2).statement, message(2))
        disk.cut_power(Random(seed), faults)
        left.add((len(disk.sign_state), len(disk.log)))
    assert left == {(1, 0), (2, 1)}
    assert set(faults) == {"torn commit", "commit nobody was told of"}


def test_a_real_log_torn_at_any_byte_holds_whole_promises_and_loses_only_the_last_ones(tmp_path: Path) -> None:
    path = tmp_path / "whole" / "ledger.sqlite"
    store = Store.open(path, CHAIN)
    sizes = []
    for round_ in range(PROMISES):
        with store.transaction():
            store.add_input(1, b"input %d" % round_)
            store.sign(Signed(1, round_, SignedType.PREVOTE, b"value %d" % round_, b"message %d" % round_))
        sizes.append(log_of(path).stat().st_size)
    shutil.copytree(path.parent, tmp_path / "cut")  # as it is on the disk when power fails: nothing was closed
    store.close()
    kept = []
    for number in range(TORN_AT + 1):
        torn = tmp_path / f"torn-{number}" / path.name
        shutil.copytree(tmp_path / "cut", torn.parent)
        size = sizes[0] + (sizes[-1] - sizes[0]) * number // TORN_AT
        with log_of(torn).open("r+b") as file:
            file.truncate(size)
        opened = Store.open(torn, CHAIN)
        promised = [one.value for one in opened.signed(1)]
        assert opened.inputs(1) == [b"input %d" % round_ for round_ in range(len(promised))]
        assert promised == [b"value %d" % round_ for round_ in range(len(promised))]
        assert len(promised) == sum(whole <= size for whole in sizes)
        opened.close()
        kept.append(len(promised))
    assert sorted(set(kept)) == list(range(1, PROMISES + 1))


def log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")
