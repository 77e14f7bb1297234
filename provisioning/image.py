"""Images of the meter's application: a ROMFS with the package `meter` in it, for one target, with a version.

A machine under Linux takes the source as it is; a microcontroller takes what `make firmware` compiled for it. The
image file is CBOR: [what it is, target, version, ROMFS].
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mpremote.romfs import VfsRomWriter

from ledger import cbor
from ledger.errors import MalformedError
from provisioning import files
from provisioning.errors import ImageError
from provisioning.toolchain import mpy
from provisioning.toolchain.signing_table import write_table

LINUX: Final = mpy.Target("linux", "none", "linux", "any machine under Linux")
TARGETS: Final = {target.name: target for target in (LINUX, *mpy.TARGETS)}
MAX_VERSION: Final = 2**32 - 1
PACKAGE: Final = "meter"
_FORM: Final = "campusgrid meter image"


@dataclass(frozen=True, slots=True)
class Image:
    """What a meter of kind `target` can run as `version`; `data` is a ROMFS."""

    target: str
    version: int
    data: bytes


def build(target: str, version: int) -> Image:
    """Return the image of this checkout's firmware for *target*; raises ImageError."""
    if target not in TARGETS:
        raise ImageError(f"there is no target {target!r}: choose one of {', '.join(TARGETS)}")
    if target == LINUX.name:
        with tempfile.TemporaryDirectory() as name:
            copy_source(Path(name))
            return Image(target, _checked(version), pack(Path(name)))
    folder = mpy.folder_of(TARGETS[target])
    if not (folder / PACKAGE).is_dir():
        raise ImageError(f"{folder} is missing: `make firmware` compiles the meter for {target}")
    return Image(target, _checked(version), pack(folder))


def copy_source(folder: Path) -> None:
    """Put into *folder* what the image of a machine under Linux holds: the sources, the signing table made."""
    shutil.copytree(mpy.METER, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    write_table(folder / PACKAGE)
    for module in folder.rglob("*.py"):
        if not mpy.is_for(LINUX, module.relative_to(folder)):
            module.unlink()


def pack(folder: Path) -> bytes:
    """Return a ROMFS with everything in *folder*."""
    writer = VfsRomWriter()
    _fill(writer, folder)
    return bytes(writer.finalise())


def save(image: Image, path: Path) -> None:
    """Write *image* to the file *path*."""
    files.write_public(path, cbor.encode([_FORM, image.target, image.version, image.data]))


def load(path: Path) -> Image:
    """Return the image in the file *path*; raises ImageError."""
    try:
        match cbor.decode(path.read_bytes()):
            case [str(form), str(target), int(version), bytes(data)] if form == _FORM and target in TARGETS and data:
                return Image(target, _checked(version), data)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}. Check the path.") from error
    except MalformedError:
        pass
    raise ImageError(f"{path} is no image of a meter: `campusgrid provision image` makes one")


def _checked(version: int) -> int:
    if not 1 <= version <= MAX_VERSION:
        raise ImageError(f"a version is a number from 1 to {MAX_VERSION}, not {version}")
    return version


def _fill(writer: VfsRomWriter, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            writer.opendir(path.name)
            _fill(writer, path)
            writer.closedir()
        else:
            writer.mkfile(path.name, path.read_bytes())
