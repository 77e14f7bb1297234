"""The ledger's exceptions: faults only. What the ledger refuses is a value with a code (`ledger.codes`)."""


class LedgerError(Exception):
    """A fault of the ledger package; its text says what happened, to which thing, and what to do next."""

    user_message = True


class MalformedError(LedgerError):
    """Bytes that are not the one canonical encoding of what they claim to be: whoever sent them must act."""


class CorruptedError(LedgerError):
    """Stored data that contradicts itself: the operator must restore it or synchronise anew."""
