"""Signing is checked against published vectors, on CPython and on real MicroPython with the same loop."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter import ed25519
from meter.sha512 import sha512

from ledger import keys
from provisioning.toolchain.micropython import find_micropython
from tests.firmware.conftest import FIRMWARE, SCRIPT_LIMIT_S, RunScript
from tests.firmware.vector_checks import check_sign_input, check_wycheproof

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
SIGN_INPUT = VECTORS / "ed25519-sign-input-a.txt"
WYCHEPROOF = VECTORS / "wycheproof-ed25519-a.json"
CCTV = VECTORS / "cctv-ed25519-edgecases-a.json"


def test_signatures_are_those_of_rfc_8032_and_sign_input() -> None:
    assert check_sign_input(str(SIGN_INPUT)) == 192


def test_verdicts_are_those_of_wycheproof() -> None:
    assert check_wycheproof(str(WYCHEPROOF)) == 75


def test_micropython_signs_and_judges_the_same(run_script: RunScript) -> None:
    source = "from vector_checks import *\nprint(check_sign_input(ARGUMENTS[0]), check_wycheproof(ARGUMENTS[1]))"
    assert run_script(source, str(SIGN_INPUT), str(WYCHEPROOF)).split() == ["192", "75"]


def test_without_native_code_and_in_4_megabytes_micropython_signs_the_same(tmp_path: Path) -> None:
    shutil.copytree(FIRMWARE / "meter", tmp_path / "meter")
    (tmp_path / "meter/sha512_viper.py").write_text("raise SyntaxError('invalid micropython decorator')\n")
    few = tmp_path / "sign.input"
    few.write_text("".join(SIGN_INPUT.read_text().splitlines(keepends=True)[:24]))
    source = f"""
import sys
sys.path[:0] = {[str(tmp_path), str(Path(__file__).parent)]!r}
from vector_checks import *
from meter import sha512, sha512_plain
assert sha512.hash_blocks is sha512_plain.hash_blocks
print(check_sign_input({str(few)!r}))
"""
    command = [str(find_micropython()), "-X", "heapsize=4m", "-c", source]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SCRIPT_LIMIT_S)
    assert (done.stdout.strip(), done.stderr) == ("24", "")


def test_a_table_of_any_shape_gives_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = bytes(range(32))
    for width, columns in ((2, 1), (3, 7), (5, 2), (6, 3), (8, 32)):
        monkeypatch.setattr(ed25519, "_POINTS", ed25519.make_table(width, columns))
        monkeypatch.setattr(ed25519, "_WIDTH", width)
        monkeypatch.setattr(ed25519, "_COLUMNS", columns)
        assert ed25519.public_key(seed) == keys.PrivateKey(seed).public_key, (width, columns)


def test_edge_cases_get_the_verdict_of_the_library_that_consensus_uses() -> None:
    accepted = 0
    for case in json.loads(CCTV.read_text()):
        key, signature, message = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"]), case["msg"].encode()
        verdict = ed25519.verify(key, message, signature)
        assert verdict == keys.verify(key, message, signature), case
        accepted += verdict
    assert accepted > 0


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=400))
def test_any_signature_is_the_one_that_libsodium_makes(seed: bytes, message: bytes) -> None:
    key = keys.PrivateKey(seed)
    assert ed25519.public_key(seed) == key.public_key
    assert ed25519.sign(seed, message) == key.sign(message)


@settings(max_examples=50, deadline=None)
@given(message=st.binary(max_size=400))
def test_sha512_is_the_standard_one(message: bytes) -> None:
    assert sha512(message) == hashlib.sha512(message).digest()


@pytest.mark.parametrize("length", [111, 112, 127, 128, 239, 240])
def test_sha512_pads_right_at_block_borders(length: int) -> None:
    assert sha512(b"a" * length) == hashlib.sha512(b"a" * length).digest()


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519.sign(bytes(size), b"")


@pytest.mark.parametrize(("key_size", "signature_size"), [(31, 64), (32, 63), (32, 65), (0, 0)])
def test_lengths_that_cannot_be_are_no_signature(key_size: int, signature_size: int) -> None:
    assert not ed25519.verify(bytes(key_size), b"", bytes(signature_size))
