"""The virtual 32-bit board: MicroPython's `ports/qemu` for RV32, the ISA of an ESP32-C3, with the meter frozen in.

Its sources come from Debian's source package of release 13 and stay in `.cache/`; only the image is ours to keep.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioning.toolchain import apt, archive, sources
from provisioning.toolchain.cache import CACHE, ROOT, locked
from provisioning.toolchain.errors import ToolchainError
from provisioning.toolchain.micropython import SUCCESSORS
from provisioning.toolchain.signing_table import write_table

FIRMWARE = ROOT / "firmware"
BOARD = CACHE / "virtual-board"
SOURCE = BOARD / "source"
FROZEN = BOARD / "frozen"
IMAGE = BOARD / "firmware.elf"
STAMP = BOARD / "inputs"
CROSS_COMPILER = SOURCE / "mpy-cross/build/mpy-cross"
COMPILER, SIMULATOR = "riscv64-unknown-elf-gcc", "qemu-system-riscv32"
PACKAGES = {
    "cc": ("gcc", "libc6-dev"),
    COMPILER: ("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"),
    SIMULATOR: ("qemu-system-misc",),
}
SPLIT_OFF = {SIMULATOR: ("qemu-system-riscv",)}  # release 13 has the simulator in a package of its own
PORT_SETTINGS = (
    *("BOARD=VIRT_RV32", "RV32_ARCH=rv32imac", "MICROPY_VFS_LFS2=1", "CFLAGS_EXTRA=-DMICROPY_VFS_LFS2=1"),
    # littlefs links against a clock that the port lacks; mounted with mtime=False it never asks it
    "LIBS=-Wl,--defsym=mp_hal_time_ns=mp_hal_stdio_poll",
)
SHIMS = {"qemu_time.py": "time.py", "qemu_select.py": "select.py"}  # what the port lacks and asyncio needs
MANIFEST = """\
package("meter", base_path="{frozen}")
module("time.py", base_path="{frozen}")
module("select.py", base_path="{frozen}")
include("$(MPY_DIR)/extmod/asyncio")
package("asyncio", ("task.py",), base_path="$(MPY_DIR)/extmod")
"""
BUILD_LIMIT_S = 900


def find_board() -> Path:
    """Return the image of the board; ToolchainError says how to build it."""
    if not IMAGE.is_file() or shutil.which(SIMULATOR) is None:
        raise ToolchainError("there is no virtual board here: run `make firmware`")
    return IMAGE


def find_cross_compiler() -> Path:
    """Return the mpy-cross that was built with the board, from the same sources; ToolchainError says how to get it."""
    if not CROSS_COMPILER.is_file():
        raise ToolchainError("there is no mpy-cross here: run `make firmware`")
    return CROSS_COMPILER


def get_board() -> Path:
    """Return the board's image, built anew where the firmware or the way of building it changed."""
    _install_tools()
    with locked("virtual-board"):
        wanted = _hash_inputs()
        if not (IMAGE.is_file() and STAMP.is_file() and STAMP.read_text() == wanted):
            _build()
            STAMP.write_text(wanted)
    return find_board()


def _install_tools() -> None:
    missing = [program for program in PACKAGES if shutil.which(program) is None]
    if not missing:
        return
    choices = PACKAGES if sources.codename() in SUCCESSORS else {**PACKAGES, **SPLIT_OFF}
    apt.install([package for program in missing for package in choices[program]], "building the virtual board")


def _inputs() -> Iterator[Path]:
    yield from sorted((FIRMWARE / "meter").rglob("*.py"))
    yield from (Path(__file__), Path(__file__).with_name("signing_table.py"))


def _hash_inputs() -> str:
    digest = hashlib.sha256(f"{BOARD}\n".encode())  # the tree remembers its place, and does not build in another
    for path in _inputs():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _build() -> None:
    if not (SOURCE / "ports/qemu").is_dir():
        print(f"fetching the sources of MicroPython into {SOURCE}", flush=True)
        _fetch_source()
    print("building the virtual board: half a minute the first time", flush=True)
    archive.replace_folder(FROZEN, _freeze)
    manifest = BOARD / "manifest.py"
    manifest.write_text(MANIFEST.format(frozen=FROZEN))
    _make(SOURCE / "mpy-cross", [])  # by itself: as a part of the board it would get the board's settings
    port = SOURCE / "ports/qemu"
    _make(port, [*PORT_SETTINGS, f"FROZEN_MANIFEST={manifest}", f"MPY_LIB_DIR={SOURCE}"])
    fresh = IMAGE.with_suffix(".new")
    shutil.copyfile(port / "build-VIRT_RV32/firmware.elf", fresh)
    fresh.replace(IMAGE)


def _freeze(folder: Path) -> None:
    """Fill the folder with what goes into the board: the meter, its signing table, stand-ins for two modules."""
    shutil.copytree(FIRMWARE / "meter", folder / "meter", ignore=shutil.ignore_patterns("__pycache__"))
    write_table(folder / "meter")
    for name, place in SHIMS.items():
        shutil.copyfile(FIRMWARE / "meter/board" / name, folder / place)


def _fetch_source() -> None:
    """Try the machine's Debian archives one after the other; the first that has the source package wins."""
    release = sources.codename()
    entries = sources.signed_by_debian(sources.read_sources())
    candidates = sources.of_suite(entries, release, SUCCESSORS.get(release, release))
    if not candidates:
        raise ToolchainError(f"no entry for {release} in {sources.APT_FOLDER} is signed by Debian: add Debian's own")
    BOARD.mkdir(exist_ok=True)
    faults = []
    for candidate in candidates:
        try:
            with archive.opened([candidate], with_sources=True) as opened:
                archive.replace_folder(SOURCE, lambda folder, opened=opened: _unpack(opened, folder))  # type: ignore[misc]
        except ToolchainError as error:
            faults.append(error)
        else:
            return
    raise faults[0]


def _unpack(opened: archive.Archive, folder: Path) -> None:
    """Unpack the upstream part of the package, which apt checked; Debian's patches are for its own builds."""
    shutil.unpack_archive(opened.download_source("micropython"), folder)
    (top,) = folder.iterdir()
    for part in top.iterdir():
        part.rename(folder / part.name)
    top.rmdir()


def _make(folder: Path, settings: Sequence[str]) -> None:
    # the assembler's flags come from the environment, so that the port adds to them; not our own make's flags
    inherited = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    command = ["make", "-C", str(folder), f"-j{os.cpu_count() or 1}", f"PYTHON={sys.executable}", *settings]
    environment = {**inherited, "AFLAGS": "-misa-spec=2.2", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False)
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split()[-40:])
        raise ToolchainError(f"`{' '.join(command)}` failed: {reason}")
