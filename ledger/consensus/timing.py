"""How long a round waits (LEDGER rule 6) and when a proposed time is believed (rule 13). Milliseconds throughout."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.consensus.effects import Step


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits of round 0, how they grow, and the bounds of proposer-based timestamps."""

    propose_ms: int = 1_000
    prevote_ms: int = 500
    precommit_ms: int = 500
    growth_ms: int = 250
    cap_ms: int = 10_000
    precision_ms: int = 500
    message_delay_ms: int = 2_000
    message_delay_growth_ms: int = 500
    max_drift_ms: int = 15_000

    def timeout_ms(self, step: Step, round_: int) -> int:
        """Return how long *step* of *round_* waits: linear and capped, for doubling would wait an hour at round 10."""
        start = {
            Step.PROPOSE: self.propose_ms,
            Step.PREVOTE: self.prevote_ms,
            Step.PRECOMMIT: self.precommit_ms,
        }[step]
        return min(start + round_ * self.growth_ms, self.cap_ms)

    def is_timely(self, time_ms: int, received_ms: int, round_: int) -> bool:
        """Tell whether a fresh proposal of *round_*, received at *received_ms* (own clock), may carry *time_ms*.

        The tolerance for delay grows with the round, so that a slow network cannot refuse for ever; the drift from the
        own clock stays bounded whatever the round, or a chain of blocks could be ratcheted away from the true time.
        """
        delay = self.message_delay_ms + round_ * self.message_delay_growth_ms
        earliest = max(received_ms - delay - self.precision_ms, received_ms - self.max_drift_ms)
        return earliest <= time_ms <= received_ms + self.precision_ms
