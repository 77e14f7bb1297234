"""The virtual board is built once, or its absence is explained; its signing table holds the base point's multiples."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from provisioning.toolchain import signing_table, virtual_board
from provisioning.toolchain.errors import ToolchainError

BASE_POINT_X = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
BASE_POINT_Y = 0x6666666666666666666666666666666666666666666666666666666666666658
PRIME = 2**255 - 19
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


def test_the_signing_table_starts_with_the_base_point_and_fits_48_kilobytes(tmp_path: Path) -> None:
    signing_table.write_table(tmp_path)
    table = runpy.run_path(str(tmp_path / signing_table.NAME))
    points = table["POINTS"]
    rows, rest = divmod(len(points), ENTRY_BYTES << table["WIDTH"] - 1)
    assert (len(points) <= 48 * 1024, rest) == (True, 0)
    assert rows * table["COLUMNS"] * table["WIDTH"] > 255
    assert int.from_bytes(points[:32], "little") == (BASE_POINT_Y + BASE_POINT_X) % PRIME
    assert int.from_bytes(points[32:64], "little") == (BASE_POINT_Y - BASE_POINT_X) % PRIME


def test_a_signing_table_beyond_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(signing_table, "MAX_POINTS_BYTES", 1000)
    with pytest.raises(ToolchainError, match="more than 1000"):
        signing_table.write_table(tmp_path)
