"""Ed25519 (RFC 8032) in plain MicroPython integers: key, signature, verification.

Points are in extended coordinates (X, Y, Z, T) of the curve -x² + y² = 1 + d·x²·y². Signing multiplies the base point
through a comb of signed digits over a table of its multiples: the large one that a build freezes into flash, else a
small one made at import. Coordinates are only folded, by 2²⁵⁶ ≡ 38, not reduced: they may be negative or a bit long.
Arithmetic on MicroPython's integers is not constant in time: the meter's seal, not this code, keeps a stopwatch away.
"""

from meter.sha512 import sha512

SEED_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_LOW = 2**256 - 1
_D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
_2D = 2 * _D % _P
_ROOT_OF_MINUS_ONE = 19681161376707505956807079304988542015446066515923890162744021073123829784752
_BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960
_NEUTRAL = (0, 1, 1, 0)
_SCALAR_BITS = 255
_ENTRY_BYTES = 96
_expanded = {}


def public_key(seed):
    """Return the 32-byte public key of the 32-byte *seed*."""
    return _compress(_multiply_base(_expand(seed)[0]))


def sign(seed, message, public_key=None):
    """Return the 64-byte signature of *message* with *seed*; handing in its public key saves half of the work."""
    scalar, prefix = _expand(seed)
    if public_key is None:
        public_key = _compress(_multiply_base(scalar))
    nonce = _hash_to_scalar(prefix + message)
    head = _compress(_multiply_base(nonce))
    proof = (nonce + _hash_to_scalar(head + public_key + message) * scalar) % _ORDER
    return head + proof.to_bytes(32, "little")


def verify(public_key, message, signature):
    """Tell whether *signature* over *message* is *public_key*'s; strict: canonical encodings, no small-order points."""
    if len(public_key) != 32 or len(signature) != SIGNATURE_BYTES:
        return False
    proof = int.from_bytes(signature[32:], "little")
    key = _decompress(public_key)
    if proof >= _ORDER or key is None or _is_small(key):
        return False
    challenge = _hash_to_scalar(signature[:32] + public_key + message)
    head = _add(_multiply_base(proof), _multiply(_negate(key), challenge))
    return _compress(head) == signature[:32] and not _is_small(head)  # the encoding of a point is canonical


def make_table(width, columns):
    """Return the base point's multiples for signed digits of *width* bits, in rows *columns* digits apart.

    Row r holds 1 to 2^(width - 1) times 2^(width·columns·r)·B, each as y + x, y - x and 2d·x·y, 32 bytes little-endian.
    """
    point = _decompress(_BASE_Y.to_bytes(32, "little"))
    table = []
    for _ in range(_rows(width, columns)):
        multiple = point
        for _ in range(1 << width - 1):
            table.append(_prepare(multiple))
            multiple = _add(multiple, point)
        for _ in range(width * columns):
            point = _double(point)
    return b"".join(table)


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
    """Return scalar·B: digit columns·row + column of the scalar weighs 2^(width·column) in row *row* of the table."""
    digits = _signed_digits(scalar)
    result = _NEUTRAL
    for column in range(_COLUMNS - 1, -1, -1):
        if column < _COLUMNS - 1:
            for _ in range(_WIDTH):
                result = _double(result)
        result = _add_column(result, digits, column)
    return result


def _add_column(point, digits, column):
    """Add to *point* one table entry (y + x, y - x, 2d·x·y) a row: Z is 1, so a multiplication less (RFC 8032 §5.1.4).

    The hot loop: everything stands in it, since a call costs as much as an addition.
    """
    x, y, z, t = point
    low, points, number = _LOW, memoryview(_POINTS), int.from_bytes
    for start in range(0, len(points), _ENTRY_BYTES << _WIDTH - 1):
        digit = digits[column]
        column += _COLUMNS
        if not digit:
            continue
        place = start + _ENTRY_BYTES * (abs(digit) - 1)
        plus = number(points[place : place + 32], "little")
        minus = number(points[place + 32 : place + 64], "little")
        c = t * number(points[place + 64 : place + 96], "little")
        if digit < 0:
            plus, minus, c = minus, plus, -c
        a = (y - x) * minus
        b = (y + x) * plus
        a = (a & low) + (a >> 256) * 38
        b = (b & low) + (b >> 256) * 38
        c = (c & low) + (c >> 256) * 38
        d = z + z
        e, f, g, h = b - a, d - c, d + c, b + a
        x, y, z, t = e * f, g * h, f * g, e * h
        x = (x & low) + (x >> 256) * 38
        y = (y & low) + (y >> 256) * 38
        z = (z & low) + (z >> 256) * 38
        t = (t & low) + (t >> 256) * 38  # once is enough: t meets only a number of the table before it is folded again
        x = (x & low) + (x >> 256) * 38
        y = (y & low) + (y >> 256) * 38
        z = (z & low) + (z >> 256) * 38
    return x, y, z, t


def _signed_digits(scalar):
    """Return the digits of *scalar* < 2^255 in base 2^width, lowest first: -2^(width - 1) to 2^(width - 1) each."""
    data = scalar.to_bytes(32, "little") + bytes(_WIDTH * _COLUMNS)
    mask, half = (1 << _WIDTH) - 1, 1 << _WIDTH - 1
    digits = []
    carry = 0
    for bit in range(0, _WIDTH * _COLUMNS * _rows(_WIDTH, _COLUMNS), _WIDTH):
        place = bit >> 3
        digit = ((data[place] | data[place + 1] << 8) >> (bit & 7) & mask) + carry
        carry = 1 if digit > half else 0
        digits.append(digit - (carry << _WIDTH))
    return digits


def _rows(width, columns):
    """Return how many rows hold the digits of a scalar, the carry out of the highest included."""
    return _SCALAR_BITS // (width * columns) + 1


def _fold(number):
    """Return a number of some 256 bits that is congruent to a product of two folded ones, or of sums of a few."""
    number = (number & _LOW) + (number >> 256) * 38
    return (number & _LOW) + (number >> 256) * 38


def _add(left, right):
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = _fold((y1 - x1) * (y2 - x2))
    b = _fold((y1 + x1) * (y2 + x2))
    c = _fold(_fold(t1 * t2) * _2D)
    d = _fold(2 * z1 * z2)
    e, f, g, h = b - a, d - c, d + c, b + a
    return _fold(e * f), _fold(g * h), _fold(f * g), _fold(e * h)


def _double(point):
    x, y, z, _ = point
    low = _LOW
    a = x * x
    b = y * y
    x += y
    c = x * x
    d = z * z
    a = (a & low) + (a >> 256) * 38
    b = (b & low) + (b >> 256) * 38
    c = (c & low) + (c >> 256) * 38
    d = (d & low) + (d >> 256) * 38
    h, g = a + b, a - b
    e, f = h - c, d + d + g
    return _fold(e * f), _fold(g * h), _fold(f * g), _fold(e * h)


def _negate(point):
    x, y, z, t = point
    return -x, y, z, -t


def _multiply(point, scalar):
    """Return scalar·point, four bits at a time."""
    multiples = [_NEUTRAL, point]
    for _ in range(14):
        multiples.append(_add(multiples[-1], point))
    result = _NEUTRAL
    for shift in range(252, -1, -4):
        result = _double(_double(_double(_double(result))))
        digit = scalar >> shift & 15
        if digit:
            result = _add(result, multiples[digit])
    return result


def _invert(number):
    """Return 1/number modulo p by the extended Euclidean algorithm."""
    low, high = number % _P, _P
    this, other = 1, 0
    while low > 1:
        quotient, rest = divmod(high, low)
        high, low = low, rest
        other, this = this, other - quotient * this
    return this


def _affine(point):
    x, y, z, _ = point
    inverse = _invert(z)
    return x * inverse % _P, y * inverse % _P


def _prepare(point):
    x, y = _affine(point)
    return b"".join([(value % _P).to_bytes(32, "little") for value in (y + x, y - x, x * y % _P * _2D)])


def _compress(point):
    x, y = _affine(point)
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decompress(encoded):
    """Return the point that 32 bytes encode (RFC 8032 §5.1.3), or None if they encode none canonically."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    v3 = v * v % _P * v % _P
    x = u * v3 % _P * pow(u * v3 % _P * v3 % _P * v % _P, (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (v * x * x - u) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _is_small(point):
    """Tell whether *point* has order 1, 2, 4 or 8: such a key "signs" anything."""
    x, y, z, _ = _double(_double(_double(point)))
    return x % _P == 0 and (y - z) % _P == 0


try:
    from meter.ed25519_table import COLUMNS as _COLUMNS
    from meter.ed25519_table import POINTS as _POINTS
    from meter.ed25519_table import WIDTH as _WIDTH
except ImportError:  # a plain checkout
    _WIDTH, _COLUMNS = 4, 8
    _POINTS = make_table(_WIDTH, _COLUMNS)
