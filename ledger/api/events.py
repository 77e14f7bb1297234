"""What happened on the ledger, in order, from a cursor on: a client that keeps its cursor misses and repeats nothing.

A cursor `height.count` says that all blocks below `height` are known, and the first `count` events of that block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import StringConstraints

from ledger import cbor
from ledger.api import resources, views
from ledger.api.access import Viewer, find_viewer
from ledger.api.parameters import ID_PATTERN
from ledger.api.problems import ProblemError
from ledger.api.source import Source
from ledger.node.storage.event_rows import StoredEvent
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store

MAX_PAGE: Final = 1_000
DEFAULT_PAGE: Final = 100
MAX_SCANNED: Final = 10_000
"""Events looked at for one page; a filter that fits few of them gets a shorter page and a cursor to go on from."""
CURSOR_PATTERN: Final = r"^[0-9]{1,18}\.[0-9]{1,9}$"
NAME_PATTERN: Final = r"^[a-z_]{1,40}$"
CursorText = Annotated[str, StringConstraints(pattern=CURSOR_PATTERN)]


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """All blocks below `height` are known, and the first `count` events of that block."""

    height: int
    count: int

    def __str__(self) -> str:
        return f"{self.height}.{self.count}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted: of a module, of a name, with an account or meter among their values; None: any."""

    module: str | None = None
    name: str | None = None
    account: bytes | None = None

    def fits(self, event: StoredEvent) -> bool:
        """Tell whether *event* is wanted."""
        return (
            self.module in (None, event.module)
            and self.name in (None, event.name)
            and (self.account is None or any(_names(self.account, value) for value in event.values.values()))
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some events with the cursor behind each, where to go on, and the newest block that was looked at."""

    events: tuple[tuple[Cursor, StoredEvent], ...]
    next: Cursor
    newest: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """The events behind a cursor are not held here any more; those from `first` on are."""

    first: Cursor

    @property
    def problem(self) -> ProblemError:
        """What to answer."""
        text = f"events below {self.first} were pruned here; go on from there, or ask a node that keeps them longer"
        return ProblemError(HTTPStatus.GONE, "pruned", text)


def parse_cursor(text: str) -> Cursor:
    """Return the cursor that *text*, which fits CURSOR_PATTERN, writes."""
    height, _, count = text.partition(".")
    return Cursor(int(height), int(count))


def read_page(store: Store, after: Cursor, wanted: Filter, limit: int) -> Page | Pruned:
    """Return the events behind *after*, at most *limit*. A page of none whose cursor stays is the end for now."""
    gone = store.pruned(Kept.RECEIPTS)
    if gone and after.height <= gone:
        return Pruned(Cursor(gone + 1, 0))
    newest, at, scanned = store.height(), after, 0
    found: list[tuple[Cursor, StoredEvent]] = []
    while at.height <= newest and len(found) < limit and scanned < MAX_SCANNED:
        height = store.next_event_height(at.height)
        if height is None or height > newest:
            return Page(tuple(found), Cursor(newest + 1, 0), newest)
        known = at.count if height == at.height else 0
        events = store.events(height)
        at = Cursor(height + 1, 0)
        for count, event in enumerate(events[known:], known + 1):
            scanned += 1
            if wanted.fits(event):
                found.append((Cursor(height, count), event))
                if len(found) == limit and count < len(events):
                    at = Cursor(height, count)
                    break
    return Page(tuple(found), at, newest)


def show_event(at: Cursor, event: StoredEvent, viewer: Viewer) -> resources.PlacedEvent:
    """Return *event* as the API shows it to *viewer*."""
    values = views.show_values(viewer.shown(event.values))
    return resources.PlacedEvent(str(at), at.height, event.transaction_id, event.module, event.name, values)


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/events")
    async def list_events(
        request: Request,
        after: Annotated[str, Query(pattern=CURSOR_PATTERN)] = "0.0",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
        module: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
        name: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
        account: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    ) -> resources.EventPage:
        wanted = Filter(module, name, bytes.fromhex(account) if account else None)
        start = parse_cursor(after)
        page = await source.disk.read(partial(read_page, after=start, wanted=wanted, limit=limit))
        if isinstance(page, Pruned):
            raise page.problem
        viewer = await find_viewer(source, request.headers)
        shown = tuple(show_event(at, event, viewer) for at, event in page.events)
        return resources.EventPage(shown, str(page.next), page.newest)

    return router


def _names(account: bytes, value: cbor.Value) -> bool:
    return account in value if type(value) is list else value == account
