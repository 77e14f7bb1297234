"""The meter from its start to its end: measuring where it can, in safe mode where it cannot, under the watchdog.

A start that fails and an application that ends by a fault both lead to safe mode, and that to a new start, at growing
intervals: there is no way here that ends in a loop without a pause, and none that ends the meter but two. It ends
where its storage is taken, and where it has never worked: then there is nobody to report to, and whoever starts it by
hand reads the reason.
"""

import asyncio
import sys

from meter import last_good, start
from meter.app import Application
from meter.errors import StorageError, UnfitError
from meter.progress import Progress
from meter.safe_mode import SafeMode

WATCHDOG_S = 180
"""Longer than any call that holds everything up: a name that no server looks up takes the resolver 30 s and more."""
RETRY_FIRST_MS = 5000
RETRY_LIMIT_MS = 3_600_000
STEADY_MS = 600_000
"""After so long without a fault the next one counts as the first."""


class Service:
    """The meter that the file *path* configures, on *board*."""

    def __init__(self, board, path):
        self._board = board
        self._path = path
        self._progress = Progress(board)
        self._watchdog = board.watchdog(WATCHDOG_S)
        self._retry_ms = RETRY_FIRST_MS
        self._mode = None
        self._parts = None
        self._tasks = []
        self._ended = asyncio.Event()
        self._fault = None

    async def run(self):
        """Run until the command line ends. Raises UnfitError where it never worked, ClaimError where it is taken."""
        for part in (self._guard(), self._live(), self._board.command_line_ended()):
            self._tasks.append(asyncio.create_task(self._watch(part)))
        await self._ended.wait()
        if self._fault:
            raise self._fault

    def stop(self):
        """Let `run` return."""
        self._ended.set()

    async def finish(self):
        """End in order what is going on."""
        self._watchdog.stopping()
        for task in self._tasks[1:]:  # all but the one that feeds
            task.cancel()
        self._progress.rest("start")
        if self._mode is not None:
            await self._mode.finish()
        if self._parts is not None:
            self._parts.close()
        self._tasks[0].cancel()

    async def _watch(self, part):
        try:
            await part
        except Exception as error:
            self._fault = error
        self._ended.set()

    async def _guard(self):
        """Feed the watchdog while every part gets on."""
        told = []
        while True:
            late = self._progress.late()
            if not late:
                self._watchdog.feed()
            elif late != told:
                self._complain("{}: no progress; the watchdog is no longer fed".format(", ".join(late)))
            told = late
            await asyncio.sleep(self._watchdog.period_s)

    async def _live(self):
        while True:
            self._progress.mark("start")
            self._parts = parts = start.make_ready(self._board, self._path, self._watchdog.feed)
            if parts.config is None:
                parts.close()
                raise UnfitError(parts.text)
            if parts.reason is None:
                await self._measure(parts)
            await self._stay_safe(parts)
            parts.close()

    async def _measure(self, parts):
        """Be a meter; comes back when a fault made an end to it, which *parts* are then told."""
        begun = self._board.ticks_ms()
        try:
            self._mode = Application(
                parts.store, self._board, parts.key, parts.journal, self._progress, self._keep_configuration
            )
            self._settle_down("measuring")
            await self._mode.run()
        except Exception as error:
            parts.blame(start.STORAGE if isinstance(error, StorageError) else start.FAULT, error)
            _print_trace(error)
        if self._board.ticks_since(begun) > STEADY_MS:
            self._retry_ms = RETRY_FIRST_MS
        if self._mode is not None:
            await self._mode.abandon()

    async def _stay_safe(self, parts):
        self._mode = SafeMode(self._board, self._path, parts, self._progress, self._retry_ms)
        self._settle_down("safe mode, {}: {}".format(parts.reason, parts.text))
        self._retry_ms = min(2 * self._retry_ms, RETRY_LIMIT_MS)
        await self._mode.run()
        self._mode = None

    def _settle_down(self, status):
        self._progress.rest("start")
        self._watchdog.ready()
        self._watchdog.status(status)

    def _keep_configuration(self):
        try:
            last_good.keep(self._board, self._path)
        except OSError as error:
            self._complain("no copy of the configuration is kept beside {}: {}".format(self._path, error))

    def _complain(self, text):
        self._board.emit({"event": "error", "text": text})


def serve(board, path):
    """Run the meter until its command line ends, or Ctrl-C; raises MeterError where it cannot be run at all."""
    service = Service(board, path)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(service.run())
    except KeyboardInterrupt:
        pass  # asked to stop, as by a `stop` line
    loop.run_until_complete(service.finish())


def _print_trace(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, sys.stderr)
    else:
        sys.excepthook(type(error), error, error.__traceback__)
