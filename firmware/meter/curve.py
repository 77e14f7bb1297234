"""The points of Ed25519's curve -x² + y² = 1 + d·x²·y² (RFC 8032 §5.1), in extended coordinates, changed in place.

A point is a tuple (X, Y, Z, T) of field elements. What is added to one is a summand, (y + x, y - x, 2d·t, 2z) of a
point, or half of each with None for z = 1, which saves a multiplication: the sum is the same but for its scale.
"""

from meter.field import P, cross, load, multiply, new, number, raise_to_root

SUMMAND_BYTES = 96

_D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
_ROOT_OF_MINUS_ONE = 19681161376707505956807079304988542015446066515923890162744021073123829784752
_HALF = (P + 1) // 2


def make_point(x, y):
    return _element(x), _element(y), _element(1), _element(x * y)


def neutral():
    return copy(_NEUTRAL)


def copy(point):
    return tuple([element[:] for element in point])


def add(point, summand, negative=False):
    """Add *summand* to *point*, or subtract it (RFC 8032 §5.1.4)."""
    x, y, z, t = point
    plus, minus, twist, double_z = summand
    a, b, c, d, e, f, g, h = _scratch
    if negative:
        plus, minus = minus, plus
    cross(b, a, y, x)
    multiply(a, a, minus)
    multiply(b, b, plus)
    multiply(c, t, twist)
    if double_z is not None:
        multiply(d, z, double_z)
    else:
        d = z
    cross(h, e, b, a)
    cross(g, f, d, c)
    if negative:
        f, g = g, f
    multiply(x, e, f)
    multiply(y, g, h)
    multiply(z, f, g)
    multiply(t, e, h)


def double(point):
    """Add *point* to itself (RFC 8032 §5.1.4, with the signs of E and G changed)."""
    x, y, z, t = point
    a, b, c, d, e, f, g, h = _scratch
    multiply(a, x, x)
    multiply(b, y, y)
    multiply(c, z, z)
    multiply(e, x, y)
    cross(h, g, b, a)
    cross(c, d, c, c)
    cross(e, d, e, e)
    cross(d, f, c, g)
    multiply(x, e, f)
    multiply(y, g, h)
    multiply(z, f, g)
    multiply(t, e, h)


def make_summand(point):
    x, y, z, t = point
    plus, minus, twist, double_z, rest = [new() for _ in range(5)]
    cross(plus, minus, y, x)
    multiply(twist, t, _element(2 * _D))
    cross(double_z, rest, z, z)
    return plus, minus, twist, double_z


def pack_summand(point):
    """Return the halved summand of *point* as three numbers of 32 bytes, little-endian."""
    x, y = _affine(point)
    return b"".join([(value % P).to_bytes(32, "little") for value in ((y + x) * _HALF, (y - x) * _HALF, _D * x * y)])


def load_summand(data, start):
    """Return what `pack_summand` left in *data* from *start* on; it is good until the next is loaded."""
    plus, minus, twist, _ = _loaded
    load(plus, data, start)
    load(minus, data, start + 32)
    load(twist, data, start + 64)
    return _loaded


def compress(point):
    x, y = _affine(point)
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(encoded):
    """Return the point that 32 bytes encode (RFC 8032 §5.1.3), or None if they encode none canonically."""
    integer = int.from_bytes(encoded, "little")
    y, sign = integer & (2**255 - 1), integer >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (_D * y * y + 1) % P
    v3 = v * v % P * v % P
    root = _element(u * v3 % P * v3 % P * v)
    raise_to_root(root)
    x = u * v3 % P * number(root) % P
    if (v * x * x - u) % P:
        x = x * _ROOT_OF_MINUS_ONE % P
    if (v * x * x - u) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return make_point(x, y)


def is_small(point):
    """Tell whether *point* has order 1, 2, 4 or 8: such a key "signs" anything."""
    point = copy(point)
    for _ in range(3):
        double(point)
    x, y, z, _ = point
    return number(x) == 0 and number(y) == number(z)


def _element(value):
    element = new()
    load(element, (value % P).to_bytes(32, "little"), 0)
    return element


def _affine(point):
    x, y, z, _ = point
    inverse = _invert(number(z))
    return number(x) * inverse % P, number(y) * inverse % P


def _invert(integer):
    """Return 1/integer modulo p by the extended Euclidean algorithm."""
    low, high = integer, P
    this, other = 1, 0
    while low > 1:
        quotient, rest = divmod(high, low)
        high, low = low, rest
        other, this = this, other - quotient * this
    return this


_scratch = tuple([new() for _ in range(8)])
_loaded = (new(), new(), new(), None)
_NEUTRAL = make_point(0, 1)
