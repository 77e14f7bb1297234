"""Safe mode: the meter cannot measure, and still answers. It says why, on its output and to the campus, goes on
sending what it kept, takes receipts and signed messages, and ends when a new start is worth trying.

It signs nothing.
"""

import asyncio

from meter import last_good, start
from meter.errors import MeterError, StorageError, in_words
from meter.inbox import Inbox
from meter.uplink import Uplink

POLL_S = 2
"""So often it looks whether somebody has mended a file."""
REPORT_S = 30
HINT_BYTES = 160


class SafeMode:
    """The meter with *parts* (a start.Parts that has a reason), for up to *pause_ms*; *path* is its config.json.

    *updates* is the Updater: what ails the meter may be what it runs. Without a configuration it speaks to no broker.
    """

    def __init__(self, board, path, parts, progress, pause_ms, updates):
        self._board = board
        self._path = path
        self._parts = parts
        self._progress = progress
        self._pause_ms = pause_ms
        self._updates = updates
        self._watched = [path] + ([parts.config.data_dir + "/key"] if parts.config else [])
        self._is_mended = False
        self._uplink = None
        self._sending = None

    async def run(self):
        """Stay until the pause is over, a file was changed, or the campus sent something that may have mended it."""
        board = self._board
        seen = start.look(self._watched)
        begun = board.ticks_ms()
        if self._parts.config is not None:
            self._sending = asyncio.create_task(self._send())
        reported = None
        while board.ticks_since(begun) < self._pause_ms and not self._is_mended and seen == start.look(self._watched):
            self._progress.mark("safe mode", 1000 * POLL_S)
            if reported is None or board.ticks_since(reported) >= 1000 * REPORT_S:
                reported = board.ticks_ms()
                self._report(self._pause_ms - board.ticks_since(begun))
            await asyncio.sleep(min(POLL_S, self._pause_ms / 1000))
        await self.abandon()

    def tell(self, text):
        """Let the uplink publish the hint *text*, if there is one."""
        if self._uplink is not None:
            self._uplink.tell(text)

    def is_quiet(self):
        """Tell that a restart costs no reading."""
        return True

    async def abandon(self):
        """End the session with the broker in order."""
        self._progress.mark("safe mode")
        if self._uplink is not None:
            await self._uplink.leave()
            self._uplink = None
        if self._sending is not None:
            self._sending.cancel()
        for part in ("safe mode", "uplink"):
            self._progress.rest(part)

    async def finish(self):
        """End; there is no reading to wait for."""
        await self.abandon()
        stopped = {"event": "stopped"}
        journal = self._parts.journal
        if journal is not None:
            stopped.update({"signed": journal.signed, "sequence": journal.sequence, "receipted": journal.receipted})
        self._board.emit(stopped)

    async def _send(self):
        """Keep a session with the broker; without the journal where that cannot be read."""
        try:
            await self._connect(self._parts.journal)
        except StorageError:
            await self._connect(None)

    async def _connect(self, journal):
        config = self._parts.config
        inbox = Inbox(
            self._board, self._parts.store, journal, self._updates, self._heard, self._send_again, self._complain
        )
        self._uplink = Uplink(
            self._board, config.broker, config.meter_id, journal or NoJournal(), inbox.accept, self._complain,
            self._progress,
        )  # fmt: skip
        self._uplink.tell(hint(self._parts.reason, self._parts.text))
        await self._uplink.run()

    def _report(self, left_ms):
        reason, text = self._parts.reason, self._parts.text
        self._board.emit({"event": "safe", "reason": reason, "text": text, "retry_s": left_ms // 1000})
        self.tell(hint(reason, text))

    def _heard(self, kind):
        """Put the last good configuration back when the campus has signed a new message for a meter without one."""
        if kind != "configured":
            return
        self._is_mended = True
        if self._parts.reason == start.CONFIGURATION:
            try:
                last_good.restore(self._board, self._path)
            except (MeterError, OSError) as error:
                self._complain("configuration not put back: {}".format(in_words(error)))

    def _send_again(self, first, last):
        self._uplink.send_again(first, last)

    def _complain(self, text):
        self._board.emit({"event": "error", "text": text})


class NoJournal:
    """What an uplink sees of a journal that is out of reach."""

    receipted = 0

    def find(self, _):
        """Return that there is no such reading."""

    def pending(self, *_):
        """Return that there is nothing to send."""
        return []

    thinnings = boundaries = pending


def hint(reason, text):
    """Return the status hint of safe mode: printable ASCII, cut to its size."""
    plain = "".join([letter if " " <= letter <= "~" else "?" for letter in text])
    return "safe {}: {}".format(reason, plain)[:HINT_BYTES]
