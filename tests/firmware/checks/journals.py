"""The journal through appends, receipts, thinning, restarts and torn writes. Runs on every interpreter."""

from hashlib import sha256

from meter import journal as meter_journal
from meter import reading, segments
from meter.envelope import digest
from meter.journal import Journal

SEGMENT_BYTES = 1200
"""Files roll over every few readings."""


class Files:
    """A board's directory, in memory."""

    def __init__(self) -> None:
        self.files: dict = {}

    def names(self) -> list:
        """Return the names of all files."""
        return list(self.files)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        return self.files[name]

    def pieces(self, name: str, size: int) -> object:
        """Give a file's content, *size* bytes at a time and then the rest."""
        content = self.files[name]
        for place in range(0, len(content), size):
            yield content[place : place + size]

    def append(self, name: str, data: bytes) -> None:
        """Write at the end of a file."""
        self.files[name] = self.files.get(name, b"") + data

    def replace(self, name: str, data: bytes) -> None:
        """Give a file another content."""
        self.files[name] = data

    def rewrite(self, name: str, pieces: object) -> None:
        """Give a file another content, piece by piece."""
        self.files[name] = b"".join(pieces)  # type: ignore[arg-type]

    def remove(self, name: str) -> None:
        """Remove a file."""
        del self.files[name]


class Key:
    """Signs without a secret: nobody looks at these signatures."""

    id = b"\x01" * 8

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes that follow from *message*."""
        return sha256(message).digest() * 2


class Life:
    """A journal and what may happen to it."""

    def __init__(self) -> None:
        self.directories = [Files(), Files(), Files()]
        self.journal = Journal(*self.directories)

    def sign(self, reason: int) -> None:
        """Append a reading."""
        sequence, previous = self.journal.link()
        epoch = sequence if reason == reading.BOUNDARY else None
        taken = reading.Reading(sequence, 5, 0, 0, None, reason, epoch, ((180, 1), (280, 2)), 0, previous)
        self.journal.append(sequence, reason, reading.seal(taken, Key()))

    def receipt(self, sequence: int) -> None:
        """Settle all up to *sequence*."""
        self.journal.settle(sequence, digest(self.journal.find(sequence) or b""))

    def thin(self, _: int) -> None:
        """Give up one run of readings, where there is one."""
        run = self.journal.thinnable()
        if run is not None:
            sequence, previous = self.journal.link()
            taken = reading.Reading(sequence, 5, 0, 0, None, reading.THINNED, run, (), 4, previous)
            self.journal.append(sequence, reading.THINNED, reading.seal(taken, Key()))
            self.journal.thin(run[0], run[1])

    def jump(self, sequence: int) -> None:
        """Take a receipt from the future."""
        self.journal.jump(sequence, digest(b"forgotten"))

    def restart(self, torn_bytes: int) -> None:
        """Cut so many bytes off the newest file, and start anew."""
        log = self.directories[0]
        if log.files and torn_bytes:
            newest = max(log.files)
            log.files[newest] = log.files[newest][:-torn_bytes]
        self.journal = Journal(*self.directories)


def answer(case: list) -> list:
    """Return what the journal says after the events in *case*, but appends: [name of a method of Life, argument]."""
    kept = segments.SEGMENT_BYTES, meter_journal.RESERVED_NUMBERS
    segments.SEGMENT_BYTES, meter_journal.RESERVED_NUMBERS = SEGMENT_BYTES, 4
    try:
        life = Life()
        found = []
        for name, argument in case:
            getattr(life, name)(argument)
            if name != "sign":
                found.append(_state(life.journal))
        return found + [_state(life.journal)]
    finally:
        segments.SEGMENT_BYTES, meter_journal.RESERVED_NUMBERS = kept


def _state(journal: Journal) -> list:
    numbers: list = []
    mark = sha256()
    while found := journal.pending(numbers[-1] if numbers else 0, 8):  # a board has no room for all at once
        numbers += [number for number, _ in found]
        mark.update(b"".join([sealed for _, sealed in found]))
    for _, sealed in journal.boundaries(0, 1000):
        mark.update(sealed)
    return [
        journal.sequence, journal.signed, journal.segments, journal.receipted, journal.lost_bytes, len(numbers),
        sum(numbers), journal.is_thin(), list(journal.epochs())[-3:], mark.digest().hex()[:16],
    ]  # fmt: skip
