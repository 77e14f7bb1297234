"""Meters of the bench: they sign boundary readings as fast as they are asked to."""

from __future__ import annotations

from ledger import keys
from ledger.trial_reading import sign_boundary

EPOCH_S = 3_600
_FIRST_METER = 0xCC00000000000000
_STEP_WH = 100


class BenchMeter:
    """A meter of the bench account `owner`; its registers rise by 100 Wh an epoch."""

    def __init__(self, number: int, owner: int) -> None:
        self.id = (_FIRST_METER + number).to_bytes(8, "big")
        self.key = keys.PrivateKey(self.id * 4)
        self.owner = owner
        self._sequence = 0

    def boundary(self, epoch: int) -> bytes:
        """Return the next reading, taken at the start of *epoch*."""
        self._sequence += 1
        energy_wh = self._sequence * _STEP_WH
        return sign_boundary(self.key, self._sequence, epoch, EPOCH_S, (energy_wh, energy_wh))
