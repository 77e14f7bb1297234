"""The meter from its start to its end: measuring where it can, in safe mode where it cannot, under the watchdog.

A start that fails and an application that ends by a fault both lead to safe mode, and that to a new start, at growing
intervals: there is no way here that ends in a loop without a pause, and none that ends the meter but three. It ends
where its storage is taken; where it is wrongly configured and never worked: then there is nobody to report to, and
whoever mounts the meter reads the reason at the prompt; and where a version on trial can make nothing of the
configuration, so that the launcher comes to the one before it.
"""

import asyncio
import sys

from meter import last_good, slots, start
from meter.app import Application
from meter.errors import ConfigError, MeterError, StorageError, UnfitError, in_words
from meter.progress import Progress
from meter.safe_mode import SafeMode
from meter.update import Updater

WATCHDOG_S = 180
"""Longer than any call that holds everything up: a name that no server looks up takes the resolver 30 s and more."""
RETRY_FIRST_MS = 5000
RETRY_LIMIT_MS = 3_600_000
STEADY_S = 600
"""After so long without a fault the next one counts as the first."""
UPDATE_POLL_S = 0.5
UNKNOWN = "unknown"


class Service:
    """The meter that the file *path* configures, on *board*.

    *slot* is the name of the one that the launcher started, "none" for the copy that the meter was delivered with,
    UNKNOWN for that copy where the launcher could not read the configuration; None where no launcher started anything.
    One that *is_on_trial* ends where it can make nothing of the configuration: the one before it may.
    """

    def __init__(self, board, path, slot=None, is_on_trial=False):
        self._board = board
        self._path = path
        self._progress = Progress(board)
        self._watchdog = board.watchdog(WATCHDOG_S)
        self._retry_ms = RETRY_FIRST_MS
        self._slot = slot
        self._is_on_trial = is_on_trial
        self._slots = self._updates = None
        self._news = None  # the last hint about an update
        self._is_restarting = False
        self._mode = None
        self._parts = None
        self._loaded = None  # what the file of the configuration looked like when it was read
        self._network = None  # the section of the configuration that is being followed, and the task that does
        self._joining = None
        self._tasks = []
        self._ended = asyncio.Event()
        self._fault = None

    async def run(self):
        """Run until the command line ends, or something else is to be started: tell which.

        Raises UnfitError where it never worked, or does not under a version on trial; ClaimError where it is taken.
        """
        for part in (self._guard(), self._live(), self._board.command_line_ended()):
            self._tasks.append(asyncio.create_task(self._watch(part)))
        await self._ended.wait()
        if self._fault:
            raise self._fault
        return self._is_restarting

    def stop(self):
        """Let `run` return."""
        self._ended.set()

    def give_up(self):
        """Let the watchdog know that nothing comes any more."""
        self._watchdog.stopping()

    async def finish(self):
        """End in order what is going on; before a new start nothing is waited for."""
        self.give_up()
        for task in self._tasks[1:]:  # all but the one that feeds
            task.cancel()
        self._progress.rest("start")
        if self._mode is not None:
            await (self._mode.abandon() if self._is_restarting else self._mode.finish())
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
        """Measure, or stay in safe mode, in turn, until cancelled; raises UnfitError, see `run`.

        Comes back where the launcher can now read the configuration, and so find the image that is to run.
        """
        was_unreadable = False
        while True:
            self._progress.mark("start")
            self._loaded = start.look([self._path])
            self._parts = parts = start.make_ready(self._board, self._path, self._watchdog.feed)
            if parts.config is not None:
                self._join_network(parts.config)
                self._open_updates(parts)
            elif self._is_on_trial or not last_good.is_kept(self._path):
                raise UnfitError(parts.text)
            is_unreadable = parts.reason == start.CONFIGURATION
            if self._slot == UNKNOWN and was_unreadable and not is_unreadable:
                return self._restart()
            was_unreadable = is_unreadable
            if parts.reason is None:
                await self._measure(parts)
            await self._stay_safe(parts)
            parts.close()

    def _join_network(self, config):
        """Keep the network up that *config* describes, whatever the meter is at; null: it is there without us."""
        if config.network == self._network:
            return
        if self._joining is not None:
            self._joining.cancel()
        self._network = config.network
        self._joining = asyncio.create_task(self._watch(self._board.keep_network(config, self._complain)))

    async def _measure(self, parts):
        """Be a meter; comes back when a fault made an end to it, which *parts* are then told."""
        steady = asyncio.create_task(self._grow_steady())
        try:
            self._mode = Application(
                parts.store, self._board, parts.key, parts.journal, self._progress, self._prove, self._updates
            )
            if self._news:
                self._mode.tell(self._news)
            self._settle_down("measuring")
            await self._mode.run()
        except Exception as error:
            parts.blame(start.STORAGE if isinstance(error, StorageError) else start.FAULT, error)
            _print_trace(error)
        finally:
            steady.cancel()
        if self._mode is not None:
            await self._mode.abandon()

    async def _grow_steady(self):
        await asyncio.sleep(STEADY_S)  # no count of ticks: it runs over within days
        self._retry_ms = RETRY_FIRST_MS

    async def _stay_safe(self, parts):
        self._mode = SafeMode(self._board, self._path, parts, self._progress, self._retry_ms, self._updates)
        self._settle_down("safe mode, {}: {}".format(parts.reason, parts.text))
        self._retry_ms = min(2 * self._retry_ms, RETRY_LIMIT_MS)
        await self._mode.run()
        self._mode = None

    def _settle_down(self, status):
        self._progress.rest("start")
        self._watchdog.ready()
        self._watchdog.status(status)

    def _open_updates(self, parts):
        """Look into the slots that the board has for updates, until that went well; none where no launcher did."""
        if self._slots is not None:
            self._updates.config = parts.config  # it may have been mended
            return
        try:
            self._slots = slots.of_board(self._board, parts.config.data_dir) if self._slot else None
        except (ConfigError, OSError) as error:
            self._complain("the slots for updates cannot be read: {}".format(in_words(error)))
        running = slots.NAMES.index(self._slot) if self._slot in slots.NAMES else None
        self._updates = Updater(self._slots, running, parts.config, self._board, self._tell_of_update)
        if self._slots is not None:
            if self._slots.damage:
                text = "{}; what the meter was delivered with runs: send it an update"
                self._complain(text.format(self._slots.damage))
            self._try_update(self._updates.start)
            self._tasks.append(asyncio.create_task(self._watch(self._await_update())))

    async def _await_update(self):
        """Come back when there is something else to start, and a good moment for it."""
        while not (self._updates.wants_restart and self._mode is not None and self._mode.is_quiet()):
            await asyncio.sleep(UPDATE_POLL_S)
            self._try_update(self._updates.check_trial)
        self._restart()

    def _restart(self):
        """Let `run` ask for a new start when the part that calls this has ended."""
        self._board.emit({"event": "restarting"})
        self._is_restarting = True

    def _try_update(self, step):
        """Do one step of an update. Whatever comes of it, the meter goes on."""
        try:
            step()
        except OSError as error:
            self._complain("update: the slot cannot be used: {}".format(in_words(error)))

    def _tell_of_update(self, version, state):
        """Tell the campus; and whoever reads the meter's output, unless it is mere progress."""
        self._news = "update {} {}".format(version, state)
        if self._mode is not None:
            self._mode.tell(self._news)
        if not state.isdigit():
            self._board.emit({"event": "update", "version": version, "state": state})

    def _prove(self):
        """Take what runs, and its configuration, for good: the gateway has a reading that it signed.

        Not a file that somebody has changed since it was read: that one still has to show that it works.
        """
        self._try_update(self._updates.note_receipt)
        try:
            if start.look([self._path]) == self._loaded:
                last_good.keep(self._board, self._path)
        except OSError as error:
            self._complain("no copy of the configuration is kept beside {}: {}".format(self._path, in_words(error)))

    def _complain(self, text):
        self._board.emit({"event": "error", "text": text})


def serve(board, path, slot=None, is_on_trial=False):
    """Run the meter until its command line ends, or Ctrl-C; tell whether it is to be started anew (see Service).

    Raises MeterError where it cannot be run at all.
    """
    service = Service(board, path, slot, is_on_trial)
    is_restarting = False
    loop = asyncio.new_event_loop()
    try:
        is_restarting = loop.run_until_complete(service.run())
    except KeyboardInterrupt:
        pass  # asked to stop, as by a `stop` line
    except MeterError:
        service.give_up()
        raise
    loop.run_until_complete(service.finish())
    return is_restarting


def _print_trace(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, sys.stderr)
    else:
        sys.excepthook(type(error), error, error.__traceback__)
