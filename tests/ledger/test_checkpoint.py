"""Notes and cosignatures are those of C2SP: real public ones verify, tampered ones do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledger import checkpoint, merkle
from ledger.errors import MalformedError
from tests.ledger import proof_kit

VECTORS = Path(__file__).parents[1] / "data" / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def test_real_log_checkpoints_verify_and_their_roots_are_ours() -> None:
    log = load("tlog-checkpoints-a.json")
    key = checkpoint.parse_key(log["vkey"])
    for entry in log["logs"]:
        found, lines = checkpoint.parse_note(entry["checkpoint"])
        assert checkpoint.is_signed(found, lines[0], key)
        bundle, leaves = bytes.fromhex(entry.get("entry_bundle_hex", "")), []
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            leaves.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
        assert (found.size, found.root) == (len(leaves), merkle.root(leaves))


def test_real_witness_cosignatures_verify_and_a_tampered_checkpoint_does_not() -> None:
    for case in load("tlog-cosignature-v1-a.json")["cases"]:
        keys = [checkpoint.parse_key(text) for text in case["vkeys_that_verify"]]
        good, lines = checkpoint.parse_note(case["note"])
        tampered, bad_lines = checkpoint.parse_note(case["tampered_note_must_fail"])
        for key in keys:
            assert sum(checkpoint.is_signed(good, line, key) for line in lines) == 1
            assert not any(checkpoint.is_signed(tampered, line, key) for line in bad_lines)


def test_the_published_example_key_parses_to_its_own_text() -> None:
    text = load("c2sp-note-examples.json")["signed_note"]["vkey"]
    assert str(checkpoint.parse_key(text)) == text


@pytest.mark.parametrize("size", ["01", "-1", "1e3", "", " 1", "1_0", "9" * 20, "\u0661"])
def test_a_size_in_any_other_form_is_refused(size: str) -> None:
    good = checkpoint.note(proof_kit.make().covered(), proof_kit.make().cosignatures())
    with pytest.raises(MalformedError):
        checkpoint.parse_note(good.replace("\n11\n", f"\n{size}\n", 1))


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "no cosigner key"),
        ("garbage", "line 1"),
        ("a+00000000+AAAA", "line 1"),
        ("name+00000000+" + "BA" + "A" * 42, "does not belong"),
    ],
)
def test_a_bad_key_file_is_refused_with_its_line(text: str, because: str) -> None:
    with pytest.raises(checkpoint.KeyFileError, match=because):
        checkpoint.parse_keys(text)


def test_a_list_without_a_log_key_is_refused_before_any_proof_is() -> None:
    keys = [key for key in proof_kit.make().verifiers if key.type is checkpoint.SignatureType.COSIGNATURE]
    with pytest.raises(checkpoint.KeyFileError, match="no log key"):
        checkpoint.parse_keys("".join(f"{key}\n" for key in keys))


def test_a_list_of_keys_is_read_whole_or_not_at_all() -> None:
    """A list cut off would need fewer cosignatures."""
    text = "".join(f"{key}\n" for key in proof_kit.make().verifiers)
    assert checkpoint.parse_keys(text.replace("\n", "\r\n")) == proof_kit.make().verifiers
    with pytest.raises(checkpoint.KeyFileError, match="longer than"):
        checkpoint.parse_keys(text + " " * checkpoint.MAX_KEYS_BYTES)


@pytest.mark.parametrize("name", ["a b", "a\u2028b", "a\x0bb", "a\tb"])
def test_a_key_name_with_a_space_or_line_break_of_any_kind_is_refused(name: str) -> None:
    key = checkpoint.VerifierKey(name, checkpoint.SignatureType.COSIGNATURE, bytes(range(32)))
    with pytest.raises(checkpoint.KeyFileError, match="line 1"):
        checkpoint.parse_keys(str(key))


def test_one_name_with_two_keys_does_not_count_twice() -> None:
    keys = [proof_kit.private_key(name).public_key for name in ("ERC cosign", "MEA cosign")]
    twice = [checkpoint.VerifierKey("a", checkpoint.SignatureType.COSIGNATURE, key) for key in keys]
    with pytest.raises(checkpoint.KeyFileError, match="'a' is already listed"):
        checkpoint.parse_keys("\n".join(map(str, twice)))


def test_one_key_under_two_names_does_not_count_twice() -> None:
    key = proof_kit.private_key("ERC cosign").public_key
    twice = [checkpoint.VerifierKey(name, checkpoint.SignatureType.COSIGNATURE, key) for name in ("a", "b")]
    with pytest.raises(checkpoint.KeyFileError, match="already listed"):
        checkpoint.parse_keys("\n".join(map(str, twice)))
