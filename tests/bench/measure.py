"""What a measurement says, and the file that keeps it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ledger.keys import PrivateKey, verify

BARE_CHECKS = 2_000


class AbsentError(Exception):
    """A peer that cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure and whether its bar holds; `value` is None where it was not measured, `bar` also if none."""

    name: str
    value: float | None
    unit: str
    bar: float | None
    holds: bool
    relation: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the five fields of bench.json."""
        fields = asdict(self)
        del fields["relation"]
        return fields


def at_least(name: str, value: float, unit: str, bar: float) -> Row:
    """Return the row of a figure that should reach its bar."""
    return Row(name, value, unit, bar, value >= bar, "≥")


def at_most(name: str, value: float, unit: str, bar: float) -> Row:
    """Return the row of a figure that should stay within its bar."""
    return Row(name, value, unit, bar, value <= bar, "≤")


def unfinished(name: str, reason: str) -> Row:
    """Return the row of a part that failed or ran out of time; the reason stands where the unit would."""
    return Row(name, None, reason, None, holds=False)


def beside(name: str, value: float, unit: str) -> Row:
    """Return the row of a figure that stands beside others, for whoever compares; it has no bar."""
    return Row(name, value, unit, None, holds=True)


def write_json(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file by a list of entries in one step, so that no reader sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(list(entries), indent=2) + "\n")
    fresh.replace(path)


def processor_s(run: Callable[[], object]) -> float:
    """Return the processor seconds that *run* takes: other work on the machine is no part of it."""
    start_s = time.process_time()
    run()
    return time.process_time() - start_s


def spent_s(pids: Iterable[int]) -> float:
    """Return the processor seconds that these processes, with all their threads, have taken since they started."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def signature_check_s() -> float:
    """Return the processor seconds that libsodium needs for one signature check here."""
    key, message = PrivateKey(bytes(range(32))), bytes(200)
    signature, public = key.sign(message), key.public_key

    def check() -> None:
        for _ in range(BARE_CHECKS):
            assert verify(public, message, signature)

    return processor_s(check) / BARE_CHECKS
