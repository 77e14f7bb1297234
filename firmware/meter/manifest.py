"""An update's manifest, signed with the campus key, and its pieces; defined in `protocol/update.cddl`.

The manifest names every piece of the image by its hash, so each piece is known for what it is the moment it comes, in
whatever order, and what of an interrupted update is already there is seen by hashing it.
"""

from collections import namedtuple

from meter import envelope
from meter.envelope import is_uint
from meter.errors import MalformedError

PIECE_BYTES = 2048
"""Bytes of the image in each piece but the last, which may have fewer."""
HEAD_BYTES = 8
"""Enough to turn away what is not the campus': the whole image is checked by its SHA-256 all the same."""
MAX_PIECES = 440
"""So many heads fit into one message of the broker."""
MAX_BYTES = 3900
MAX_TARGET_BYTES = 16
MAX_TRIAL_S = 86_400

_FIELDS = 7
_PIECE_FIELDS = 3
_UINT32 = 2**32

Manifest = namedtuple("Manifest", ("meter_id", "version", "target", "trial_s", "size", "sha256", "heads"))
"""target: what the image is built for; trial_s: how long it may take to get a receipt; heads: those of its pieces."""
Piece = namedtuple("Piece", ("version", "index", "data"))


def decode(data):
    """Return the Manifest in the envelope *data*, signature unchecked; raises MalformedError."""
    if len(data) > MAX_BYTES:
        raise MalformedError("a manifest has at most {} bytes".format(MAX_BYTES))
    found = Manifest(*envelope.fields(envelope.parse(data)[1], envelope.UPDATE, _FIELDS))
    _require(isinstance(found.meter_id, bytes) and len(found.meter_id) == 8, "meter id")
    _require(is_uint(found.version, 1, _UINT32 - 1), "version")
    _require(isinstance(found.target, str) and 0 < len(found.target) <= MAX_TARGET_BYTES, "target")
    _require(is_uint(found.trial_s, 1, MAX_TRIAL_S), "trial_s")
    _require(is_uint(found.size, 1, MAX_PIECES * PIECE_BYTES), "size")
    _require(isinstance(found.sha256, bytes) and len(found.sha256) == 32, "sha256")
    _require(isinstance(found.heads, bytes) and len(found.heads) == HEAD_BYTES * count(found), "heads")
    return found


def count(manifest):
    """Return how many pieces the image of *manifest* has."""
    return (manifest.size + PIECE_BYTES - 1) // PIECE_BYTES


def size_of(manifest, index):
    """Return how many bytes piece *index* of the image of *manifest* has."""
    return min(PIECE_BYTES, manifest.size - PIECE_BYTES * index)


def decode_piece(data):
    """Return the Piece in *data*, whatever it is a piece of; raises MalformedError."""
    if len(data) > PIECE_BYTES + 20:
        raise MalformedError("a piece has at most {} bytes".format(PIECE_BYTES))
    found = Piece(*envelope.fields(data, envelope.PIECE, _PIECE_FIELDS))
    _require(is_uint(found.version, 1, _UINT32 - 1) and is_uint(found.index, 0, MAX_PIECES - 1), "number")
    _require(isinstance(found.data, bytes) and 0 < len(found.data) <= PIECE_BYTES, "data")
    return found


def is_part(manifest, index, data):
    """Tell whether *data* is piece *index* of the image of *manifest*."""
    head = manifest.heads[HEAD_BYTES * index : HEAD_BYTES * (index + 1)]
    return len(data) == size_of(manifest, index) and envelope.digest(data)[:HEAD_BYTES] == head


def _require(holds, name):
    if not holds:
        raise MalformedError("malformed update: " + name)
