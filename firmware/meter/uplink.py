"""The uplink: carries the journal's readings to the broker until the gateway's receipts have covered them.

A PUBACK only means that the broker has the message in memory; a killed broker forgets it. So a PUBACK makes room in the
window and nothing else, and a reading without a receipt is published again, at growing intervals, for as long as that
takes. Not micropython-lib's umqtt: its blocking reads wait for ever on a dead link, and boundaries would be missed.
"""

import asyncio

from meter import mqtt, reading
from meter.errors import UplinkError

WINDOW = 8
"""Readings in flight without a PUBACK."""
MAX_AHEAD = 64
"""Readings published beyond the newest receipt: what the broker has to hold for one meter while the gateway is away."""
MAX_HASTENED = 4
"""New boundary readings that go before a backlog, whatever window and limit say."""
CONNECT_TIMEOUT_S = 10
LEAVE_TIMEOUT_S = 1
ANSWER_TIMEOUT_MS = 10_000
RESEND_FIRST_MS = 5_000
RESEND_LIMIT_MS = 300_000
BACKOFF_FIRST_MS = 500
BACKOFF_LIMIT_MS = 60_000
READ_BYTES = 1024

WILL = "lost"
"""What the broker publishes on meter/<id>/status, if the meter goes without a word."""

_SUBSCRIPTION_ID = 65535
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
        self._journal = journal
        self._accept = accept
        self._report = report
        self._progress = progress
        self._news = asyncio.Event()
        self._hurried = asyncio.Event()
        self._backoff_ms = BACKOFF_FIRST_MS
        self._resend_ms = RESEND_FIRST_MS
        self._hastened = []  # boundary readings to send before the backlog
        self._writer = None  # while logged in
        self._is_left = False
        self._again = None  # (first, last) epoch of boundary readings to send anew, and
        self._hint = None  # to publish on the status topic
        self._again_after = 0  # the number up to which that is done
        self._forget_session()

    def wake(self):
        """Look for something to send now."""
        self._news.set()

    def hasten(self, sequence):
        """Send reading *sequence* now, before any backlog."""
        self._hastened = (self._hastened + [sequence])[-MAX_HASTENED:]
        self._news.set()

    def send_again(self, first, last):
        """Send the boundary readings of epochs *first* to *last* anew, behind everything that has no receipt."""
        self._again, self._again_after = (first, last), 0
        self._news.set()

    def tell(self, text):
        """Publish the hint *text* on the status topic, now or in the next session; a newer one takes its place."""
        self._hint = text
        self._news.set()

    def hurry(self):
        """Publish anew, at the shortest interval, what has no receipt: the meter is about to stop."""
        self._resend_ms = RESEND_FIRST_MS
        self._backoff_ms = BACKOFF_FIRST_MS
        self._hurried.set()
        self._news.set()

    async def leave(self):
        """Tell the broker, if there is a session, that the meter goes on purpose: no will is published then.

        `run` ends soon after, also where its cancellation is lost, as by asyncio.wait_for of Python 3.11.
        """
        self._is_left = True
        if self._writer is not None:
            try:
                await asyncio.wait_for(_send(self._writer, mqtt.DISCONNECT), LEAVE_TIMEOUT_S)
            except (OSError, asyncio.TimeoutError):
                return  # the link is dead: the will is true

    async def run(self):
        """Keep a session until `leave`, or until it is cancelled."""
        while not self._is_left:
            self._progress.mark("uplink")
            try:
                await self._hold_session()
            except (OSError, ValueError, UplinkError, asyncio.TimeoutError) as error:  # ValueError: a bad certificate
                self._report("uplink to {}:{}: {}".format(self._broker.host, self._broker.port, _text_of(error)))
            await self._pause(self._jittered_ms())
            self._backoff_ms = min(2 * self._backoff_ms, BACKOFF_LIMIT_MS)

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
        self._forget_sent()
        self._waiting_since = 0  # ticks when the oldest of them, or the last receipt, went by
        self._in_flight = {}  # packet id -> ticks when sent
        self._outgoing = []  # acknowledgements to send
        self._packet_id = 0
        self._failure = None
        self._heard = self._pinged = self._board.ticks_ms()

    def _forget_sent(self):
        self._published = 0  # up to this number the backlog was sent since the session, or the last sending anew, began
        self._thinned = 0  # and up to this one the records of thinning
        self._early = []  # boundary readings sent before their turn
        self._sent = []  # numbers sent in their turn, or early, and not receipted

    async def _hold_session(self):
        self._forget_session()
        broker = self._broker
        reader, writer = await self._board.connect(broker.host, broker.port, broker.ca, CONNECT_TIMEOUT_S)
        receiving = None
        try:
            parser = mqtt.Parser()
            await asyncio.wait_for(self._greet(reader, writer, parser), CONNECT_TIMEOUT_S)
            self._backoff_ms = BACKOFF_FIRST_MS
            self._writer = writer
            receiving = asyncio.create_task(self._receive(reader, parser))
            await self._transmit(writer)
        finally:
            self._writer = None
            if receiving:
                receiving.cancel()
            await _hang_up(writer)

    async def _greet(self, reader, writer, parser):
        """Log in and subscribe; what the broker sends before the two answers is handled like everything else."""
        broker = self._broker
        will_topic = "meter/{}/status".format(self._name)
        await _send(writer, mqtt.connect("meter-" + self._name, broker.user, broker.password, will_topic, WILL))
        waiting = [mqtt.Connack]
        while waiting:
            data = await reader.read(READ_BYTES)
            if not data:
                raise UplinkError("the broker closed the connection during log-in")
            for packet in parser.feed(data):
                if waiting and isinstance(packet, waiting[0]):
                    waiting = await self._greeted(writer, packet)
                else:
                    self._handle(packet)

    async def _greeted(self, writer, packet):
        """Return what to wait for after *packet*, the awaited answer."""
        if isinstance(packet, mqtt.Connack):
            if packet.code:
                raise UplinkError("the broker refused the meter: " + mqtt.refusal(packet.code))
            if packet.session_present:  # MQTT-3.2.2-1: what such a broker holds in store for us is not ours to trust
                raise UplinkError("the broker kept a session although a clean one was asked for")
            await _send(writer, mqtt.subscribe("meter/{}/receipt".format(self._name), _SUBSCRIPTION_ID))
            return [mqtt.Suback]
        if not packet.granted:
            raise UplinkError("the broker refused the subscription to the receipts")
        return []

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
        except (OSError, UplinkError) as error:
            self._failure = error
            self._news.set()

    def _handle(self, packet):
        if isinstance(packet, mqtt.Puback):
            self._in_flight.pop(packet.packet_id, None)
        elif isinstance(packet, mqtt.Publish):
            if packet.packet_id is not None:
                self._outgoing.append(mqtt.puback(packet.packet_id))
            if self._accept(packet.payload):
                self._resend_ms = RESEND_FIRST_MS
                self._waiting_since = self._board.ticks_ms()
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
            packets = self._acknowledgements() + self._keep_alive() + self._hints() + self._publications()
            if packets:
                await asyncio.wait_for(_send(writer, b"".join(packets)), ANSWER_TIMEOUT_MS // 1000)
            try:
                await asyncio.wait_for(self._news.wait(), _TICK_S)
            except asyncio.TimeoutError:
                self._check_answers()

    def _acknowledgements(self):
        packets, self._outgoing = self._outgoing, []
        return packets

    def _hints(self):
        hint, self._hint = self._hint, None
        return [] if hint is None else [self._publish_on("status", hint.encode())]

    def _keep_alive(self):
        if self._board.ticks_since(self._pinged) < mqtt.KEEP_ALIVE_S * 500:
            return []
        self._pinged = self._board.ticks_ms()
        return [mqtt.PING]

    def _check_answers(self):
        """Give the session up when the broker has been silent too long for it to be alive."""
        oldest = max([self._board.ticks_since(sent) for sent in self._in_flight.values()] or [0])
        silent_ms = self._board.ticks_since(self._heard)
        if silent_ms > mqtt.KEEP_ALIVE_S * 500 + ANSWER_TIMEOUT_MS or min(oldest, silent_ms) > ANSWER_TIMEOUT_MS:
            raise UplinkError("the broker does not answer")

    def _publications(self):
        """Return the PUBLISH packets that window, receipts and resend interval allow now."""
        receipted = self._journal.receipted
        self._sent = [sequence for sequence in self._sent if sequence > receipted]
        self._early = [sequence for sequence in self._early if sequence > receipted]
        waited_ms = self._board.ticks_since(self._waiting_since)
        if self._sent and not self._in_flight and waited_ms > self._resend_ms:  # what is still on its way is not late
            self._resend_ms = min(2 * self._resend_ms, RESEND_LIMIT_MS)
            self._forget_sent()
        return self._urgent() + self._backlog() or self._old_boundaries()

    def _urgent(self):
        """Return what goes before the backlog: new boundary readings, and what the gateway needs to pass a gap."""
        packets = []
        while self._hastened:
            sequence = self._hastened.pop(0)
            sealed = self._journal.find(sequence)
            if sealed and sequence > max(self._published, self._journal.receipted) and sequence not in self._early:
                self._early.append(sequence)
                packets.append(self._publish(sealed))
                self._await_receipt(sequence)
        for sequence, sealed in self._journal.thinnings(self._thinned, max(WINDOW - len(self._in_flight), 0)):
            if sequence > self._published:
                packets.append(self._publish(sealed))
            self._thinned = sequence
        return packets

    def _backlog(self):
        packets = []
        while True:
            room = min(WINDOW - len(self._in_flight), MAX_AHEAD - len(self._sent))
            pending = self._journal.pending(self._published, room) if room > 0 else []
            if not pending:
                return packets
            for sequence, sealed in pending:
                if not self._is_early(sequence, sealed):
                    packets.append(self._publish(sealed))
                if sequence not in self._sent:
                    self._await_receipt(sequence)
                self._published = sequence

    def _old_boundaries(self):
        room = WINDOW - len(self._in_flight)
        if self._again is None or room <= 0:
            return []
        found = self._journal.boundaries(self._again_after, room)
        if not found:
            self._again = None
            return []
        self._again_after = found[-1][0]
        self._news.set()
        first, last = self._again
        return [self._publish(sealed) for _, sealed in found if first <= reading.decode(sealed).epoch <= last]

    def _is_early(self, sequence, sealed):
        """Tell whether the reading was sent before its turn came."""
        return sequence in self._early or (
            sequence <= self._thinned and reading.decode(sealed).reason == reading.THINNED
        )

    def _await_receipt(self, sequence):
        if not self._sent:
            self._waiting_since = self._board.ticks_ms()
        self._sent.append(sequence)

    def _publish(self, sealed):
        return self._publish_on("reading", sealed)

    def _publish_on(self, topic, payload):
        self._packet_id = self._packet_id % (_SUBSCRIPTION_ID - 1) + 1
        self._in_flight[self._packet_id] = self._board.ticks_ms()
        return mqtt.publish("meter/{}/{}".format(self._name, topic), payload, self._packet_id)


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
    return str(error) or type(error).__name__
