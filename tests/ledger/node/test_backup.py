"""Backups that vouch for themselves, restored whole and marked or not at all; and databases that are found damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger import genesis
from ledger.genesis import Genesis
from ledger.node import settings
from ledger.node.recovery import backup, memory
from ledger.node.recovery.backup import BackupError
from ledger.node.recovery.memory import DATABASE
from ledger.node.settings import NodeSettings
from ledger.node.snapshots import storing as snapshot_storing
from ledger.node.storage import verifying
from ledger.node.storage.database import claim
from ledger.node.storage.store import Signed, SignedType, Store, StoreError
from tests.ledger.chain_kit import Chain, make_chain
from tests.ledger.node.network import NAMES, make_network
from tests.ledger.snapshot_kit import make_snapshot, store_chain


@dataclass
class Site:
    """One node's folder, with the database of a chain of four blocks."""

    settings: NodeSettings
    rules: Genesis
    chain: Chain

    @property
    def database(self) -> Path:
        return self.settings.data_dir / DATABASE

    def verify(self, *, full: bool = False) -> tuple[str, ...]:
        return verifying.verify(self.database, self.rules, lambda *_: None, full=full).faults


def nothing(_done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    network = make_network(tmp_path / "campus")
    chain = make_chain()
    for _ in range(2):
        chain.block()
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)
    genesis.dump(chain.genesis, network.root / "genesis.json")
    made = Site(settings.load(network.directory(0) / "node.toml"), chain.genesis, chain)
    shutil.rmtree(made.settings.data_dir)
    store = store_chain(chain, made.database)
    with store.transaction():
        store.sign(Signed(5, 0, SignedType.PREVOTE, b"a block", bytes(64)))
        store.set_meta("signs_from", (2).to_bytes(8, "big"))
    store.close()
    return made


def test_a_backup_is_restored_whole_and_the_node_knows_that_it_may_have_forgotten(site: Site, tmp_path: Path) -> None:
    target, seen = tmp_path / "monday", list[tuple[int, int]]()
    with closing(claim(site.database)):  # a node runs on it
        made = backup.make(site.settings, target, with_keys=False, progress=lambda *at: seen.append(at))
        with pytest.raises(BackupError, match="must not be overwritten"):
            backup.restore(site.settings, target, nothing)
    assert seen[-1][0] == seen[-1][1] > 0
    assert (made.name, made.height, made.block_id) == (NAMES[0], 4, site.chain.state.header.id.hex())
    assert sorted(made.files) == ["genesis.json", "ledger.sqlite"]
    assert {oct(path.stat().st_mode)[-2:] for path in [target, *target.iterdir()]} == {"00"}

    before = dump(site.database)
    shutil.rmtree(site.settings.data_dir)
    assert backup.restore(site.settings, target, nothing) == made
    assert sorted(path.name for path in site.settings.data_dir.iterdir()) == ["ledger.lock", "ledger.sqlite"]
    store = Store.open(site.database, site.rules.chain_id)
    assert not memory.is_whole(store)
    memory.note_loss(store)
    with store.transaction():
        memory.recover(store, 9)
    assert (memory.is_whole(store), memory.first_height_to_sign(store)) == (True, 9)
    store.close()
    assert dump(site.database) == before, "beside the mark, nothing differs"
    assert site.verify(full=True) == ()


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as opened:
        return [line for line in opened.iterdump() if "signs_from" not in line]


def test_keys_are_in_a_backup_only_if_they_are_asked_for(site: Site, tmp_path: Path) -> None:
    made = backup.make(site.settings, tmp_path / "all", with_keys=True, progress=nothing)
    assert sorted(made.files) == ["genesis.json", "keys/cosign.key", "keys/log.key", "keys/vote.key", "ledger.sqlite"]
    assert backup.check(tmp_path / "all", nothing) == made


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rename(target: Path, **fields: str) -> None:
    manifest = target / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | fields))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda target: flip(target / "ledger.sqlite"), "is not what manifest.json says"),
        (lambda target: (target / "genesis.json").unlink(), "lacks genesis.json"),
        (lambda target: (target / "manifest.json").write_text("{"), "is damaged"),
        (lambda target: (target / "manifest.json").unlink(), "is no backup"),
        (lambda target: rename(target, format="another"), "take the program that made it"),
        (lambda target: rename(target, name="MEA"), "take the right one"),
        (lambda target: rename(target, chain_id="00"), "take the right one"),
    ],
)
def test_what_is_no_sound_backup_of_this_node_restores_nothing(
    site: Site, tmp_path: Path, spoil: Callable[[Path], object], text: str
) -> None:
    backup.make(site.settings, tmp_path / "copy", with_keys=False, progress=nothing)
    shutil.rmtree(site.settings.data_dir)
    spoil(tmp_path / "copy")
    with pytest.raises(BackupError, match=text):
        backup.restore(site.settings, tmp_path / "copy", nothing)
    assert not site.database.exists()


def test_a_restore_that_was_cut_off_leaves_no_database_and_may_be_done_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.make(site.settings, tmp_path / "copy", with_keys=False, progress=nothing)
    shutil.rmtree(site.settings.data_dir)
    with monkeypatch.context() as patched:
        patched.setattr(memory, "mark_restored", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            backup.restore(site.settings, tmp_path / "copy", nothing)
    assert not site.database.exists(), "never without its mark"
    backup.restore(site.settings, tmp_path / "copy", nothing)
    assert site.verify() == ()


def test_a_backup_that_fails_leaves_nothing_and_overwrites_nothing(site: Site, tmp_path: Path) -> None:
    backup.make(site.settings, tmp_path / "copy", with_keys=False, progress=nothing)
    with pytest.raises(BackupError, match="never overwritten"):
        backup.make(site.settings, tmp_path / "copy", with_keys=False, progress=nothing)
    site.settings.genesis.unlink()
    with pytest.raises(BackupError, match=r"no backup was made.*genesis\.json"):
        backup.make(site.settings, tmp_path / "next", with_keys=False, progress=nothing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campus", "copy"]
    shutil.rmtree(site.settings.data_dir)
    with pytest.raises(BackupError, match="start the node first"):
        backup.make(site.settings, tmp_path / "next", with_keys=False, progress=nothing)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ("UPDATE state_rows SET value = x'80' WHERE rowid_of = 1", "state root"),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE place = 1", "log root"),
        ("UPDATE leaves SET data = x'00' WHERE place = 0", "leaf 0"),
        ("DELETE FROM blocks WHERE height = 2", "block 2 is missing"),
        ("UPDATE blocks SET block_id = zeroblob(32) WHERE height = 2", "block 2 is not what its id says"),
        ('UPDATE blocks SET "commit" = (SELECT "commit" FROM blocks WHERE height = 1) WHERE height = 2', "certificate"),
        ("UPDATE blocks SET body = (SELECT body FROM blocks WHERE height = 1) WHERE height = 2", "block 2"),
        ("INSERT INTO sign_state VALUES (9, 0, 33, x'00', x'00')", "signed at height 9"),
        ("UPDATE meta SET value = zeroblob(8) WHERE name = 'chain_id'", "compare the genesis files"),
        ("DELETE FROM meta WHERE name = 'head'", "never started"),
    ],
)
def test_damage_is_found_and_named(site: Site, damage: str, text: str) -> None:
    assert site.verify() == ()
    with closing(sqlite3.connect(site.database)) as opened, opened:
        opened.execute(damage.replace("rowid_of = 1", "id = (SELECT min(id) FROM state_rows)"))
    assert any(text in fault for fault in site.verify()), site.verify()


def test_a_block_that_does_not_execute_is_found_by_executing(site: Site) -> None:
    site.rules = genesis.loads(genesis.dumps(site.rules).replace(site.rules.secret.hex(), "11" * 32))
    with closing(sqlite3.connect(site.database)) as opened, opened:
        opened.execute("UPDATE meta SET value = ? WHERE name = 'chain_id'", (site.rules.chain_id,))
    assert any("certificate" in fault for fault in site.verify(full=True)), "another chain's certificates do not hold"


def test_a_file_that_is_no_database_is_told_and_one_that_is_not_there(site: Site) -> None:
    site.database.write_bytes(b"\x00\xff" * 10_000)
    assert "cannot be read" in site.verify()[0]
    site.database.unlink()
    with pytest.raises(StoreError, match="restore a backup"):
        site.verify()


def test_a_database_that_came_by_a_snapshot_is_sound_and_knows_what_it_cannot_execute(
    site: Site, tmp_path: Path
) -> None:
    found = make_snapshot(site.database, tmp_path / "newest.snapshot")
    shutil.rmtree(site.settings.data_dir)
    store = Store.open(site.database, site.rules.chain_id)
    with store.transaction():
        snapshot_storing.put(store, found.manifest, found.part)
    memory.note_loss(store)
    assert not memory.is_whole(store), "it may be that of a node that signed before"
    store.close()
    found.close()
    assert site.verify() == ()
    assert "was pruned" in site.verify(full=True)[0]
