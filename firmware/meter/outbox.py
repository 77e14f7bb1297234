"""The outbox: which readings and hints go to the broker next, which are on their way, and which go once more.

Order: new boundary readings, hints, records of thinning, the backlog oldest first, boundary readings asked for anew. A
PUBACK makes room for the next and nothing else: only a receipt ends a reading's wait, and while none comes everything
is published again, at growing intervals. A PUBACK that refuses holds all but hints and new boundary readings back for
such an interval; a boundary reading that gets through ends that early.
"""

from collections import namedtuple

from meter import mqtt, reading
from meter import mqtt_reasons as reasons
from meter.pace import Pace

WINDOW = 8
"""Readings in flight without a PUBACK; a broker may set less."""
MAX_HASTENED = 4
"""New boundary readings that go before a backlog, whatever window and limit say."""
MAX_HINTS = 4
"""Kinds of hints that are kept while they cannot be sent; of each kind, the newest."""
MAX_HINT_CHARACTERS = 160
RESEND_FIRST_MS = 5_000
RESEND_LIMIT_MS = 300_000
LAST_PACKET_ID = 65534
"""One identifier is left to the subscription."""

_Flight = namedtuple("_Flight", ("packet_id", "content", "sent", "was_held"))
"""A message without PUBACK: `content` is a reading's number or a hint's text, `sent` the ticks when it went."""


class Outbox:
    """What meter *name* has to publish, most of it from *journal*.

    `report(text)` hears what the broker refused; `wake()` is called when `due` has more to give.
    """

    def __init__(self, board, name, journal, report, wake):
        self._board = board
        self._name = name
        self._journal = journal
        self._report = report
        self._wake = wake
        self._level, self._terms = mqtt.V5, mqtt.TERMS
        self._resend_ms = RESEND_FIRST_MS
        self._waiting_since = 0  # ticks when the oldest reading without receipt, the last receipt or a refusal went by
        self._is_held = False
        self._is_unheard = False
        self._hastened = []  # boundary readings to send before the backlog
        self._hints = []  # (kind, text), oldest first
        self._again = None  # (first, last) epoch of boundary readings to send anew, and
        self._again_after = 0  # the number up to which that is done
        self._in_flight = []
        self._packet_id = 0
        self._forget_sent()

    def hasten(self, sequence):
        """Send reading *sequence* before any backlog."""
        self._hastened = (self._hastened + [sequence])[-MAX_HASTENED:]
        self._wake()

    def send_again(self, first, last):
        """Send the boundary readings of epochs *first* to *last* anew, behind everything that has no receipt."""
        self._again, self._again_after = (first, last), 0
        self._wake()

    def tell(self, text):
        """Send the hint *text*; its first word is its kind."""
        text = text[:MAX_HINT_CHARACTERS]
        kind = text.split(" ")[0]
        self._hints = [hint for hint in self._hints if hint[0] != kind][1 - MAX_HINTS :] + [(kind, text)]
        self._wake()

    def hurry(self):
        """Go back to the shortest interval."""
        self._resend_ms = RESEND_FIRST_MS
        self._wake()

    def begin(self, level, terms, is_resumed):
        """Begin a session under the broker's *terms*, new or taken up again; return the packets that go first.

        A session taken up again wants what had no PUBACK under its old identifiers (MQTT-4.4.0-1). A new one starts
        from the newest receipt: what the broker had may be gone with it.
        """
        self._level, self._terms = level, terms
        flights, self._in_flight = self._in_flight, []
        if not is_resumed:
            self._is_held = False
            self._forget_sent()
        packets = []
        for flight in flights:
            payload = self._payload(flight.content) if is_resumed and self._room() > 0 else None
            if payload is None:
                self._miss(flight.content)
            else:
                packets += self._post(flight.content, payload, flight.packet_id)
        return packets

    def due(self):
        """Return the PUBLISH packets that window, receipts and intervals allow now."""
        receipted = self._journal.receipted
        self._sent = [sequence for sequence in self._sent if sequence > receipted]
        self._early = [sequence for sequence in self._early if sequence > receipted]
        waited_ms = self._board.ticks_since(self._waiting_since)
        is_waiting = self._is_held or self._sent
        if is_waiting and not self._in_flight and waited_ms > self._resend_ms:  # what is still on its way is not late
            self._resend_ms = min(2 * self._resend_ms, RESEND_LIMIT_MS)
            self._is_held = False
            pace = self._pace
            self._forget_sent()
            self._pace = pace
            pace.unheard()
        packets = self._new_boundaries() + self._told()
        if self._is_held:
            return packets
        return packets + self._thinnings() + self._backlog() or self._old_boundaries()

    def acknowledge(self, packet_id, code, text):
        """Take the PUBACK of *packet_id*."""
        flights = [flight for flight in self._in_flight if flight.packet_id == packet_id]
        if not flights:
            return
        self._in_flight.remove(flights[0])
        content = flights[0].content
        is_refused = code >= reasons.FIRST_REFUSAL
        if isinstance(content, str):
            self._hints = [hint for hint in self._hints if hint[1] != content]
            if is_refused:
                self._report('the broker refused the hint "{}": {}'.format(content, reasons.describe(code, text)))
        elif is_refused:
            self._miss(content)
            self._hold("the broker refused reading {}: {}".format(content, reasons.describe(code, text)))
        else:
            self._note_hearers(code)
            if self._is_held and flights[0].was_held:
                self._is_held = False
                self._forget_sent()

    def receipted(self):
        """A receipt came: the wait begins anew."""
        self._resend_ms = RESEND_FIRST_MS
        self._waiting_since = self._board.ticks_ms()
        self._measure()

    def oldest_ms(self):
        """Return how long the oldest message has been without PUBACK; 0 where there is none."""
        return max([self._board.ticks_since(flight.sent) for flight in self._in_flight] or [0])

    def _measure(self):
        """Let the pace follow the reading whose way to its receipt is timed, if the receipt covers it."""
        if self._timed and self._timed <= self._journal.receipted:
            self._pace.took(self._board.ticks_since(self._timed_since), self._was_full)
            self._timed, self._was_full = 0, False
            self._paused_since = self._waiting_since

    def _note_hearers(self, code):
        """Say once, until that changes, that the broker has nobody to give readings to."""
        is_unheard = code == reasons.NO_SUBSCRIBERS
        if is_unheard and not self._is_unheard:
            self._report("no gateway is subscribed to the readings of this meter: they stay in the journal")
        self._is_unheard = is_unheard

    def _hold(self, complaint):
        if self._is_held:
            return
        self._is_held = True
        self._waiting_since = self._board.ticks_ms()
        self._report("{}; it stays in the journal and is sent again in {} s".format(complaint, self._resend_ms // 1000))

    def _miss(self, content):
        """Take note that *content* did not get through: a boundary reading with receipt is asked for anew no more."""
        if not isinstance(content, str) and content <= self._journal.receipted:
            self._again_after = min(self._again_after, content - 1)

    def _forget_sent(self):
        self._published = 0  # up to this number the backlog was sent since the session, or the last sending anew, began
        self._thinned = 0  # and up to this one the records of thinning
        self._early = []  # boundary readings sent before their turn
        self._sent = []  # numbers sent in their turn, or early, and not receipted
        self._pace = Pace()  # from the start: who comes back may not come alone
        self._timed, self._timed_since = 0, 0  # the reading whose receipt the pace waits for, and when it went
        self._was_full = False  # whether the pace has held readings back since
        self._paused_since = 0

    def _new_boundaries(self):
        packets = []
        while self._hastened and self._room() > 0:
            sequence = self._hastened.pop(0)
            sealed = self._journal.find(sequence)
            if sealed and sequence > max(self._published, self._journal.receipted) and sequence not in self._early:
                self._early.append(sequence)
                packets += self._post(sequence, sealed)
                self._await_receipt(sequence)
        return packets

    def _told(self):
        packets = []
        flying = [flight.content for flight in self._in_flight]
        for _, text in self._hints:
            if self._room() > 0 and text not in flying:
                packets += self._post(text, text.encode())
        return packets

    def _thinnings(self):
        """Return what the gateway needs to pass a gap."""
        packets = []
        for sequence, sealed in self._journal.thinnings(self._thinned, max(self._window(), 0)):
            if sequence > self._published:
                packets += self._post(sequence, sealed)
            self._thinned = sequence
        return packets

    def _backlog(self):
        packets = []
        while not self._is_held:
            room = min(self._window(), self._paced())
            pending = self._journal.pending(self._published, room) if room > 0 else []
            if not pending:
                break
            for sequence, sealed in pending:
                if self._is_held:
                    break
                if not self._is_early(sequence, sealed):
                    packets += self._post(sequence, sealed)
                    self._time(sequence)
                if sequence not in self._sent:
                    self._await_receipt(sequence)
                self._published = sequence
        return packets

    def _paced(self):
        """Return how many readings of the backlog may go beyond those on their way; early ones stand outside."""
        pause_ms = self._pace.pause_ms
        if pause_ms and self._board.ticks_since(self._paused_since) < pause_ms:
            return 0
        self._pace.pause_ms = 0
        room = self._pace.window - len([sequence for sequence in self._sent if sequence <= self._published])
        if room <= 0 and self._journal.sequence - self._published > len(self._early):
            self._was_full = True
        return room

    def _time(self, sequence):
        if not self._timed:
            self._timed, self._timed_since = sequence, self._board.ticks_ms()

    def _old_boundaries(self):
        if self._again is None or self._window() <= 0:
            return []
        found = self._journal.boundaries(self._again_after, self._window())
        if not found:
            if not self._in_flight:  # else one of them may be refused yet
                self._again = None
            return []
        self._again_after = found[-1][0]
        self._wake()
        packets = []
        first, last = self._again
        for sequence, sealed in found:
            if first <= reading.decode(sealed).epoch <= last:
                packets += self._post(sequence, sealed)
        return packets

    def _is_early(self, sequence, sealed):
        """Tell whether the reading was sent before its turn came."""
        return sequence in self._early or (
            sequence <= self._thinned and reading.decode(sealed).reason == reading.THINNED
        )

    def _await_receipt(self, sequence):
        if not self._sent and not self._is_held:
            self._waiting_since = self._board.ticks_ms()
        self._sent.append(sequence)

    def _room(self):
        """Return how many messages the broker takes now."""
        return self._terms.in_flight - len(self._in_flight)

    def _window(self):
        """Return how many messages may go that are in no hurry."""
        return min(WINDOW, self._terms.in_flight) - len(self._in_flight)

    def _payload(self, content):
        return content.encode() if isinstance(content, str) else self._journal.find(content)

    def _post(self, content, payload, packet_id=None):
        """Return the one PUBLISH of *content*, on its way from now on, or nothing where the broker has no room for it.

        With *packet_id* it was on its way before.
        """
        is_again = packet_id is not None
        packet_id = packet_id if is_again else self._free_packet_id()
        topic = "meter/{}/{}".format(self._name, "status" if isinstance(content, str) else "reading")
        packet = mqtt.publish(self._level, topic, payload, packet_id, is_again)
        if len(packet) > self._terms.packet_bytes:
            self._refuse_long(content, len(packet))
            return []
        self._in_flight.append(_Flight(packet_id, content, self._board.ticks_ms(), self._is_held))
        return [packet]

    def _refuse_long(self, content, size):
        text = "a packet of {} bytes, the broker takes at most {}: raise its maximum packet size"
        text = text.format(size, self._terms.packet_bytes)
        if isinstance(content, str):
            self._hints = [hint for hint in self._hints if hint[1] != content]
            self._report('the hint "{}" needs {}'.format(content, text))
        else:
            self._miss(content)
            self._hold("reading {} needs {}".format(content, text))

    def _free_packet_id(self):
        taken = [flight.packet_id for flight in self._in_flight]
        self._packet_id = self._packet_id % LAST_PACKET_ID + 1
        while self._packet_id in taken:
            self._packet_id = self._packet_id % LAST_PACKET_ID + 1
        return self._packet_id
