"""Which version of MQTT the next log-in speaks: 5, or 3.1.1 where the broker does not know 5. No I/O here."""

from meter.mqtt import V5, V311

MAX_UNANSWERED = 3
"""Log-ins in a row without an answer, after which a version that has worked is doubted.

Some brokers hang up at a version that they do not know; but any broker hangs up while it is being stopped.
"""
SETTLED_MS = 30_000
"""A session that has lasted so long has gone well."""
UPGRADE_MS = 3_600_000
"""After a session of 3.1.1 that lasted so long, a broker that refused 5 is asked again: it may be a new one."""


class Version:
    """`level` is what the next log-in speaks. Whoever logs in says how that went; pauses between log-ins are his."""

    def __init__(self):
        self.level = V5
        self._proven = None  # the level that worked last
        self._is_refused = False  # whether the broker said that it does not know 5
        self._unanswered = 0

    def accepted(self):
        """The broker speaks this version."""
        self._proven, self._unanswered = self.level, 0

    def refused(self):
        """The broker said that it does not speak this version."""
        self._is_refused = True
        self._turn()

    def unanswered(self):
        """The broker hung up without an answer, or with none that makes sense in this version."""
        self._unanswered += 1
        if self.level != self._proven or self._unanswered >= MAX_UNANSWERED:
            self._turn()

    def lasted(self, session_ms):
        """The session has lasted for *session_ms* by now."""
        if session_ms > (UPGRADE_MS if self._is_refused else SETTLED_MS):
            self.level, self._is_refused = V5, False

    def _turn(self):
        self.level = V311 if self.level == V5 else V5
        self._unanswered = 0
