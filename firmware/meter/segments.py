"""A log of records in a few files of bounded size: appended durably, recovered at start, dropped from the old end.

A file is named by the sequence number of its first record. Record, big-endian:

    length of data (2) | CRC-32 of all that follows (4) | sequence (4) | reason (1) | count (4) | receipted (4) | data

A power cut can leave the last record torn: it is cut off. Flash can lose bits: what does not hold is passed over, and
the records behind it count. `lost_bytes` has how much both took, `holes` where readings may be missing. A cut can also
leave a file beside the one into which it was merged: records whose numbers are not above those of the file before are
what was merged or removed, and go.
"""

import struct
from binascii import crc32
from collections import namedtuple

from meter.errors import StorageError

SEGMENT_BYTES = 16384
MAX_SOUGHT_BYTES = 512
"""Behind a damaged record no longer one is looked for: of random bytes few look like the head of one so short."""
MAX_HOLES = 16

Record = namedtuple("Record", ("sequence", "reason", "count", "receipted", "data"))
"""count: records ever written to the journal, this one included; receipted: the receipt mark when it was written."""

_PREFIX = ">HI"
_FIELDS = ">IBII"
_PREFIX_BYTES = struct.calcsize(_PREFIX)
_HEAD_BYTES = _PREFIX_BYTES + struct.calcsize(_FIELDS)
_SUFFIX = ".log"


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
        found = []
        for name, _, last, _, _ in self._spans:
            if last > sequence:
                found += [record for record in self._records(name) if record.sequence > sequence][: limit - len(found)]
            if len(found) >= limit:
                break
        return found

    def find(self, sequence):
        """Return the record with number *sequence*, or None."""
        for name, first, last, _, _ in self._spans:
            if first <= sequence <= last:
                return next((record for record in self._records(name) if record.sequence == sequence), None)
        return None

    def newest(self, reason):
        """Return the newest record with *reason*, or None."""
        for name, _, _, _, reasons in reversed(self._spans):
            if reasons & 1 << reason:
                return [record for record in self._records(name) if record.reason == reason][-1]
        return None

    def each(self, reason):
        """Yield every record with *reason*, oldest first, with one file at a time in memory."""
        for name, _, _, _, reasons in self._spans:
            if reasons & 1 << reason:
                for record in self._records(name):
                    if record.reason == reason:
                        yield record

    def oldest_holding(self, reason, above):
        """Return the records of the oldest file, save the one in use, that has *reason* and a number above *above*."""
        for name, _, last, _, reasons in self._spans[:-1]:
            if last > above and reasons & 1 << reason:
                return self._records(name)
        return []

    def of_reason(self, reason, above, limit):
        """Return up to *limit* records with *reason* and a number above *above*, oldest first."""
        found = []
        for name, _, last, _, reasons in self._spans:
            if last > above and reasons & 1 << reason and len(found) < limit:
                found += [
                    record for record in self._records(name) if record.reason == reason and record.sequence > above
                ]
        return found[:limit]

    def remove(self, first, last):
        """Remove the records from *first* to *last*, all of one file but the newest; merge what is left of it."""
        place = next(place for place, span in enumerate(self._spans) if span[1] <= first <= span[2])
        kept = [record for record in self._records(self._spans[place][0]) if not first <= record.sequence <= last]
        before = self._records(self._spans[place - 1][0]) if place else []
        if sum([_size(record) for record in before + kept]) <= SEGMENT_BYTES and (before or not kept):
            if kept:
                self._rewrite(place - 1, before + kept)
            self._directory.remove(self._spans.pop(place)[0])
        else:
            self._rewrite(place, kept)

    def oldest_span(self):
        """Return (last sequence, records) of the oldest file, or None where only the one in use is left."""
        if len(self._spans) < 2:
            return None
        name, _, last = self._spans[0][:3]
        return last, self._records(name)

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
        span[2] = records[count - 1].sequence
        span[3] += len(data)
        span[4] |= _reasons(records[:count])
        self.last = records[count - 1]
        return count

    def _records(self, name):
        try:
            return unpack(self._directory.read(name))[0]
        except OSError as error:  # not one of the network's, which a new session mends
            raise StorageError("cannot read {} of the journal: {}; mend its file system".format(name, error)) from None

    def _rewrite(self, place, records):
        data = b"".join([pack(record) for record in records])
        name = self._spans[place][0]
        self._directory.replace(name, data)
        self._spans[place] = _span(name, records, len(data))

    def _recover(self, name):
        data = self._directory.read(name)
        found, good_bytes, breaks, is_torn = unpack(data)
        self.lost_bytes += len(data) - good_bytes
        before = self._spans[-1][2] if self._spans else 0
        records = [record for record in found if record.sequence > before]
        self._note_holes(found, breaks if records == found else ())
        self._is_torn = is_torn
        if not records:
            self._directory.remove(name)
            return
        self._spans.append(_span(name, records, len(data)))
        if len(records) < len(found) or is_torn:
            self._rewrite(len(self._spans) - 1, records)
        self.last = records[-1]

    def _note_holes(self, records, breaks):
        """Note where *records*, behind those so far, have lost some: at their places *breaks*, and before them."""
        for place in ([0] if self._is_torn and records else []) + [place for place in breaks if place or self.last]:
            before = records[place - 1] if place else self.last
            self.holes = (self.holes + [(before, records[place])])[:MAX_HOLES]


def pack(record):
    """Return the bytes of *record*."""
    body = struct.pack(_FIELDS, record.sequence, record.reason, record.count, record.receipted) + record.data
    return struct.pack(_PREFIX, len(record.data), crc32(body)) + body


def unpack(data):
    """Return (records that hold, bytes they take, places of those that damage precedes, whether *data* ends in it)."""
    records, breaks = [], []
    place = good_bytes = 0
    is_damaged = False
    while len(data) - place >= _HEAD_BYTES:
        record = _record_at(data, place, MAX_SOUGHT_BYTES if is_damaged else SEGMENT_BYTES)
        if record is None:
            place += 1
            is_damaged = True
            continue
        if records and record.sequence <= records[-1].sequence:
            break
        if is_damaged:
            breaks.append(len(records))
            is_damaged = False
        records.append(record)
        place += _size(record)
        good_bytes += _size(record)
    return records, good_bytes, breaks, is_damaged or place < len(data)


def _record_at(data, place, limit):
    """Return the record of up to *limit* bytes that begins at *place*, or None."""
    size, checksum = struct.unpack_from(_PREFIX, data, place)
    end = place + _HEAD_BYTES + size
    if size > limit or end > len(data):
        return None
    body = data[place + _PREFIX_BYTES : end]
    if crc32(body) != checksum:
        return None
    sequence, reason, count, receipted = struct.unpack_from(_FIELDS, body, 0)
    return Record(sequence, reason, count, receipted, body[_HEAD_BYTES - _PREFIX_BYTES :])


def _span(name, records, size):
    return [name, records[0].sequence, records[-1].sequence, size, _reasons(records)]


def _reasons(records):
    mask = 0
    for record in records:
        mask |= 1 << record.reason
    return mask


def _size(record):
    return _HEAD_BYTES + len(record.data)
