"""Tiles are those of C2SP: real ones fit their checkpoints, and proofs made of them are those of the plain tree."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ledger import checkpoint, merkle, tiles
from ledger.errors import MalformedError
from ledger.node.storage.log_rows import MissingHashError
from ledger.node.storage.store import Store
from ledger.tiles import Tile, read_place, write_place

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
COUNT = 256 * 256 + 700
LEAVES = [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(COUNT)]


def insert(store: Store, start: int, end: int) -> None:
    rows = ((place, LEAVES[place], LEAVES[place][:4], None, None) for place in range(start, end))
    store._many("INSERT INTO leaves VALUES (?, ?, ?, ?, ?)", rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A log whose leaves came in portions that respect no tile, 66,236 in all."""
    made = Store.open(tmp_path_factory.mktemp("tiles") / "ledger.sqlite", bytes(8))
    bounds = [0, 1, 255, 256, 257, 700, 65_535, 65_536, 65_537, COUNT]
    for start, end in pairwise(bounds):
        with made.transaction():
            insert(made, start, end)
            made.grow_tree()
    yield made
    made.close()


def test_a_nodes_hashes_give_the_roots_and_proofs_of_the_plain_tree(store: Store) -> None:
    plain, tiled = merkle.hashes_over(LEAVES), tiles.hashes_in(store.tree_hashes)
    draw = random.Random(1)
    sizes = [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, COUNT, draw.randrange(1, COUNT)]
    for size in sizes:
        root = tiles.root(size, store.tree_hashes)
        assert root == plain(0, size)
        for index in {0, size - 1, draw.randrange(size)}:
            path = merkle.inclusion_path(index, size, tiled)
            assert merkle.root_from_path(LEAVES[index], index, size, path) == root
        old_size = draw.randrange(1, size + 1)
        path = merkle.consistency_path(old_size, size, tiled)
        assert merkle.is_consistent(old_size, tiles.root(old_size, store.tree_hashes), size, root, path)


def test_a_proof_reads_a_few_hashes_of_a_large_log(store: Store) -> None:
    read: list[int] = []

    def counted(level: int, first: int, count: int) -> list[bytes]:
        read.append(count)
        return store.tree_hashes(level, first, count)

    merkle.inclusion_path(33_333, COUNT, tiles.hashes_in(counted))
    assert sum(read) < 6 * tiles.WIDTH


def test_a_log_from_before_the_tree_was_kept_gets_it(store: Store, tmp_path: Path) -> None:
    made = Store.open(tmp_path / "ledger.sqlite", bytes(8))
    with made.transaction():
        insert(made, 0, COUNT)
    with pytest.raises(MissingHashError):
        made.tree_hashes(1, 0, 1)
    with made.transaction():
        made.grow_tree()
    assert made.tree_hashes(1, 0, 256) == store.tree_hashes(1, 0, 256)
    assert made.tree_hashes(2, 0, 1) == store.tree_hashes(2, 0, 1)
    for missing in [(0, COUNT - 1, 2), (1, 258, 1), (2, 1, 1), (3, 0, 1)]:
        with pytest.raises(MissingHashError):
            made.tree_hashes(*missing)
    made.close()


def test_real_tiles_hold_the_hashes_of_their_entries_and_the_root_of_their_checkpoint() -> None:
    log = json.loads((VECTORS / "tlog-checkpoints-a.json").read_text(encoding="utf-8"))
    checked = 0
    for one in log["logs"]:
        found, _ = checkpoint.parse_note(one["checkpoint"])
        for name in (name for name in one if name.startswith("tile")):
            hashes = tiles.split_hashes(bytes.fromhex(one[name]), found.size)
            entries = tiles.split_bundle(bytes.fromhex(one["entry_bundle_hex"]), found.size)
            assert tuple(map(merkle.leaf_hash, entries)) == hashes
            assert tiles.bundle(entries).hex() == one["entry_bundle_hex"]
            assert tiles.root(found.size, lambda _, first, count: hashes[first : first + count]) == found.root  # noqa: B023
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize(
    ("index", "width", "text"),
    [
        (0, 256, "000"),
        (7, 1, "007.p/1"),
        (999, 256, "999"),
        (1000, 255, "x001/000.p/255"),
        (1_234_067, 256, "x001/x234/067"),
    ],
)
def test_places_are_written_as_the_specification_says(index: int, width: int, text: str) -> None:
    assert write_place(index, width) == text
    assert read_place(text) == (index, width)


@pytest.mark.parametrize(
    "text", ["", "7", "0007", "x000/001", "1000", "001.p/0", "001.p/256", "001.p/05", "x001/x2/3", "../1", "x" * 99]
)
def test_any_other_way_to_write_a_place_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        read_place(text)


def test_the_tiles_of_a_log_are_those_of_the_specifications_example() -> None:
    """70,000 leaves: 273 whole tiles and one of 112, one whole tile and one of 17, one of a single hash."""
    found = [list(tiles.tiles_of(70_000, level)) for level in range(4)]
    assert [len(level) for level in found] == [274, 2, 1, 0]
    assert [level[-1].width for level in found[:3]] == [112, 17, 1]
    assert list(tiles.tiles_of(256, 1)) == [Tile(1, 0, 1)]
    assert list(tiles.tiles_of(70_000, 0, 273)) == [Tile(0, 273, 112)]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x02a", b"\x00\x01ab", b"\x00\x01a\x00"])
def test_a_bundle_that_is_cut_or_too_long_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        tiles.split_bundle(data, 1)
