"""The watchdog of a board that has none, and what each board's offers."""

FEEDS = 3
"""How often within its time it is fed: twice it may come late."""


class Watchdog:
    """`feed` it every `period_s`, FEEDS times in *timeout_s*, after which it bites.

    What is told to it goes to whoever started the meter, if anybody listens.
    """

    def __init__(self, timeout_s):
        self.period_s = timeout_s / FEEDS

    def feed(self):
        """Say that all is well."""

    def ready(self):
        """Say that the start is over."""

    def stopping(self):
        """Say that the end has begun."""

    def status(self, text):
        """Say in one line what the meter is about."""
