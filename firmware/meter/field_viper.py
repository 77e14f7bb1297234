"""The field in native code, for ports with an emitter; `field_plain` is its slow and obvious twin.

An element has 20 limbs of 13 bits, lowest first, each in 32 bits: twenty products of limbs add up in 32 bits. What a
function leaves are limbs of at most 8193, which stand for a number of up to 260 bits; 2^260 counts as 608. No step
depends on a value. A viper integer has the machine's width, 32 or 64 bits, so nothing may run over 32 bits or below 0.
"""

from array import array

import micropython

P = 2**255 - 19
_LIMBS = 20
_RUNS = (1, 1), (2, 2), (4, 1), (5, 5), (10, 10), (20, 20), (40, 10), (50, 50), (100, 100), (200, 50)


def new():
    """Return an element, of no value yet."""
    return array("I", [0] * _LIMBS)


def number(element):
    """Return the least number that is congruent to *element*."""
    data = bytearray(33)
    _store(element, data)
    return int.from_bytes(data, "little") % P


def raise_to_root(element):
    """Raise *element* to the power of (p - 5)/8 = 2^252 - 3, from which square roots are made."""
    ones = {1: element[:]}  # the powers by so many binary ones: the exponent has 250, then a nought and a one
    for count, more in _RUNS:
        power = ones[count][:]
        for _ in range(more):
            multiply(power, power, power)
        multiply(power, power, ones[more])
        ones[count + more] = power
    for _ in range(2):
        multiply(power, power, power)
    multiply(element, element, power)


@micropython.viper
def load(element: ptr32, data: ptr8, start: int):
    """Set *element* to the little-endian number in the 32 bytes of *data* from *start* on."""
    data = ptr8(int(data) + start)
    waiting = 0
    bits = 0
    limb = 0
    while limb < 19:
        if bits < 13:
            waiting |= (data[0] | data[1] << 8) << bits
            data = ptr8(int(data) + 2)
            bits += 16
        element[limb] = waiting & 8191
        waiting >>= 13
        bits -= 13
        limb += 1
    element[19] = waiting


@micropython.viper
def _store(element: ptr32, data: ptr8):
    waiting = 0
    bits = 0
    limb = 0
    while limb < 20:
        waiting += element[limb] << bits
        bits += 13
        while bits >= 8:
            data[0] = waiting
            data = ptr8(int(data) + 1)
            waiting >>= 8
            bits -= 8
        limb += 1
    data[0] = waiting


@micropython.viper
def cross(total: ptr32, difference: ptr32, a: ptr32, b: ptr32):
    """Set *total* to *a* plus *b* and *difference* to *a* minus *b*; they may be *a* and *b* in either order."""
    more = 0
    less = -1214  # 2^261 - 1216, a multiple of the modulus, keeps each limb of the difference above 0
    limb = 0
    while limb < 20:
        more += a[0] + b[0]
        less += a[0] + 16382 - b[0]
        total[0] = more & 8191
        difference[0] = less & 8191
        more = (more >> 13) + a[1] + b[1]
        less = (less >> 13) + a[1] + 16382 - b[1]
        total[1] = more & 8191
        difference[1] = less & 8191
        more >>= 13
        less >>= 13
        a = ptr32(int(a) + 8)
        b = ptr32(int(b) + 8)
        total = ptr32(int(total) + 8)
        difference = ptr32(int(difference) + 8)
        limb += 2
    total = ptr32(int(total) - 80)
    difference = ptr32(int(difference) - 80)
    more = total[0] + 608 * more
    less = difference[0] + 608 * less
    total[0] = more & 8191
    difference[0] = less & 8191
    total[1] = total[1] + (more >> 13)
    difference[1] = difference[1] + (less >> 13)


@micropython.viper
def multiply(c: ptr32, a: ptr32, b: ptr32):
    """Set the first to the product of the other two; all three may be one."""
    product = c
    c = ptr32(_columns)  # the first two parameters live in registers, so they are made to do the work
    limb = 19  # the columns that the first rows find in place
    while limb > 0:
        limb -= 1
        c[limb] = 0
    while True:  # not `while limb < 20`: an Xtensa's conditional branch does not reach back over all this
        if limb == 20:
            break
        b0 = b[0]
        b1 = b[1]
        b2 = b[2]
        b3 = b[3]
        b4 = b[4]
        c[0] = a[0] * b0 + c[0]
        c[1] = a[1] * b0 + a[0] * b1 + c[1]
        c[2] = a[2] * b0 + a[1] * b1 + a[0] * b2 + c[2]
        c[3] = a[3] * b0 + a[2] * b1 + a[1] * b2 + a[0] * b3 + c[3]
        c[4] = a[4] * b0 + a[3] * b1 + a[2] * b2 + a[1] * b3 + a[0] * b4 + c[4]
        c[5] = a[5] * b0 + a[4] * b1 + a[3] * b2 + a[2] * b3 + a[1] * b4 + c[5]
        c[6] = a[6] * b0 + a[5] * b1 + a[4] * b2 + a[3] * b3 + a[2] * b4 + c[6]
        c[7] = a[7] * b0 + a[6] * b1 + a[5] * b2 + a[4] * b3 + a[3] * b4 + c[7]
        c[8] = a[8] * b0 + a[7] * b1 + a[6] * b2 + a[5] * b3 + a[4] * b4 + c[8]
        c[9] = a[9] * b0 + a[8] * b1 + a[7] * b2 + a[6] * b3 + a[5] * b4 + c[9]
        c[10] = a[10] * b0 + a[9] * b1 + a[8] * b2 + a[7] * b3 + a[6] * b4 + c[10]
        c[11] = a[11] * b0 + a[10] * b1 + a[9] * b2 + a[8] * b3 + a[7] * b4 + c[11]
        c[12] = a[12] * b0 + a[11] * b1 + a[10] * b2 + a[9] * b3 + a[8] * b4 + c[12]
        c[13] = a[13] * b0 + a[12] * b1 + a[11] * b2 + a[10] * b3 + a[9] * b4 + c[13]
        c[14] = a[14] * b0 + a[13] * b1 + a[12] * b2 + a[11] * b3 + a[10] * b4 + c[14]
        c[15] = a[15] * b0 + a[14] * b1 + a[13] * b2 + a[12] * b3 + a[11] * b4 + c[15]
        c[16] = a[16] * b0 + a[15] * b1 + a[14] * b2 + a[13] * b3 + a[12] * b4 + c[16]
        c[17] = a[17] * b0 + a[16] * b1 + a[15] * b2 + a[14] * b3 + a[13] * b4 + c[17]
        c[18] = a[18] * b0 + a[17] * b1 + a[16] * b2 + a[15] * b3 + a[14] * b4 + c[18]
        c[19] = a[19] * b0 + a[18] * b1 + a[17] * b2 + a[16] * b3 + a[15] * b4
        c[20] = a[19] * b1 + a[18] * b2 + a[17] * b3 + a[16] * b4
        c[21] = a[19] * b2 + a[18] * b3 + a[17] * b4
        c[22] = a[19] * b3 + a[18] * b4
        c[23] = a[19] * b4
        b = ptr32(int(b) + 20)
        c = ptr32(int(c) + 20)
        limb += 5
    c = ptr32(int(c) - 80)
    a = product
    low = high = uint(0)
    while limb > 0:
        high += uint(c[20])
        low += uint(c[0]) + (high & 8191) * 608
        a[0] = low & 8191
        low >>= 13
        high >>= 13
        a = ptr32(int(a) + 4)
        c = ptr32(int(c) + 4)
        limb -= 1
    low = (low + high * 608) * 608 + uint(product[0])
    product[0] = low & 8191
    low = (low >> 13) + uint(product[1])
    product[1] = low & 8191
    product[2] = uint(product[2]) + (low >> 13)


_columns = array("I", [0] * (2 * _LIMBS))  # the last one stays zero
