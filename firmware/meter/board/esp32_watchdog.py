"""The watchdog of an ESP32: once started it can be given another time, but not be stopped."""

import machine

from meter.board.watchdog import Watchdog

PROMPT_S = 3600
"""So long somebody may be at the prompt before the meter starts again by itself."""


class ChipWatchdog(Watchdog):
    """Resets the chip when it was not fed for *timeout_s*."""

    def __init__(self, timeout_s):
        super().__init__(timeout_s)
        self._chip = machine.WDT(timeout=1000 * timeout_s)

    def feed(self):
        """Say that all is well."""
        self._chip.feed()

    def stopping(self):
        """Leave time for somebody at the prompt."""
        machine.WDT(timeout=1000 * PROMPT_S).feed()
