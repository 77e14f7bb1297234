"""Another operator's log over HTTP (c2sp.org/tlog-tiles): nothing that comes from there is believed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx

from ledger import handover, tiles
from ledger.errors import LedgerError, MalformedError
from ledger.merkle import HASH_BYTES
from ledger.monitor import fork
from ledger.monitor.fork import SignedCheckpoint
from ledger.tiles import HashReader, Tile

TIMEOUT_S: Final = 10.0
MAX_CHECKPOINT_BYTES: Final = 64 * 1024
MAX_TILE_BYTES: Final = tiles.WIDTH * HASH_BYTES
MAX_BUNDLE_BYTES: Final = tiles.WIDTH * 2**12
MAX_CACHED_TILES: Final = 1024


class RemoteLogError(LedgerError):
    """The log did not answer, or not as a log does; the text says what was asked and what came."""


class RemoteLog:
    """The log of the node whose API is at *url*."""

    def __init__(self, url: str) -> None:
        self._prefix = f"{url.rstrip('/')}/v1"
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def checkpoint(self) -> SignedCheckpoint:
        """Return the newest checkpoint with its signatures, unchecked; raises RemoteLogError."""
        data = self._get("checkpoint", MAX_CHECKPOINT_BYTES)
        try:
            return fork.parse_note(data.decode())
        except (MalformedError, UnicodeDecodeError) as error:
            raise RemoteLogError(f"{self._prefix}/checkpoint is no signed checkpoint: {error}") from error

    def handovers(self) -> bytes:
        """Return the file of hand-over certificates, unchecked; raises RemoteLogError."""
        return self._get("handovers", handover.MAX_FILE_BYTES)

    def tile(self, tile: Tile) -> tuple[bytes, ...]:
        """Return a tile's hashes, of a whole one that took a partial one's place too; raises RemoteLogError."""
        try:
            data = self._get(f"tile/{tile.path}", MAX_TILE_BYTES)
        except RemoteLogError:
            if tile.width == tiles.WIDTH:
                raise
            whole = self._get(f"tile/{Tile(tile.level, tile.index).path}", MAX_TILE_BYTES)
            data = whole[: tile.width * HASH_BYTES]
        return self._split(tiles.split_hashes, data, tile)

    def entries(self, tile: Tile) -> tuple[bytes, ...]:
        """Return the entries under a tile of level 0; raises RemoteLogError."""
        data = self._get(f"tile/entries/{tiles.write_place(tile.index, tile.width)}", MAX_BUNDLE_BYTES)
        return self._split(tiles.split_bundle, data, tile)

    def reader(self, size: int) -> HashReader:
        """Return what reads the hashes of the tree of *size* leaves, each tile fetched once."""
        held: dict[tuple[int, int], Sequence[bytes]] = {}

        def read(level: int, first: int, count: int) -> Sequence[bytes]:
            index, start = divmod(first, tiles.WIDTH)
            if (level, index) not in held:
                if len(held) >= MAX_CACHED_TILES:
                    held.clear()
                width = min(tiles.WIDTH, (size >> (tiles.HEIGHT * level)) - index * tiles.WIDTH)
                held[level, index] = self.tile(Tile(level, index, width))
            return held[level, index][start : start + count]

        return read

    def _split(self, split: object, data: bytes, tile: Tile) -> tuple[bytes, ...]:
        assert callable(split)
        try:
            found: tuple[bytes, ...] = split(data, tile.width)
        except MalformedError as error:
            raise RemoteLogError(f"{self._prefix}/tile/{tile.path}: {error}") from error
        return found

    def _get(self, path: str, limit: int) -> bytes:
        url = f"{self._prefix}/{path}"
        try:
            with self._http.stream("GET", url) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise RemoteLogError(f"{url} answered {answer.status_code}; is it the API of a ledger node?")
                data = bytearray()
                for chunk in answer.iter_bytes():
                    data += chunk
                    if len(data) > limit:
                        raise RemoteLogError(f"{url} answered more than {limit} bytes")
        except httpx.HTTPError as error:
            raise RemoteLogError(f"{url}: {str(error) or type(error).__name__}") from error
        return bytes(data)
