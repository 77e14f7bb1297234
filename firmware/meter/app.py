"""The application: takes readings when they are due, signs and journals them, and lets the uplink carry them off."""

import asyncio

from meter import clock, configuration, profile, reading, receipt
from meter.errors import JournalError, LineError, MalformedError
from meter.instrument import Instrument
from meter.line import Line
from meter.uplink import Uplink

STATUS_S = 5
MAX_SLEEP_MS = 500
"""The clock is looked at this often, so that one that was set is noticed."""
DRAIN_POLL_S = 0.05
RETRY_S = 0.5
"""Pause before a meter that did not answer for a boundary is asked again, while its reading can still count for it."""
LATE_RETRIES = 60
"""How often in an epoch it is asked after that."""


class Application:
    """One meter: its line, key, journal and uplink on one board."""

    def __init__(self, settings, board, key, journal):
        self._configuration = settings
        config = settings.config
        self._board = board
        self._key = key
        self._journal = journal
        line = Line(config.line, board)
        self._instrument = Instrument(profile.load(config.profile), line, config.slave, board)
        self._uplink = Uplink(board, config.broker, config.meter_id, journal, self._accept, self._complain)
        self._tasks = []
        self._ended = asyncio.Event()
        self._fault = None
        self._beacon = None
        self._status = 0

    async def run(self):
        """Take readings until the command line ends; raises the fault where one ended it."""
        self._board.emit(
            {
                "event": "started",
                "meter_id": self._configuration.config.meter_id.hex(),
                "interpreter": self._board.INTERPRETER,
            }
        )
        if self._journal.lost_bytes:
            self._complain("the journal had {} torn bytes, cut off".format(self._journal.lost_bytes))
        if self._configuration.damage:
            self._complain("stored configuration ignored: {}".format(self._configuration.damage))
        for part in (self._uplink.run(), self._measure(), self._report(), self._board.command_line_ended()):
            self._tasks.append(asyncio.create_task(self._watch(part)))
        await self._ended.wait()
        if self._fault:
            raise self._fault

    async def _watch(self, part):
        """Run one part of the application; when it ends, as it should or by a fault, the application does."""
        try:
            await part
        except Exception as error:
            self._fault = error
        self._ended.set()

    async def finish(self):
        """Take no new reading; wait, at most `drain_s`, until all have their receipts; report, and end the uplink."""
        for task in self._tasks[1:]:  # all but the uplink
            task.cancel()
        await self._drain()
        await self._uplink.leave()
        for task in self._tasks[:1]:
            task.cancel()
        journal = self._journal
        self._board.emit(
            {"event": "stopped", "signed": journal.signed, "sequence": journal.sequence, "receipted": journal.receipted}
        )

    async def _drain(self):
        start = self._board.ticks_ms()
        self._uplink.hurry()
        while (
            not self._journal.is_receipted()
            and self._board.ticks_since(start) < 1000 * self._configuration.config.drain_s
        ):
            await asyncio.sleep(DRAIN_POLL_S)

    async def _measure(self):
        """Take the start-up reading, then each boundary and periodic reading when it is due."""
        config, board = self._configuration.config, self._board
        number = self._configuration.number
        boundaries = clock.Boundaries(config.epoch_s, self._journal.last_epoch(), board.now_ms())
        telemetry = clock.Telemetry(config.telemetry_s, config.meter_id, board.now_ms())
        self._status |= reading.METER_RESTARTED
        await self._try_reading(reading.STARTUP, None)
        while True:
            now_ms = board.now_ms()
            epoch = boundaries.due(now_ms) if clock.is_set(now_ms) else None
            if epoch is not None:
                await self._take_boundary(epoch)
            elif number != self._configuration.number and boundaries.wait_ms(now_ms) > clock.GUARD_MS:
                config, number = self._configuration.config, self._configuration.number
                telemetry = clock.Telemetry(config.telemetry_s, config.meter_id, now_ms)
                await self._try_reading(reading.CONFIGURATION, number)
            elif telemetry.is_due(now_ms, boundaries.wait_ms(now_ms)) and self._has_room():
                await self._try_reading(reading.PERIODIC, None)
            else:
                pause_ms = min(boundaries.wait_ms(now_ms), telemetry.wait_ms(now_ms), MAX_SLEEP_MS)
                await asyncio.sleep(pause_ms / 1000)

    def _has_room(self):
        """Tell whether there is room for a periodic reading; a crowded journal is thinned by one run first."""
        if not self._journal.is_crowded():
            return True
        run = self._journal.thinnable()
        if run is None:
            return False
        try:
            self._record(reading.THINNED, run, (), self._board.now_ms())
            self._journal.thin(run[0], run[1])
        except (JournalError, MalformedError, OSError) as error:
            self._complain("journal not thinned: {}".format(error))
            return False
        self._board.emit({"event": "thinned", "first": run[0], "last": run[1], "readings": run[2]})
        self._uplink.wake()
        return True

    async def _take_boundary(self, epoch):
        """Take the boundary reading of *epoch*, however often the meter must be asked, until the next one is due."""
        while not await self._try_reading(reading.BOUNDARY, epoch):
            late_ms = self._board.now_ms() - 1000 * epoch * self._configuration.config.epoch_s
            is_late = late_ms > clock.tolerance_ms(self._configuration.config.epoch_s)
            await asyncio.sleep(max(RETRY_S, self._configuration.config.epoch_s / LATE_RETRIES) if is_late else RETRY_S)
            if self._board.now_ms() // 1000 // self._configuration.config.epoch_s != epoch:
                self._complain("no boundary reading of epoch {}: the meter did not answer in all of it".format(epoch))
                return

    async def _try_reading(self, reason, epoch):
        """Take a reading, journal it, tell the uplink; tell whether that went well."""
        try:
            values, time_ms = await self._instrument.read(reason == reading.BOUNDARY, self._last_registers())
            sequence = self._record(reason, epoch, values, time_ms)
        except LineError as error:
            self._status |= reading.METER_UNREACHABLE
            self._complain("no {} reading: {}".format(reading.REASONS[reason], error))
            return False
        except (JournalError, MalformedError, OSError) as error:
            self._complain("{} reading not kept: {}".format(reading.REASONS[reason], error))
            return False
        boundary = epoch if reason == reading.BOUNDARY else None
        self._board.emit(
            {"event": "signed", "sequence": sequence, "reason": reading.REASONS[reason], "epoch": boundary}
        )
        if reason == reading.BOUNDARY:
            self._uplink.hasten(sequence)
        else:
            self._uplink.wake()
        return True

    def _record(self, reason, epoch, values, time_ms):
        """Sign and journal a reading; return its number. No await in here: number and link cannot be overtaken."""
        sequence, previous = self._journal.link()
        quality, offset_ms = clock.quality(time_ms, self._board.clock_state())
        sealed = reading.seal(
            reading.Reading(
                sequence, time_ms // 1000, quality, offset_ms,
                self._beacon if reason == reading.BOUNDARY else None, reason, epoch, values,
                self._flags(values), previous,
            ),
            self._key,
        )  # fmt: skip
        self._journal.append(sequence, reason, sealed)
        if reason != reading.THINNED:
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

    def _accept(self, message):
        """Take a message from the receipt topic; tell whether it was a receipt that brought the journal on."""
        try:
            if configuration.is_one(message):
                self._configure(message)
                return False
        except (MalformedError, OSError) as error:
            self._complain("configuration ignored: {}".format(error))
            return False
        return self._accept_receipt(message)

    def _configure(self, message):
        """Let a configuration hold from now on; the next reading says which one does."""
        found = self._configuration.take(message)
        if found is None:
            return  # a repeat, or an old one
        self._board.emit({"event": "configured", "number": found.number})
        if found.resend:
            self._uplink.send_again(found.resend[0], found.resend[1])

    def _accept_receipt(self, message):
        try:
            offered = receipt.decode(message)
            if offered.meter_id != self._configuration.config.meter_id:
                raise MalformedError("a receipt for another meter")
            if offered.sequence <= self._journal.receipted:
                return False  # a repeat: not worth the signature check
            if not receipt.is_authentic(message, self._configuration.config.gateway_keys):
                raise MalformedError("a receipt that none of the gateway keys signed")
            if self._journal.jump(offered.sequence, offered.hash):
                self._complain("readings were forgotten here: numbers go on behind {}".format(offered.sequence))
                return False
            if not self._journal.settle(offered.sequence, offered.hash):
                raise MalformedError("{} is not in this journal as the gateway has it".format(offered.sequence))
        except (MalformedError, OSError) as error:
            self._complain("receipt ignored: {}".format(error))
            return False
        self._hold_beacon(offered.beacon)
        self._board.emit({"event": "receipted", "sequence": offered.sequence})
        return True

    def _hold_beacon(self, beacon):
        """Keep the newest beacon: the one whose anchor, then block, is the latest."""
        if beacon and (self._beacon is None or (beacon[3], beacon[0]) > (self._beacon[3], self._beacon[0])):
            self._beacon = beacon

    async def _report(self):
        while True:
            await asyncio.sleep(STATUS_S)
            journal = self._journal
            self._board.emit(
                {
                    "event": "status", "signed": journal.signed, "sequence": journal.sequence,
                    "receipted": journal.receipted, "journal": journal.segments,
                }
            )  # fmt: skip

    def _complain(self, text):
        self._board.emit({"event": "error", "text": text})
