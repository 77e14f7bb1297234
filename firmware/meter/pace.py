"""The pace of a backlog: how many readings may be on their way without a receipt, by how long receipts take.

The broker hands everything out in the order of arrival. If a whole campus came back with full windows, each new reading
would wait behind all of them; so all meters together keep the gateway busy for about TARGET_MS and no longer. As in
TCP, the window doubles while receipts come soon, shrinks by a quarter when one comes late, and opens step by step from
then on. Where not even one reading of each meter fits, a meter pauses in between. No clock in here: times come in.
"""

ONE = 64
"""The window is counted in parts of a reading."""
START = ONE
MOST = 64 * ONE
"""What the broker has to hold for one meter while the gateway is away."""
LEAST = ONE // 4
"""Pauses of three times what a receipt takes; longer ones would leave a gateway idle that is just slow."""
STEP = ONE // 16
TARGET_MS = 750
"""Late is a receipt that takes longer."""
SOON_MS = TARGET_MS // 3
"""While receipts take no longer the window doubles; else the first to be heard would fill the queue for the others."""
UNHEARD = 8
"""So many times as much goes after a wait in vain: a reading that never gets a receipt must not stop all behind it."""
MAX_PAUSE_MS = 3_000
"""Shorter than the outbox takes for a lost reading."""


class Pace:
    """`window` in readings, at least 1; `pause_ms` to wait after the receipt that `took` was told of."""

    def __init__(self):
        self._parts = START
        self._is_starting = True
        self.pause_ms = 0

    @property
    def window(self):
        """How many readings may be without a receipt."""
        return max(self._parts, ONE) // ONE

    def took(self, ms, was_full):
        """Learn that a reading's receipt came *ms* after it went; *was_full*: the window let no more go meanwhile."""
        if ms > TARGET_MS:
            self._is_starting = False
            self._parts = max(self._parts * 3 // 4, LEAST)
        elif was_full:  # what was not tried shows nothing
            doubles = self._is_starting and ms <= SOON_MS
            self._parts = min(self._parts * 2 if doubles else self._parts + STEP, MOST)
        short = max(ONE - self._parts, 0)
        self.pause_ms = min(ms * short // self._parts, MAX_PAUSE_MS)

    def unheard(self):
        """Learn that no receipt came until everything had to be sent anew."""
        self._parts, self.pause_ms = min(max(self._parts, ONE) * UNHEARD, MOST), 0
