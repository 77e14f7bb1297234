"""The field in plain integers, for CPython and for ports without a native code emitter."""

P = 2**255 - 19


def new():
    """Return an element, of no value yet."""
    return [0]


def load(element, data, start):
    """Set *element* to the little-endian number in the 32 bytes of *data* from *start* on."""
    element[0] = int.from_bytes(data[start : start + 32], "little")


def number(element):
    """Return the least number that is congruent to *element*."""
    return element[0] % P


def multiply(product, a, b):
    """Set *product* to *a* times *b*; all three may be one."""
    product[0] = a[0] * b[0] % P


def cross(total, difference, a, b):
    """Set *total* to *a* plus *b* and *difference* to *a* minus *b*; they may be *a* and *b* in either order."""
    total[0], difference[0] = (a[0] + b[0]) % P, (a[0] - b[0]) % P


def raise_to_root(element):
    """Raise *element* to the power of (p - 5)/8 = 2^252 - 3, from which square roots are made."""
    element[0] = pow(element[0], (P - 5) // 8, P)
