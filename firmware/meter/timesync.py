"""Asks the time servers again and again, and lets the timekeeper follow what they agree on.

One question a server and round, at growing, jittered intervals. Who does not answer, or not soundly, is named and has
no say in the round; who asks to be left alone is. No answer is waited for longer than TIMEOUT_S, and no reading for it.
"""

import asyncio

from meter import agreement, sntp
from meter.errors import MalformedError

TIMEOUT_S = 2
POLL_FIRST_S = 64
POLL_LIMIT_S = 1024
"""Between rounds that brought an agreement."""
RETRY_FIRST_S = 20
RETRY_LIMIT_S = 1024
"""Between rounds that brought none. RFC 4330 allows no less than 15 s."""
LEAVE_FIRST_S = 2048
LEAVE_LIMIT_S = 86_400
"""How long a server is left alone that says RATE, each time twice as long; who says DENY or RSTR, the longest."""
OWN_SLACK_MS = 1000
"""One server alone may move the clock by this beyond what the clock itself holds for possible."""


class TimeSync:
    """Leads *timekeeper* by *servers* ((host, port), ...). `emit(event)` hears of the clock, `report(text)` of faults.

    *board* gives `exchange`, `random_bytes` and a clock of its own to set; *progress* (a Progress) hears of each round.
    """

    def __init__(self, board, timekeeper, servers, emit, report, progress):
        self._board = board
        self._timekeeper = timekeeper
        self._servers = [_Server(host, port) for host, port in servers]
        self._emit = emit
        self._report = report
        self._progress = progress
        self._poll_s = POLL_FIRST_S
        self._retry_s = RETRY_FIRST_S
        self._is_synced = False

    async def run(self):
        """Ask for ever; ends only by being cancelled."""
        while True:
            self._progress.mark("clock")
            verdict = await self._hold_round()
            if verdict:
                self._follow(verdict)
            elif self._is_synced and not self._timekeeper.clock_state()[0]:
                self._tell(0, [])
            pause_ms = self._pause_ms(verdict is not None)
            self._progress.mark("clock", pause_ms)
            await asyncio.sleep(pause_ms / 1000)

    async def _hold_round(self):
        """Ask every server that may be asked; return the Verdict that they came to, or None."""
        words = []
        for server in self._servers:
            if server.asks_from_ms <= self._timekeeper.elapsed_ms():
                sample = await self._ask(server)
                if sample:
                    words.append(agreement.Word(server.name, sample.offset_ms, sample.error_ms))
        if not words:
            return None
        own = self._timekeeper.own()
        verdict = agreement.reach(words, own and (own[0], own[1] + OWN_SLACK_MS))
        if verdict is None:
            self._report("time servers do not agree, the clock stays as it is: " + self._describe(words))
        elif verdict.outvoted:
            self._report("time servers outvoted: {}: {}".format(" ".join(verdict.outvoted), self._describe(words)))
        return verdict

    async def _ask(self, server):
        """Return the Sample that *server* gives, or None."""
        nonce = self._board.random_bytes(sntp.NONCE_BYTES)
        try:
            data, asked_ms, heard_ms = await self._board.exchange(
                server.host, server.port, sntp.question(nonce), lambda data: sntp.is_answer(data, nonce), TIMEOUT_S,
                self._timekeeper.elapsed_ms,
            )  # fmt: skip
            return sntp.measure(sntp.parse(data, nonce), asked_ms, heard_ms)
        except sntp.KissOfDeath as kiss:
            server.leave_alone(kiss.code, self._timekeeper.elapsed_ms())
            self._report("time server {}: {}".format(server.name, kiss))
        except (OSError, MalformedError, asyncio.TimeoutError) as error:
            self._report("time server {}: {}".format(server.name, str(error) or type(error).__name__))
        return None

    def _follow(self, verdict):
        was_led = self._timekeeper.is_led
        step_ms = self._timekeeper.follow(verdict.offset_ms, verdict.error_ms)
        self._board.set_clock(self._timekeeper.now_ms())
        if step_ms or not was_led:
            self._poll_s = POLL_FIRST_S  # what was believed was wrong: look again soon
        self._tell(step_ms, verdict.agreeing)

    def _tell(self, step_ms, servers):
        keeper = self._timekeeper
        self._is_synced, offset_ms = keeper.clock_state()
        self._emit(
            {
                "event": "clock", "synced": self._is_synced, "offset_ms": offset_ms, "error_ms": keeper.error_ms(),
                "rate_ppb": keeper.rate_ppb, "stepped_ms": step_ms, "servers": servers,
            }
        )  # fmt: skip

    def _describe(self, words):
        """Say how far from the meter's own clock each server's time is."""
        own_ms = self._timekeeper.now_ms() - self._timekeeper.elapsed_ms()
        return ", ".join(
            ["{} {:+d} ms (to {} ms)".format(word.server, word.offset_ms - own_ms, word.error_ms) for word in words]
        )

    def _pause_ms(self, is_led):
        """Return how long to wait after a round: up to a quarter shorter by chance, so that no campus asks at once."""
        if is_led:
            pause_s, self._poll_s = self._poll_s, min(2 * self._poll_s, POLL_LIMIT_S)
            self._retry_s = RETRY_FIRST_S
        else:
            pause_s, self._retry_s = self._retry_s, min(2 * self._retry_s, RETRY_LIMIT_S)
            self._poll_s = POLL_FIRST_S
        return 1000 * pause_s - int.from_bytes(self._board.random_bytes(4), "big") % (250 * pause_s)


class _Server:
    """One server, and from when on it may be asked."""

    def __init__(self, host, port):
        self.host = host
        self.port = port
        self.name = host if port == sntp.PORT else "{}:{}".format(host, port)
        self.asks_from_ms = 0
        self._leave_s = LEAVE_FIRST_S // 2

    def leave_alone(self, code, elapsed_ms):
        """Do what the kiss of death *code* asks for; an unknown one asks for nothing."""
        if code not in ("RATE", "DENY", "RSTR"):
            return
        self._leave_s = min(2 * self._leave_s, LEAVE_LIMIT_S) if code == "RATE" else LEAVE_LIMIT_S
        self.asks_from_ms = elapsed_ms + 1000 * self._leave_s
