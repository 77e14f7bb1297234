"""What `mip` installs is what there is, and the firmware stands on nothing but itself."""

from __future__ import annotations

import ast
import json
from pathlib import Path

FIRMWARE = Path(__file__).parents[2] / "firmware"
MODULES = sorted(path.relative_to(FIRMWARE).as_posix() for path in (FIRMWARE / "meter").rglob("*.py"))
OF_BOTH = {"array", "asyncio", "binascii", "collections", "hashlib", "json", "micropython", "struct", "sys"}
OF_BOARDS = OF_BOTH | {"ctypes", "errno", "fcntl", "ffi", "os", "select", "socket", "ssl", "termios", "time", "tls"}
OF_BOARDS |= {"signal", "_thread"}
OF_BOARDS |= {"esp32", "machine", "network", "uctypes", "vfs"}  # of microcontrollers


def test_the_package_lists_every_module() -> None:
    listed = json.loads((FIRMWARE / "package.json").read_text())["urls"]
    assert listed == [[name, name] for name in MODULES]


def test_only_boards_know_the_machine() -> None:
    for name in MODULES:
        allowed = OF_BOARDS if "/board/" in name else OF_BOTH
        for node in ast.walk(ast.parse((FIRMWARE / name).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for imported in names:
                assert imported.partition(".")[0] in allowed | {"meter"}, f"{name} imports {imported}"


def test_no_float_is_written_in_the_energy_path() -> None:
    meters = ("registers", "profile", "instrument", "sunspec", "modbus")
    clocks = ("clock", "unix_time", "sntp", "agreement", "timekeeper")
    for name in (*meters, *clocks, "reading", "cbor", "envelope", "segments", "journal"):
        for node in ast.walk(ast.parse((FIRMWARE / "meter" / f"{name}.py").read_text())):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), name
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), name
            assert not (isinstance(node, ast.Name) and node.id == "float"), name
