"""Key files: strict, private, written whole, never overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from provisioning import files, keys
from provisioning.errors import DirectoryError

SEED = "ab" * 32


def test_a_key_is_read_back_and_only_its_owner_may(tmp_path: Path) -> None:
    made = keys.make(tmp_path / "a.key")
    assert keys.read(tmp_path / "a.key") == made
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert (tmp_path / "a.key").read_text() == made.seed.hex() + "\n"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    before = keys.make(tmp_path / "a.key")
    with pytest.raises(DirectoryError, match="never overwritten"):
        keys.make(tmp_path / "a.key")
    assert keys.read(tmp_path / "a.key") == before


@pytest.mark.parametrize(
    "text", ["", SEED, SEED + "\n\n", SEED.upper() + "\n", SEED[:-2] + "\n", "g" * 64 + "\n", "\xff"]
)
def test_what_is_not_a_key_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.key").write_bytes(text.encode("latin-1"))
    with pytest.raises(DirectoryError) as refused:
        keys.read(tmp_path / "a.key")
    assert SEED[:8] not in str(refused.value)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_secret(tmp_path / "a", "old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DirectoryError, match="No space left"):
        files.write_secret(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
