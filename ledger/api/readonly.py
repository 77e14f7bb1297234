"""The API's answers beside a running node: from its database, opened for reading, and followed block by block.

The process that does this holds the log's key alone and signs no vote. It executes every block anew: one that gives
another state than the node's ends it, as does a damaged row.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Final

from ledger import block, genesis, keys
from ledger.api.problems import ProblemError
from ledger.api.resources import NodeStatus
from ledger.authority import AuthoritySet
from ledger.codes import Code, Refusal
from ledger.errors import CorruptedError
from ledger.genesis import Genesis
from ledger.market import clearing
from ledger.node.admission import Admitted, Answer
from ledger.node.chain import Chain, Ledger
from ledger.node.heads import Heads
from ledger.node.mempool import PoolCode, PoolRefusal
from ledger.node.recovery.memory import DATABASE
from ledger.node.service import SIGNATURE_THREADS
from ledger.node.settings import NodeSettings, read_key
from ledger.node.signers import witnessing
from ledger.node.signers.cosigning import Provable, decode_provable
from ledger.node.storage.disk import DiskReader
from ledger.node.storage.store import Store, StoreError
from ledger.remote.client import ClientError, LedgerClient, RefusedError
from ledger.runtime import InvalidBlockError, Runtime
from ledger.state import LedgerState, decode_head

POLL_S: Final = 0.05
MAX_REPEATED_BLOCKS: Final = 200
"""Further behind than that, the rows are read anew instead of executing block after block."""


class ReadOnlySource:
    """A database that a node writes. Made by `open`; `follow` keeps up with it; `close` leaves it."""

    def __init__(
        self, settings: NodeSettings, rules: Genesis, disk: DiskReader, state: LedgerState, node: LedgerClient
    ) -> None:
        self.genesis, self.disk = rules, disk
        self.shows_intervals = settings.api.intervals == "anybody"
        self._pool = ThreadPoolExecutor(SIGNATURE_THREADS, "signatures")
        self.ledger = Ledger(Chain(Runtime(rules, pool=self._pool), state))
        self.heads = Heads(state.header.height)
        self.provable: Provable | None = None
        self.witnessed: Provable | None = None
        self._settings = settings
        self._node = node
        self._log_keys = [read_key(one.log) for one in (settings.keys, settings.next_keys) if one is not None]
        self._authorities = state.authority_set
        self._data_version = -1
        self._path = settings.data_dir / DATABASE
        self._file = self._path.stat().st_ino

    @classmethod
    async def open(cls, settings: NodeSettings, node: str) -> ReadOnlySource:
        """Open the database of *settings*' node; raises SettingsError, GenesisError, StoreError, CorruptedError.

        What is submitted goes to the API at the URL *node*.
        """
        rules = genesis.load(settings.genesis)
        clearing.warm()
        path = settings.data_dir / DATABASE
        try:
            disk = DiskReader.open(path, "api-read")
            await disk.read(Store.require_schema)
            state = await disk.read(_read_state)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the database {path} ({error}): start the node first, then this") from error
        if state.header.chain_id != rules.chain_id:
            raise StoreError(f"{path} belongs to another chain than {settings.genesis}: name the right genesis file")
        return cls(settings, rules, disk, state, LedgerClient([node]))

    async def follow(self) -> None:
        """Keep up with the node until cancelled; raises LedgerError where that is not possible any more."""
        while True:
            self._require_same_file()
            version = await self.disk.read(Store.data_version)
            if version != self._data_version:
                await self._catch_up()
                self._data_version = version
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Close database and connections."""
        await self._node.close()
        self.ledger.close()
        self._pool.shutdown(cancel_futures=True)
        self.disk.close()

    @property
    def log_key(self) -> keys.PrivateKey:
        """The log key of the node's authority that is in force, else the first that node.toml names."""
        members = {member.log_key for member in self._authorities.members if member.name == self._settings.name}
        return next((key for key in self._log_keys if key.public_key in members), self._log_keys[0])

    @property
    def public_checkpoint(self) -> Provable | None:
        """The checkpoint that outsiders are shown."""
        return witnessing.served(self.provable, self.witnessed, time.time())

    async def describe(self) -> NodeStatus:
        """Return where the ledger stands as seen here; what only the node knows of itself is blank."""
        header, provable = await self.ledger.run(lambda chain: chain.state.header), self.provable
        return NodeStatus(
            chain_id=self.genesis.chain_id, name=self._settings.name, index=_place(self._authorities, self._settings),
            height=header.height, block_id=header.id, state_root=header.state_root, time_ms=header.time_ms,
            round=0, step="reading", log_size=header.log_size,
            checkpoint_size=provable.checkpoint.size if provable else 0,
            mempool=0, dropped_events=0, alarm=None, peers=(),
        )  # fmt: skip

    async def submit(self, raw: bytes) -> Answer:
        """Pass a transaction on to the node."""
        return (await self.submit_all([raw]))[0]

    async def submit_all(self, raws: Sequence[bytes]) -> list[Answer]:
        """Pass transactions on to the node; raises ProblemError where it does not answer, or takes none of them."""
        try:
            return [_answer(one.id, one.code, one.detail) for one in await self._node.submit_all(raws)]
        except ClientError as error:
            text = f"this process only reads, and its node does not answer ({error}); submit to another authority's"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "node_unreachable", text, retry_after_s=5) from error
        except RefusedError as error:
            raise ProblemError(HTTPStatus(error.status), error.code, str(error)) from error

    async def is_waiting(self, transaction_id: bytes) -> bool:
        """Ask the node; nothing waits in one that does not answer."""
        try:
            return (await self._node.receipt(transaction_id)).status == "pending"
        except (ClientError, RefusedError):
            return False

    async def next_nonce(self, account: bytes) -> int:
        """Ask the node; nothing waits in one that does not answer."""
        try:
            return (await self._node.account(account)).next_nonce
        except (ClientError, RefusedError):
            return 0

    def _require_same_file(self) -> None:
        """Raise StoreError where the node's database was replaced: what is open here is no longer the node's."""
        if not self._path.exists() or self._path.stat().st_ino != self._file:
            raise StoreError(f"the database {self._path} was removed or replaced: start this anew, behind the node")

    async def _catch_up(self) -> None:
        newest = await self.disk.read(Store.height)
        if newest - self.heads.height > MAX_REPEATED_BLOCKS:
            await self._restore()
        while self.heads.height < newest:
            found = await self.disk.read(partial(Store.decided, height=self.heads.height + 1))
            if found is None:  # the node went on by a snapshot
                await self._restore()
            else:
                await self.ledger.run(partial(_execute, body=found[0]))
                self.heads.announce(self.heads.height + 1)
        self._authorities = await self.ledger.run(lambda chain: chain.state.authority_set)
        stored = await self.disk.read(lambda store: store.meta("provable"))
        self.provable = decode_provable(stored) if stored is not None else None
        self.witnessed = await self.disk.read(witnessing.stored)

    async def _restore(self) -> None:
        state = await self.disk.read(_read_state)
        await self.ledger.run(partial(_replace, state=state))
        self.heads.announce(state.header.height)


def _read_state(store: Store) -> LedgerState:
    with store.at_one_moment():
        head = store.meta("head")
        if head is None:
            raise StoreError("the node's database holds no chain yet: start the node first, then this")
        return LedgerState.restore(decode_head(head), store.rows())


def _replace(chain: Chain, state: LedgerState) -> None:
    chain.state = state


def _execute(chain: Chain, body: bytes) -> None:
    proposed = block.decode(body)
    try:
        chain.state.apply(chain.runtime.execute(chain.state, proposed))
    except InvalidBlockError as error:
        height = proposed.header.height
        text = f"block {height} gives another result here than at the node ({error})"
        raise CorruptedError(f"{text}: run both from one release; if they are, verify the node's database") from error


def _place(authorities: AuthoritySet, settings: NodeSettings) -> int | None:
    names = [member.name for member in authorities.members]
    return names.index(settings.name) if settings.name in names else None


def _answer(id_: bytes, code: str | None, text: str | None) -> Answer:
    if code is None:
        return Admitted(id_)
    name = code.upper()
    if name in Code.__members__:
        return Refusal(Code[name], text or "")
    return PoolRefusal(PoolCode[name], text or "")
