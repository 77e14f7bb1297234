"""Every reason for which the ledger does not do what it was asked, with what it means and what to do next.

A refusal is a value, never an exception. Codes below 100 keep a transaction out of blocks altogether; the others stand
in the receipt of a transaction that was included (its nonce is used up, nothing else changed), or in an interval
report's events, one for each reading. Numbers are part of the format: they are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FIRST_RECEIPT_CODE: Final = 100


class Code(IntEnum):
    """What became of a transaction, a block or a reading; 0 is done."""

    DONE = 0
    # Not admitted: a block that holds such a transaction is invalid.
    UNDECODABLE = 1
    WRONG_CHAIN = 2
    EXPIRED = 3
    UNKNOWN_SENDER = 4
    WRONG_NONCE = 5
    BAD_SIGNATURE = 6
    # An invalid block.
    WRONG_HEIGHT = 20
    WRONG_PARENT = 21
    WRONG_TIME = 22
    WRONG_VERSION = 23
    WRONG_PROPOSER = 24
    WRONG_COMMIT = 25
    WRONG_EVIDENCE = 26
    WRONG_RESULT = 27
    BLOCK_TOO_LARGE = 28
    # Refused calls.
    UNKNOWN_MODULE = 100
    UNKNOWN_FUNCTION = 101
    BAD_ARGUMENTS = 102
    NOT_PERMITTED = 103
    UNKNOWN_ACCOUNT = 110
    ACCOUNT_EXISTS = 111
    KEY_IN_USE = 112
    UNKNOWN_USER_TYPE = 113
    USER_NOT_VERIFIED = 114
    UNKNOWN_METER = 120
    METER_EXISTS = 121
    TOO_MANY_METERS = 122
    METER_SUSPENDED = 123
    METER_WITHOUT_BASELINE = 124
    METER_NOT_SUSPENDED = 125
    BALANCE_TOO_LOW = 130
    IN_ARREARS = 131
    SAME_ACCOUNT = 132
    AMOUNT_NOT_WHOLE_WH = 133
    NOT_METER_OWNER = 140
    METER_CANNOT_EXPORT = 141
    GATE_CLOSED = 142
    EPOCH_TOO_FAR = 143
    QUANTITY_BELOW_MINIMUM = 144
    QUANTITY_ABOVE_MAXIMUM = 145
    PRICE_BELOW_FEED_IN = 146
    PRICE_ABOVE_RETAIL = 147
    ABOVE_RATED_POWER = 148
    TOO_MANY_ORDERS_OF_USER = 149
    TOO_MANY_ORDERS = 150
    SELF_CROSS = 151
    UNKNOWN_ORDER = 152
    NOT_ORDER_OWNER = 153
    ORDER_EXISTS = 154
    NOTHING_HELD = 155
    ALREADY_APPROVED = 156
    # Readings of an interval report.
    READING_REPEATED = 200
    READING_UNDECODABLE = 201
    READING_NOT_BOUNDARY = 202
    READING_KEY_UNKNOWN = 203
    READING_BAD_SIGNATURE = 204
    READING_TIME_OFF = 205
    READING_FROM_FUTURE = 206
    READING_LACKS_REGISTER = 207
    READING_OUTDATED = 208
    READING_FORKED = 209
    READING_NOT_OF_METER = 210


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something not done, for the reason `code`; `text` names the thing."""

    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, and what whoever asked should do next."""

    meaning: str
    next_step: str
