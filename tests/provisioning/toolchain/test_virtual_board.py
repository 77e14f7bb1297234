"""The virtual board is built once, or its absence is explained; its signing table holds the base point's multiples."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from provisioning.toolchain import signing_table, virtual_board
from provisioning.toolchain.errors import ToolchainError

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
ENTRY_BYTES = 96


def test_a_missing_board_is_explained_with_the_command_that_makes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(virtual_board, "IMAGE", tmp_path / "firmware.elf")
    with pytest.raises(ToolchainError, match="make firmware"):
        virtual_board.find_board()


def test_a_board_is_built_anew_only_when_what_goes_into_it_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = []
    module = tmp_path / "module.py"
    module.write_text("1\n")
    for name in ("IMAGE", "STAMP"):
        monkeypatch.setattr(virtual_board, name, tmp_path / name)
    monkeypatch.setattr(virtual_board, "ROOT", tmp_path)
    monkeypatch.setattr(virtual_board, "_inputs", lambda: [module])
    monkeypatch.setattr(virtual_board, "_build", lambda: built.append((tmp_path / "IMAGE").write_text("board")))
    for _ in range(2):
        assert virtual_board.get_board() == tmp_path / "IMAGE"
    assert len(built) == 1
    module.write_text("2\n")
    virtual_board.get_board()
    assert len(built) == 2


def test_the_signing_table_holds_the_multiples_that_libsodium_works_out_and_fits_48_kilobytes(tmp_path: Path) -> None:
    signing_table.write_table(tmp_path)
    table = runpy.run_path(str(tmp_path / signing_table.NAME))
    points, teeth, combs = table["POINTS"], table["TEETH"], table["COMBS"]
    assert len(points) == combs * ENTRY_BYTES << teeth - 1
    assert len(points) <= 48 * 1024
    steps = -(-ORDER.bit_length() // (teeth * combs))
    for place in range(combs << teeth - 1):
        comb, entry = divmod(place, 1 << teeth - 1)
        signs = [1 if entry >> tooth & 1 else -1 for tooth in range(teeth - 1)] + [1]
        scalar = sum(sign << steps * (comb + combs * tooth) for tooth, sign in enumerate(signs)) % ORDER
        plus, minus, twist = _numbers(points[ENTRY_BYTES * place :])
        x, y = (plus - minus) % PRIME, (plus + minus) % PRIME  # the table has half of y + x and of y - x
        assert twist == -121665 * pow(121666, -1, PRIME) * x * y % PRIME
        encoded = (y | (x & 1) << 255).to_bytes(32, "little")
        assert encoded == crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


def test_a_signing_table_beyond_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(signing_table, "MAX_POINTS_BYTES", 1000)
    with pytest.raises(ToolchainError, match="more than 1000"):
        signing_table.write_table(tmp_path)


def _numbers(data: bytes) -> list[int]:
    return [int.from_bytes(data[place : place + 32], "little") for place in (0, 32, 64)]
