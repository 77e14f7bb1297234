"""A disk that loses power: remembers every operation, and shows what a cut at any of them may have left behind.

It has the operations of the firmware's `meter.board.folder.Disk`. A file system keeps what was synced. What was not may
be there, be lost, be torn, or be there without what came before it. These are the outcomes of one cut:

- `kept`: all operations so far reached the flash;
- `lost`: none did since the last sync;
- `torn`: of unsynced writes the first half is there, unsynced names are;
- `names only`: unsynced new, renamed and removed names are there, unsynced contents are not (metadata went first);
- `contents only`: the other way round.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

Image = dict[str, bytes]
"""Path -> content of every file."""


@dataclass(slots=True)
class _File:
    """A file's content as programs see it, and as much of it as is on the flash."""

    content: bytes = b""
    synced: bytes = b""


@dataclass(slots=True)
class FlashFile:
    """An open file."""

    node: _File


@dataclass(slots=True)
class FlashDisk:
    """The disk. `cuts` grows by one entry per operation: what a cut right before it would leave, by outcome."""

    files: dict[str, _File] = field(default_factory=dict)
    synced_names: dict[str, _File] = field(default_factory=dict)
    operations: int = 0
    cuts: list[dict[str, Image]] = field(default_factory=list)
    full: bool = False

    @classmethod
    def of(cls, image: Image) -> FlashDisk:
        """Return a disk that starts, after a cut, with the files of *image*."""
        files = {path: _File(content, content) for path, content in image.items()}
        return cls(files, dict(files))

    def names(self, path: str) -> list[str]:
        """Return the names of all files and folders in folder *path*; a folder is there while a file is in it."""
        below = [name[len(path) + 1 :] for name in self.files if name.startswith(path + "/")]
        return list(dict.fromkeys(name.partition("/")[0] for name in below))

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return self.files[path].content

    def read_part(self, path: str, offset: int, count: int) -> bytes:
        """Return up to *count* bytes of a file from *offset* on."""
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        return self.files[path].content[offset : offset + count]

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """Give the content of a file, *size* bytes at a time and then the rest."""
        content = self.files[path].content
        yield from (content[place : place + size] for place in range(0, len(content), size))

    def open(self, path: str, mode: str) -> FlashFile:
        """Open, make or (mode "wb") empty the file *path*."""
        self._begin()
        node = self.files.setdefault(path, _File())
        if mode == "wb":
            node.content = b""
        return FlashFile(node)

    def write(self, file: FlashFile, data: bytes) -> None:
        """Write *data* at the end of *file*; a full disk takes half of it."""
        self._begin()
        if self.full:
            file.node.content += data[: len(data) // 2]
            raise OSError(errno.ENOSPC, "No space left on device")
        file.node.content += data

    def sync(self, file: FlashFile) -> None:
        """Bring the content of *file* to the flash."""
        self._begin()
        file.node.synced = file.node.content

    def close(self, file: FlashFile) -> None:
        """Close *file*; this brings nothing to the flash."""

    def rename(self, old: str, new: str) -> None:
        """Rename *old* to *new*."""
        self._begin()
        self.files[new] = self.files.pop(old)

    def remove(self, path: str) -> None:
        """Remove *path*."""
        self._begin()
        del self.files[path]

    def make_folder(self, path: str) -> None:
        """Do nothing: folders are there."""

    def remove_folder(self, path: str) -> None:
        """Do nothing: an empty folder is gone."""

    def sync_folder(self, _path: str) -> None:
        """Bring the names of all folders to the flash."""
        self._begin()
        self.synced_names = dict(self.files)

    def image(self) -> Image:
        """Return all files as programs see them."""
        return {path: node.content for path, node in self.files.items()}

    def outcomes(self) -> dict[str, Image]:
        """Return what a cut now may leave, by the name of the outcome."""
        return {
            "kept": self.image(),
            "lost": {path: node.synced for path, node in self.synced_names.items()},
            "torn": {path: _tear(node) for path, node in self.files.items()},
            "names only": {path: node.synced for path, node in self.files.items()},
            "contents only": {path: node.content for path, node in self.synced_names.items()},
        }

    def _begin(self) -> None:
        self.operations += 1
        self.cuts.append(self.outcomes())


def _tear(node: _File) -> bytes:
    """Return *node*'s content with half of what is not synced."""
    if not node.content.startswith(node.synced):
        return node.content[: len(node.content) // 2]  # emptied, and half written anew
    return node.content[: len(node.synced) + (len(node.content) - len(node.synced)) // 2]


def images(disk: FlashDisk) -> Iterator[tuple[int, str, Image]]:
    """Give (operation, outcome, image) of each cut during the life of *disk*, each different image of one cut once."""
    for operation, cut in enumerate([*disk.cuts, disk.outcomes()]):
        for outcome, image in distinct(cut):
            yield operation, outcome, image


def distinct(cut: dict[str, Image]) -> Iterator[tuple[str, Image]]:
    """Give each different image of one cut once, with the first outcome that leaves it."""
    seen: list[Image] = []
    for outcome, image in cut.items():
        if image not in seen:
            seen.append(image)
            yield outcome, image
