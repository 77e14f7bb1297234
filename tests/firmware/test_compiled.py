"""The very files that a microcontroller gets run: those for RISC-V from a ROMFS in the virtual board's flash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.resources.virtual_board import VirtualBoard, make_flash
from provisioning.image import pack
from provisioning.toolchain import mpy
from provisioning.toolchain.virtual_board import find_board

SIGN_INPUT = Path(__file__).parents[1] / "data" / "vectors" / "ed25519-sign-input-a.txt"
LIMIT_S = 60
CASES = 6
MOUNT = """
import sys, uctypes, vfs
vfs.mount(vfs.VfsRom(memoryview(uctypes.bytearray_at(0x22000000, SIZE))), "/rom")
sys.path.insert(0, "/rom")
import gc
gc.collect()
before = gc.mem_alloc()
from meter import ed25519, ed25519_table
gc.collect()
taken = gc.mem_alloc() - before
"""
MAX_HEAP_BYTES = 24 * 1024
"""The table alone has 48 KB."""
OF_OTHER_BOARDS = ("datagram", "lookup", "network", "systemd", "qemu_time", "qemu_select")
"""What needs a network; and stand-ins, which are frozen under the names of what they stand for."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the meter compiled for the virtual board."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpy, "BUILD", tmp_path_factory.mktemp("targets"))
        mpy.build_targets()
        return mpy.folder_of(next(target for target in mpy.TARGETS if target.board == "qemu"))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[VirtualBoard]:
    """Give a running board that has mounted the compiled meter; the frozen one is behind it."""
    folder = tmp_path_factory.mktemp("compiled")
    image = pack(compiled)
    flash = make_flash(folder / "flash")
    with flash.open("r+b") as file:
        file.write(image)
    with VirtualBoard(find_board(), flash=flash) as running:
        running.run(f"SIZE = {len(image)}\n{MOUNT}", LIMIT_S)
        yield running


def test_every_module_of_the_compiled_meter_can_be_imported_from_flash(board: VirtualBoard, compiled: Path) -> None:
    names = [name.removesuffix(".mpy").replace("/", ".") for name in mpy.sizes(compiled) if "__init__" not in name]
    runnable = [name for name in names if name.rpartition(".")[2] not in OF_OTHER_BOARDS]
    source = f"""
import sys
for name in {runnable}:
    __import__(name)
    assert sys.modules[name].__file__.startswith("/rom/"), name
print(len({runnable}))
"""
    assert int(board.run(source, LIMIT_S)) == len(runnable) > 60


def test_the_compiled_native_code_signs_as_the_vectors_say(board: VirtualBoard) -> None:
    cases = [line.split(":") for line in SIGN_INPUT.read_text().splitlines()[:CASES]]
    source = f"""
from meter import ed25519, field, field_viper, sha512, sha512_viper
assert sha512.hash_blocks is sha512_viper.hash_blocks and field.multiply is field_viper.multiply
assert ed25519._POINTS is ed25519_table.POINTS
for module in (ed25519, ed25519_table, sha512_viper, field_viper):
    assert module.__file__.startswith("/rom/meter/"), module
for secret, message in {[[secret[:64], message] for secret, _, message, _, *_ in cases]}:
    print(ed25519.sign(bytes.fromhex(secret), bytes.fromhex(message)).hex())
"""
    assert board.run(source, LIMIT_S).split() == [signed[:128] for _, _, _, signed, *_ in cases]


def test_the_signing_table_stays_in_flash(board: VirtualBoard) -> None:
    heap_bytes = int(board.run("print(taken)"))
    print(f"heap that the compiled signing modules take: {heap_bytes} bytes")
    assert heap_bytes <= MAX_HEAP_BYTES
