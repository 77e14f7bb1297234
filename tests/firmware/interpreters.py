"""The interpreters that the firmware's one set of sources runs on, each asked the same questions in the same way.

A module of `checks/` has `answer(case)`, where case and answer are what JSON can say. It runs, unchanged, where the
firmware runs: in this process, under MicroPython's unix port with and without native code, on the virtual RV32 board.
"""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.resources.virtual_board import VirtualBoard
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.virtual_board import find_board

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
CHECKS = "tests.firmware.checks"
LIMIT_S = 100
HEAP = "4m"
"""What the unix port needs at most."""
BOARD_CHUNK_BYTES = 3000
"""Cases go to the board a few at a time: they, their text and the answers share 140 KB with the firmware."""

Answers = list[Any]
Ask = Callable[[str, Sequence[Any], Path], Answers]
"""(module of checks/, its cases, a folder to work in) -> an answer to each case."""

ASK = """
import json, sys
from {module} import answer
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
"""
INSTALL = """
import gc, json, sys
class Module: pass
def install(name, source):
    names = {"__name__": name}
    exec(source, names)
    module = Module()
    for key in names:
        setattr(module, key, names[key])
    sys.modules[name] = module
    while "." in name:
        name, _, leaf = name.rpartition(".")
        package = sys.modules.setdefault(name, Module())
        setattr(package, leaf, module)
        module = package
"""


def ask_cpython(module: str, cases: Sequence[Any], _: Path) -> Answers:
    """Ask this interpreter."""
    answer = importlib.import_module(f"{CHECKS}.{module}").answer
    return [_plain(answer(_plain(case))) for case in cases]


def ask_micropython(module: str, cases: Sequence[Any], _: Path) -> Answers:
    """Ask the unix port, which has native code on x86-64."""
    return _ask_unix_port(FIRMWARE, module, cases)


def ask_without_native_code(module: str, cases: Sequence[Any], folder: Path) -> Answers:
    """Ask the unix port about sources that meet its compiler as they would meet one without a native emitter."""
    return _ask_unix_port(without_native_code(folder), module, cases)


def ask_board(module: str, cases: Sequence[Any], _: Path) -> Answers:
    """Ask the virtual board, booted anew."""
    answers: Answers = []
    with VirtualBoard(find_board()) as board:
        install(board, f"{CHECKS}.{module}")
        board.run(f"from {CHECKS}.{module} import answer")
        for lines in _chunks([json.dumps(case) for case in cases]):
            source = f"gc.collect()\nfor line in {lines!r}: print(json.dumps(answer(json.loads(line))))"
            answers += [json.loads(line) for line in board.run(source, LIMIT_S).splitlines()]
    return answers


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One of them, by the name that people know it by."""

    name: str
    ask: Ask


BOARD = Interpreter("RV32 board", ask_board)
INTERPRETERS = (
    Interpreter("CPython", ask_cpython),
    Interpreter("MicroPython", ask_micropython),
    Interpreter("no native code", ask_without_native_code),
    BOARD,
)


def without_native_code(folder: Path) -> Path:
    """Return a folder with the firmware for a compiler without emitter: it refuses `viper` as any unknown decorator.

    On aarch64 MicroPython knows no emitter, so that `@micropython.viper` is a SyntaxError "invalid micropython
    decorator" when the module is imported. x86-64's says the very same of the inline assembler of another machine.
    """
    if not (folder / "meter").exists():
        shutil.copytree(FIRMWARE / "meter", folder / "meter", ignore=shutil.ignore_patterns("__pycache__"))
        for path in (folder / "meter").rglob("*.py"):
            text = path.read_text()
            for emitter in ("viper", "native"):
                text = text.replace(f"@micropython.{emitter}", "@micropython.asm_xtensa")
            path.write_text(text)
    return folder


def install(board: VirtualBoard, name: str) -> None:
    """Put the module *name* of these tests, and those of them that it imports, into the board's memory."""
    board.run(INSTALL)
    for each in _with_imports(name, []):
        source = ast.unparse(_without_docstrings(ast.parse(_path(each).read_text())))
        board.run(f"gc.collect()\ninstall({each!r}, {source!r})", LIMIT_S)


def _ask_unix_port(firmware: Path, module: str, cases: Sequence[Any]) -> Answers:
    source = f"import sys\nsys.path[:0] = {[str(firmware), str(ROOT)]!r}\n" + ASK.format(module=f"{CHECKS}.{module}")
    done = subprocess.run(
        [find_micropython(), "-X", f"heapsize={HEAP}", "-c", source],
        check=False, input="".join(json.dumps(case) + "\n" for case in cases), capture_output=True, text=True,
        timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _plain(value: Any) -> Any:
    """Return *value* as JSON has it."""
    return json.loads(json.dumps(value))


def _chunks(lines: list[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        if chunk and sum(map(len, chunk)) + len(line) > BOARD_CHUNK_BYTES:
            yield chunk
            chunk = []
        chunk.append(line)
    yield chunk


def _with_imports(name: str, found: list[str]) -> list[str]:
    """Return *found* and module *name*, which comes behind those of the tests' modules that it imports."""
    for node in ast.walk(ast.parse(_path(name).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                _with_imports(inner if _path(inner).is_file() else str(node.module), found)
    if name not in found:
        found.append(name)
    return found


def _path(name: str) -> Path:
    return ROOT / (name.replace(".", "/") + ".py")


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Return *tree* without what only people read: the board has no room for it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            rest = [
                line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
            node.body = rest or [ast.Pass()]
    return tree
