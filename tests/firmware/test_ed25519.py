"""Signing: what libsodium signs, whatever the table. Published vectors are in `check_cases.py`."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter import ed25519
from meter.sha512 import sha512

from ledger import keys


def test_a_table_of_any_shape_gives_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = bytes(range(32))
    for teeth, combs in ((1, 1), (2, 1), (3, 7), (5, 2), (6, 3), (8, 4)):
        monkeypatch.setattr(ed25519, "_POINTS", ed25519.make_table(teeth, combs))
        monkeypatch.setattr(ed25519, "_TEETH", teeth)
        monkeypatch.setattr(ed25519, "_COMBS", combs)
        assert ed25519.public_key(seed) == keys.PrivateKey(seed).public_key, (teeth, combs)


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
