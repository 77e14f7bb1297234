"""The meter's own clock, where the system keeps none: Unix time from the board's tick count, led by time servers.

It never runs backwards, save in a step. A correction of up to STEP_MS is made by running faster or slower by one part
in SLEW_DIVISOR; a greater one is a step. How fast the ticks really go is learnt from the servers' time and allowed for,
so that the clock holds when they fall silent.

Its greatest possible error is known at all times: that of the last agreement, plus what is still to be slewed, plus the
time since then times what is not known of the ticks' rate. While that is at most SYNCED_ERROR_MS the clock is synced;
beyond, it is in holdover. Before the first agreement it shows what the board's own clock says (holdover, its error
unknown) or, where that cannot be true, is not set at all.
"""

from meter import unix_time

SYNCED_ERROR_MS = 500
"""A quarter of what a boundary reading may be late: a synced clock costs no boundary its place."""
STEP_MS = 400
SLEW_DIVISOR = 200
"""5 ms a second."""
UNKNOWN_RATE_PPB = 100_000
"""How far off the ticks' rate may be while nothing is known of it: with that a clock is synced for 80 minutes."""
WANDER_PPB = 5_000
"""How far it may wander by temperature from what was learnt: 432 ms a day."""
MAX_RATE_PPB = 500_000
"""No crystal is further off."""
LEARNT_RATE_PPB = 20_000
"""The rate is known where two samples tell it more exactly than this."""
SPACING_MS = 3_600_000
HISTORY = 25
"""Samples kept, SPACING_MS apart: a day."""
BOARD_ERROR_MS = 300_000
"""How far off the board's clock may be at start, and one server alone still be believed."""
UNKNOWN_MS = 32_767
"""The greatest offset that a reading can state."""

_PPB = 1_000_000_000
_FOLD_MS = 1 << 20
"""Ticks are added up this often, in ms: long before any board's count is ambiguous (2^29 ms, six days)."""


class Timekeeper:
    """A clock on *board*'s ticks, with the two names by which readings ask: `now_ms` and `clock_state`.

    One of them, or `elapsed_ms`, is to be called at least once in six days.
    """

    def __init__(self, board):
        self._board = board
        self._ticks = board.ticks_ms()
        self._counted_ms = 0
        self._rate = Rate()
        self._start_ms = board.now_ms()  # what the clock showed at
        self._since_ms = 0  # this count, from when on it goes
        self._slew_ms = 0  # towards what it showed plus this
        self._error_ms = BOARD_ERROR_MS
        self.is_led = False  # by servers, once

    @property
    def rate_ppb(self):
        """How much faster true time goes than the ticks, in parts of 10^9, as far as was learnt."""
        return self._rate.ppb

    def elapsed_ms(self):
        """Return the milliseconds since the clock was made; no setting of any clock disturbs them."""
        ticks = self._board.ticks_ms()
        passed_ms = self._board.ticks_since(self._ticks)
        if passed_ms < _FOLD_MS:
            return self._counted_ms + passed_ms
        self._ticks = ticks
        self._counted_ms += passed_ms
        return self._counted_ms

    def now_ms(self):
        """Return Unix time in milliseconds."""
        return self._shown_ms(self.elapsed_ms())

    def clock_state(self):
        """Return (whether the clock is synced, its estimated offset in ms).

        The offset is the correction under way of a synced clock, and the greatest possible error of one in holdover.
        """
        error_ms = self.error_ms()
        if error_ms <= SYNCED_ERROR_MS and self.is_led:
            return True, self._unslewed_ms(self.elapsed_ms())
        return False, min(error_ms, UNKNOWN_MS) if self.is_led else UNKNOWN_MS

    def error_ms(self):
        """Return how far off the clock is at most, as far as is known."""
        elapsed_ms = self.elapsed_ms()
        strayed_ms = (elapsed_ms - self._since_ms) * self._rate.error_ppb // _PPB
        return self._error_ms + strayed_ms + abs(self._unslewed_ms(elapsed_ms))

    def own(self):
        """Return the clock's word for `agreement.reach`: (offset from `elapsed_ms`, error); None while never set."""
        elapsed_ms = self.elapsed_ms()
        shown_ms = self._shown_ms(elapsed_ms)
        if not (self.is_led or unix_time.is_set(shown_ms)):
            return None
        return shown_ms + self._unslewed_ms(elapsed_ms) - elapsed_ms, self.error_ms()

    def follow(self, offset_ms, error_ms):
        """Be led by servers that say that Unix time is `elapsed_ms` plus *offset_ms*, give or take *error_ms*.

        What the clock knew already narrows that down, where the two agree. Returns the step that it made, in ms; 0 if
        it is slewed.
        """
        elapsed_ms = self.elapsed_ms()
        low_ms, high_ms = offset_ms - error_ms, offset_ms + error_ms
        if self.is_led:
            own_ms, own_error_ms = self.own()
            if abs(own_ms - offset_ms) <= own_error_ms + error_ms:
                low_ms, high_ms = max(low_ms, own_ms - own_error_ms), min(high_ms, own_ms + own_error_ms)
        shown_ms = self._shown_ms(elapsed_ms)
        correction_ms = elapsed_ms + (low_ms + high_ms) // 2 - shown_ms
        is_step = abs(correction_ms) > STEP_MS
        self._rate.learn(elapsed_ms, offset_ms, error_ms)
        self._start_ms = shown_ms + (correction_ms if is_step else 0)
        self._slew_ms = 0 if is_step else correction_ms
        self._since_ms = elapsed_ms
        self._error_ms = (high_ms - low_ms + 1) // 2
        self.is_led = True
        return correction_ms if is_step else 0

    def _shown_ms(self, elapsed_ms):
        """Return what the clock shows at *elapsed_ms*: one rising line, rounded down once, so it never goes back."""
        passed_ms = elapsed_ms - self._since_ms
        slewing_ms = min(passed_ms, SLEW_DIVISOR * abs(self._slew_ms))
        gained = slewing_ms * (_PPB // SLEW_DIVISOR) * (1 if self._slew_ms > 0 else -1)
        return self._start_ms + (passed_ms * (_PPB + self._rate.ppb) + gained) // _PPB

    def _unslewed_ms(self, elapsed_ms):
        """Return what is left of the correction."""
        done_ms = min((elapsed_ms - self._since_ms) // SLEW_DIVISOR, abs(self._slew_ms))
        return self._slew_ms - done_ms if self._slew_ms > 0 else self._slew_ms + done_ms


class Rate:
    """How much faster true time goes than the ticks: `ppb`, in parts of 10^9, at most `error_ppb` off."""

    def __init__(self):
        self._forget()

    def learn(self, elapsed_ms, offset_ms, error_ms):
        """Take note that true time was *offset_ms* ahead of the ticks at *elapsed_ms*, give or take *error_ms*.

        The samples are a day of true time over ticks, whatever the clock made of it: no step of its own spoils them.
        One that contradicts what was learnt (ticks were lost, the servers' time was set) begins it anew.
        """
        if self._samples and not self._is_likely(elapsed_ms, offset_ms, error_ms):
            self._forget()
        if self._samples:
            self._compare(elapsed_ms, offset_ms, error_ms)
        if not self._samples or elapsed_ms - self._samples[-1][0] >= SPACING_MS:
            self._samples = (self._samples + [(elapsed_ms, offset_ms, error_ms)])[-HISTORY:]

    def _is_likely(self, elapsed_ms, offset_ms, error_ms):
        then_ms, before_ms, before_error_ms = self._samples[-1]
        passed_ms = elapsed_ms - then_ms
        unknown_ppb = self.error_ppb if self.error_ppb < UNKNOWN_RATE_PPB else MAX_RATE_PPB
        strayed_ms = abs(offset_ms - before_ms - passed_ms * self.ppb // _PPB)
        return strayed_ms <= passed_ms * unknown_ppb // _PPB + error_ms + before_error_ms

    def _forget(self):
        self._samples = []
        self.ppb = 0
        self.error_ppb = UNKNOWN_RATE_PPB

    def _compare(self, elapsed_ms, offset_ms, error_ms):
        """Work the rate out from the oldest sample and this one, if they are far enough apart for their errors."""
        then_ms, before_ms, before_error_ms = self._samples[0]
        error_ppb = (error_ms + before_error_ms) * _PPB // max(elapsed_ms - then_ms, 1)
        if error_ppb <= LEARNT_RATE_PPB:
            self.ppb = (offset_ms - before_ms) * _PPB // (elapsed_ms - then_ms)
            self.error_ppb = error_ppb + WANDER_PPB
