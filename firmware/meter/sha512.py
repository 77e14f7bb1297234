"""SHA-512 (FIPS 180-4). No MicroPython port's hashlib has it, and Ed25519 needs it."""

_MASK = 2**64 - 1
_BLOCK_BYTES = 128


def sha512(data):
    """Return the 64-byte digest of *data*."""
    state = _INITIAL
    padded = data + b"\x80" + bytes((111 - len(data)) % _BLOCK_BYTES) + (8 * len(data)).to_bytes(16, "big")
    for start in range(0, len(padded), _BLOCK_BYTES):
        state = _compress(state, _schedule(padded[start : start + _BLOCK_BYTES]))
    return b"".join([word.to_bytes(8, "big") for word in state])


def _schedule(block):
    words = [int.from_bytes(block[place : place + 8], "big") for place in range(0, _BLOCK_BYTES, 8)]
    for place in range(16, 80):
        early, late = words[place - 15], words[place - 2]
        twice_early, twice_late = early | early << 64, late | late << 64  # so that a shift right rotates
        words.append(
            (
                words[place - 16]
                + words[place - 7]
                + ((twice_early >> 1 ^ twice_early >> 8 ^ early >> 7) & _MASK)
                + ((twice_late >> 19 ^ twice_late >> 61 ^ late >> 6) & _MASK)
            )
            & _MASK
        )
    return words


def _compress(state, words):
    a, b, c, d, e, f, g, h = state
    for word, constant in zip(words, _CONSTANTS):  # noqa: B905  MicroPython's zip knows no strict
        twice = e | e << 64
        first = h + ((twice >> 14 ^ twice >> 18 ^ twice >> 41) & _MASK) + (g ^ e & (f ^ g)) + constant + word
        twice = a | a << 64
        second = ((twice >> 28 ^ twice >> 34 ^ twice >> 39) & _MASK) + (a & b | c & (a | b))
        h, g, f, e, d, c, b, a = g, f, e, (d + first) & _MASK, c, b, a, (first + second) & _MASK
    return [(old + new) & _MASK for old, new in zip(state, (a, b, c, d, e, f, g, h))]  # noqa: B905


def _primes(count):
    found = []
    candidate = 2
    while len(found) < count:
        if all([candidate % prime for prime in found]):  # noqa: C419  a list is quicker than a generator here
            found.append(candidate)
        candidate += 1
    return found


def _root_fraction(prime, degree):
    """Return the first 64 bits behind the point of the *degree*-th root of *prime* (FIPS 180-4 §4.2.3, §5.3.5)."""
    target = prime << 64 * degree
    low, high = 0, prime << 64
    while high - low > 1:
        middle = (low + high) >> 1
        if middle**degree <= target:
            low = middle
        else:
            high = middle
    return low & _MASK


_CONSTANTS = [_root_fraction(prime, 3) for prime in _primes(80)]
_INITIAL = [_root_fraction(prime, 2) for prime in _primes(8)]
