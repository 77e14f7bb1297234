"""Hints on `meter/<id>/status`: what meters, or the broker for them, say about themselves. Unsigned: shown, never used.

Anybody with a meter's broker account can write them, so they are bounded, kept in memory alone, and decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.enrolment import Enrolment

MAX_HINT_BYTES: Final = 160
"""As PROTOCOL.md has it."""
SAFE_REPEATED_S: Final = 30
SAFE_FORGOTTEN_S: Final = 10 * SAFE_REPEATED_S
"""A meter in safe mode says so every 30 s: after ten in vain it has left it, or cannot be heard."""
_TOPIC: Final = re.compile(r"meter/([0-9a-f]{16})/status")
_TEXT: Final = re.compile(r"[\x20-\x7e]+")
_FORMS: Final = {
    "lost": re.compile(r"lost"),
    "safe": re.compile(r"safe (configuration|key|storage|fault): .*"),
    "update": re.compile(r"update [0-9]{1,10} [0-9a-z-]+( [0-9a-z-]+)?"),
}


class HintKind(StrEnum):
    """What a hint is about."""

    LOST = "lost"
    SAFE = "safe"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Hint:
    """What was said, as it was said, and when it was heard (Unix seconds)."""

    kind: HintKind
    text: str
    heard_at: int


@dataclass(slots=True)
class Hints:
    """The newest hint of each kind of each enrolled meter. `dropped` counts what is no hint, or nobody's."""

    enrolment: Enrolment
    now: Callable[[], float]
    dropped: int = 0
    _newest: dict[bytes, dict[HintKind, Hint]] = field(default_factory=dict)

    def hear(self, topic: str, payload: bytes) -> None:
        """Take a message on a status topic; whatever it is, it does no harm."""
        meter_id, hint = read_topic(topic), read_hint(payload, int(self.now()))
        if hint is None or meter_id is None or meter_id not in self.enrolment.roster.meters:
            self.dropped += 1
            return
        self._newest.setdefault(meter_id, {})[hint.kind] = hint

    @property
    def are_ill(self) -> bool:
        """Tell whether any meter has ever been said to be lost or in safe mode."""
        return any(HintKind.LOST in said or HintKind.SAFE in said for said in self._newest.values())

    def of(self, meter_id: bytes, received_at: int, taken_at: int) -> tuple[Hint, ...]:
        """Return what still holds of what the meter said.

        Its newest reading was received at *received_at* and taken at *taken_at* by its own clock: the one ends that it
        is lost, the other, if it is after the hint, safe mode. An update's newest state stays.
        """
        said = self._newest.get(meter_id, {}).values()
        return tuple(hint for hint in said if self._holds(hint, received_at, taken_at))

    def _holds(self, hint: Hint, received_at: int, taken_at: int) -> bool:
        if hint.kind is HintKind.LOST:
            return received_at <= hint.heard_at
        if hint.kind is HintKind.SAFE:
            return taken_at <= hint.heard_at and self.now() - hint.heard_at < SAFE_FORGOTTEN_S
        return True


def read_topic(topic: str) -> bytes | None:
    """Return the id of the meter whose status topic this is, or None."""
    found = _TOPIC.fullmatch(topic)
    return bytes.fromhex(found.group(1)) if found else None


def read_hint(payload: bytes, heard_at: int) -> Hint | None:
    """Return the hint in *payload*, or None if it is none that PROTOCOL.md knows."""
    text = payload.decode("latin-1") if len(payload) <= MAX_HINT_BYTES else ""
    kind = next((kind for kind, form in _FORMS.items() if form.fullmatch(text)), None)
    return Hint(HintKind(kind), text, heard_at) if kind and _TEXT.fullmatch(text) else None
