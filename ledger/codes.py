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
    MAY_NOT_REPORT = 157
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
    READING_OF_FOREIGN_METER = 211
    # Anchors of a gateway.
    ANCHOR_REPEATED = 300
    ANCHOR_UNDECODABLE = 301
    ANCHOR_OF_ANOTHER = 302
    ANCHOR_OUT_OF_ORDER = 303
    ANCHOR_FORKED = 304
    ANCHOR_OUTDATED = 305
    ANCHOR_NOT_LATER = 306
    ANCHOR_FROM_FUTURE = 307


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something not done, for the reason `code`. `text` names the thing, for people only: it is no part of any hash."""

    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, and what whoever asked should do next."""

    meaning: str
    next_step: str


def explain(code: Code) -> Explanation:
    """Return what *code* means and what to do next."""
    return EXPLANATIONS[code]


EXPLANATIONS: Final[dict[Code, Explanation]] = {
    code: Explanation(meaning, next_step)
    for code, meaning, next_step in (
        (Code.DONE, "It was done.", "Nothing."),
        (Code.UNDECODABLE, "The bytes are not a canonical transaction.", "Encode it with ledger.transaction."),
        (Code.WRONG_CHAIN, "It is signed for another chain.", "Take the chain id from /v1/status and sign again."),
        (Code.EXPIRED, "The chain is past its last valid height.", "Sign it again with a later valid-until height."),
        (Code.UNKNOWN_SENDER, "No account has the sender's id.", "Have an admin register the account."),
        (Code.WRONG_NONCE, "The nonce is used or too far ahead.", "Take the account's next nonce from /v1/accounts."),
        (
            Code.BAD_SIGNATURE,
            "The sender's key did not sign it.",
            "Sign with the key that the account has on the ledger.",
        ),
        (Code.WRONG_HEIGHT, "The block does not follow the last one.", "Synchronise before executing it."),
        (Code.WRONG_PARENT, "The block has another parent.", "Synchronise; if it persists, compare the two nodes."),
        (Code.WRONG_TIME, "The block is not later than its parent.", "The proposer must set its clock."),
        (
            Code.WRONG_VERSION,
            "The block is of another format version.",
            "Run the version that the authorities agreed on.",
        ),
        (Code.WRONG_PROPOSER, "The named proposer is no authority.", "Compare the proposer's genesis with yours."),
        (Code.WRONG_COMMIT, "The certificate does not prove the parent.", "The proposer must wait for Q precommits."),
        (Code.WRONG_EVIDENCE, "Evidence in the block proves nothing new.", "The proposer must drop it."),
        (Code.WRONG_RESULT, "Execution gives other roots than the header.", "Compare both nodes' versions and states."),
        (Code.BLOCK_TOO_LARGE, "The block exceeds a limit.", "The proposer must build a smaller block."),
        (Code.UNKNOWN_MODULE, "There is no such module.", "Choose one of those in ledger.modules.describe_calls."),
        (
            Code.UNKNOWN_FUNCTION,
            "The module has no such call.",
            "Choose one of those in ledger.modules.describe_calls.",
        ),
        (
            Code.BAD_ARGUMENTS,
            "Number or kind of the arguments is wrong.",
            "See the call's documentation for its kinds.",
        ),
        (Code.NOT_PERMITTED, "The sender lacks the role.", "Send it from an account that has the role."),
        (Code.UNKNOWN_ACCOUNT, "There is no such account or user.", "Check the id, or register it first."),
        (Code.ACCOUNT_EXISTS, "The id is taken.", "Draw another random id."),
        (Code.KEY_IN_USE, "The key belongs to another account or meter.", "Make a key of its own."),
        (Code.UNKNOWN_USER_TYPE, "The user type is unknown.", "Give prosumer, consumer or utility."),
        (Code.UNKNOWN_METER, "There is no such meter.", "Check the id, or have an admin assign it."),
        (Code.METER_EXISTS, "The meter is assigned already.", "Check the id."),
        (Code.TOO_MANY_METERS, "The user has as many meters as allowed.", "Assign it to another user."),
        (Code.METER_SUSPENDED, "The meter is suspended.", "Have an admin look into it, then reinstate or rebase it."),
        (Code.METER_WITHOUT_BASELINE, "The meter's registers have no baseline.", "Have an admin rebase it."),
        (Code.METER_NOT_SUSPENDED, "The meter is not suspended.", "Nothing."),
        (
            Code.BALANCE_TOO_LOW,
            "The free balance does not suffice.",
            "Wait for income, cancel orders, or ask for less.",
        ),
        (Code.IN_ARREARS, "The account owes money.", "Pay in what it owes; arrears are paid first."),
        (Code.SAME_ACCOUNT, "Sender and receiver are one account.", "Name another receiver."),
        (Code.AMOUNT_NOT_WHOLE_WH, "GRID is retired in whole Wh.", "Give a multiple of 10^15 aGRID."),
        (Code.NOT_METER_OWNER, "The meter belongs to another account.", "Order for a meter of your own."),
        (Code.METER_CANNOT_EXPORT, "The meter cannot export.", "Sell from a meter that can, or have it assigned so."),
        (Code.GATE_CLOSED, "The epoch's book is closed.", "Order for a later epoch."),
        (Code.EPOCH_TOO_FAR, "The epoch's book is not open yet.", "Order nearer to delivery."),
        (Code.QUANTITY_BELOW_MINIMUM, "The quantity is too small.", "Order at least the minimum."),
        (Code.QUANTITY_ABOVE_MAXIMUM, "The quantity is too large.", "Order at most the maximum."),
        (Code.PRICE_BELOW_FEED_IN, "The price is below the feed-in tariff.", "Bid between feed-in and retail."),
        (Code.PRICE_ABOVE_RETAIL, "The price is above the retail tariff.", "Bid between feed-in and retail."),
        (Code.ABOVE_RATED_POWER, "The meter's orders exceed its rated power.", "Order less for this meter and epoch."),
        (Code.TOO_MANY_ORDERS_OF_USER, "You have too many orders in this epoch.", "Cancel one first."),
        (Code.TOO_MANY_ORDERS, "The epoch's book is full.", "Cancel one of your own, or try a later epoch."),
        (Code.SELF_CROSS, "It would trade with your own order.", "Cancel that order or change the price."),
        (Code.UNKNOWN_ORDER, "There is no such order.", "Check the id; books of old epochs are forgotten."),
        (Code.NOT_ORDER_OWNER, "The order belongs to another account.", "Name an order of your own."),
        (Code.ORDER_EXISTS, "An order has this id already.", "Send the order again with the next nonce."),
        (Code.NOTHING_HELD, "No energy is held there.", "Check meter and epoch; it may be released already."),
        (Code.ALREADY_APPROVED, "That approval is there already.", "Wait for the other role's approval."),
        (
            Code.MAY_NOT_REPORT,
            "The sender is no gateway, no authority, and owns no meter.",
            "Send it from a registered gateway's or the meter's owner's account.",
        ),
        (Code.READING_REPEATED, "The reading counts already.", "Nothing; repeats change nothing."),
        (Code.READING_UNDECODABLE, "The bytes are not a canonical reading.", "Report the meter's own bytes unchanged."),
        (Code.READING_NOT_BOUNDARY, "It was not taken at an epoch boundary.", "Report boundary readings only."),
        (Code.READING_KEY_UNKNOWN, "No meter has the key.", "Have an admin assign the meter first."),
        (Code.READING_BAD_SIGNATURE, "The meter did not sign it.", "Report the meter's own bytes unchanged."),
        (Code.READING_TIME_OFF, "Its time is not the boundary's.", "Set the meter's clock."),
        (Code.READING_FROM_FUTURE, "Its boundary has not come yet.", "Report it after the boundary; check the clocks."),
        (Code.READING_LACKS_REGISTER, "It lacks import or export energy.", "Check the meter's profile."),
        (Code.READING_OUTDATED, "A later reading is booked already.", "Nothing; its energy is in the later one."),
        (Code.READING_FORKED, "The meter signed two readings for one boundary.", "Have an admin inspect the meter."),
        (Code.READING_NOT_OF_METER, "The reading is another meter's.", "Give a reading of the meter itself."),
        (
            Code.READING_OF_FOREIGN_METER,
            "The sender is an owner, but not this meter's.",
            "Report only your own meters; a gateway or an authority may report any.",
        ),
        (Code.ANCHOR_REPEATED, "The anchor is there already.", "Nothing; repeats change nothing."),
        (Code.ANCHOR_UNDECODABLE, "The bytes are not a canonical anchor.", "Encode it with ledger.anchor."),
        (Code.ANCHOR_OF_ANOTHER, "The anchor is another account's.", "Send it from its gateway's own account."),
        (Code.ANCHOR_OUT_OF_ORDER, "Anchors before it are missing.", "Send the anchors before it first."),
        (
            Code.ANCHOR_FORKED,
            "Another anchor stands at its place, or before it.",
            "Go on from the ledger's newest anchor (/v1/anchors); give each gateway its own account.",
        ),
        (Code.ANCHOR_OUTDATED, "Its number is long past.", "Go on from the ledger's newest anchor (/v1/anchors)."),
        (
            Code.ANCHOR_NOT_LATER,
            "Its time is not after the anchor before.",
            "Go on from the ledger's newest anchor (/v1/anchors), with a later time.",
        ),
        (Code.ANCHOR_FROM_FUTURE, "Its time has not come yet.", "Send it again later; set the gateway's clock."),
    )
}
