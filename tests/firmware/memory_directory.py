"""A directory in memory that loses power at a chosen operation: what `board.Directory` promises, and nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class PowerCutError(Exception):
    """The power went."""


class MemoryDirectory:
    """Counts its writing operations; at operation number `cut_at` the power goes, with `torn` bytes written."""

    def __init__(self, files: dict[str, bytes] | None = None, cut_at: int | None = None, torn: int = 0) -> None:
        self.files = files if files is not None else {}
        self.operations = 0
        self.cut_at = cut_at
        self.torn = torn
        self.failing = False

    def names(self) -> list[str]:
        return list(self.files)

    def read(self, name: str) -> bytes:
        return self.files[name]

    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        content = self.files[name]
        yield from (content[place : place + size] for place in range(0, len(content), size))

    def append(self, name: str, data: bytes) -> None:
        before = self.files.get(name, b"")
        if self._is_cut():
            self.files[name] = before + data[: self.torn]
            raise PowerCutError
        if self.failing:
            self.files[name] = before + data[: self.torn]
            raise OSError(28, "No space left on device")
        self.files[name] = before + data

    def replace(self, name: str, data: bytes) -> None:
        if self._is_cut():
            if self.torn:
                self.files[name] = data  # renamed, but the caller never heard of it
            raise PowerCutError
        self.files[name] = data

    def rewrite(self, name: str, pieces: Iterable[bytes]) -> None:
        self.replace(name, b"".join(pieces))

    def remove(self, name: str) -> None:
        if self._is_cut():
            if self.torn:
                del self.files[name]
            raise PowerCutError
        del self.files[name]

    def _is_cut(self) -> bool:
        self.operations += 1
        return self.cut_at is not None and self.operations >= self.cut_at
