"""Tariffs by time of use: what a kWh costs and earns at the grid, by the campus' own weekdays, dates and hours.

A calendar is a list of periods, such as `mon-fri 09:00-22:00 5800000/2200000` (retail/feed-in in µAIP per kWh). Days
are `daily`, a weekday, a range of weekdays, or a date (a holiday, say). The first period that holds an epoch's start
gives its tariffs; where none does, those of the parameters hold. A book freezes the tariffs of its epoch as it opens.

Parameters change at a height, tariffs with an epoch: the module notes from which one on each change counts, so that an
epoch which had begun before keeps its tariffs, whenever it is reported and whether or not anybody traded in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

from ledger.codes import Code, Refusal
from ledger.genesis import Parameters
from ledger.modules.approvals import decision
from ledger.modules.kinds import Epoch, Integer, Many, Text
from ledger.modules.module import Context, Look, Module
from ledger.state import Reader, Table

MAX_PERIODS: Final = 64
MAX_CALENDARS: Final = 64
MAX_BASES: Final = 64
"""So many changes of the parameters' tariffs are remembered; the oldest then holds for all epochs before it."""
MAX_NOTICE_S: Final = 400 * 86_400
MAX_WALKED_EPOCHS: Final = 96
"""Longer spans are judged by all periods of their calendars: a meter back after a month costs a block no more."""
MAX_REMEMBERED: Final = 1_024
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIRST_WEEKDAY: Final = 3
"""Day 0 of Unix time was a Thursday."""
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_MIN: Final = 24 * 60
_DAY_S: Final = 86_400
_FORM: Final = re.compile(
    r"(?P<days>daily|[a-z]{3}|[a-z]{3}-[a-z]{3}|[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r" (?P<first>[0-9]{2}:[0-5][0-9])-(?P<end>[0-9]{2}:[0-5][0-9])"
    r" (?P<retail>[0-9]{1,10})/(?P<feed_in>[0-9]{1,10})"
)

UtcOffset = Annotated[int, Integer(-_DAY_MIN // 2, 14 * 60)]
Periods = Annotated[list[str], Many(Text(48), MAX_PERIODS)]


@dataclass(frozen=True, slots=True)
class Tariffs:
    """What the grid account takes and pays for a kWh, in µAIP."""

    retail_uaip_per_kwh: int
    feed_in_uaip_per_kwh: int


@dataclass(frozen=True, slots=True)
class Period:
    """Minutes `first_min` to `end_min` (not included) of the `weekdays` (bit 0: Monday), or of one day of Unix time."""

    weekdays: int
    day: int | None
    first_min: int
    end_min: int
    retail_uaip_per_kwh: int
    feed_in_uaip_per_kwh: int

    def holds(self, day: int, minute: int) -> bool:
        """Tell whether *minute* of *day* lies in it."""
        weekday = (day + _FIRST_WEEKDAY) % 7
        is_day = day == self.day if self.day is not None else bool(self.weekdays >> weekday & 1)
        return is_day and self.first_min <= minute < self.end_min


@dataclass(frozen=True, slots=True)
class Calendar:
    """The periods in force from an epoch on, as tuples of `Period`, and the campus' time ahead of UTC."""

    from_epoch: int
    utc_offset_min: int
    periods: tuple[tuple[int | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Base:
    """What the parameters give every epoch from `from_epoch` on where no calendar does."""

    from_epoch: int
    retail_uaip_per_kwh: int
    feed_in_uaip_per_kwh: int

    @property
    def tariffs(self) -> Tariffs:
        """The two of them."""
        return Tariffs(self.retail_uaip_per_kwh, self.feed_in_uaip_per_kwh)


CALENDARS: Final = Table("tariffs.calendars", Calendar)
BASES: Final = Table("tariffs.bases", Base)

_Dated = TypeVar("_Dated", Calendar, Base)

module = Module("tariffs", tables=(CALENDARS, BASES))


@decision(module)
def set_calendar(context: Context, utc_offset_min: UtcOffset, periods: Periods, from_epoch: Epoch) -> Refusal | None:
    """Have tariffs follow *periods* from *from_epoch* on, such as `mon-fri 09:00-22:00 5800000/2200000`.

    Retail/feed-in are in µAIP per kWh; the first period that holds an epoch's start gives its tariffs, else the
    parameters do. Books that are open already keep the tariffs with which they opened.
    """
    read: list[Period] = []
    for text in periods:
        period = read_period(text)
        if period is None or not _is_sound(period, context.parameters):
            return Refusal(Code.BAD_PERIOD, f"{text!r} is no period with feed-in <= retail <= the highest price")
        read.append(period)
    return _put(context, from_epoch, utc_offset_min, read)


@decision(module)
def end_calendar(context: Context, from_epoch: Epoch) -> Refusal | None:
    """Have the parameters' tariffs hold at all times from *from_epoch* on; calendars agreed for later fall with it."""
    for key, row in context.state.scan(CALENDARS):
        if row.from_epoch > from_epoch:
            context.state.delete(CALENDARS, key)
    return _put(context, from_epoch, 0, [])


@module.query()
def of_epoch(look: Look, epoch: Epoch) -> dict[str, Any]:
    """Return the tariffs of an epoch as they are agreed now, in µAIP per kWh; an open book may have frozen others."""
    found = tariffs_at(look.state, look.parameters, epoch)
    return {
        "epoch": epoch,
        "retail_uaip_per_kwh": found.retail_uaip_per_kwh,
        "feed_in_uaip_per_kwh": found.feed_in_uaip_per_kwh,
    }


@module.query()
def list_calendars(look: Look) -> list[dict[str, Any]]:
    """Return the calendars agreed so far, the newest first, their periods as they were written."""
    return [
        {
            "from_epoch": row.from_epoch,
            "utc_offset_min": row.utc_offset_min,
            "periods": [write_period(period) for period in _periods(row)],
        }
        for _, row in look.state.scan(CALENDARS)
    ]


def read_period(text: str) -> Period | None:
    """Return the period that *text* writes, or None."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    days, first_min, end_min = _read_days(found["days"]), _read_minute(found["first"]), _read_minute(found["end"])
    if days is None or not first_min < end_min <= _DAY_MIN:
        return None
    return Period(*days, first_min, end_min, int(found["retail"]), int(found["feed_in"]))


def write_period(period: Period) -> str:
    """Return the text of *period*, as `read_period` reads it."""
    hours = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (period.first_min, period.end_min))
    return f"{_write_days(period)} {hours} {period.retail_uaip_per_kwh}/{period.feed_in_uaip_per_kwh}"


def tariffs_at(view: Reader, parameters: Parameters, epoch: int) -> Tariffs:
    """Return the tariffs of *epoch* as agreed so far."""
    return find_worst(view, parameters, epoch, epoch)


def find_worst(view: Reader, parameters: Parameters, first: int, last: int) -> Tariffs:
    """Return the highest retail and the lowest feed-in tariff of the epochs *first* to *last*.

    Of a span of more than `MAX_WALKED_EPOCHS` epochs, those of all periods of its calendars.
    """
    calendars = tuple(_in_span([row for _, row in view.scan(CALENDARS)], first, last))
    bases = tuple(_in_span(_list_bases(view, parameters), first, last))
    return _find_worst(calendars, bases, parameters.epoch_s, first, last)


@lru_cache(maxsize=MAX_REMEMBERED)
def _find_worst(
    calendars: tuple[Calendar, ...], bases: tuple[Base, ...], epoch_s: int, first: int, last: int
) -> Tariffs:
    """Return the worst tariffs of a span whose *calendars* and *bases* are these, the newest first.

    After an outage hundreds of meters report one span: walking it once a meter would hold up the block for seconds.
    """
    read = [(row, _periods(row)) for row in calendars]
    if calendars and last - first < MAX_WALKED_EPOCHS:
        found = [_pick(read, epoch, epoch_s) or _base_at(bases, epoch) for epoch in range(first, last + 1)]
    else:
        periods = [period for _, of_calendar in read for period in of_calendar]
        found = [base.tariffs for base in bases]
        found += [Tariffs(one.retail_uaip_per_kwh, one.feed_in_uaip_per_kwh) for one in periods]
    return Tariffs(
        max(one.retail_uaip_per_kwh for one in found),
        min(one.feed_in_uaip_per_kwh for one in found),
    )


def _in_span(rows: list[_Dated], first: int, last: int) -> list[_Dated]:
    """Return those of *rows*, the newest first, that are in force in one of the epochs *first* to *last*."""
    begun = [row for row in rows if row.from_epoch <= last]
    later = sum(row.from_epoch > first for row in begun)
    return begun[: later + 1]


def _list_bases(view: Reader, parameters: Parameters) -> list[Base]:
    """Return what the parameters gave, the newest first, the oldest from the first epoch on."""
    rows = [row for _, row in view.scan(BASES)] or [_base(parameters, 0)]
    return [*rows[:-1], replace(rows[-1], from_epoch=0)]


def _base(parameters: Parameters, from_epoch: int) -> Base:
    return Base(from_epoch, parameters.retail_uaip_per_kwh, parameters.feed_in_uaip_per_kwh)


def _base_at(bases: tuple[Base, ...], epoch: int) -> Tariffs:
    return next(row for row in bases if row.from_epoch <= epoch).tariffs


def _note_base(context: Context) -> None:
    """Note tariffs that the parameters of this block changed: they hold for epochs that start at its time or later."""
    rows, epoch_ms = list(context.state.scan(BASES)), context.parameters.epoch_s * 1000
    base = _base(context.parameters, -(-context.time_ms // epoch_ms) if rows else 0)
    if rows and rows[0][1].tariffs == base.tariffs:
        return
    if len(rows) >= MAX_BASES and context.state.get(BASES, _key(base.from_epoch)) is None:
        context.state.delete(BASES, rows[-1][0])
    context.state.put(BASES, _key(base.from_epoch), base)


def _pick(calendars: list[tuple[Calendar, list[Period]]], epoch: int, epoch_s: int) -> Tariffs | None:
    """Return the tariffs that *calendars*, the newest first, give *epoch*, or None: the parameters' hold."""
    for row, periods in calendars:
        if row.from_epoch <= epoch:
            day, second = divmod(epoch * epoch_s + row.utc_offset_min * 60, _DAY_S)
            found = next((period for period in periods if period.holds(day, second // 60)), None)
            return None if found is None else Tariffs(found.retail_uaip_per_kwh, found.feed_in_uaip_per_kwh)
    return None


def _put(context: Context, from_epoch: int, utc_offset_min: int, periods: list[Period]) -> Refusal | None:
    now, epoch_s = context.time_s // context.parameters.epoch_s, context.parameters.epoch_s
    if not now < from_epoch <= now + MAX_NOTICE_S // epoch_s:
        return Refusal(Code.WRONG_NOTICE, f"epoch {from_epoch} is not in the 400 days after epoch {now}")
    rows = list(context.state.scan(CALENDARS))
    if len(rows) >= MAX_CALENDARS and context.state.get(CALENDARS, _key(from_epoch)) is None:
        if rows[-2][1].from_epoch > now:
            return Refusal(Code.WRONG_NOTICE, f"{len(rows)} calendars are agreed; the oldest is not replaced yet")
        context.state.delete(CALENDARS, rows[-1][0])
    tuples = tuple(
        (one.weekdays, one.day, one.first_min, one.end_min, one.retail_uaip_per_kwh, one.feed_in_uaip_per_kwh)
        for one in periods
    )
    context.state.put(CALENDARS, _key(from_epoch), Calendar(from_epoch, utc_offset_min, tuples))
    context.emit("tariffs", "calendar_agreed", from_epoch=from_epoch, periods=[write_period(one) for one in periods])
    return None


def _key(from_epoch: int) -> bytes:
    """Return the key of the calendar or base in force from *from_epoch* on: the newest comes first."""
    return (2**64 - 1 - from_epoch).to_bytes(8, "big")


def _periods(row: Calendar) -> list[Period]:
    return [Period(*values) for values in row.periods]  # type: ignore[arg-type]


def _is_sound(period: Period, parameters: Parameters) -> bool:
    return period.feed_in_uaip_per_kwh <= period.retail_uaip_per_kwh <= parameters.max_price_uaip_per_kwh


def _read_days(text: str) -> tuple[int, int | None] | None:
    """Return weekdays and day of a period, or None."""
    if text == "daily":
        return 2**7 - 1, None
    if text[0].isdecimal():
        try:
            return 0, date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL
        except ValueError:
            return None
    first, _, last = text.partition("-")
    if first not in _WEEKDAYS or (last or first) not in _WEEKDAYS:
        return None
    start, count = _WEEKDAYS.index(first), (_WEEKDAYS.index(last or first) - _WEEKDAYS.index(first)) % 7 + 1
    return sum(1 << (start + ahead) % 7 for ahead in range(count)), None


def _write_days(period: Period) -> str:
    if period.day is not None:
        return date.fromordinal(period.day + _EPOCH_ORDINAL).isoformat()
    if period.weekdays == 2**7 - 1:
        return "daily"
    days = [day for day in range(7) if period.weekdays >> day & 1]
    first = next(day for day in days if (day - 1) % 7 not in days)
    last = next(day for day in days if (day + 1) % 7 not in days)
    return _WEEKDAYS[first] if first == last else f"{_WEEKDAYS[first]}-{_WEEKDAYS[last]}"


def _read_minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


module.begin = _note_base
