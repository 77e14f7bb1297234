"""Snapshots: what is put into a new database is what the chain is, and nothing else gets in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import merkle, records, snapshot, tiles
from ledger.errors import LedgerError, MalformedError
from ledger.node.snapshots.file import MAGIC, SnapshotFile
from ledger.node.snapshots.making import NoSnapshotError, make
from ledger.node.snapshots.storing import put
from ledger.node.storage.store import Store
from ledger.roots import SUBTREES
from ledger.runtime import Runtime
from ledger.snapshot import LEAVES_PER_PART, Manifest, SnapshotRefusedError, check, check_part, parse
from ledger.state import LedgerState, decode_head
from tests.ledger.chain_kit import make_chain
from tests.ledger.snapshot_kit import make_snapshot, store_chain
from tests.ledger.test_handover import play

CHAIN = play()
CHAIN.must("user0", "money", "transfer", CHAIN.people["user1"].id, 5)
CHAIN_ID, FIRST = CHAIN.genesis.chain_id, CHAIN.genesis.authorities


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnapshotFile]:
    folder = tmp_path_factory.mktemp("snapshots")
    store = store_chain(CHAIN, folder / "ledger.sqlite")
    file = make_snapshot(folder / "ledger.sqlite", folder / "one.snapshot")
    yield file
    file.close()
    store.close()


def test_a_new_database_with_the_snapshot_goes_on_as_the_chain_does(made: SnapshotFile, tmp_path: Path) -> None:
    check(made.manifest, CHAIN_ID, FIRST)
    store = Store.open(tmp_path / "new.sqlite", CHAIN_ID)
    with store.transaction():
        put(store, made.manifest, made.part)
    stored = store.meta("head")
    assert stored is not None
    state = LedgerState.restore(decode_head(stored), store.rows())
    assert state.head == CHAIN.state.head
    assert list(state.rows()) == list(CHAIN.state.rows())
    assert store.height() == CHAIN.state.header.height
    assert tiles.root(state.header.log_size, store.tree_hashes) == state.header.log_root
    assert len(store.handovers()) == 3
    store.close()
    next_block, execution = CHAIN.runtime.build(
        CHAIN.state, height=state.header.height + 1, time_ms=state.header.time_ms + 1, proposer=0,
        transactions=[CHAIN.sign("user1", "money", "transfer", CHAIN.people["user0"].id, 1)], evidence=(),
        last_commit=CHAIN.commit(),
    )  # fmt: skip
    assert Runtime(CHAIN.genesis).execute(state, next_block) == execution


def test_parts_of_the_log_are_nodes_of_its_tree() -> None:
    leaves = [number.to_bytes(32, "big") for number in range(3 * LEAVES_PER_PART + 5)]
    for size in (1, LEAVES_PER_PART - 1, LEAVES_PER_PART, LEAVES_PER_PART + 1, 2 * LEAVES_PER_PART, len(leaves)):
        parts = [leaves[first : min(first + LEAVES_PER_PART, size)] for first in range(0, size, LEAVES_PER_PART)]
        hashes = [snapshot.log_root(part) for part in parts]
        assert snapshot.log_root(hashes) == snapshot.log_root(leaves[:size])
        place = size - 1
        path = snapshot.log_path(place, parts[place // LEAVES_PER_PART], hashes)
        assert merkle.root_from_path(leaves[place], place, size, path) == snapshot.log_root(leaves[:size])


def refuses(manifest: bytes) -> bool:
    try:
        check(parse(manifest), CHAIN_ID, FIRST)
    except (MalformedError, SnapshotRefusedError):
        return True
    return False


def test_every_altered_byte_of_a_manifest_is_refused(made: SnapshotFile) -> None:
    data = made.manifest_bytes
    hashes_begin = data.index(b"".join(made.manifest.state_hashes[:4]))
    hashes_end = hashes_begin + SUBTREES * 32
    places = [*range(hashes_begin), *range(hashes_begin, hashes_end, 8191), *range(hashes_end, len(data))]
    tried = 0
    for place in places[::31]:
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        assert refuses(bytes(altered)), place
        tried += 1
    assert tried > 100
    assert not refuses(data)
    assert all(refuses(data[:end]) for end in (0, 1, 100, len(data) - 1))


def test_every_altered_part_is_refused(made: SnapshotFile) -> None:
    for number in made.manifest.parts:
        data = made.part(number)
        assert data is not None
        check_part(made.manifest, number, data)
        for altered in (
            data[:-1],
            data + b"\x00",
            bytes([data[0] ^ 1]) + data[1:],
            data[:-1] + bytes([data[-1] ^ 1]),
            b"",
        ):
            with pytest.raises(SnapshotRefusedError):
                check_part(made.manifest, number, altered)


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"secret": b"s" * 32}, "secret"),
        ({"secret": CHAIN.executions[-2].head.secret}, "secret"),
        ({"place": 0}, "secret"),
        ({"handovers": ()}, "do not lead"),
        ({"state_hashes": (bytes(32),) * SUBTREES}, "state root"),
        ({"state_hashes": ()}, "has not 4096 parts"),
        ({"log_hashes": (bytes(32),)}, "log root"),
        ({"log_hashes": ()}, "has not the parts"),
        ({"header": CHAIN.blocks[-2].header}, "another block"),
    ],
)
def test_what_the_authorities_did_not_certify_is_refused(
    made: SnapshotFile, changes: dict[str, object], because: str
) -> None:
    with pytest.raises(SnapshotRefusedError, match=because):
        check(replace(made.manifest, **changes), CHAIN_ID, FIRST)  # type: ignore[arg-type]


def test_another_blocks_receipt_does_not_vouch_for_its_secret(made: SnapshotFile) -> None:
    """Old secrets open old receipts: only one of the snapshot's own block will do."""
    older = next(one for one in reversed(CHAIN.executions[:-1]) if one.receipts)
    receipt = older.receipts[0]
    old = replace(made.manifest, secret=older.head.secret, receipt=records.encode(receipt.record))
    leaves = [merkle.leaf_hash(leaf) for one in CHAIN.executions for leaf in one.leaves]
    path = snapshot.log_path(receipt.log_index, leaves, old.log_hashes)
    with pytest.raises(SnapshotRefusedError, match="secret"):
        check(replace(old, place=receipt.log_index, path=path), CHAIN_ID, FIRST)


def test_fewer_precommits_than_a_quorum_certify_nothing(made: SnapshotFile) -> None:
    manifest: Manifest = made.manifest
    commit = replace(manifest.commit, signatures=manifest.commit.signatures[:2])
    with pytest.raises(SnapshotRefusedError, match="certificate does not hold"):
        check(replace(manifest, commit=commit), CHAIN_ID, FIRST)


def test_a_damaged_part_leaves_the_database_as_it_was(made: SnapshotFile, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "new.sqlite", CHAIN_ID)
    last = made.manifest.parts[-1]
    with pytest.raises(SnapshotRefusedError), store.transaction():
        put(store, made.manifest, lambda number: b"" if number == last else made.part(number))
    with pytest.raises(SnapshotRefusedError, match="missing"), store.transaction():
        put(store, made.manifest, lambda number: None if number == last else made.part(number))
    assert store.height() == 0
    assert store.meta("head") is None
    store.close()


def test_a_block_without_a_transaction_has_no_snapshot(tmp_path: Path) -> None:
    store = store_chain(make_chain(), tmp_path / "ledger.sqlite")
    with pytest.raises(NoSnapshotError, match="then export again at once"):
        make(store, tmp_path / "one.snapshot")
    assert list(tmp_path.glob("one*")) == []
    store.close()


@pytest.mark.parametrize("data", [b"", b"something else", MAGIC, MAGIC + bytes(8), MAGIC + b"\xff" * 9])
def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(LedgerError):
        SnapshotFile(tmp_path / "file")
