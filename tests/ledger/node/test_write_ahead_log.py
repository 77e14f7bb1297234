"""Damage in the middle of SQLite's log is refused, again and again; a torn tail is what a power cut leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ledger.errors import CorruptedError
from ledger.node.storage.sign_state import Signed, SignedType
from ledger.node.storage.store import Store

CHAIN = b"simulate"
PROMISES = 6


def log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """Return a database as it is on the disk when power fails, and how long its log was after each promise."""
    root = tmp_path_factory.mktemp("log")
    path, sizes = root / "whole" / "ledger.sqlite", []
    store = Store.open(path, CHAIN)
    for round_ in range(PROMISES):
        with store.transaction():
            store.sign(Signed(1, round_, SignedType.PREVOTE, b"value %d" % round_, b"message %d" % round_))
        sizes.append(log_of(path).stat().st_size)
    shutil.copytree(path.parent, root / "cut")
    store.close()
    return root / "cut" / path.name, sizes


def flipped(database: Path, into: Path, place: int) -> Path:
    shutil.copytree(database.parent, into)
    copy = into / database.name
    raw = bytearray(log_of(copy).read_bytes())
    raw[place] ^= 1
    log_of(copy).write_bytes(raw)
    return copy


def promises(database: Path) -> int:
    store = Store.open(database, CHAIN)
    try:
        return len(store.signed(1))
    finally:
        store.close()


def test_a_flipped_bit_before_the_last_promise_is_refused_and_stays_refused(
    cut: tuple[Path, list[int]], tmp_path: Path
) -> None:
    database, sizes = cut
    for number, place in enumerate([40, 3_000, sizes[0] + 1, sizes[1] + 30, sizes[3] + 2_000, sizes[4] - 1, 17]):
        damaged = flipped(database, tmp_path / str(number), place)
        for _ in range(2):
            with pytest.raises(CorruptedError, match=r"log of writes.*move the data directory away"):
                Store.open(damaged, CHAIN)


def test_a_damaged_last_promise_is_taken_for_a_torn_one(cut: tuple[Path, list[int]], tmp_path: Path) -> None:
    database, sizes = cut
    for number, place in enumerate([sizes[-2] + 1, sizes[-2] + 2_000, sizes[-1] - 1]):
        assert promises(flipped(database, tmp_path / str(number), place)) == PROMISES - 1


def test_a_log_that_began_anew_over_an_old_one_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "whole" / "ledger.sqlite"
    store = Store.open(path, CHAIN)
    for round_ in range(PROMISES):
        if round_ == PROMISES - 2:
            store._run("PRAGMA wal_checkpoint(RESTART)", ())
        with store.transaction():
            store.sign(Signed(1, round_, SignedType.PREVOTE, b"value", b"message"))
    shutil.copytree(path.parent, tmp_path / "cut")
    store.close()
    assert promises(tmp_path / "cut" / path.name) == PROMISES
