"""Times a call on a fresh state: what checking its signatures takes, what executing it takes, what it writes."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger.codes import Code, Refusal
from ledger.costing.campus import METERS_PER_USER, Campus, CannotMakeError
from ledger.costing.samples import is_decision, longest_list, make_call, prepare
from ledger.modules.module import CallDefinition
from ledger.preparation import prepare as prepare_transaction
from ledger.runtime import Runtime
from ledger.session import BlockTime, Session


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a call with `size` items in its list: times in microseconds; rows and bytes of the state it changed.

    The times are processor time of one thread, whatever else the machine does. `check_us` is decoding and checking all
    signatures, `execute_us` everything else but the block's root and log.
    """

    size: int
    check_us: float
    execute_us: float
    signatures: int
    writes: int
    written_bytes: int
    transaction_bytes: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some times and the range of their middle half."""

    median: float
    iqr: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of two values or more."""
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, high - low)


def choose_sizes(definition: CallDefinition, steps: int) -> list[int]:
    """Return *steps* lengths for the call's list, evenly from 1 to its longest; only 1 for a call without one."""
    longest = longest_list(definition)
    if longest == 1 or steps == 1:
        return [1] * steps
    return [1 + round(step * (longest - 1) / (steps - 1)) for step in range(steps)]


def measure(definition: CallDefinition, steps: int, repeat: int) -> Iterator[Run]:
    """Yield *repeat* runs of each of *steps* sizes; raises CannotMakeError where the call cannot be made to succeed."""
    sizes = choose_sizes(definition, steps)
    campus = Campus(meters=max(METERS_PER_USER, *sizes))
    known = prepare(campus, definition)
    for size in sizes:
        sender, call = make_call(campus, definition, size, known)
        if is_decision(definition):  # what is measured is the approval that makes it take effect
            for number in range(1, campus.genesis.authorities.quorum):
                campus.run(f"authority{number}", call.module, call.function, *call.arguments)
        raw = campus.sign(sender, call)
        for _ in range(repeat):
            yield _run(campus, raw, size)


def _run(campus: Campus, raw: bytes, size: int) -> Run:
    runtime, state = Runtime(campus.genesis), campus.state  # a new one remembers no signature
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        started = time.thread_time_ns()
        checked = runtime.check_transaction(state, raw)
        check_us = (time.thread_time_ns() - started) / 1000
        if isinstance(checked, Refusal):
            raise CannotMakeError(f"it is refused with {checked.code.name.lower()}: {checked.text}")
        item, header = prepare_transaction(raw), state.header
        when = BlockTime(header.height + 1, header.time_ms + 1000, campus.commit(), ())
        session = Session(state, campus.genesis, runtime.signatures, when)
        session.begin()
        before = {(write.table, write.key): write.value for write in session.overlay.writes()}
        started = time.thread_time_ns()
        outcome = session.run(item)
        execute_us = (time.thread_time_ns() - started) / 1000
    finally:
        if was_collecting:
            gc.enable()
    if outcome.code is not Code.DONE:
        raise CannotMakeError(f"it is refused with {outcome.code.name.lower()}: {outcome.text}")
    inner = [Code(value) for event in outcome.events for name, value in event.values if name == "code" and value]
    if inner:
        raise CannotMakeError(f"{len(inner)} items are refused, the first with {inner[0].name.lower()}")
    written = [one for one in session.overlay.writes() if before.get((one.table, one.key), b"") != one.value]
    size_bytes = sum(len(one.key) + len(one.value or b"") for one in written)
    return Run(size, check_us, execute_us, item.signature_count, len(written), size_bytes, len(raw))
