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
INCLUSION: dict[str, Any] = {
    name: case
    for name, case in json.loads((VECTORS / "rfc6962-merkle-proofs-a.json").read_text()).items()
    if name.startswith("inclusion/")
}


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
    path = merkle.inclusion_path(index, size, hashes.__getitem__)
    found = merkle.root_from_path(hashes[index], elsewhere, size, path)
    assert (found == merkle.root(leaves)) is (index == elsewhere)


def test_a_path_of_a_leaf_outside_the_tree_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_path(3, 3, [b""].__getitem__)
