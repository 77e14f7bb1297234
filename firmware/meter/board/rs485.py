"""A UART behind an RS-485 transceiver whose direction a pin sets. For boards whose UART does not do it by itself."""


class Rs485Uart:
    """*uart* with `flush` (waits until the last bit has left) and *pin* that is 1 while this end talks."""

    def __init__(self, uart, pin):
        self._uart = uart
        self._pin = pin
        pin.value(0)

    def read(self, count):
        """Return up to *count* bytes, possibly none; never waits."""
        return self._uart.read(count) or b""

    def write(self, data):
        """Send *data*; the line is let go with the last bit, before a meter can begin to answer."""
        self._pin.value(1)
        try:
            self._uart.write(data)
            self._uart.flush()
        finally:
            self._pin.value(0)

    def close(self):
        """Let go of the UART."""
        self._uart.deinit()
