"""The firmware's exceptions: whose fault it is, is in the type."""

_WORDS = {
    "16": "EBUSY", "20": "ENOTDIR", "25": "ENOTTY", "28": "ENOSPC", "30": "EROFS", "32": "EPIPE",
    "103": "ECONNABORTED", "104": "ECONNRESET", "107": "ENOTCONN", "110": "ETIMEDOUT", "113": "EHOSTUNREACH",
}  # fmt: skip
"""Of errors that MicroPython has a number for, and nothing else; where TLS hands one up, it is negative."""


def in_words(error):
    """Return what *error* says; never the bare number of an OSError that has a word."""
    text = str(error)
    number = text.lstrip("-")
    if isinstance(error, OSError) and number in _WORDS:
        return "[Errno {}] {}".format(number, _WORDS[number])
    return text


class MeterError(Exception):
    """Root of everything that the firmware raises on purpose; its text is meant for people."""


class MalformedError(MeterError):
    """Bytes that came in from outside are not what they should be."""


class ConfigError(MeterError):
    """The configuration cannot be used; the text says which key and what to do."""


class LineError(MeterError):
    """The electricity meter did not answer, or not properly."""


class UplinkError(MeterError):
    """The broker refused the meter or broke the protocol."""


class JournalError(MeterError):
    """The journal cannot take another reading."""


class KeyLossError(MeterError):
    """The meter's signing key is gone or damaged."""


class StorageError(MeterError):
    """What the meter keeps can no longer be read or written."""


class ClaimError(MeterError):
    """Another process has the meter's storage."""


class UnfitError(MeterError):
    """The meter cannot start, and nobody is known to whom that could be reported."""
