"""Ed25519 (RFC 8032) in plain MicroPython integers: key, signature, verification.

Points are in extended coordinates (X, Y, Z, T) of the curve -x² + y² = 1 + d·x²·y². Signing multiplies the base point
through a comb of signed 4-bit digits: 64 additions and 28 doublings over a table of 64 points made at first use.
Arithmetic on MicroPython's integers is not constant in time: the meter's seal, not this code, keeps a stopwatch away.
"""

from meter.sha512 import sha512

SEED_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_2D = 2 * _D % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_NEUTRAL = (0, 1, 1, 0)
_COLUMNS = 8
_ROWS = 8
_DIGITS = 64
_table = []


def public_key(seed):
    """Return the 32-byte public key of the 32-byte *seed*."""
    return _compress(_multiply_base(_expand(seed)[0]))


def sign(seed, message, public_key=None):
    """Return the 64-byte signature of *message* with *seed*; handing in its public key saves a third of the work."""
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
    head = _decompress(signature[:32])
    if proof >= _ORDER or key is None or head is None or _is_small(key) or _is_small(head):
        return False
    challenge = _hash_to_scalar(signature[:32] + public_key + message)
    expected = _add(_multiply_base(proof), _multiply(_negate(key), challenge))
    return _compress(expected) == signature[:32]


def _expand(seed):
    if len(seed) != SEED_BYTES:
        raise ValueError("an Ed25519 seed has 32 bytes")
    digest = sha512(seed)
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & (2**254 - 8) | 2**254, digest[32:]


def _hash_to_scalar(data):
    return int.from_bytes(sha512(data), "little") % _ORDER


def _add(left, right):
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = t1 * t2 % _P * _2D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _add_prepared(point, prepared):
    """Add a table entry (y + x, y - x, 2d·x·y): Z is 1, so a multiplication less (RFC 8032 §5.1.4)."""
    x1, y1, z1, t1 = point
    plus, minus, product = prepared
    a = (y1 - x1) * minus % _P
    b = (y1 + x1) * plus % _P
    c = t1 * product % _P
    d = 2 * z1
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point):
    x, y, z, _ = point
    a = x * x % _P
    b = y * y % _P
    h = a + b
    e = h - (x + y) * (x + y) % _P
    g = a - b
    f = 2 * z * z % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _negate(point):
    x, y, z, t = point
    return _P - x, y, z, _P - t


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


def _multiply_base(scalar):
    """Return scalar·B: digit 8·row + column of the scalar weighs 16^column in row *row* of the table."""
    table = _table or _make_table()
    digits = _signed_digits(scalar)
    result = _NEUTRAL
    for column in range(_COLUMNS - 1, -1, -1):
        if column < _COLUMNS - 1:
            result = _double(_double(_double(_double(result))))
        for row in range(_ROWS):
            digit = digits[_COLUMNS * row + column]
            if digit > 0:
                result = _add_prepared(result, table[row][digit - 1])
            elif digit < 0:
                plus, minus, product = table[row][-digit - 1]
                result = _add_prepared(result, (minus, plus, -product))
    return result


def _signed_digits(scalar):
    """Return 64 digits of *scalar* < 2^255 in base 16, each from -8 to 8."""
    digits = []
    carry = 0
    for place in range(_DIGITS):
        digit = (scalar >> 4 * place & 15) + carry
        carry = 1 if digit > 8 else 0
        digits.append(digit - 16 * carry)
    return digits


def _make_table():
    point = _decompress((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))  # the base point: y = 4/5, x even
    for row in range(_ROWS):
        multiple = point
        _table.append([])
        for _ in range(8):
            _table[row].append(_prepare(multiple))
            multiple = _add(multiple, point)
        for _ in range(4 * _COLUMNS):
            point = _double(point)
    return _table


def _prepare(point):
    x, y, z, _ = point
    inverse = pow(z, _P - 2, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y + x) % _P, (y - x) % _P, x * y % _P * _2D % _P


def _compress(point):
    x, y, z, _ = point
    inverse = pow(z, _P - 2, _P)
    x, y = x * inverse % _P, y * inverse % _P
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
