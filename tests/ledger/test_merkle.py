"""The tree is RFC 6962's: published hashes, published proofs, and every path of small trees."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
PUBLISHED: dict[str, Any] = json.loads((VECTORS / "rfc6962-merkle-proofs-a.json").read_text())
INCLUSION = {name: case for name, case in PUBLISHED.items() if name.startswith("inclusion/")}
CONSISTENCY = {name: case for name, case in PUBLISHED.items() if name.startswith("consistency/")}


def test_published_hashes() -> None:
    known = json.loads((VECTORS / "rfc6962-hashes.json").read_text())
    assert merkle.root([]).hex() == known["empty_root"]
    assert merkle.leaf_hash(b"").hex() == known["leaf_of_empty"]
    assert merkle.leaf_hash(b"L123456").hex() == known["leaf_of_ascii_L123456"]
    assert merkle.node_hash(b"N123", b"N456").hex() == known["node_of_ascii_N123_N456"]


@pytest.mark.parametrize("name", INCLUSION)
def test_published_inclusion_proofs_get_their_verdict(name: str) -> None:
    case = INCLUSION[name]
    path = [base64.b64decode(node) for node in case["proof"] or []]
    leaf, root = (base64.b64decode(case[field] or "") for field in ("leafHash", "root"))
    index, size = (value % 2**64 for value in (case["leafIdx"], case["treeSize"]))
    assert (merkle.root_from_path(leaf, index, size, path) == root) is not case["wantErr"]


@given(st.integers(1, 300), st.data())
def test_every_leaf_has_a_path_to_the_root_and_no_other_place_has(size: int, data: st.DataObject) -> None:
    index, elsewhere = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    leaves = [number.to_bytes(2, "big") for number in range(size)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    path = merkle.inclusion_path(index, size, merkle.hashes_over(hashes))
    found = merkle.root_from_path(hashes[index], elsewhere, size, path)
    assert (found == merkle.root(leaves)) is (index == elsewhere)


def test_a_path_of_a_leaf_outside_the_tree_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_path(3, 3, merkle.hashes_over([]))


@pytest.mark.parametrize("name", CONSISTENCY)
def test_published_consistency_proofs_get_their_verdict(name: str) -> None:
    case = CONSISTENCY[name]
    path = [base64.b64decode(node) for node in case["proof"] or []]
    old_root, root = (base64.b64decode(case[field] or "") for field in ("root1", "root2"))
    old_size, size = (value % 2**64 for value in (case["size1"], case["size2"]))
    assert merkle.is_consistent(old_size, old_root, size, root, path) is not case["wantErr"]


def test_every_tree_begins_with_every_smaller_one_and_with_no_other() -> None:
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(40)]
    hash_of = merkle.hashes_over(hashes)
    for size in range(1, 41):
        for old_size in range(size + 1):
            path = merkle.consistency_path(old_size, size, hash_of)
            old, new = hash_of(0, old_size), hash_of(0, size)
            assert merkle.is_consistent(old_size, old, size, new, path)
            assert not merkle.is_consistent(old_size, hashes[0][::-1], size, new, path)
            assert not merkle.is_consistent(old_size, old, size, new, [*path, hashes[0]])
            assert old_size in (0, size) or not merkle.is_consistent(old_size, old, size, hashes[0], path)
            assert not path or not merkle.is_consistent(old_size, old, size, new, path[:-1])
    with pytest.raises(ValueError, match="does not begin"):
        merkle.consistency_path(3, 2, hash_of)
