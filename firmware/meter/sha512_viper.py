"""The blocks of SHA-512 in native code, for ports with an emitter; `sha512_plain` is its slow and obvious twin.

A 64-bit word lies in two 32-bit halves, high first. A viper integer has the machine's width, 32 or 64 bits, so what
may run over 32 bits is cut with a mask before it is shifted right or compared. The first two variables of a viper
function live in registers: they are the busiest ones.
"""

from array import array

import micropython

from meter.sha512_constants import INITIAL, ROUNDS

_BLOCK_BYTES = 128
_ROUNDS = 80


def hash_blocks(padded):
    """Return the 64-byte digest of *padded*, whole blocks of 128 bytes."""
    state = _INITIAL[:]
    view = memoryview(padded)
    for start in range(0, len(padded), _BLOCK_BYTES):
        _schedule(_rounds, view[start : start + _BLOCK_BYTES])
        _start(_chain, state)
        _compress(_chain)
        _finish(_chain, state)
    digest = bytearray(64)
    _store(state, digest)
    return bytes(digest)


def _words(data):
    return array("I", [int.from_bytes(data[place : place + 4], "big") for place in range(0, len(data), 4)])


@micropython.viper
def _schedule(words: ptr32, block: ptr8):
    mask = uint(words[320])
    place = 0
    while place < 16:
        words[0] = block[0] << 24 | block[1] << 16 | block[2] << 8 | block[3]
        words[1] = block[4] << 24 | block[5] << 16 | block[6] << 8 | block[7]
        words = ptr32(int(words) + 16)
        block = ptr8(int(block) + 8)
        place += 1
    words = ptr32(int(words) - 256)
    while place < 80:
        high = uint(words[4])
        low = uint(words[5])
        sum_low = (low >> 1 ^ high << 31 ^ low >> 8 ^ high << 24 ^ low >> 7 ^ high << 25) & mask
        sum_high = high >> 1 ^ low << 31 ^ high >> 8 ^ low << 24 ^ high >> 7
        high = uint(words[56])
        low = uint(words[57])
        part = (low >> 19 ^ high << 13 ^ high >> 29 ^ low << 3 ^ low >> 6 ^ high << 26) & mask
        sum_high += high >> 19 ^ low << 13 ^ low >> 29 ^ high << 3 ^ high >> 6
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[37])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[1])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        words[64] = sum_high + uint(words[36]) + uint(words[0])
        words[65] = sum_low
        words = ptr32(int(words) + 16)
        place += 1


@micropython.viper
def _start(chain: ptr32, state: ptr32):
    place = 0
    while place < 16:
        chain[160 + place] = state[place]
        place += 1


@micropython.viper
def _compress(chain: ptr32):
    # a round finds a, b, …, h in the eight words of `chain` from a place on that falls by one, so that none has to move
    sum_low = uint(0)
    words = ptr32(_rounds)
    mask = uint(words[320])
    chain = ptr32(int(chain) + 632)
    place = 0
    while place < 80:
        high = uint(chain[10])
        low = uint(chain[11])
        sum_high = high >> 14 ^ low << 18 ^ high >> 18 ^ low << 14 ^ low >> 9 ^ high << 23
        sum_low = (low >> 14 ^ high << 18 ^ low >> 18 ^ high << 14 ^ high >> 9 ^ low << 23) & mask
        part = uint(chain[15])
        part = part ^ (low & (uint(chain[13]) ^ part))
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(chain[14])
        sum_high += part ^ (high & (uint(chain[12]) ^ part))
        part = uint(chain[17])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[3])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[1])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        sum_high += uint(chain[16]) + uint(words[2]) + uint(words[0])
        words = ptr32(int(words) + 16)
        part = (uint(chain[9]) + sum_low) & mask
        chain[9] = part
        high = uint(chain[8]) + sum_high
        if part < sum_low:
            high += 1
        chain[8] = high
        high = uint(chain[2])
        low = uint(chain[3])
        part = (low >> 28 ^ high << 4 ^ high >> 2 ^ low << 30 ^ high >> 7 ^ low << 25) & mask
        sum_high += high >> 28 ^ low << 4 ^ low >> 2 ^ high << 30 ^ low >> 7 ^ high << 25
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(chain[5])
        part = (low & part) | (uint(chain[7]) & (low | part))
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(chain[4])
        chain[0] = sum_high + ((high & part) | (uint(chain[6]) & (high | part)))
        chain[1] = sum_low
        chain = ptr32(int(chain) - 8)
        place += 1


@micropython.viper
def _finish(chain: ptr32, state: ptr32):
    mask = uint(chain[176])
    place = 0
    while place < 16:
        low = uint(chain[1])
        part = (uint(state[1]) + low) & mask
        high = uint(state[0]) + uint(chain[0])
        if part < low:
            high += 1
        state[0] = high
        state[1] = part
        chain = ptr32(int(chain) + 8)
        state = ptr32(int(state) + 8)
        place += 2


@micropython.viper
def _store(state: ptr32, digest: ptr8):
    place = 0
    while place < 16:
        word = state[place]
        digest[0] = word >> 24
        digest[1] = word >> 16
        digest[2] = word >> 8
        digest[3] = word
        digest = ptr8(int(digest) + 4)
        place += 1


def _join_rounds():
    """Return for each round room for its word of the schedule, then its constant; at the end the mask."""
    constants = _words(ROUNDS)
    joined = []
    for place in range(0, 2 * _ROUNDS, 2):
        joined += [0, 0, constants[place], constants[place + 1]]
    return array("I", joined + [_MASK])


_MASK = 2**32 - 1
_INITIAL = _words(INITIAL)
_rounds = _join_rounds()
_chain = array("I", [0] * (2 * (_ROUNDS + 8)) + [_MASK])  # and the mask
