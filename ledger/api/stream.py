"""A WebSocket on which a client follows new heads, events and receipts: /v1/stream, JSON both ways.

Every subscription is a cursor into the database that moves on as fast as its client reads: nothing waits in memory for
a client that is slow, and one that does not read at all is closed with a code that says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocketDisconnect

from ledger.api import resources, views
from ledger.api.access import Viewer, find_viewer
from ledger.api.events import (
    NAME_PATTERN,
    Cursor,
    CursorText,
    Filter,
    Pruned,
    parse_cursor,
    read_page,
    show_event,
)  # fmt: skip
from ledger.api.parameters import ID_PATTERN
from ledger.api.problems import ProblemError, describe
from ledger.api.source import Source
from ledger.node.storage.store import Store

MAX_STREAMS: Final = 100
MAX_STREAMS_PER_ADDRESS: Final = 20
MAX_SUBSCRIPTIONS: Final = 16
MAX_FAULTS: Final = 10
"""Messages that say nothing; a client that goes on after so many is closed."""
PAGE: Final = 100
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 10.0
MAX_REASON: Final = 100
"""A close frame has room for 123 bytes of reason."""
CLOSE_NOT_UNDERSTOOD: Final = 4400
CLOSE_BAD_PASS: Final = 4401
CLOSE_TOO_SLOW: Final = 4408
CLOSE_TOO_MANY: Final = 4429


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: Annotated[int, Field(ge=0, le=resources.MAX_SAFE_INTEGER)]


class FollowHeads(_Command):
    """Follow final blocks; `after` is the last height that is known, else the newest."""

    subscribe: Literal["heads"]
    after: Annotated[int, Field(ge=0, le=resources.MAX_SAFE_INTEGER)] | None = None


class FollowEvents(_Command):
    """Follow events from a cursor on, else from now on."""

    subscribe: Literal["events"]
    after: CursorText | None = None
    module: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    account: Annotated[str, Field(pattern=ID_PATTERN)] | None = None


class AwaitReceipt(_Command):
    """Be told once what became of a transaction."""

    subscribe: Literal["receipt"]
    transaction: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Unsubscribe(BaseModel):
    """End a subscription."""

    model_config = ConfigDict(extra="forbid", strict=True)
    unsubscribe: Annotated[int, Field(ge=0, le=resources.MAX_SAFE_INTEGER)]


_COMMAND: Final[TypeAdapter[Any]] = TypeAdapter(FollowHeads | FollowEvents | AwaitReceipt | Unsubscribe)
_HEAD: Final = TypeAdapter(resources.Head)
_EVENTS: Final = TypeAdapter(tuple[resources.PlacedEvent, ...])
_RECEIPT: Final = TypeAdapter(resources.Receipt)


class Subscription(Protocol):
    """What a client follows, from `place` on. `advance` returns the next message, or None: there is nothing new."""

    is_done: bool

    @property
    def place(self) -> int | str | None:
        """What to name as `after` to go on from here."""

    async def advance(self) -> dict[str, Any] | None:
        """Return what comes next."""


class Heads:
    """Final blocks, each once."""

    def __init__(self, source: Source, after: int | None) -> None:
        self.is_done = False
        self._source = source
        self._height = source.heads.height if after is None else after

    @property
    def place(self) -> int:
        """The last height that is known."""
        return self._height

    async def advance(self) -> dict[str, Any] | None:
        """Return the next head; blocks that are not held here any more are left out."""
        while self._height < self._source.heads.height:
            self._height += 1
            found = await self._source.disk.read(partial(Store.decided, height=self._height))
            if found is not None:
                return {"head": _HEAD.dump_python(views.show_head(found[0]), mode="json")}
        return None


class Events:
    """Events that fit a filter, each once, and the cursor behind them."""

    def __init__(self, source: Source, after: Cursor | None, wanted: Filter, viewer: Viewer) -> None:
        self.is_done = False
        self._source, self._wanted, self._viewer = source, wanted, viewer
        self._at = after or Cursor(source.heads.height + 1, 0)

    @property
    def place(self) -> str:
        """The cursor."""
        return str(self._at)

    async def advance(self) -> dict[str, Any] | None:
        """Return some events with the cursor behind them; of blocks without any, the cursor. Raises ProblemError."""
        page = await self._source.disk.read(partial(read_page, after=self._at, wanted=self._wanted, limit=PAGE))
        if isinstance(page, Pruned):
            raise page.problem
        if page.next == self._at:
            return None
        self._at = page.next
        shown = tuple(show_event(at, event, self._viewer) for at, event in page.events)
        return {"events": _EVENTS.dump_python(shown, mode="json"), "next": str(page.next)}


class Receipt:
    """What became of one transaction."""

    def __init__(self, source: Source, transaction_id: bytes, viewer: Viewer) -> None:
        self.is_done = False
        self._source, self._id, self._viewer = source, transaction_id, viewer

    @property
    def place(self) -> None:
        """None: a receipt comes once."""

    async def advance(self) -> dict[str, Any] | None:
        """Return the receipt once the transaction is final."""
        result = await self._source.disk.read(lambda store: store.result(self._id))
        if result is None:
            return None
        self.is_done = True
        return {"receipt": _RECEIPT.dump_python(views.show_receipt(result, self._viewer), mode="json")}


class _CloseError(Exception):
    """The client must be sent away: the code and reason that it is told."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Stream:
    """One client's connection: a task that takes its commands in, and one that sends what its subscriptions bring."""

    def __init__(self, source: Source, socket: WebSocket) -> None:
        self._source, self._socket = source, socket
        self._viewer = Viewer()
        self._subscriptions: dict[int, Subscription] = {}
        self._news = asyncio.Event()
        self._faults = 0

    async def run(self) -> None:
        """Serve the client until it goes, or must be sent away."""
        await self._socket.accept()
        try:
            self._viewer = await find_viewer(self._source, self._socket.headers)
        except ProblemError as problem:
            await self._close(_CloseError(CLOSE_BAD_PASS, problem.detail[:MAX_REASON]))
            return
        try:
            with self._source.heads.follow(self._news.set):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._take_commands())
                    group.create_task(self._send_news())
        except* WebSocketDisconnect:
            pass  # the client went
        except* _CloseError as closing:
            await self._close(closing.exceptions[0])

    async def _close(self, why: BaseException) -> None:
        """Say why, if the client still reads; else the kernel gives the connection up (TCP_USER_TIMEOUT)."""
        assert isinstance(why, _CloseError)
        with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(why.code, why.reason)

    async def _take_commands(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            try:
                command = _COMMAND.validate_json(message.get("text") or b"")
            except ValidationError:
                await self._note_fault()
            else:
                await self._obey(command)

    async def _note_fault(self) -> None:
        self._faults += 1
        if self._faults > MAX_FAULTS:
            raise _CloseError(CLOSE_NOT_UNDERSTOOD, "too many messages that are no commands")
        await self._send({"error": describe(_unfit("bad_request", "that is no command; ledger/README.md shows them"))})

    async def _obey(self, command: Any) -> None:
        if isinstance(command, Unsubscribe):
            self._subscriptions.pop(command.unsubscribe, None)
            await self._send({"id": command.unsubscribe, "unsubscribed": True})
            return
        if command.id in self._subscriptions:
            text = f"subscription {command.id} runs already; take another id"
            await self._refuse(command.id, _unfit("id_taken", text))
        elif len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            text = f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions; end one, or open another connection"
            await self._refuse(command.id, _unfit("too_many_subscriptions", text))
        else:
            subscription = _subscription(self._source, command, self._viewer)
            await self._send({"id": command.id, "subscribed": command.subscribe, "next": subscription.place})
            self._subscriptions[command.id] = subscription
            self._news.set()

    async def _send_news(self) -> None:
        """Send what there is, a page of each subscription in turn; then wait for news."""
        while True:
            self._news.clear()
            while await self._send_round():
                pass
            await self._news.wait()

    async def _send_round(self) -> bool:
        sent = False
        for id_, subscription in tuple(self._subscriptions.items()):
            try:
                message = await subscription.advance()
            except ProblemError as problem:
                self._subscriptions.pop(id_, None)
                await self._refuse(id_, problem)
                continue
            if message is None or self._subscriptions.get(id_) is not subscription:
                continue
            sent = True
            if subscription.is_done:
                del self._subscriptions[id_]
            await self._send({"id": id_, **message})
        return sent

    async def _refuse(self, id_: int, problem: ProblemError) -> None:
        await self._send({"id": id_, "error": describe(problem)})

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send_json(message)
        except TimeoutError as error:
            reason = f"nothing was read for {SEND_TIMEOUT_S:.0f} s; go on from your cursor"
            raise _CloseError(CLOSE_TOO_SLOW, reason) from error


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router, running = APIRouter(), Counter[str]()

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        address = socket.client.host if socket.client else ""
        if running.total() >= MAX_STREAMS or running[address] >= MAX_STREAMS_PER_ADDRESS:
            await socket.accept()
            await socket.close(CLOSE_TOO_MANY, "too many connections; close others, or follow another node")
            return
        running[address] += 1
        try:
            await Stream(source, socket).run()
        finally:
            running[address] -= 1
            if not running[address]:
                del running[address]

    return router


def _subscription(source: Source, command: FollowHeads | FollowEvents | AwaitReceipt, viewer: Viewer) -> Subscription:
    match command:
        case FollowHeads():
            return Heads(source, command.after)
        case FollowEvents():
            account = bytes.fromhex(command.account) if command.account else None
            after = parse_cursor(command.after) if command.after else None
            return Events(source, after, Filter(command.module, command.name, account), viewer)
        case AwaitReceipt():
            return Receipt(source, bytes.fromhex(command.transaction), viewer)


def _unfit(code: str, text: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, code, text)
