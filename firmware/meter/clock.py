"""Epoch boundaries and telemetry instants, worked out from a clock that is handed in. Milliseconds of Unix time."""

from meter import reading, unix_time

MAX_LEAD_EPOCHS = 96
"""A last boundary further ahead of now than this came from a clock that was wrong by days: it no longer counts."""
MAX_RUNS = 64
"""Runs of epochs that are remembered, those furthest ahead first: only a clock that jumps makes another."""
GUARD_MS = 1500
"""Telemetry does not start this short before a boundary, so that it never delays one."""


def quality(now_ms, state):
    """Return (quality, offset in ms) that a reading at *now_ms* states; *state* is its clock's `clock_state`.

    SYNCED only where that knows it; a clock that shows a possible time runs on by itself, in holdover.
    """
    is_synced, offset_ms = state
    if not unix_time.is_set(now_ms):
        return reading.UNSET, 0
    return (reading.SYNCED if is_synced else reading.HOLDOVER), offset_ms


def tolerance_ms(epoch_s):
    """Return how late a boundary reading may be and still count for its boundary: max(2 s, 1 % of the epoch)."""
    return max(2000, 10 * epoch_s)


class Boundaries:
    """Which epoch boundary is due. Each is given out once: a clock set back repeats none, one set on skips to now.

    *taken* are the epochs of the boundary readings that the journal still has, oldest first. A clock that was days
    ahead may have left some that are yet to come: they are passed over when they do.
    """

    def __init__(self, epoch_s, taken, now_ms):
        self._epoch_ms = 1000 * epoch_s
        self._runs = []  # [first, last] epoch of those given out, one after the other
        last_epoch = None
        for last_epoch in taken:
            self._note(last_epoch)
        current = now_ms // self._epoch_ms
        fresh = now_ms - current * self._epoch_ms <= tolerance_ms(epoch_s)
        self._last = current - 1 if fresh else current
        if last_epoch is not None:
            self._last = max(self._last, last_epoch)

    def due(self, now_ms):
        """Return the epoch whose boundary reading is to be taken at *now_ms*, or None; never the same twice."""
        epoch = now_ms // self._epoch_ms
        if self._last - epoch > MAX_LEAD_EPOCHS:
            self._last = epoch
        if epoch <= self._last:
            return None
        self._last = epoch
        return epoch if self._note(epoch) else None

    def wait_ms(self, now_ms):
        """Return how long it is from *now_ms* to the next boundary."""
        return self._epoch_ms - now_ms % self._epoch_ms

    def _note(self, epoch):
        """Note that *epoch* was given out; tell whether that was the first time."""
        for first, last in self._runs:
            if first <= epoch <= last:
                return False
        if self._runs and self._runs[-1][1] + 1 == epoch:
            self._runs[-1][1] = epoch
        else:
            self._runs.append([epoch, epoch])
        if len(self._runs) > MAX_RUNS:
            self._runs.remove(min(self._runs))
        return True


class Telemetry:
    """When the next periodic reading is due: every `period_s`, each meter of a campus at its own phase."""

    def __init__(self, period_s, meter_id, now_ms):
        self._period_ms = 1000 * period_s
        self._phase_ms = int.from_bytes(meter_id, "big") % self._period_ms
        self._last = self._slot(now_ms)

    def is_due(self, now_ms, boundary_wait_ms):
        """Tell, once per period, that a reading is due; not within GUARD_MS before a boundary."""
        slot = self._slot(now_ms)
        if slot == self._last or boundary_wait_ms < GUARD_MS:
            return False
        self._last = slot
        return True

    def wait_ms(self, now_ms):
        """Return how long it is from *now_ms* to the next instant."""
        return self._period_ms - (now_ms + self._phase_ms) % self._period_ms

    def _slot(self, now_ms):
        return (now_ms + self._phase_ms) // self._period_ms
