"""The constants of SHA-512 (FIPS 180-4 §4.2.3, §5.3.5), worked out, not written down: 8 bytes each, big-endian."""


def _primes(count):
    found = []
    candidate = 2
    while len(found) < count:
        if all([candidate % prime for prime in found]):  # noqa: C419  a list is quicker than a generator here
            found.append(candidate)
        candidate += 1
    return found


def _root_fraction(prime, degree):
    """Return the first 64 bits behind the point of the *degree*-th root of *prime*, by Newton's method."""
    target = prime << 64 * degree
    root = 1 << 64 + 9 // degree + 1  # no prime here has more than 9 bits, so this is too large
    while True:
        better = ((degree - 1) * root + target // root ** (degree - 1)) // degree
        if better >= root:
            return (root & 2**64 - 1).to_bytes(8, "big")
        root = better


ROUNDS = b"".join([_root_fraction(prime, 3) for prime in _primes(80)])
INITIAL = b"".join([_root_fraction(prime, 2) for prime in _primes(8)])
