"""The meter's journal: every signed reading is here, durably, before it is published, until the gateway's receipt.

Numbers. A block of sequence numbers is reserved in a file of its own before the first of them is used; a start goes on
behind the reserved block. So no number is ever used twice, whatever was cut off when; the hash chain links the gap.

Room. The journal holds at most MAX_SEGMENTS files, on a small flash fewer. From THIN_SEGMENTS on, or three quarters of
what it may hold if that is less, it is thinned, oldest first: a run of at least THIN_RUN periodic readings between two
others gives way to one signed record of what was removed (`thinnable`, `thin`).
Only where nothing is left to thin, no periodic readings are taken. A quarter of the room is left to the others; when
that is used up too, `append` raises JournalError and the next reading's registers, being cumulative, still account for
the energy. Other than that only a receipt makes room.

Trimming. A file goes when a receipt covers all of it, its boundary readings having been copied to the archive, which
keeps the newest ARCHIVE_SEGMENTS files of them: 14 days and more at 900 s.
"""

from binascii import crc32

from meter import envelope, reading
from meter.errors import JournalError
from meter.segments import Record, Segments

MAX_SEGMENTS = 256
THIN_SEGMENTS = 192
THIN_RUN = 3
"""Shorter runs stay: the record of what was removed takes as much room as a reading."""
ARCHIVE_SEGMENTS = 18
ARCHIVE_BATCH = 24
"""Readings copied to the archive in one go: more than an ordinary file has, few enough for a small heap."""
TRIM_SEGMENTS = 8
"""Files given up on one receipt; more would keep the flash busy over a boundary. The next receipts take the rest."""
RESERVED_NUMBERS = 64
MAX_JUMP = 1_000_000
"""How far one receipt may push the numbers on: a stolen gateway key must not use them up."""

_MARK = "sequence"
_HASH_BYTES = 32


class Journal:
    """The journal in three directories of the board's storage: log, archive, and the one with the reserved mark.

    *files*: how many the log's storage has room for.
    """

    def __init__(self, log, archive, state, files=MAX_SEGMENTS):
        self._files = min(files, MAX_SEGMENTS)
        self._thin_files = min(self._files * 3 // 4, THIN_SEGMENTS)
        self._log = Segments(log)
        self._archive = Segments(archive)
        self._state = state
        last = self._log.last
        self.receipted = last.receipted if last else 0
        self.lost_bytes = self._log.lost_bytes + self._archive.lost_bytes
        self._reserved, self._forgotten, self._forgotten_link = self._read_mark()
        self._next = max(self._reserved, last.sequence if last else 0) + 1
        record = self._log.newest(reading.THINNED)
        self._thinned = record.sequence if record else 0
        self._measured = self._newest_measured()
        self._looked_at = 0  # no run to thin is left up to this number
        self._missing = None  # a run that a receipt has shown to be lost, see `miss`

    @property
    def sequence(self):
        """The highest number in the journal; 0 when it is new."""
        return self._log.last.sequence if self._log.last else 0

    @property
    def signed(self):
        """How many readings were ever signed into this journal."""
        return self._log.last.count if self._log.last else 0

    @property
    def segments(self):
        """How many files the log takes."""
        return len(self._log)

    def has_signed(self):
        """Tell whether numbers were ever reserved here, for readings that a key then signed."""
        return max(self._reserved, self.sequence) > 0

    def is_crowded(self):
        """Tell whether periodic readings must make way for boundary readings."""
        return len(self._log) >= self._thin_files

    def is_thin(self):
        """Tell whether readings are being given up, or were since the newest receipt."""
        return self.is_crowded() or self._thinned > self.receipted

    def thinnable(self):
        """Return (first number, last, count, link of the first, hash of the last) of the next run to go; or None."""
        while True:
            records = self._log.oldest_holding(reading.PERIODIC, max(self.receipted, self._looked_at))
            first, last, count, seen = _first_run(records, self.receipted)
            records.close()
            if count >= THIN_RUN:
                previous = reading.decode(first.data).previous
                return first.sequence, last.sequence, count, previous, envelope.digest(last.data)
            if not seen:
                return None
            self._looked_at = seen

    def thin(self, first, last):
        """Remove the readings *first* to *last*, as `thinnable` gave them; the record of it must be appended by now."""
        self._log.remove(first, last)

    def epochs(self):
        """Yield the epoch of every boundary reading that is still here, oldest first."""
        for segments in (self._archive, self._log):  # what is in both comes twice
            for record in segments.each(reading.BOUNDARY):
                yield reading.decode(record.data).epoch

    def lost(self):
        """Return, as `thinnable` does, the next run that damage took without a receipt and without a record; or None.

        It comes again until a record tells of it: `append` may fail, and this costs nothing where nothing is lost.
        Of its last reading's hash only the head is known, by the link of the reading behind it; zeros fill the rest.
        """
        if self._missing is not None:
            last = self._missing[1]
            if last > self.receipted and not self._tells_of(last, last):
                return self._missing
            self._missing = None
        while self._log.holes:
            before, after = self._log.holes[0]
            first, last, count = before.sequence + 1, after.sequence - 1, after.count - before.count - 1
            if after.sequence > self.receipted and count > 0 and not self._tells_of(first, last):
                return first, last, count, reading.link(before.data), _known_hash(after)
            self._log.holes.pop(0)
        return None

    def last_reading(self):
        """Return the newest reading with registers, or None."""
        return reading.decode(self._measured) if self._measured else None

    def link(self):
        """Return (sequence number, previous hash head) of the reading to be signed next."""
        self._log.mend()
        self._next = max(self._next, self.sequence + 1)
        if self._next > self._reserved:
            self._reserve(self._next + RESERVED_NUMBERS - 1)
        if self.sequence < self._forgotten:
            return self._next, self._forgotten_link
        return self._next, reading.link(self._log.last.data) if self._log.last else reading.NO_PREVIOUS

    def append(self, sequence, reason, sealed):
        """Write the envelope *sealed* durably; raises JournalError when there is no room or *sequence* is not due."""
        if sequence != self._next or sequence > self._reserved:
            raise JournalError("reading {} is out of turn, {} is next".format(sequence, self._next))
        if len(self._log) >= self._files:
            raise JournalError("the journal is full: no receipt for {} readings".format(self.sequence - self.receipted))
        self._log.append(Record(sequence, reason, self.signed + 1, self.receipted, sealed))
        self._next = sequence + 1
        if reason == reading.THINNED:
            self._thinned = sequence
        else:
            self._measured = sealed

    def pending(self, after, limit):
        """Return [(sequence, envelope), ...] of the oldest readings above *after* that have no receipt yet."""
        return [(record.sequence, record.data) for record in self._log.after(max(after, self.receipted), limit)]

    def find(self, sequence):
        """Return the envelope of reading *sequence*, or None where it is not in the log."""
        record = self._log.find(sequence)
        return record.data if record else None

    def thinnings(self, after, limit):
        """Return [(sequence, envelope), ...] of the oldest records of thinning above *after* without a receipt."""
        records = self._log.of_reason(reading.THINNED, max(after, self.receipted), limit)
        return [(record.sequence, record.data) for record in records]

    def boundaries(self, after, limit):
        """Return [(sequence, envelope), ...] of the oldest boundary readings above *after* that have their receipt."""
        records = self._archive.of_reason(reading.BOUNDARY, after, limit)
        after = max(after, self._archive.last.sequence if self._archive.last else 0)
        records += self._log.of_reason(reading.BOUNDARY, after, limit - len(records))
        return [(record.sequence, record.data) for record in records if record.sequence <= self.receipted]

    def is_receipted(self):
        """Tell whether everything signed has its receipt."""
        return self.receipted >= self.sequence

    def settle(self, sequence, digest):
        """Take note of an authentic receipt for the chain up to *sequence*; tell whether it covers anything new."""
        record = self._log.find(sequence) if sequence > self.receipted else None
        if record is None or envelope.digest(record.data) != digest:
            return False
        self.receipted = sequence
        self._trim()
        return True

    def jump(self, sequence, digest):
        """Go on behind *sequence*, linked to its *digest*, where it is ahead of all numbers here; tell whether it was.

        An authentic receipt for it says that this journal was put back to an older state and forgot some numbers.
        """
        if not 0 <= sequence - self._next < MAX_JUMP:
            return False
        self._forgotten, self._forgotten_link = sequence, digest[: reading.PREVIOUS_BYTES]
        self._reserve(sequence + RESERVED_NUMBERS)
        self._next = sequence + 1
        return True

    def miss(self, sequence, digest):
        """Take note, for `lost`, of what the authentic receipt for *sequence* shows to be gone; tell whether it does.

        That is so where the number lies in a gap in which, by the count of readings, none was ever signed: the files of
        the newest ones, or all, were lost while the mark of the numbers was not. The chain went on from what was left,
        so the run is what came behind *sequence*, or that one itself where no number did. How many of the numbers had a
        reading is lost too: at most all. One gap is told of once.
        """
        after = (self._log.after(sequence, 1) + [None])[0]
        if after is None or sequence <= self.receipted or self._log.find(sequence) is not None:
            return False
        before, link, last = self._log.before(sequence), digest[: reading.PREVIOUS_BYTES], after.sequence - 1
        is_gap = after.count == (before.count if before else 0) + 1 and reading.decode(after.data).previous != link
        if not is_gap or self._tells_of(last, last):
            return False
        first = min(sequence + 1, last)
        self._missing = first, last, last - first + 1, link, _known_hash(after)
        return True

    def _tells_of(self, first, last):
        """Tell whether a record says of the numbers *first* to *last* that they are gone."""
        number = self.receipted
        while found := self.thinnings(number, 1):
            number, sealed = found[0]
            run = reading.decode(sealed).epoch
            if run[0] <= first and last <= run[1]:
                return True
        return False

    def _newest_measured(self):
        found = [self._log.newest(reason) for reason in range(reading.THINNED)]
        newest = max([(record.sequence, record.data) for record in found if record] or [(0, None)])
        return newest[1]

    def _trim(self):
        for _ in range(TRIM_SEGMENTS):
            span = self._log.oldest_span()
            if span is None or span[0] > self.receipted:
                return
            self._keep_boundaries(span[1])
            self._log.drop_oldest()

    def _keep_boundaries(self, records):
        self._archive.mend()
        newest = self._archive.last.sequence if self._archive.last else 0
        batch = []
        for record in records:
            if record.reason == reading.BOUNDARY and record.sequence > newest:
                batch.append(record)
                if len(batch) == ARCHIVE_BATCH:
                    self._archive.extend(batch)
                    batch = []
        self._archive.extend(batch)
        while len(self._archive) > ARCHIVE_SEGMENTS:
            self._archive.drop_oldest()

    def _reserve(self, mark):
        text = "{} {} {}".format(mark, self._forgotten, self._forgotten_link.hex()).encode()
        self._state.replace(_MARK, text + b" " + str(crc32(text)).encode() + b"\n")
        self._reserved = mark

    def _read_mark(self):
        """Return the reserved mark, the last number that was forgotten here (0: none), and its reading's hash head.

        Where the file is lost, the mark lies safely behind what the journal shows.
        """
        if _MARK in self._state.names():
            text, _, checksum = self._state.read(_MARK).strip().rpartition(b" ")
            if text and checksum == str(crc32(text)).encode():
                mark, forgotten, link = text.decode().split(" ")
                return int(mark), int(forgotten), bytes.fromhex(link)
        return self.sequence + RESERVED_NUMBERS if self.sequence else 0, 0, reading.NO_PREVIOUS


def _known_hash(after):
    """Return what is known of the hash of the reading before the record *after*: its head, then zeros."""
    head = reading.decode(after.data).previous
    return head + bytes(_HASH_BYTES - len(head))


def _first_run(records, receipted):
    """Return (first record, last, count, number of the last one looked at) of a run of periodic readings in a row.

    It is the first run above *receipted* that has THIN_RUN readings or more, or else what the records end with.
    """
    first = last = None
    count = seen = 0
    for record in records:
        seen = record.sequence
        if record.reason == reading.PERIODIC and seen > receipted:
            first = record if not count else first
            last = record
            count += 1
        elif count >= THIN_RUN:
            break
        else:
            count = 0
    return first, last, count, seen
