"""What goes wrong in one run, drawn from its seed: which processes, when, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from tests.ledger.faults.links import Passage

PLACES = range(4)
TWIN_OF = 3
FAULTY_S = 6.0
LONGEST_S = 3.0
MOST_CLOCK_S = 5
BLACKOUT_CHANCE = 0.15


class Kind(Enum):
    """A kind of fault."""

    KILL = "killed"
    PAUSE = "paused"
    PARTITION = "partition"
    ONE_WAY = "one-way partition"
    CLOCK = "clock off"
    BLACKOUT = "blackout"
    WIPE = "wiped"
    RESTORE = "restored from an old backup"
    TWIN = "twin"


COMMON = (Kind.KILL, Kind.PAUSE, Kind.PARTITION, Kind.ONE_WAY, Kind.CLOCK)
"""What strikes correct authorities, however many; nothing of it may cost more than time."""


class Tolerated(Enum):
    """The one authority of four that the others must tolerate (f = 1): none, one that forgets, one that runs twice."""

    NOBODY = "nobody"
    FORGETFUL = "forgetful"
    TWIN = "twin"


@dataclass(frozen=True, slots=True)
class Fault:
    """From *start_s* to *end_s* this happens to the processes at *places*; the rest is what some kinds need."""

    kind: Kind
    start_s: float
    end_s: float
    places: frozenset[int]
    passage: Passage = Passage.CUT
    clock_s: int = 0


def draw(seed: int, tolerated: Tolerated) -> tuple[Fault, ...]:
    """Return the faults of one run."""
    random = Random(f"process faults {seed}")
    kinds = random.choices(COMMON, k=random.randint(2, 4))
    if random.random() < BLACKOUT_CHANCE:
        kinds.append(Kind.BLACKOUT)
    forgets = random.choice([Kind.WIPE, Kind.RESTORE])
    kinds += {Tolerated.NOBODY: [], Tolerated.FORGETFUL: [forgets], Tolerated.TWIN: [Kind.TWIN]}[tolerated]
    return tuple(_fault(random, kind) for kind in kinds)


def _fault(random: Random, kind: Kind) -> Fault:
    if kind is Kind.TWIN:
        return Fault(kind, 0.0, FAULTY_S, frozenset({TWIN_OF}))
    start_s = random.uniform(0, FAULTY_S - 1)
    if kind is Kind.BLACKOUT:
        return Fault(kind, start_s, start_s, frozenset(PLACES))
    end_s = min(start_s + random.uniform(0.2, LONGEST_S), FAULTY_S)
    count = {Kind.KILL: random.choice([1, 1, 2]), Kind.PAUSE: random.choice([1, 1, 2])}.get(kind, 1)
    if kind in (Kind.PARTITION, Kind.ONE_WAY):
        count = random.choice([1, 2, 3])
    passage = random.choice([Passage.CUT, Passage.STALLED])
    clock_s = random.choice([-1, 1]) * random.randint(1, MOST_CLOCK_S)
    return Fault(kind, start_s, end_s, frozenset(random.sample(PLACES, count)), passage, clock_s)
