"""Whether the meter gets on. The watchdog is fed only while every part comes round within its own time.

A part is a loop that must not hang. Each time it comes round it calls `mark`; before a pause it says how long that is.
Coming round is progress, success is not asked for: a meter that does not answer, a broker that is away and a disk that
is full are told of, and no restart mends them. What hangs is a wait that never ends, in one part or, where a call into
the system does not return, in all of them, the one that feeds included.
"""

LIMITS_MS = {
    "start": 300_000,  # a journal of 4 MB is read record by record
    "measuring": 300_000,  # three attempts on a line of 1200 baud that never falls silent, and a walk along SunSpec
    "uplink": 120_000,  # name, connection and log-in, each with its own time
    "report": 60_000,
    "clock": 60_000,  # eight servers, each with its own time
    "safe mode": 60_000,
    "stop": 60_000,
}
"""How long each part may take from one mark to the next, beside the pause that it announced."""
MAX_PAUSE_MS = 3_600_000
"""A longer pause than this was worked out wrongly."""


class Progress:
    """The marks of all parts, by the ticks of *board*."""

    def __init__(self, board):
        self._board = board
        self._due = {}  # part -> (ticks at its last mark, ms until it must be back)

    def mark(self, part, pause_ms=0):
        """Note that *part* has come round, and may now pause for *pause_ms*."""
        self._due[part] = self._board.ticks_ms(), min(pause_ms, MAX_PAUSE_MS) + LIMITS_MS[part]

    def rest(self, part):
        """Expect no more of *part*: it has ended in order."""
        self._due.pop(part, None)

    def late(self):
        """Return the names of the parts that should have come round by now."""
        return sorted([part for part, (since, within) in self._due.items() if self._board.ticks_since(since) > within])
