"""The uplink: a session with the broker, kept for ever, that carries off what the outbox gives and brings receipts in.

Not micropython-lib's umqtt: its blocking reads wait for ever on a dead link, and boundaries would be missed.
"""

import asyncio

from meter import mqtt
from meter import mqtt_reasons as reasons
from meter.errors import UplinkError, in_words
from meter.mqtt_version import SETTLED_MS, Version
from meter.outbox import LAST_PACKET_ID, Outbox

CONNECT_TIMEOUT_S = 10
LEAVE_TIMEOUT_S = 1
ANSWER_TIMEOUT_MS = 10_000
BACKOFF_FIRST_MS = 500
BACKOFF_LIMIT_MS = 60_000
READ_BYTES = 1024

WILL = "lost"
"""What the broker publishes on meter/<id>/status, if the meter goes without a word."""

_SUBSCRIPTION_ID = LAST_PACKET_ID + 1
_TICK_S = 0.5


class Uplink:
    """Keeps a session with the broker. `accept(payload)` is called with every message on the receipt topic.

    `report(text)` hears of every failure, *progress* (a Progress) of every round. `wake()` says that the journal has
    more; `hurry()` that all is to go soon.
    """

    def __init__(self, board, broker, meter_id, journal, accept, report, progress):
        self._board = board
        self._broker = broker
        self._name = meter_id.hex()
        self._accept = accept
        self._report = report
        self._progress = progress
        self._news = asyncio.Event()
        self._hurried = asyncio.Event()
        self._outbox = Outbox(board, self._name, journal, self._complain, self.wake)
        self._version = Version()
        self._backoff_ms = BACKOFF_FIRST_MS
        self._writer = None  # while logged in
        self._is_left = False
        self._may_resume = False  # whether the broker may still have a session of this run
        self._forget_session()

    def wake(self):
        """Look for something to send now."""
        self._news.set()

    def hasten(self, sequence):
        """Send reading *sequence* now, before any backlog."""
        self._outbox.hasten(sequence)

    def send_again(self, first, last):
        """Send the boundary readings of epochs *first* to *last* anew, behind everything that has no receipt."""
        self._outbox.send_again(first, last)

    def tell(self, text):
        """Publish *text*, a short unsigned hint, as soon as there is a session: for people, not for the books.

        Its first word is its kind; of each kind only the newest is kept while it has to wait, and none for ever.
        """
        self._outbox.tell(text)

    def hurry(self):
        """Publish anew, at the shortest interval, what has no receipt: the meter is about to stop."""
        self._backoff_ms = BACKOFF_FIRST_MS
        self._hurried.set()
        self._outbox.hurry()

    async def leave(self):
        """Tell the broker, if there is a session, that the meter goes on purpose: no will is published then.

        `run` ends soon after, also where its cancellation is lost, as by asyncio.wait_for of Python 3.11.
        """
        self._is_left = True
        if self._writer is not None:
            try:
                await asyncio.wait_for(_send(self._writer, mqtt.disconnect(self._level)), LEAVE_TIMEOUT_S)
            except (OSError, asyncio.TimeoutError):
                return  # the link is dead: the will is true

    async def run(self):
        """Keep a session until `leave`, or until it is cancelled."""
        while not self._is_left:
            self._progress.mark("uplink")
            try:
                await self._hold_session()
            except (OSError, ValueError, UplinkError, asyncio.TimeoutError) as error:  # ValueError: a bad certificate
                if self._is_left:
                    return  # the broker hung up, as it should
                self._complain(_text_of(error))
            await self._pause(self._jittered_ms())
            self._backoff_ms = min(2 * self._backoff_ms, BACKOFF_LIMIT_MS)

    def _complain(self, text):
        self._report("uplink to {}:{}: {}".format(self._broker.host, self._broker.port, text))

    async def _pause(self, pause_ms):
        """Wait *pause_ms*, or until someone is in a hurry."""
        self._hurried.clear()
        self._progress.mark("uplink", pause_ms)
        try:
            await asyncio.wait_for(self._hurried.wait(), pause_ms / 1000)
        except asyncio.TimeoutError:
            return

    def _jittered_ms(self):
        """Return a random pause between half the back-off and all of it, so that a campus does not return at once."""
        half = self._backoff_ms // 2
        return half + int.from_bytes(self._board.random_bytes(4), "big") % (half + 1)

    def _forget_session(self):
        self._level = self._version.level
        self._awaited = mqtt.Connack
        self._keep_alive_ms = 1000 * mqtt.KEEP_ALIVE_S
        self._outgoing = []  # packets that wait for nothing
        self._failure = None
        self._began = self._heard = self._pinged = self._board.ticks_ms()

    async def _hold_session(self):
        self._forget_session()
        broker = self._broker
        reader, writer = await self._board.connect(broker.host, broker.port, broker.ca, CONNECT_TIMEOUT_S)
        receiving = None
        try:
            parser = mqtt.Parser(self._level)
            await self._log_in(reader, writer, parser)
            self._writer = writer
            receiving = asyncio.create_task(self._receive(reader, parser))
            await self._transmit(writer)
        finally:
            self._writer = None
            if receiving:
                receiving.cancel()
            await _hang_up(writer)

    async def _log_in(self, reader, writer, parser):
        """Be greeted, or find out whether it is the version of MQTT that the broker has no sensible answer to."""
        try:
            await asyncio.wait_for(self._greet(reader, writer, parser), CONNECT_TIMEOUT_S)
        except (OSError, UplinkError, asyncio.TimeoutError) as error:
            text = "no answer to the log-in" if isinstance(error, asyncio.TimeoutError) else _text_of(error)
            if self._awaited is mqtt.Connack:
                self._version.unanswered()
            raise UplinkError(text + self._turned())

    async def _greet(self, reader, writer, parser):
        """Log in and subscribe; what the broker sends before the two answers is handled like everything else."""
        await _send(writer, self._connect())
        while self._awaited:
            data = await reader.read(READ_BYTES)
            if not data:
                raise UplinkError("the broker closed the connection during log-in")
            self._heard = self._board.ticks_ms()
            for packet in parser.feed(data):
                if self._awaited and isinstance(packet, self._awaited):
                    await self._greeted(writer, packet)
                else:
                    self._handle(packet)

    def _connect(self):
        """Return the CONNECT; where the broker may still have this run's session, it is to be taken up again."""
        broker = self._broker
        self._may_resume = self._may_resume and self._level == mqtt.V5
        return mqtt.connect(
            self._level, "meter-" + self._name, broker.user, broker.password,
            "meter/{}/status".format(self._name), WILL, not self._may_resume,
        )  # fmt: skip

    async def _greeted(self, writer, packet):
        """Go on with the log-in after *packet*, the awaited answer."""
        if isinstance(packet, mqtt.Connack):
            self._awaited = mqtt.Suback
            self._logged_in(packet)
            subscription = mqtt.subscribe(self._level, "meter/{}/receipt".format(self._name), _SUBSCRIPTION_ID)
            await _send(writer, subscription)
        elif packet.code >= reasons.FIRST_REFUSAL:
            reason = reasons.describe(packet.code, packet.text)
            raise UplinkError("the broker refused the subscription to the receipts: " + reason)
        else:
            self._awaited = None

    def _logged_in(self, packet):
        if packet.code:
            if packet.code in reasons.OF_VERSION:
                self._version.refused()
            reason = reasons.describe(packet.code, packet.text)
            raise UplinkError("the broker refused the meter: " + reason)
        self._version.accepted()
        if packet.session_present and not self._may_resume:  # MQTT-3.2.2-2; of 3.1.1: MQTT-3.2.2-1
            raise UplinkError("the broker kept a session although a clean one was asked for")
        if packet.terms.quality == 0:
            raise UplinkError("the broker takes no QoS 1, without which nothing is acknowledged: allow it there")
        self._may_resume = self._level == mqtt.V5
        self._keep_alive_ms = 1000 * packet.terms.keep_alive_s
        self._outgoing += self._outbox.begin(self._level, packet.terms, packet.session_present)

    def _turned(self):
        """Return what to add to an error after which the other version is tried."""
        level = self._version.level
        return "; {} is tried next".format(mqtt.NAMES[level]) if level != self._level else ""

    async def _receive(self, reader, parser):
        """Read until the connection ends; the reason is left for `_transmit`, which ends the session."""
        try:
            while True:
                data = await reader.read(READ_BYTES)
                if not data:
                    raise UplinkError("the broker closed the connection")
                self._heard = self._board.ticks_ms()
                for packet in parser.feed(data):
                    self._handle(packet)
        except Exception as error:  # a journal that cannot be read among them: that is for `run`'s caller
            self._failure = error
            self._news.set()

    def _handle(self, packet):
        if isinstance(packet, mqtt.Puback):
            self._outbox.acknowledge(packet.packet_id, packet.code, packet.text)
        elif isinstance(packet, mqtt.Publish):
            if packet.packet_id is not None:
                self._outgoing.append(mqtt.puback(packet.packet_id))
            if self._accept(packet.payload):
                self._outbox.receipted()
        elif isinstance(packet, mqtt.Disconnect):
            if packet.code == reasons.TAKEN_OVER:  # two that log in as one would throw each other out without end
                self._backoff_ms = BACKOFF_LIMIT_MS
            raise UplinkError("the broker ended the session: " + reasons.describe(packet.code, packet.text))
        elif not isinstance(packet, mqtt.Pong):
            raise UplinkError("the broker sent an answer to nothing")
        self._news.set()

    async def _transmit(self, writer):
        """Send what is due until the session fails, or is left."""
        while not self._is_left:
            if self._failure:
                raise self._failure
            self._progress.mark("uplink")
            self._news.clear()
            self._grow_old()
            packets = self._go() + self._keep_alive() + self._outbox.due()
            if packets:
                await asyncio.wait_for(_send(writer, b"".join(packets)), ANSWER_TIMEOUT_MS // 1000)
            try:
                await asyncio.wait_for(self._news.wait(), _TICK_S)
            except asyncio.TimeoutError:
                self._check_answers()

    def _grow_old(self):
        """Trust a session that has lasted: until then, each log-in waits longer than the one before."""
        lasted_ms = self._board.ticks_since(self._began)
        self._version.lasted(lasted_ms)
        if lasted_ms > SETTLED_MS:
            self._backoff_ms = BACKOFF_FIRST_MS

    def _go(self):
        packets, self._outgoing = self._outgoing, []
        return packets

    def _keep_alive(self):
        if self._board.ticks_since(self._pinged) < self._keep_alive_ms // 2:
            return []
        self._pinged = self._board.ticks_ms()
        return [mqtt.PING]

    def _check_answers(self):
        """Give the session up when the broker has been silent too long for it to be alive."""
        silent_ms = self._board.ticks_since(self._heard)
        if (
            silent_ms > self._keep_alive_ms // 2 + ANSWER_TIMEOUT_MS
            or min(self._outbox.oldest_ms(), silent_ms) > ANSWER_TIMEOUT_MS
        ):
            raise UplinkError("the broker does not answer")


async def _send(writer, data):
    writer.write(data)
    await writer.drain()


async def _hang_up(writer):
    """Close the connection; that a broken one cannot be closed in order changes nothing."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


def _text_of(error):
    return in_words(error) or type(error).__name__
