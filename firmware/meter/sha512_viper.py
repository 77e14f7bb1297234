"""The blocks of SHA-512 in native code, for ports with an emitter; `sha512_plain` is its slow and obvious twin.

A 64-bit word lies in two 32-bit halves, high first. A viper integer has the machine's width, 32 or 64 bits, so what
may run over 32 bits is cut with a mask before it is shifted right or compared.
"""

from array import array

import micropython

from meter.sha512_constants import INITIAL, ROUNDS

_BLOCK_BYTES = 128
_ROUNDS = 80


def hash_blocks(padded):
    """Return the 64-byte digest of *padded*, whole blocks of 128 bytes."""
    state = _words(INITIAL)
    view = memoryview(padded)
    for start in range(0, len(padded), _BLOCK_BYTES):
        _schedule(_schedule_words, view[start : start + _BLOCK_BYTES])
        _start(state, _chain)
        _compress(_schedule_words, _CONSTANTS, _chain)
        _finish(state, _schedule_words, _chain)
    return b"".join([word.to_bytes(4, "big") for word in state])


def _words(data):
    return array("I", [int.from_bytes(data[place : place + 4], "big") for place in range(0, len(data), 4)])


@micropython.viper
def _schedule(words: ptr32, block: ptr8):
    mask = uint(words[160])
    place = 0
    while place < 32:
        at = place << 2
        words[place] = block[at] << 24 | block[at + 1] << 16 | block[at + 2] << 8 | block[at + 3]
        place += 1
    while place < 160:
        high = uint(words[place - 30])
        low = uint(words[place - 29])
        sum_low = (low >> 1 ^ high << 31 ^ low >> 8 ^ high << 24 ^ low >> 7 ^ high << 25) & mask
        sum_high = (high >> 1 ^ low << 31 ^ high >> 8 ^ low << 24 ^ high >> 7) & mask
        high = uint(words[place - 4])
        low = uint(words[place - 3])
        part = (low >> 19 ^ high << 13 ^ high >> 29 ^ low << 3 ^ low >> 6 ^ high << 26) & mask
        sum_high += high >> 19 ^ low << 13 ^ low >> 29 ^ high << 3 ^ high >> 6
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[place - 13])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[place - 31])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        words[place] = sum_high + uint(words[place - 14]) + uint(words[place - 32])
        words[place + 1] = sum_low
        place += 2


@micropython.viper
def _start(state: ptr32, chain: ptr32):
    place = 0
    while place < 16:
        chain[160 + place] = state[place]
        place += 1


@micropython.viper
def _compress(words: ptr32, constants: ptr32, chain: ptr32):
    # round t finds a, b, …, h in the eight words of `chain` from 80 - t on, so that none has to move
    mask = uint(words[160])
    at = 160
    place = 0
    while place < 160:
        high = uint(chain[at + 8])
        low = uint(chain[at + 9])
        sum_high = high >> 14 ^ low << 18 ^ high >> 18 ^ low << 14 ^ low >> 9 ^ high << 23
        sum_low = (low >> 14 ^ high << 18 ^ low >> 18 ^ high << 14 ^ high >> 9 ^ low << 23) & mask
        part = uint(chain[at + 13])
        part = part ^ (low & (uint(chain[at + 11]) ^ part))
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(chain[at + 12])
        sum_high += part ^ (high & (uint(chain[at + 10]) ^ part))
        part = uint(chain[at + 15])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(constants[place + 1])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(words[place + 1])
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        sum_high += uint(chain[at + 14]) + uint(constants[place]) + uint(words[place])
        high = uint(chain[at + 6]) + sum_high
        low = (uint(chain[at + 7]) + sum_low) & mask
        if low < sum_low:
            high += 1
        chain[at + 6] = high
        chain[at + 7] = low
        high = uint(chain[at])
        low = uint(chain[at + 1])
        part = (low >> 28 ^ high << 4 ^ high >> 2 ^ low << 30 ^ high >> 7 ^ low << 25) & mask
        sum_high += high >> 28 ^ low << 4 ^ low >> 2 ^ high << 30 ^ low >> 7 ^ high << 25
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(chain[at + 3])
        part = (low & part) | (uint(chain[at + 5]) & (low | part))
        sum_low = (sum_low + part) & mask
        if sum_low < part:
            sum_high += 1
        part = uint(chain[at + 2])
        at -= 2
        chain[at] = sum_high + ((high & part) | (uint(chain[at + 6]) & (high | part)))
        chain[at + 1] = sum_low
        place += 2


@micropython.viper
def _finish(state: ptr32, words: ptr32, chain: ptr32):
    mask = uint(words[160])
    place = 0
    while place < 16:
        low = uint(chain[place + 1])
        part = (uint(state[place + 1]) + low) & mask
        high = uint(state[place]) + uint(chain[place])
        if part < low:
            high += 1
        state[place] = high
        state[place + 1] = part
        place += 2


_CONSTANTS = _words(ROUNDS)
_schedule_words = array("I", [0] * (2 * _ROUNDS) + [2**32 - 1])  # and the mask
_chain = array("I", [0] * (2 * (_ROUNDS + 8)))
