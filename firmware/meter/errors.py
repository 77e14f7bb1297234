"""The firmware's exceptions: whose fault it is, is in the type."""


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
