"""A log of records in a few files of bounded size: appended durably, recovered at start, dropped from the old end.

A file is named by the sequence number of its first record. Record, big-endian:

    length of data (2) | CRC-32 of all that follows (4) | sequence (4) | reason (1) | count (4) | receipted (4) | data

A power cut can leave the last record torn: it is cut off. Flash can lose bits: what does not hold is passed over, and
the records behind it count. `lost_bytes` has how much both took, `holes` where readings may be missing. A cut can also
leave a file beside the one into which it was merged: records whose numbers are not above those of the file before are
what was merged or removed, and go.

Files are read and rewritten in pieces: one of them and its records would take half of a small board's heap.
"""

import struct
from binascii import crc32
from collections import namedtuple

from meter.errors import StorageError, in_words

SEGMENT_BYTES = 16384
PIECE_BYTES = 1024
"""What is read or written at once."""
MAX_DATA_BYTES = 512
"""No record has more: where one is looked for behind damage, few random bytes look like the head of one so short."""
MAX_HOLES = 16

Record = namedtuple("Record", ("sequence", "reason", "count", "receipted", "data"))
"""count: records ever written to the journal, this one included; receipted: the receipt mark when it was written."""

_PREFIX = ">HI"
_FIELDS = ">IBII"
_PREFIX_BYTES = struct.calcsize(_PREFIX)
_HEAD_BYTES = _PREFIX_BYTES + struct.calcsize(_FIELDS)
_SUFFIX = ".log"
_ALL = 1 << 32  # no number is above it


class Segments:
    """The log in *directory*, an object with names, read, append, replace and remove (see `board/linux.py`)."""

    def __init__(self, directory):
        self._directory = directory
        self._spans = []  # [file name, first sequence, last sequence, bytes, 1 << reason of each record], oldest first
        self._suspect = None
        self.last = None
        self.lost_bytes = 0
        self.holes = []  # (record before, record after) what was damaged
        self._is_torn = False  # the end of the file before
        for name in sorted([name for name in directory.names() if name.endswith(_SUFFIX)]):
            self._recover(name)

    def __len__(self):
        return len(self._spans)

    def append(self, record):
        """Write *record* durably; its sequence is above all before it. After an OSError call `mend` first."""
        self.extend([record])

    def extend(self, records):
        """Write *records* durably, in one go as far as they fit into one file: each go costs the flash an erasure."""
        while records:
            records = records[self._write_first(records) :]

    def mend(self):
        """Look, after a failed `append`, what of it reached the disk: a whole record counts, a torn one is cut off."""
        if self._suspect is not None:
            self._spans = [span for span in self._spans if span[0] != self._suspect]
            if self._suspect in self._directory.names():
                self._recover(self._suspect)
            self._suspect = None

    def after(self, sequence, limit):
        """Return up to *limit* records with a sequence above *sequence*, oldest first."""
        return self._first(limit, sequence, lambda record: record.sequence > sequence)

    def find(self, sequence):
        """Return the record with number *sequence*, or None."""
        for name, first, last, _, _ in self._spans:
            if first <= sequence <= last:
                return (self._take(name, 1, lambda record: record.sequence == sequence) + [None])[0]
        return None

    def before(self, sequence):
        """Return the newest record with a number below *sequence*, or None."""
        found = None
        for name, first, _, _, _ in reversed(self._spans):
            if first < sequence and found is None:
                for record in self._scan(name):
                    found = record if record.sequence < sequence else found
        return found

    def newest(self, reason):
        """Return the newest record with *reason*, or None."""
        found = None
        for name, _, _, _, reasons in reversed(self._spans):
            if reasons & 1 << reason and found is None:
                for record in self._scan(name):
                    if record.reason == reason:
                        found = record
        return found

    def each(self, reason):
        """Give every record with *reason*, oldest first."""
        for name, _, _, _, reasons in self._spans:
            if reasons & 1 << reason:
                for record in self._scan(name):
                    if record.reason == reason:
                        yield record

    def oldest_holding(self, reason, above):
        """Give the records of the oldest file, save the one in use, that has *reason* and a number above *above*."""
        for name, _, last, _, reasons in self._spans[:-1]:
            if last > above and reasons & 1 << reason:
                return self._scan(name)
        return (record for record in ())

    def of_reason(self, reason, above, limit):
        """Return up to *limit* records with *reason* and a number above *above*, oldest first."""
        return self._first(
            limit, above, lambda record: record.reason == reason and record.sequence > above, 1 << reason
        )

    def remove(self, first, last):
        """Remove the records from *first* to *last*, all of one file but the newest; merge what is left of it."""
        place = next(place for place, span in enumerate(self._spans) if span[1] <= first <= span[2])
        name = self._spans[place][0]
        kept_bytes = sum([_size(record) for record in self._scan(name) if not first <= record.sequence <= last])
        kept = (record for record in self._scan(name) if not first <= record.sequence <= last)
        if (self._spans[place - 1][3] if place else 0) + kept_bytes <= SEGMENT_BYTES and (place or not kept_bytes):
            if kept_bytes:
                self._rewrite(place - 1, _one_after_the_other(self._scan(self._spans[place - 1][0]), kept))
            self._directory.remove(self._spans.pop(place)[0])
        else:
            self._rewrite(place, kept)

    def oldest_span(self):
        """Return (last sequence, iterator of records) of the oldest file; None where only the one in use is left."""
        if len(self._spans) < 2:
            return None
        name, _, last = self._spans[0][:3]
        return last, self._scan(name)

    def drop_oldest(self):
        """Remove the oldest file; the newest one always stays, it holds the end of the chain."""
        self._directory.remove(self._spans[0][0])
        del self._spans[0]

    def _write_first(self, records):
        """Write as many of *records* as fit into the newest file, or else into a new one; return how many."""
        if not self._spans or self._spans[-1][3] + len(pack(records[0])) > SEGMENT_BYTES:
            first = records[0].sequence
            self._spans.append(["{:010d}".format(first) + _SUFFIX, first, first, 0, 0])
        span = self._spans[-1]
        data = b""
        count = 0
        for record in records:
            packed = pack(record)
            if span[3] + len(data) + len(packed) > SEGMENT_BYTES:
                break
            data += packed
            count += 1
        self._suspect = span[0]
        self._directory.append(span[0], data)
        self._suspect = None
        for record in records[:count]:
            _note(span, record)
        self.last = records[count - 1]
        return count

    def _first(self, limit, above, fits, reasons=-1):
        """Return the oldest *limit* records that fit, of files with a number above *above* and one of *reasons*."""
        found = []
        for name, _, last, _, had in self._spans:
            if last > above and had & reasons and len(found) < limit:
                found += self._take(name, limit - len(found), fits)
        return found

    def _take(self, name, limit, fits):
        """Return the first *limit* records of file *name* that fit."""
        found = []
        records = self._scan(name)
        for record in records:
            if fits(record):
                found.append(record)
                if len(found) == limit:
                    break
        records.close()
        return found

    def _scan(self, name):
        """Give the records of file *name*, which is open until all are taken, or `close` is called."""
        return _Scan(self._pieces(name)).records()

    def _pieces(self, name):
        pieces = self._directory.pieces(name, PIECE_BYTES)
        try:
            for piece in pieces:
                yield piece
        except OSError as error:  # not one of the network's, which a new session mends
            raise StorageError(
                "cannot read {} of the journal: {}; mend its file system".format(name, in_words(error))
            ) from None
        finally:
            pieces.close()

    def _rewrite(self, place, records):
        span = _new_span(self._spans[place][0])
        self._directory.rewrite(span[0], _packed(records, span))
        self._spans[place] = span

    def _recover(self, name):
        before = self._spans[-1][2] if self._spans else 0
        span = _new_span(name)
        scan = _Scan(self._pieces(name))
        holes = []
        previous = self.last
        is_suspect, is_merged = self._is_torn, False
        for record in scan.records():
            if (is_suspect or scan.is_behind_damage) and previous:
                holes.append((previous, record))
            previous, is_suspect = record, False
            if record.sequence > before:
                _note(span, record)
                self.last = record
            else:
                is_merged = True
        holes = holes[: int(self._is_torn)] if is_merged else holes
        new = [hole for hole in holes if hole not in self.holes]  # `mend` finds those of its file once more
        self.holes = (self.holes + new)[:MAX_HOLES]
        self._is_torn = scan.is_torn
        self.lost_bytes += scan.total_bytes - scan.good_bytes
        if not span[3]:
            self._directory.remove(name)
            return
        span[3] = scan.total_bytes
        self._spans.append(span)
        if is_merged or scan.is_torn:
            self._rewrite(len(self._spans) - 1, (record for record in self._scan(name) if record.sequence > before))


def pack(record):
    """Return the bytes of *record*."""
    body = struct.pack(_FIELDS, record.sequence, record.reason, record.count, record.receipted) + record.data
    return struct.pack(_PREFIX, len(record.data), crc32(body)) + body


def unpack(data):
    """Return the records of *data* that hold."""
    return list(_Scan(iter((data,))).records())


class _Scan:
    """Finds the records in a file that comes in *pieces*; what is damaged is passed over."""

    def __init__(self, pieces):
        self._pieces = pieces
        self._last = 0
        self._rest = b""
        self.total_bytes = self.good_bytes = 0  # so far
        self.is_behind_damage = False  # the record just given
        self.is_torn = False  # the end of the file; known when all records were given

    def records(self):
        """Give the records, up to the first whose number is not above that of the one before."""
        try:
            for piece in self._pieces:
                self.total_bytes += len(piece)
                self._rest += piece
                yield from self._whole(_HEAD_BYTES + MAX_DATA_BYTES)
            yield from self._whole(_HEAD_BYTES)
            self.is_torn = self.is_torn or len(self._rest) > 0
        finally:
            if hasattr(self._pieces, "close"):
                self._pieces.close()

    def _whole(self, enough_bytes):
        """Give the records in what has come, as long as *enough_bytes* of it are left."""
        place = 0
        while len(self._rest) - place >= enough_bytes:
            record = _record_at(self._rest, place)
            if record is None:
                place += 1
                self.is_torn = True
            elif record.sequence <= self._last:
                self._last = _ALL
                place += _size(record)
                self.is_torn = True
            else:
                self.is_behind_damage, self.is_torn = self.is_torn, False
                self._last = record.sequence
                self.good_bytes += _size(record)
                place += _size(record)
                yield record
        self._rest = self._rest[place:]


def _record_at(data, place):
    """Return the record that begins at *place*, or None."""
    size, checksum = struct.unpack_from(_PREFIX, data, place)
    end = place + _HEAD_BYTES + size
    if size > MAX_DATA_BYTES or end > len(data):
        return None
    body = data[place + _PREFIX_BYTES : end]
    if crc32(body) != checksum:
        return None
    sequence, reason, count, receipted = struct.unpack_from(_FIELDS, body, 0)
    return Record(sequence, reason, count, receipted, body[_HEAD_BYTES - _PREFIX_BYTES :])


def _new_span(name):
    return [name, 0, 0, 0, 0]


def _note(span, record):
    """Let *span* hold *record* too."""
    span[1] = span[1] or record.sequence
    span[2] = record.sequence
    span[3] += _size(record)
    span[4] |= 1 << record.reason


def _packed(records, span):
    """Give the bytes of *records* in pieces, and note the records in *span*."""
    data = b""
    for record in records:
        packed = pack(record)
        if len(data) + len(packed) > PIECE_BYTES:
            yield data
            data = b""
        data += packed
        _note(span, record)
    yield data


def _one_after_the_other(first, second):
    yield from first
    yield from second


def _size(record):
    return _HEAD_BYTES + len(record.data)
