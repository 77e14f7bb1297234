"""SNTP version 4 (RFC 4330, RFC 5905): the question to a time server, and what its answer must be to be believed.

All in integer milliseconds: an ESP32's floats are single precision and would lose seconds.
"""

import struct
from collections import namedtuple

from meter import unix_time
from meter.errors import MalformedError

PORT = 123
PACKET_BYTES = 48
NONCE_BYTES = 8
MAX_ROOT_MS = 1000
"""A server whose own way to its reference clock is longer, or less certain, than this is none to follow."""
MAX_HELD_MS = 1000
"""How long a server may take between question and answer."""
MIN_ERROR_MS = 10
"""No answer is taken for more exact: servers differ by more than they admit."""

_EPOCH_1900_S = 2_208_988_800  # from 1900, where NTP begins, to 1970
_ERA_S = 2**32
_QUESTION = b"\x23"  # no leap second, version 4, mode client
_SERVER = 4
_VERSIONS = (3, 4)
_UNSYNCHRONISED = 3
_MAX_STRATUM = 15
_FIELDS = ">BBbbIIIIIIIIIII"
"""leap, version and mode; stratum; poll; precision; root delay; root dispersion; reference id; four timestamps."""
_GRAIN_MS = 2  # of two clocks that are read in whole milliseconds

Answer = namedtuple("Answer", ("received_ms", "sent_ms", "root_ms"))
"""The server's Unix time when the question came and when the answer went; how far off its own clock may be."""
Sample = namedtuple("Sample", ("offset_ms", "error_ms"))
"""What is to be added to the asker's own count of milliseconds to have Unix time; how far off that may be."""


class KissOfDeath(MalformedError):
    """The server asks to be left alone: `code` says how (RFC 5905, 7.4)."""

    def __init__(self, code):
        super().__init__("it asks to be left alone: " + code)
        self.code = code


def question(nonce):
    """Return the packet to send. *nonce*, random bytes, stands where our time would: it tells nobody what that is."""
    return _QUESTION + bytes(PACKET_BYTES - NONCE_BYTES - 1) + nonce


def is_answer(data, nonce):
    """Tell whether *data* answers the question with *nonce*; only who saw the question can make such a packet."""
    return len(data) >= PACKET_BYTES and data[24:32] == nonce


def parse(data, nonce):
    """Return the Answer in *data*, every check passed; raises MalformedError, or KissOfDeath."""
    _require(len(data) >= PACKET_BYTES, "{} bytes are no answer".format(len(data)))
    _require(data[24:32] == nonce, "an answer to another question")
    (
        first, stratum, _, _, root_delay, root_dispersion, reference, _, _, _, _,
        received_s, received_part, sent_s, sent_part,
    ) = struct.unpack_from(_FIELDS, data, 0)  # fmt: skip
    _require(first & 7 == _SERVER, "mode {} is not a server's".format(first & 7))
    _require(first >> 3 & 7 in _VERSIONS, "version {}".format(first >> 3 & 7))
    if stratum == 0:
        raise KissOfDeath(_code(reference))
    _require(first >> 6 != _UNSYNCHRONISED, "it is not synchronised itself")
    _require(stratum <= _MAX_STRATUM, "stratum {}".format(stratum))
    _require(received_s or received_part, "it does not say when the question came")
    _require(sent_s or sent_part, "it does not say what time it is")
    delay_ms, dispersion_ms = _short_ms(root_delay), _short_ms(root_dispersion)
    _require(delay_ms <= MAX_ROOT_MS, "its reference clock is {} ms away".format(delay_ms))
    _require(dispersion_ms <= MAX_ROOT_MS, "it may be {} ms off by its own account".format(dispersion_ms))
    received_ms, sent_ms = _unix_ms(received_s, received_part), _unix_ms(sent_s, sent_part)
    _require(0 <= sent_ms - received_ms <= MAX_HELD_MS, "its two times are {} ms apart".format(sent_ms - received_ms))
    _require(sent_ms // 1000 <= unix_time.LATEST_S, "it claims {} s of Unix time".format(sent_ms // 1000))
    return Answer(received_ms, sent_ms, (delay_ms + 1) // 2 + dispersion_ms)


def measure(answer, asked_ms, heard_ms):
    """Return the Sample of *answer* to a question sent at *asked_ms* and answered at *heard_ms* of the asker's count.

    The true offset lies within the error, however unlike the ways there and back are. Raises MalformedError.
    """
    delay_ms = heard_ms - asked_ms - (answer.sent_ms - answer.received_ms)
    _require(delay_ms >= -_GRAIN_MS, "it held the question longer than the answer took")
    offset_ms = (answer.received_ms - asked_ms + answer.sent_ms - heard_ms) // 2
    return Sample(offset_ms, max(MIN_ERROR_MS, (max(delay_ms, 0) + 1) // 2 + answer.root_ms + _GRAIN_MS))


def _unix_ms(seconds, part):
    """Return Unix milliseconds of an NTP timestamp; one before 2024 is of the era that begins in 2036."""
    unix_s = seconds - _EPOCH_1900_S
    if not unix_time.is_set(1000 * unix_s):
        unix_s += _ERA_S
    return 1000 * unix_s + (1000 * part >> 32)


def _short_ms(value):
    """Return a duration in units of 2^-16 s in milliseconds, rounded up."""
    return (1000 * value + 65535) >> 16


def _code(reference):
    return "".join([chr(byte) if 32 < byte < 127 else "?" for byte in reference.to_bytes(4, "big")])


def _require(holds, text):
    if not holds:
        raise MalformedError(text)
