"""The snapshots that this node makes of itself while it goes on, and gives to nodes that are far behind."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog

from ledger.block import Header
from ledger.errors import LedgerError, MalformedError
from ledger.node.network.wire import Frame, FrameType
from ledger.node.snapshots import making as snapshot_making
from ledger.node.snapshots import wire as snapshot_wire
from ledger.node.snapshots.file import SnapshotFile
from ledger.node.snapshots.wire import Offer
from ledger.node.storage.disk import Disk
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store

KEPT_SNAPSHOTS: Final = 2
"""Whoever copies the older one when a newer is made can finish."""
MAX_SERVED: Final = 2
"""So many peers copy at once; others ask somebody else, or again."""
SERVED_S: Final = 10.0
MAX_PARTS_AT_ONCE: Final = 4
"""A peer's requests beyond these are dropped; it asks again."""

FOLDER: Final = "snapshots"
SUFFIX: Final = ".snapshot"

Send = Callable[[str, Frame], None]
log = structlog.get_logger("snapshots")


class Snapshots:
    """Makes a snapshot after the first block with a transaction in every stretch of `every_blocks` heights.

    All nodes with one setting so have the same ones. Consensus waits for nothing but the begin of a read transaction.
    """

    def __init__(self, disk: Disk, database: Path, every_blocks: int, height: int, send: Send) -> None:
        """Serve those beside *database*, whose newest block is *height*; 0 as *every_blocks* makes none."""
        self._disk, self._database, self._every, self._send = disk, database, every_blocks, send
        self._folder = database.parent / FOLDER
        self._thread = ThreadPoolExecutor(1, "snapshots")
        self._held = _open_all(self._folder)
        self._stretch = height // every_blocks if every_blocks else 0
        self.made = asyncio.Event()
        self._making: tuple[Store, asyncio.Future[None]] | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._served: dict[str, float] = {}
        self._parts_at_once: dict[str, int] = {}

    @property
    def oldest(self) -> int:
        """The height of the oldest snapshot that peers can have, 0 for none."""
        return min((file.manifest.height for file in self._held.values()), default=0)

    async def after(self, header: Header, transactions: int) -> None:
        """Make a snapshot of the block that was just stored, if one is due; return once its moment is fixed."""
        if not self._every or not transactions or header.height // self._every <= self._stretch:
            return
        self._stretch = header.height // self._every
        if self._making is not None and not self._making[1].done():
            log.warning("no snapshot: the one before is not ready yet; raise `every_blocks`", height=header.height)
            return
        loop = asyncio.get_running_loop()
        reader, opened = await loop.run_in_executor(self._thread, self._begin)
        making = loop.run_in_executor(self._thread, self._make, reader, opened, header.height)
        self._making = reader, self._spawn(self._finish(making, header.height))

    def take_frame(self, name: str, frame: Frame) -> None:
        """Answer a peer's request, if it is one of the few whom this node serves now; raises MalformedError."""
        match frame.kind:
            case FrameType.SNAPSHOTS_WANTED:
                self.tell_offer(name)
            case FrameType.MANIFEST_WANTED:
                file = self._held.get(snapshot_wire.read_manifest_wanted(frame.payload))
                if file is not None and self._serves(name):
                    self._send(name, snapshot_wire.manifest(file.manifest_bytes))
            case FrameType.PART_WANTED:
                block_id, number = snapshot_wire.read_part_wanted(frame.payload)
                file = self._held.get(block_id)
                if file is not None and self._serves(name) and self._parts_at_once.get(name, 0) < MAX_PARTS_AT_ONCE:
                    self._spawn(self._send_part(name, file, block_id, number))
            case _:
                raise MalformedError(f"a {frame.kind.name} frame has no place here")

    def tell_offer(self, name: str) -> None:
        """Tell a peer which snapshots it can have, and from which block on it can have blocks."""
        self._spawn(self._offer(name))

    async def close(self) -> None:
        """Stop serving; a snapshot in the making is given up."""
        if self._making is not None and not self._making[1].done():
            self._making[0].interrupt()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown()
        for file in self._held.values():
            file.close()

    # ---- inside

    async def _offer(self, name: str) -> None:
        first = 1 + await self._disk.read(lambda store: store.pruned(Kept.BODIES))
        held = {file.manifest.height: block_id for block_id, file in self._held.items()}
        self._send(name, snapshot_wire.snapshots(Offer(first, held)))

    def _begin(self) -> tuple[Store, ExitStack]:
        """Open the database at the moment that is to be shown, in the thread that will read it."""
        with ExitStack() as opened:
            reader = Store.open_reader(self._database)
            opened.callback(reader.close)
            opened.enter_context(reader.at_one_moment())
            return reader, opened.pop_all()

    def _make(self, reader: Store, opened: ExitStack, height: int) -> SnapshotFile:
        with opened:
            self._folder.mkdir(exist_ok=True)
            path = snapshot_path(self._database.parent, height)
            snapshot_making.make(reader, path)
            return SnapshotFile(path)

    async def _finish(self, making: asyncio.Future[SnapshotFile], height: int) -> None:
        try:
            file = await making
        except (LedgerError, OSError, sqlite3.Error) as error:
            log.warning("no snapshot could be made; the node goes on without", height=height, error=str(error))
            return
        self._held[file.manifest.header.id] = file
        self.made.set()
        log.info("snapshot made", height=height, parts=len(file.manifest.parts))
        for block_id, old in sorted(self._held.items(), key=lambda held: held[1].manifest.height)[:-KEPT_SNAPSHOTS]:
            del self._held[block_id]
            snapshot_path(self._database.parent, old.manifest.height).unlink(missing_ok=True)
            old.close()

    def _serves(self, name: str) -> bool:
        """Tell whether *name* is among the few whom this node serves now, and remember that it asked."""
        now_s = time.monotonic()
        self._served = {peer: asked_s for peer, asked_s in self._served.items() if now_s - asked_s < SERVED_S}
        if name not in self._served and len(self._served) >= MAX_SERVED:
            return False
        self._served[name] = now_s
        return True

    async def _send_part(self, name: str, file: SnapshotFile, block_id: bytes, number: int) -> None:
        self._parts_at_once[name] = self._parts_at_once.get(name, 0) + 1
        try:
            data = await asyncio.to_thread(file.part, number)
            if data is not None:
                self._send(name, snapshot_wire.part(block_id, number, data))
        except (OSError, ValueError) as error:  # a closed file is a ValueError
            log.warning("a part of a snapshot cannot be read", height=file.manifest.height, error=str(error))
        finally:
            self._parts_at_once[name] -= 1

    def _spawn(self, work: Awaitable[None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def snapshot_path(data_dir: Path, height: int) -> Path:
    """Return where the snapshot of *height* is kept."""
    return data_dir / FOLDER / f"{height}{SUFFIX}"


def heights(data_dir: Path) -> list[int]:
    """Return the heights of the snapshots in the data directory of a node that does not run, ascending."""
    held = _open_all(data_dir / FOLDER)
    for file in held.values():
        file.close()
    return sorted(file.manifest.height for file in held.values())


def _open_all(folder: Path) -> dict[bytes, SnapshotFile]:
    """Return the snapshots in *folder* by their block ids; what was left unfinished is removed."""
    for unfinished in folder.glob(f"*{SUFFIX}.partial"):
        unfinished.unlink()
    held: dict[bytes, SnapshotFile] = {}
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            file = SnapshotFile(path)
        except (OSError, MalformedError) as error:
            log.warning("a damaged snapshot is not offered: delete it", path=str(path), error=str(error))
            continue
        held[file.manifest.header.id] = file
    return held
