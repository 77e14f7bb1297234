"""Ed25519 (RFC 8032) in MicroPython: key, signature, verification.

Signing multiplies the base point by a comb over a table of its multiples: the large one that a build freezes into
flash, else a small one made at import. The comb does the same additions and doublings for every scalar, and in native
code the arithmetic in these does not depend on their values. No more is claimed: which entries of the table are read,
Euclid's algorithm and MicroPython's integers do depend on secrets. The meter's seal, not this code, keeps probes away.
"""

from meter import curve
from meter.sha512 import sha512

SEED_BYTES = 32
SIGNATURE_BYTES = 64

_ORDER = 2**252 + 27742317777372353535851937790883648493
_ORDER_BITS = 253
_BASE_POINT = b"\x58" + b"\x66" * 31  # its y is 4/5
_SPREAD = [bytes([nibble >> bit & 1 for bit in range(4)]) for nibble in range(16)]
_expanded = {}


def public_key(seed):
    """Return the 32-byte public key of the 32-byte *seed*."""
    return curve.compress(_multiply_base(_expand(seed)[0]))


def sign(seed, message, public_key=None):
    """Return the 64-byte signature of *message* with *seed*; handing in its public key saves half of the work."""
    scalar, prefix = _expand(seed)
    if public_key is None:
        public_key = curve.compress(_multiply_base(scalar))
    nonce = _hash_to_scalar(prefix + message)
    head = curve.compress(_multiply_base(nonce))
    proof = (nonce + _hash_to_scalar(head + public_key + message) * scalar) % _ORDER
    return head + proof.to_bytes(32, "little")


def verify(public_key, message, signature):
    """Tell whether *signature* over *message* is *public_key*'s; strict: canonical encodings, no small-order points."""
    if len(public_key) != 32 or len(signature) != SIGNATURE_BYTES:
        return False
    proof = int.from_bytes(signature[32:], "little")
    key = curve.decompress(public_key)
    if proof >= _ORDER or key is None or curve.is_small(key):
        return False
    challenge = _hash_to_scalar(signature[:32] + public_key + message)
    head = _multiply_base(proof)
    curve.add(head, curve.make_summand(_multiply(key, challenge)), negative=True)
    return curve.compress(head) == signature[:32] and not curve.is_small(head)  # a point has but one encoding


def make_table(teeth, combs):
    """Return the multiples of the base point for *combs* combs of *teeth* teeth, 96 bytes each (`curve.pack_summand`).

    Tooth t of comb c stands for ±2^(steps·(c + combs·t))·B. Entry e of a comb is the sum of its teeth, the highest one
    taken positively and another, t, where bit t of e is set.
    """
    steps = _steps(teeth, combs)
    point = curve.decompress(_BASE_POINT)
    powers = []
    for _ in range(teeth * combs):
        powers.append(curve.copy(point))
        for _ in range(steps):
            curve.double(point)
    return b"".join(
        [_make_comb([powers[place] for place in range(comb, teeth * combs, combs)]) for comb in range(combs)]
    )


def _make_comb(powers):
    *lower, first = powers
    for power in lower:
        curve.add(first, curve.make_summand(power), negative=True)
    points = [first]
    for power in lower:
        curve.double(power)
        summand = curve.make_summand(power)
        further = [curve.copy(point) for point in points]
        for point in further:
            curve.add(point, summand)
        points += further
    return b"".join([curve.pack_summand(point) for point in points])


def _expand(seed):
    """Return (scalar, prefix) of *seed*; those of the last seed are kept, for a meter has only one."""
    if len(seed) != SEED_BYTES:
        raise ValueError("an Ed25519 seed has 32 bytes")
    if seed not in _expanded:
        digest = sha512(seed)
        _expanded.clear()
        _expanded[seed] = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254, digest[32:]
    return _expanded[seed]


def _hash_to_scalar(data):
    return int.from_bytes(sha512(data), "little") % _ORDER


def _multiply_base(scalar):
    """Return scalar·B by combs of signed bits (M. Hamburg, "Fast and compact elliptic-curve cryptography", §3.3)."""
    result = curve.neutral()
    digits = _comb_digits(scalar)
    steps = _steps(_TEETH, _COMBS)
    half = 1 << _TEETH - 1
    for step in range(steps - 1, -1, -1):
        if step < steps - 1:
            curve.double(result)
        for comb in range(_COMBS):
            digit = digits[steps * comb + step]
            entry = half * comb + (digit - half if digit >= half else half - 1 - digit)
            curve.add(result, curve.load_summand(_POINTS, curve.SUMMAND_BYTES * entry), digit < half)
    return result


def _comb_digits(scalar):
    """Return the digits of *scalar* for all steps of the first comb, then for those of the next one, and so on.

    The scalar becomes a sum of powers of two, all of them present, each taken positively where a bit is set, else
    negatively. A digit has a bit a tooth: those of one tooth lie side by side in `bits`, and a byte apart in `digits`.
    """
    spacing = _steps(_TEETH, _COMBS) * _COMBS
    bits = scalar + (1 << spacing * _TEETH) - 1
    bits = (bits + _ORDER * (bits & 1) >> 1) % _ORDER
    digits = 0
    for tooth in range(_TEETH):
        row = (bits & (1 << spacing) - 1).to_bytes(spacing + 7 >> 3, "little")
        bits >>= spacing
        spread = b"".join([_SPREAD[byte & 15] + _SPREAD[byte >> 4] for byte in row])
        digits |= int.from_bytes(spread, "little") << tooth
    return digits.to_bytes(spacing + 7, "little")


def _steps(teeth, combs):
    """Return how often such combs are used for one scalar."""
    return -(-_ORDER_BITS // (teeth * combs))


def _multiply(point, scalar):
    """Return scalar·point, four bits at a time."""
    multiple = curve.copy(point)
    summands = [curve.make_summand(multiple)]
    for _ in range(14):
        curve.add(multiple, summands[0])
        summands.append(curve.make_summand(multiple))
    result = curve.neutral()
    for shift in range(252, -1, -4):
        for _ in range(4):
            curve.double(result)
        digit = scalar >> shift & 15
        if digit:
            curve.add(result, summands[digit - 1])
    return result


try:
    from meter.ed25519_table import COMBS as _COMBS
    from meter.ed25519_table import POINTS as _POINTS
    from meter.ed25519_table import TEETH as _TEETH
except ImportError:  # a plain checkout
    _TEETH, _COMBS = 5, 4
    _POINTS = make_table(_TEETH, _COMBS)
