"""The application: takes readings when they are due, signs and journals them, and lets the uplink carry them off."""

import asyncio

from meter import clock, profile, reading, unix_time
from meter.errors import JournalError, LineError, MalformedError, StorageError, in_words
from meter.inbox import Inbox
from meter.instrument import Instrument
from meter.line import Line
from meter.segments import MAX_HOLES
from meter.timekeeper import Timekeeper
from meter.timesync import TimeSync
from meter.uplink import Uplink

STATUS_S = 5
MAX_SLEEP_MS = 500
"""The clock is looked at this often, so that one that was set is noticed."""
DRAIN_POLL_S = 0.05
RETRY_S = 0.5
"""Pause before a meter that did not answer for a boundary is asked again, while its reading can still count for it."""
LATE_RETRIES = 60
"""How often in an epoch it is asked after that."""
LOSS_PERIOD_MS = 60_000
"""How often it is asked whether readings were lost that no record tells of yet."""
STORAGE_PATIENCE_MS = 60_000
"""For so long a disk may refuse every reading before the application ends by that fault."""


class Application:
    """One meter: its line, key, journal and uplink on one board.

    *progress* (a Progress) hears of each part that comes round; `proven()` is called when a receipt has come for a
    reading of registers of this run, so that configuration and firmware are known to work from end to end. *updates* is
    the Updater.
    """

    def __init__(self, settings, board, key, journal, progress, proven, updates):
        self._configuration = settings
        config = settings.config
        self._board = board
        self._key = key
        self._journal = journal
        self._progress = progress
        self._proven = proven
        self._version = updates.version
        self._clock = Timekeeper(board) if config.time_servers else board  # the system keeps the time, or we do
        line = Line(config.line, board)
        self._instrument = Instrument(profile.load(config.profile), line, config.slave, self._clock)
        self._inbox = Inbox(board, settings, journal, updates, self._heard, self._send_again, self._complain)
        self._uplink = Uplink(
            board, config.broker, config.meter_id, journal, self._inbox.accept, self._complain, progress
        )
        self._tasks = []
        self._ended = asyncio.Event()
        self._fault = None
        self._status = 0
        self._first = None  # number of the first reading of this run that has registers
        self._is_asking = False  # for a boundary reading
        self._unkept_since = None  # ticks of the first reading in a row that the disk refused

    async def run(self):
        """Take readings for ever; raises the fault that ended it."""
        self._board.emit(
            {
                "event": "started",
                "meter_id": self._configuration.config.meter_id.hex(),
                "interpreter": self._board.INTERPRETER,
                "version": self._version,
            }
        )
        if self._journal.lost_bytes:
            self._complain("the journal has {} damaged bytes, passed over".format(self._journal.lost_bytes))
        if self._configuration.damage:
            self._complain("stored configuration ignored: {}".format(self._configuration.damage))
        parts = [self._uplink.run(), self._measure(), self._report()]
        if self._configuration.config.time_servers:
            parts.append(self._lead_clock())
        for part in parts:
            self._tasks.append(asyncio.create_task(self._watch(part)))
        await self._ended.wait()
        raise self._fault

    async def _watch(self, part):
        """Run one part of the application; when it ends by a fault, the application does."""
        try:
            await part
        except Exception as error:
            self._fault = error
            self._ended.set()

    async def finish(self):
        """Take no new reading; wait, at most `drain_s`, until all have their receipts; report, and end the uplink."""
        for task in self._tasks[1:]:  # all but the uplink
            task.cancel()
        for part in ("measuring", "report", "clock"):
            self._progress.rest(part)
        await self._drain()
        await self.abandon()
        journal = self._journal
        self._board.emit(
            {"event": "stopped", "signed": journal.signed, "sequence": journal.sequence, "receipted": journal.receipted}
        )

    async def abandon(self):
        """Leave everything as it is: the journal holds what matters."""
        for task in self._tasks[1:]:
            task.cancel()
        await self._uplink.leave()
        for task in self._tasks[:1]:
            task.cancel()
        self._instrument.close()
        for part in ("measuring", "report", "clock", "uplink"):
            self._progress.rest(part)

    def tell(self, text):
        """Let the uplink publish the hint *text*."""
        self._uplink.tell(text)

    def is_quiet(self):
        """Tell whether a restart now costs no boundary reading that would count."""
        epoch_ms = 1000 * self._configuration.config.epoch_s
        past_ms = self._clock.now_ms() % epoch_ms
        is_late = past_ms > clock.tolerance_ms(self._configuration.config.epoch_s)
        return 2 * past_ms < epoch_ms and (is_late or not self._is_asking)

    async def _drain(self):
        start = self._board.ticks_ms()
        self._uplink.hurry()
        limit_ms = 1000 * self._configuration.config.drain_s
        while not self._journal.is_receipted() and self._board.ticks_since(start) < limit_ms:
            self._progress.mark("stop")
            await asyncio.sleep(DRAIN_POLL_S)
        self._progress.rest("stop")

    async def _measure(self):
        """Take the start-up reading, then each boundary and periodic reading when it is due."""
        config = self._configuration.config
        number = self._configuration.number if self._configuration.is_named() else None
        boundaries = clock.Boundaries(config.epoch_s, self._journal.epochs(), self._clock.now_ms())
        telemetry = clock.Telemetry(config.telemetry_s, config.meter_id, self._clock.now_ms())
        self._status |= reading.METER_RESTARTED
        self._progress.mark("measuring")
        self._tell_of_loss(MAX_HOLES)
        told_at = self._board.ticks_ms()
        await self._try_reading(reading.STARTUP, self._version or None)
        while True:
            self._progress.mark("measuring")
            now_ms = self._clock.now_ms()
            epoch = boundaries.due(now_ms) if unix_time.is_set(now_ms) else None
            if epoch is not None:
                self._is_asking = True
                await self._take_boundary(epoch)
                self._is_asking = False
            elif number != self._configuration.number and boundaries.wait_ms(now_ms) > clock.GUARD_MS:
                config, number = self._configuration.config, self._configuration.number
                telemetry = clock.Telemetry(config.telemetry_s, config.meter_id, now_ms)
                await self._take_between()
            elif telemetry.is_due(now_ms, boundaries.wait_ms(now_ms)) and self._has_room():
                await self._take_between()
            elif self._board.ticks_since(told_at) >= LOSS_PERIOD_MS and boundaries.wait_ms(now_ms) > clock.GUARD_MS:
                told_at = self._board.ticks_ms()
                self._tell_of_loss(1)
            else:
                pause_ms = min(boundaries.wait_ms(now_ms), telemetry.wait_ms(now_ms), MAX_SLEEP_MS)
                await asyncio.sleep(pause_ms / 1000)

    async def _take_between(self):
        """Take a reading between two boundaries: a periodic one, unless the configuration waits to be named by one."""
        number = self._configuration.number
        if self._configuration.is_named():
            await self._try_reading(reading.PERIODIC, None)
        elif await self._try_reading(reading.CONFIGURATION, number):
            try:
                self._configuration.note_named(number)
            except OSError as error:
                self._complain("the next start names configuration {} once more: {}".format(number, in_words(error)))

    def _lead_clock(self):
        servers = self._configuration.config.time_servers
        sync = TimeSync(self._board, self._clock, servers, self._board.emit, self._complain, self._progress)
        return sync.run()

    def _has_room(self):
        """Tell whether there is room for a periodic reading; a crowded journal is thinned by one run first."""
        if not self._journal.is_crowded():
            return True
        run = self._journal.thinnable()
        if run is None:
            return False
        try:
            self._record(reading.THINNED, run, (), self._clock.now_ms())
            self._journal.thin(run[0], run[1])
        except (JournalError, MalformedError, OSError) as error:
            self._complain("journal not thinned: {}".format(in_words(error)))
            return False
        self._board.emit({"event": "thinned", "first": run[0], "last": run[1], "readings": run[2]})
        self._uplink.wake()
        return True

    def _tell_of_loss(self, most):
        """Sign for readings that the flash has lost, since no receipt can pass the gap in the chain without that.

        *most* runs of them are told; what fails, or is found later, is told when this is called again.
        """
        try:
            for _ in range(most):
                run = self._journal.lost()
                if run is None:
                    return
                self._complain("readings {} to {} are lost: their flash is damaged".format(run[0], run[1]))
                self._status |= reading.JOURNAL_THINNED
                self._record(reading.THINNED, run, (), self._clock.now_ms())
                self._uplink.wake()
        except (JournalError, MalformedError, OSError) as error:
            self._complain("the loss of readings is not told yet: {}".format(in_words(error)))

    async def _take_boundary(self, epoch):
        """Take the boundary reading of *epoch*, however often the meter must be asked, until the next one is due."""
        while not await self._try_reading(reading.BOUNDARY, epoch):
            late_ms = self._clock.now_ms() - 1000 * epoch * self._configuration.config.epoch_s
            is_late = late_ms > clock.tolerance_ms(self._configuration.config.epoch_s)
            pause_s = max(RETRY_S, self._configuration.config.epoch_s / LATE_RETRIES) if is_late else RETRY_S
            self._progress.mark("measuring", int(1000 * pause_s))
            await asyncio.sleep(pause_s)
            if self._clock.now_ms() // 1000 // self._configuration.config.epoch_s != epoch:
                self._complain("no boundary reading of epoch {}: none of the attempts in it went well".format(epoch))
                return

    async def _try_reading(self, reason, about):
        """Take a reading, journal it, tell the uplink; tell whether that went well."""
        try:
            values, time_ms = await self._instrument.read(reason == reading.BOUNDARY, self._last_registers())
            sequence = self._record(reason, about, values, time_ms)
        except LineError as error:
            self._status |= reading.METER_UNREACHABLE
            self._complain("no {} reading: {}".format(reading.REASONS[reason], error))
            return False
        except (JournalError, MalformedError, OSError) as error:
            self._complain("{} reading not kept: {}".format(reading.REASONS[reason], in_words(error)))
            self._bear_with(error)
            return False
        self._unkept_since = None
        boundary = about if reason == reading.BOUNDARY else None
        self._board.emit(
            {"event": "signed", "sequence": sequence, "reason": reading.REASONS[reason], "epoch": boundary}
        )
        if reason == reading.BOUNDARY:
            self._uplink.hasten(sequence)
        else:
            self._uplink.wake()
        return True

    def _bear_with(self, error):
        """Let the disk refuse a reading, but not all of them for ever; raises StorageError."""
        if not isinstance(error, OSError):
            return  # a full journal is in order, and only a receipt makes room
        if self._unkept_since is None:
            self._unkept_since = self._board.ticks_ms()
        elif self._board.ticks_since(self._unkept_since) > STORAGE_PATIENCE_MS:
            raise StorageError("the disk keeps no reading: {}; mend it or make room".format(in_words(error)))

    def _record(self, reason, about, values, time_ms):
        """Sign and journal a reading; return its number. No await in here: number and link cannot be overtaken."""
        sequence, previous = self._journal.link()
        quality, offset_ms = clock.quality(time_ms, self._clock.clock_state())
        sealed = reading.seal(
            reading.Reading(
                sequence, time_ms // 1000, quality, offset_ms,
                self._inbox.beacon if reason == reading.BOUNDARY else None, reason, about, values,
                self._flags(values), previous,
            ),
            self._key,
        )  # fmt: skip
        self._journal.append(sequence, reason, sealed)
        if reason != reading.THINNED:  # which shows that the meter signs, not that it measures
            self._first = self._first or sequence
            self._status = 0
        return sequence

    def _flags(self, values):
        """Return the status of a reading with *values*: what happened since the one before."""
        flags = self._status
        if self._journal.is_thin():
            flags |= reading.JOURNAL_THINNED
        known = dict(self._last_registers())
        if any(code in profile.ENERGY and value < known.get(code, 0) for code, value in values):
            flags |= reading.REGISTER_SET_BACK
        return flags

    def _last_registers(self):
        last = self._journal.last_reading()
        return last.registers if last else ()

    async def _report(self):
        while True:
            self._progress.mark("report", 1000 * STATUS_S)
            await asyncio.sleep(STATUS_S)
            journal = self._journal
            self._board.emit(
                {
                    "event": "status", "signed": journal.signed, "sequence": journal.sequence,
                    "receipted": journal.receipted, "journal": journal.segments,
                }
            )  # fmt: skip

    def _heard(self, kind):
        if kind == "missing":
            self._tell_of_loss(1)
        if kind == "receipted" and self._first and self._journal.receipted >= self._first:
            self._proven()

    def _send_again(self, first, last):
        self._uplink.send_again(first, last)

    def _complain(self, text):
        self._board.emit({"event": "error", "text": text})
