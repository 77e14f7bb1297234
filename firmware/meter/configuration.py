"""What the campus sets from afar: a message signed with the campus key; defined in `protocol/configuration.cddl`.

The newest message itself is what is stored, in one atomic step: after a power cut the old one holds or the new one. It
says all that can be set from afar, so nothing of an earlier one is left; the rest stays as config.json has it. Beside
it is the number that a reading has named last, so that a start in between does not cost the campus its answer.
"""

from collections import namedtuple

from meter import envelope
from meter.config import MAX_GATEWAY_KEYS, with_remote
from meter.envelope import is_uint
from meter.errors import MalformedError

MAX_BYTES = 512
MAX_TELEMETRY_S = 86_400

_NAME = "configuration"
_NAMED = "configuration.named"
_FIELDS = 5
_UINT32 = 2**32

Configuration = namedtuple("Configuration", ("meter_id", "number", "telemetry_s", "gateway_keys", "resend"))
"""number: above that of every message before; resend: None, or [first, last] epoch to send anew."""


def open_sealed(data, config):
    """Return the Configuration in the envelope *data*, for this meter, signed by the campus; raises MalformedError."""
    if len(data) > MAX_BYTES:
        raise MalformedError("a configuration has at most {} bytes".format(MAX_BYTES))
    found = Configuration(*envelope.fields(envelope.parse(data)[1], envelope.CONFIGURATION, _FIELDS))
    _require(found.meter_id == config.meter_id, "it is for another meter")
    _require(is_uint(found.number, 1, _UINT32 - 1), "number")
    _require(is_uint(found.telemetry_s, 1, MAX_TELEMETRY_S), "telemetry_s")
    keys = found.gateway_keys
    _require(isinstance(keys, list) and 1 <= len(keys) <= MAX_GATEWAY_KEYS, "gateway keys")
    _require(all(isinstance(key, bytes) and len(key) == 32 for key in keys), "gateway keys")
    _require(found.resend is None or _is_range(found.resend), "resend")
    if not envelope.is_signed_by(data, config.campus_key):
        raise MalformedError("a configuration that the campus key did not sign")
    return found


class Store:
    """The configuration that holds: config.json's *config*, and over it the newest message, which *storage* keeps."""

    def __init__(self, storage, config):
        self._storage = storage
        self.config = config
        self.number = 0
        self.damage = None  # what is wrong with the stored message: then config.json's values hold, until a new one
        if _NAME in storage.names():
            try:
                self._apply(open_sealed(storage.read(_NAME), config))
            except MalformedError as error:
                self.damage = str(error)
        self._named = storage.read(_NAMED) if _NAMED in storage.names() else None

    def is_named(self):
        """Tell whether a reading has named the message that holds; there may be none to name."""
        return not self.number or self._named == str(self.number).encode()

    def note_named(self, number):
        """Take note, durably, that a reading in the journal names message *number*; raises OSError."""
        named = str(number).encode()
        self._storage.replace(_NAMED, named)
        self._named = named

    def take(self, data):
        """Let the message *data* hold from now on, and return it; None for one that is not newer than what holds.

        Raises MalformedError, or OSError where it cannot be stored; then nothing is changed.
        """
        found = open_sealed(data, self.config)
        if found.number <= self.number:
            return None
        self._storage.replace(_NAME, data)
        self._apply(found)
        self._named = None
        return found

    def _apply(self, found):
        self.config = with_remote(self.config, found.telemetry_s, tuple(found.gateway_keys))
        self.number = found.number


def _is_range(value):
    if not isinstance(value, list) or len(value) != 2 or not is_uint(value[0], 0, _UINT32 - 1):
        return False
    return is_uint(value[1], value[0], _UINT32 - 1)


def _require(holds, name):
    if not holds:
        raise MalformedError("malformed configuration: " + name)
