"""The watchdog of a board that has none, and what each board's offers."""


class Watchdog:
    """`feed` it at least every `period_s`. What is told to it goes to whoever started the meter, if anybody listens."""

    def __init__(self, period_s):
        self.period_s = period_s

    def feed(self):
        """Say that all is well."""

    def ready(self):
        """Say that the start is over."""

    def stopping(self):
        """Say that the end has begun."""

    def status(self, text):
        """Say in one line what the meter is about."""
