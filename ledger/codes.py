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
    MODULE_PAUSED = 104
    FEE_UNPAID = 105
    UNKNOWN_ACCOUNT = 110
    ACCOUNT_EXISTS = 111
    KEY_IN_USE = 112
    UNKNOWN_USER_TYPE = 113
    USER_NOT_VERIFIED = 114
    ALREADY_LINKED = 115
    TOO_MANY_ACCOUNTS = 116
    NOTHING_TO_DISMISS = 117
    KEY_REPLACEMENT_WAITS = 118
    NO_KEY_REPLACEMENT = 119
    UNKNOWN_METER = 120
    METER_EXISTS = 121
    TOO_MANY_METERS = 122
    METER_SUSPENDED = 123
    METER_WITHOUT_BASELINE = 124
    METER_NOT_SUSPENDED = 125
    METER_WITHOUT_KEY = 126
    METER_HAS_KEY = 127
    TOO_MANY_KEYS = 128
    SEQUENCE_TAKEN = 129
    BALANCE_TOO_LOW = 130
    IN_ARREARS = 131
    SAME_ACCOUNT = 132
    AMOUNT_NOT_WHOLE_WH = 133
    ALLOWANCE_TOO_LOW = 134
    ALLOWANCE_TOO_HIGH = 135
    ISSUE_ABOVE_CAP = 136
    SUPPLY_TOO_LARGE = 137
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
    BAD_PERIOD = 158
    NOTHING_TO_CORRECT = 159
    KEY_NOT_PROVEN = 160
    HEIGHT_PASSED = 161
    ALREADY_REVOKED = 162
    TOO_MANY_AGENTS = 165
    NO_DELEGATION = 166
    DELEGATION_TERM = 167
    DELEGATION_OVER = 168
    DELEGATION_SPENT = 169
    METER_NOT_DELEGATED = 170
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
    READING_KEY_REVOKED = 212
    READING_KEY_ENDED = 213
    READING_BEFORE_BEACON = 220
    # Anchors of a gateway.
    ANCHOR_REPEATED = 300
    ANCHOR_UNDECODABLE = 301
    ANCHOR_OF_ANOTHER = 302
    ANCHOR_OUT_OF_ORDER = 303
    ANCHOR_FORKED = 304
    ANCHOR_OUTDATED = 305
    ANCHOR_NOT_LATER = 306
    ANCHOR_FROM_FUTURE = 307
    # Refused calls of governance, authorities and the oracle.
    ALREADY_DECIDED = 400
    TOO_MANY_DECISIONS = 401
    NOT_PAUSABLE = 402
    NOT_PAUSED = 403
    BAD_PARAMETER = 404
    WRONG_NOTICE = 405
    VERSION_NOT_NEWER = 406
    BAD_AUTHORITY = 410
    UNKNOWN_AUTHORITY = 411
    TOO_FEW_AUTHORITIES = 412
    TOO_MANY_AUTHORITIES = 413
    TOO_MANY_CANDIDATES = 414
    NOT_A_CANDIDATE = 415
    NOT_SYNCED = 416
    CHANGE_PENDING = 417
    UNKNOWN_BLOCK = 418
    ALREADY_REPORTED = 430
    UNKNOWN_REQUEST = 431
    REQUEST_ENDED = 432
    REQUEST_EXISTS = 433
    TOO_MANY_REQUESTS = 434
    WRONG_REQUEST = 435
    NOT_ANSWERED = 436
    ALREADY_ANSWERED = 437
    TOO_FEW_OPERATORS = 438
    NOTHING_DUE = 439


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
        (Code.UNKNOWN_MODULE, "There is no such module.", "Choose one that `campusgrid ledger calls` lists."),
        (
            Code.UNKNOWN_FUNCTION,
            "The module has no such call.",
            "Choose one that `campusgrid ledger calls` lists.",
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
        (
            Code.BAD_PERIOD,
            "The tariff period cannot be read, or its tariffs do not ascend.",
            "Write it like `mon-fri 09:00-22:00 5800000/2200000`: days, hours, retail/feed-in.",
        ),
        (
            Code.NOTHING_TO_CORRECT,
            "No correction waits for approval there.",
            "Check meter and epoch; report the epoch's readings first.",
        ),
        (Code.MODULE_PAUSED, "The module takes no calls for now.", "Wait until the authorities resume it."),
        (
            Code.FEE_UNPAID,
            "The fee of the call cannot be paid.",
            "Pay in what is owed and missing, or wait for income.",
        ),
        (Code.USER_NOT_VERIFIED, "The user may not trade.", "Have an admin verify the user."),
        (Code.ALREADY_LINKED, "The accounts are one person's already.", "Nothing."),
        (Code.TOO_MANY_ACCOUNTS, "A person would have too many accounts.", "Check which accounts are the person's."),
        (Code.NOTHING_TO_DISMISS, "The account serves nobody.", "Check the id."),
        (Code.KEY_REPLACEMENT_WAITS, "Another replacement of the key waits.", "Stop it with keep_key first, or wait."),
        (Code.NO_KEY_REPLACEMENT, "No replacement of the key waits.", "Nothing; it may be done or stopped already."),
        (Code.METER_WITHOUT_KEY, "The meter's key is revoked.", "Have an admin replace it, then rebase the meter."),
        (Code.METER_HAS_KEY, "The meter has a key that is not revoked.", "Rotate the key, or revoke it first."),
        (Code.TOO_MANY_KEYS, "The meter had as many keys as allowed.", "Assign the device as a new meter."),
        (Code.SEQUENCE_TAKEN, "The old key signs that sequence number.", "Begin with a later one."),
        (Code.ALLOWANCE_TOO_LOW, "The owner allowed less.", "Ask for less, or have the owner allow more."),
        (Code.ALLOWANCE_TOO_HIGH, "The allowance would be too high.", "Allow less."),
        (Code.ISSUE_ABOVE_CAP, "The day's issues would exceed the cap.", "Issue less, or tomorrow (UTC)."),
        (Code.SUPPLY_TOO_LARGE, "There would be more money than the ledger counts.", "Issue less."),
        (
            Code.KEY_NOT_PROVEN,
            "A key's statement is missing or not its own.",
            "Sign it with ledger.statements and that key.",
        ),
        (Code.HEIGHT_PASSED, "That block is made already.", "Give the next height or a later one."),
        (Code.ALREADY_REVOKED, "The key is revoked as early already.", "Nothing."),
        (
            Code.TOO_MANY_AGENTS,
            "The user has as many agents as allowed.",
            "Delegate to one of them anew, with another key if need be.",
        ),
        (Code.NO_DELEGATION, "There is no such delegation.", "Have the user delegate; check the agent's id."),
        (
            Code.DELEGATION_TERM,
            "The delegation would end too early or too late.",
            "Give a time within the next 400 days.",
        ),
        (Code.DELEGATION_OVER, "The delegation's time is over.", "Have the user delegate anew."),
        (
            Code.DELEGATION_SPENT,
            "The agent's limit for the epoch is reached.",
            "Order less, or have the user raise it.",
        ),
        (
            Code.METER_NOT_DELEGATED,
            "The agent may not order for this meter.",
            "Have the user name it in the delegation.",
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
        (
            Code.READING_BEFORE_BEACON,
            "It names a block that is younger than it says to be.",
            "Set the meter's clock; what it measured comes with its next good reading.",
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
        (Code.READING_KEY_REVOKED, "The key that signed it is revoked.", "Have an admin replace the meter's key."),
        (
            Code.READING_KEY_ENDED,
            "Its number belongs to another of the meter's keys.",
            "Report readings under the key that signs them.",
        ),
        (Code.ALREADY_DECIDED, "The decision is taken already.", "Nothing; for another one give another reference."),
        (Code.TOO_MANY_DECISIONS, "Too many decisions wait.", "Have some decided first, or wait until they lapse."),
        (Code.NOT_PAUSABLE, "The module cannot be paused.", "Choose another module."),
        (Code.NOT_PAUSED, "The module is not paused.", "Nothing."),
        (Code.BAD_PARAMETER, "The parameter cannot have that value.", "See /v1/parameters for names and units."),
        (Code.WRONG_NOTICE, "The height is too near or too far.", "Give a height that leaves everybody time."),
        (Code.VERSION_NOT_NEWER, "The protocol version is not newer.", "Give a version above the one in force."),
        (Code.BAD_AUTHORITY, "The set of authorities would not be sound.", "Give each its own name and separate keys."),
        (Code.UNKNOWN_AUTHORITY, "There is no such authority.", "Check the id in /v1/authorities."),
        (Code.TOO_FEW_AUTHORITIES, "Too few authorities would remain.", "Admit another one first."),
        (Code.TOO_MANY_AUTHORITIES, "There are as many authorities as allowed.", "Remove one first."),
        (Code.TOO_MANY_CANDIDATES, "Too many candidates wait.", "Have one join, or wait until one lapses."),
        (Code.NOT_A_CANDIDATE, "The sender is not admitted.", "Have the authorities admit it first."),
        (
            Code.NOT_SYNCED,
            "The answer shows no synchronised node.",
            "Synchronise, and answer for one of the last 32 blocks.",
        ),
        (Code.CHANGE_PENDING, "Another change of the set is on its way.", "Ask again two blocks later."),
        (Code.UNKNOWN_BLOCK, "That is no block of this chain.", "Take height and id from a node's status."),
        (Code.ALREADY_REPORTED, "The meter has reported that epoch.", "Look at its settlement line."),
        (Code.UNKNOWN_REQUEST, "There is no such request.", "Check the id; old requests are forgotten."),
        (Code.REQUEST_ENDED, "The request is answered or timed out.", "Make a new one."),
        (Code.REQUEST_EXISTS, "A request has this id already.", "Send it again with the next nonce."),
        (Code.TOO_MANY_REQUESTS, "Too many requests are open.", "Wait until some are answered or time out."),
        (Code.WRONG_REQUEST, "The request is of the other kind.", "Answer it with the call for its kind."),
        (Code.NOT_ANSWERED, "The readings do not answer the request.", "Report the epoch's last boundary reading."),
        (Code.ALREADY_ANSWERED, "You have answered it already.", "Nothing."),
        (Code.TOO_FEW_OPERATORS, "There are too few operators to agree.", "Have an admin register more."),
        (Code.NOTHING_DUE, "No work is overdue.", "Nothing."),
    )
}
