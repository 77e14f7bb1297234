"""Two slots for images of the application, and which of them runs: what the launcher and the application share.

An image is a ROMFS with the package `meter` in it. One slot is confirmed (none, in a new meter: it runs the copy that
it was delivered with); the other one is empty, receives an image, holds one on trial, or keeps the one that was
confirmed before. What is known of the two is one small file, replaced in one step: after a power cut it has the old
content or the new. The launcher is never replaced, so the form of this file is for ever:

    CBOR [1, confirmed slot or null, stage of the other, trial boots left, highest version ever confirmed,
          highest version that failed, why, [manifest of slot a or null, of slot b or null]] | CRC-32 (4 bytes)

A board gives the room. Its `open_image(data_dir, slot, version)` returns the image of one slot, with

    sector_bytes           what is erased at once: PIECE_BYTES, or a multiple of it
    capacity               bytes that the slot can hold
    prepare(offset)        what lies from *offset* on, a multiple of sector_bytes, will be written anew; whatever else
                           is in the slot, of another version too, may go
    write(offset, data)    durably, at the end of what was written before. The first write into a sector erases it, and
                           not prepare: to erase a whole slot at once would hold the meter up
    read(offset, count)    up to *count* bytes; none where there is no image
    mount()                make the image's files readable; returns the folder to import from

Each may raise OSError. Beside it a board has `TARGET`, the name of what its images are built for, and
`limit_trial(seconds)`: restart by force, whatever the program is at, after so many seconds; 0: not any more.
"""

from binascii import crc32
from collections import namedtuple
from hashlib import sha256

from meter import cbor, manifest
from meter.errors import MalformedError
from meter.manifest import PIECE_BYTES

NAMES = ("a", "b")
TRIAL_BOOTS = 3

EMPTY, RECEIVING, TRIAL, SPARE = 0, 1, 2, 3
"""Stage of the slot that is not confirmed; SPARE: it was, before."""
FINE, BOOTS, RECEIPT, IMAGE = 0, 1, 2, 3
REASONS = ("fine", "boots", "receipt", "image")
"""Why a version failed: it used its boots up; it ran and got no receipt in time; the image is damaged."""

State = namedtuple("State", ("confirmed", "stage", "boots", "highest", "failed", "reason", "sealed"))
"""sealed: of each slot the manifest of its image, as the campus signed it, or None."""
_NEW = State(None, EMPTY, 0, 0, 0, FINE, (None, None))

_NAME = "slots.state"
_FORM = 1
_CHECKSUM_BYTES = 4


def of_board(board, data_dir):
    """Return the Slots of *board*, whose state is in the folder *data_dir*."""
    return Slots(board.Directory(data_dir), lambda slot, version: board.open_image(data_dir, slot, version))


class Slots:
    """The slots whose state is in *storage* (a board's Directory); `open_image(slot, version)` gives the image of one.

    `damage` says what is wrong with the stored state, if anything: then the meter is as new.
    """

    def __init__(self, storage, open_image):
        self._storage = storage
        self._open_image = open_image
        self._incoming = None  # the image that pieces go into
        self.damage = None
        self.state = _NEW
        if _NAME in storage.names():
            try:
                self.state = unpack(storage.read(_NAME))
            except MalformedError as error:
                self.damage = str(error)

    @property
    def other(self):
        """The slot that is not the confirmed one."""
        return _other(self.state)

    def manifest(self, slot):
        """Return the Manifest of the image in *slot*, or None; None of no slot."""
        sealed = None if slot is None else self.state.sealed[slot]
        return manifest.decode(sealed) if sealed else None

    def version(self, slot):
        """Return the version of the image in *slot*; 0 of the copy that the meter was delivered with."""
        return 0 if slot is None else self.manifest(slot).version

    def image(self, slot):
        """Return the board's image in *slot*, which has a manifest."""
        return self._open_image(slot, self.version(slot))

    def capacity(self):
        """Return how many bytes an image that comes in may have."""
        return self._open_image(self.other, 0).capacity

    def next_boot(self):
        """Return the slot to start now, or None for the copy that the meter was delivered with.

        The boot of an image on trial is counted, durably, before it is named: where that is not possible, it is not
        started. Each image is read whole before it is named; a damaged one is given up.
        """
        if self.state.stage == TRIAL and self._count_boot():
            if self._is_sound(self.other):
                return self.other
            self.give_up(self.other)
        if self.state.confirmed is not None and not self._is_sound(self.state.confirmed):
            self.give_up(self.state.confirmed)
        return self.state.confirmed

    def give_up(self, slot):
        """Use the image in *slot*, damaged, no more. What of that cannot be stored holds until the next start."""
        if slot == self.state.confirmed:
            spare = self.other if self.state.stage == SPARE and self._is_sound(self.other) else None
            state = _fallen_back(self.state, spare)
        else:
            state = _failed(self.state, self.version(slot), IMAGE)
        try:
            self._store(state)
        except OSError:
            self.state = state

    def begin(self, sealed):
        """Let the other slot receive the image of the manifest *sealed*."""
        self._store(_changed(self.state, RECEIVING, sealed))

    def find_progress(self):
        """Return how many pieces the slot that receives already has, and prepare it for the next one."""
        wanted, image = self.manifest(self.other), self.image(self.other)
        pieces = manifest.count(wanted)
        index = 0
        while index < pieces and manifest.is_part(wanted, index, _read_piece(wanted, image, index)):
            index += 1
        if index < pieces:
            per_sector = image.sector_bytes // PIECE_BYTES
            index = index // per_sector * per_sector  # what else is in the sector may be half written
            image.prepare(PIECE_BYTES * index)
            self._incoming = image
        return index

    def write(self, index, data):
        """Write piece *index*, the next one: `find_progress` came before, and again after an OSError."""
        self._incoming.write(PIECE_BYTES * index, data)

    def complete(self):
        """Put the image that came in on trial, if it is whole, else forget it; tell which."""
        is_whole = self.is_whole(self.other)
        sealed = self.state.sealed[self.other]
        self._store(_changed(self.state, TRIAL, sealed) if is_whole else _changed(self.state, EMPTY, None))
        return is_whole

    def is_whole(self, slot):
        """Tell whether the image in *slot* is the one that its manifest names."""
        wanted, image = self.manifest(slot), self.image(slot)
        digest = sha256()
        for index in range(manifest.count(wanted)):
            digest.update(_read_piece(wanted, image, index))
        return digest.digest() == wanted.sha256

    def confirm(self):
        """Let the image on trial be the confirmed one; the one before is kept until the next update comes."""
        state = self.state
        stage = EMPTY if state.confirmed is None else SPARE
        self._store(State(self.other, stage, 0, self.version(self.other), 0, FINE, state.sealed))

    def fail(self, reason):
        """End the trial: its version is not tried again, and the confirmed image is the next to start."""
        self._store(_failed(self.state, self.version(self.other), reason))

    def _count_boot(self):
        """Count a boot of the image on trial; tell whether it may be started."""
        try:
            if self.state.boots == 0:
                self.fail(BOOTS)
                return False
            self._store(_changed(self.state, TRIAL, self.state.sealed[self.other], self.state.boots - 1))
        except OSError:
            return False
        return True

    def _is_sound(self, slot):
        try:
            return self.is_whole(slot)
        except OSError:
            return False

    def _store(self, state):
        self._storage.replace(_NAME, pack(state))
        self.state = state


def pack(state):
    """Return the bytes of *state*."""
    body = cbor.encode((_FORM,) + tuple(state))
    return body + crc32(body).to_bytes(_CHECKSUM_BYTES, "big")


def unpack(data):
    """Return the State that *data* holds; raises MalformedError."""
    body = data[:-_CHECKSUM_BYTES]
    if crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != data[-_CHECKSUM_BYTES:]:
        raise MalformedError("the state of the slots is damaged")
    values = cbor.decode(body)
    if not isinstance(values, list) or len(values) != len(_NEW) + 1 or values[0] != _FORM:
        raise MalformedError("the state of the slots has a form that this firmware does not know")
    state = State(*values[1:])
    if not _is_consistent(state):
        raise MalformedError("the state of the slots contradicts itself")
    return State(*values[1:-1], tuple(state.sealed))


def _is_consistent(state):
    """Tell whether *state* has values of the right kind, and each slot in use its manifest."""
    numbers = (state.stage, state.boots, state.highest, state.failed, state.reason)
    if state.confirmed not in (None, 0, 1) or not all(type(value) is int and value >= 0 for value in numbers):
        return False
    if state.stage > SPARE or state.reason >= len(REASONS) or type(state.sealed) is not list or len(state.sealed) != 2:
        return False
    used = [] if state.confirmed is None else [state.confirmed]
    used += [_other(state)] if state.stage != EMPTY else []
    try:
        for slot in used:
            manifest.decode(state.sealed[slot])
    except (MalformedError, TypeError):  # TypeError: no bytes
        return False
    return True


def _read_piece(wanted, image, index):
    """Return what *image* has in the place of piece *index* of the image that is *wanted*."""
    return image.read(PIECE_BYTES * index, manifest.size_of(wanted, index))


def _other(state):
    return 1 if state.confirmed == 0 else 0


def _changed(state, stage, sealed, boots=TRIAL_BOOTS):
    """Return *state* with the other slot in *stage*, holding the image of the manifest *sealed*."""
    manifests = list(state.sealed)
    manifests[_other(state)] = sealed
    boots = boots if stage == TRIAL else 0
    return State(state.confirmed, stage, boots, state.highest, state.failed, state.reason, tuple(manifests))


def _failed(state, version, reason):
    emptied = _changed(state, EMPTY, None)
    return State(emptied.confirmed, EMPTY, 0, state.highest, version, reason, emptied.sealed)


def _fallen_back(state, spare):
    """Return *state* with slot *spare*, or none, confirmed, and nothing in the other one; `highest` stays."""
    manifests = [sealed if slot == spare else None for slot, sealed in enumerate(state.sealed)]
    return State(spare, EMPTY, 0, state.highest, state.failed, state.reason, tuple(manifests))
