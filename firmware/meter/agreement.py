"""Which time several servers agree on, so that one that lies or errs is outvoted (after K. Marzullo's intersection).

Each server's word is an interval in which the time lies. More than half of the servers that answered must share an
instant, and at least two. Where they are too few or undecided, the meter's own clock is one more witness, once it shows
a possible time: so one server alone moves a clock that is set only within that clock's own bounds, and of two that
disagree the one that the clock agrees with counts. A clock that was never set takes the word of a lone server.
"""

from collections import namedtuple

Word = namedtuple("Word", ("server", "offset_ms", "error_ms"))
"""What *server* says: the offset lies within *error_ms* of *offset_ms* (see `sntp.Sample`)."""
Verdict = namedtuple("Verdict", ("offset_ms", "error_ms", "agreeing", "outvoted"))
"""The offset and its greatest error, the servers that share it, and those that contradict it."""


def reach(words, own):
    """Return the Verdict on *words* (a list of Word), or None where there is none.

    *own* is the (offset_ms, error_ms) of the meter's own clock; None where it was never set.
    """
    low_ms, high_ms, count = _shared(words)
    if 2 * count > len(words) and (count >= 2 or own is None):
        return _verdict(words, low_ms, high_ms)
    if own is None:
        return None
    near = [word for word in words if abs(word.offset_ms - own[0]) <= word.error_ms + own[1]]
    low_ms, high_ms, count = _shared(near)
    if near and count == len(near) and 2 * (count + 1) > len(words) + 1:
        return _verdict(words, low_ms, high_ms)
    return None


def _shared(words):
    """Return (low, high, count): the narrowest span that the greatest number of *words* have in common."""
    best = (0, 0, 0)
    for low_ms in [word.offset_ms - word.error_ms for word in words]:
        highs = [
            word.offset_ms + word.error_ms
            for word in words
            if word.offset_ms - word.error_ms <= low_ms <= word.offset_ms + word.error_ms
        ]
        if len(highs) > best[2]:
            best = (low_ms, min(highs), len(highs))
    return best


def _verdict(words, low_ms, high_ms):
    agreeing = [word for word in words if word.offset_ms - word.error_ms <= low_ms <= word.offset_ms + word.error_ms]
    names = [word.server for word in agreeing]
    outvoted = [word.server for word in words if word.server not in names]
    offset_ms = (low_ms + high_ms) // 2
    return Verdict(offset_ms, high_ms - offset_ms, names, outvoted)
