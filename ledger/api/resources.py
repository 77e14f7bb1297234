"""What the API speaks, once for both ends: the node serialises these, `ledger.remote.client` reads them back.

In JSON, ids, hashes and keys are lower-case hex, amounts of base units (aAIP, aGRID) are strings of digits, energies
(Wh), powers (W), prices (µAIP per kWh), heights and times are integers.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, PlainSerializer
from pydantic.dataclasses import dataclass

MAX_SAFE_INTEGER: Final = 2**53 - 1


def _from_hex(value: Any) -> Any:
    return bytes.fromhex(value) if isinstance(value, str) else value


def _from_digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.removeprefix("-").isdecimal() else value


Hex = Annotated[bytes, BeforeValidator(_from_hex), PlainSerializer(bytes.hex, return_type=str)]
"""Bytes, lower-case hex in JSON."""
Amount = Annotated[int, BeforeValidator(_from_digits), PlainSerializer(str, return_type=str)]
"""Base units of AIP or GRID (10⁻¹⁸), a string of digits in JSON."""
TransactionState = Literal["pending", "final", "unknown"]
EpochPhase = Literal["open", "cleared", "settled"]
Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One other authority as this node sees it: `height` is the height it last said it works on, 0 if it never did."""

    name: str
    connected: bool
    height: int
    dropped: int


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer is dialled, for the operator's eyes; `queued` frames wait for it.

    `score` is 100 for one without a fault; while it is cut off, what it sends is not read for `cut_off_s` more seconds.
    """

    name: str
    address: str
    connected: bool
    queued: int
    score: int
    faults: dict[str, int]
    cut_off_s: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node: its newest block, where consensus stands, how far its log is provable. `alarm` is None when well.

    `index` is its place among the authorities in force, None while it is none of them.

    `dropped_events` counts messages and transactions that came while a queue was full; they are sent again.

    A node that `observes` may have forgotten what it signed and signs nothing yet. `tolerated_faults` is how many
    authorities may fail in whatever way: 0 means that the chain is not fault-tolerant. A `development` chain proves
    nothing to anybody: whoever runs it can rewrite it.
    """

    chain_id: Hex
    name: str
    index: int | None
    height: int
    block_id: Hex
    state_root: Hex
    time_ms: int
    round: int
    step: str
    log_size: int
    checkpoint_size: int
    mempool: int
    dropped_events: int
    alarm: str | None
    peers: tuple[PeerStatus, ...]
    observes: bool = False
    tolerated_faults: int = 1
    development: bool = False


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """A final block: what its header commits to, and the ids of its transactions in order."""

    height: int
    block_id: Hex
    time_ms: int
    state_root: Hex
    log_root: Hex
    log_size: int
    transactions: tuple[Hex, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """A final block in few words; `transactions` is how many it holds."""

    height: int
    block_id: Hex
    time_ms: int
    state_root: Hex
    log_size: int
    transactions: int


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to a submitted transaction."""

    id: Hex
    status: TransactionState


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """What became of one transaction of many: it waits for a block, or `code` and `detail` say why it was refused."""

    id: Hex
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class BulkSubmission:
    """The answer to transactions submitted in bulk, in their order."""

    answers: tuple[BulkAnswer, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """What a transaction did. In `values` byte strings are hex; amounts, and integers beyond 2^53 - 1, are digits."""

    module: str
    name: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event with its place: `cursor` is the one behind it. `transaction` is None for what the block itself did."""

    cursor: str
    height: int
    transaction: Hex | None
    module: str
    name: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order, the cursor to go on from, and the newest block (`height`) that the page looked at."""

    events: tuple[PlacedEvent, ...]
    next: str
    height: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction; `height` and all below it are None until it is final. Code 0 means done."""

    id: Hex
    status: TransactionState
    height: int | None = None
    index: int | None = None
    code: int | None = None
    code_name: str | None = None
    text: str | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a transaction would do on the state after block `height`; see `ledger.rehearsal`."""

    height: int
    code: int
    code_name: str
    text: str
    fee_aaip: Amount
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """An account after block `height`. `nonce` is the next one on the ledger, `next_nonce` counts pending ones too.

    It owes `owes_aaip` to others, and others owe it `claims_aaip`.
    """

    id: Hex
    nonce: int
    next_nonce: int
    height: int
    balance_aaip: Amount
    locked_aaip: Amount
    owes_aaip: Amount
    claims_aaip: Amount
    balance_agrid: Amount
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A meter's last accepted boundary reading; the energies are None where they are not for whoever asks."""

    epoch: int
    import_wh: int | None
    export_wh: int | None
    reading_hash: Hex


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter as the registry knows it, active or suspended; `baseline` is None until `rebase` gave it one."""

    meter_id: Hex
    owner: Hex
    profile: str
    rated_power_w: int
    can_export: bool
    status: str
    public_key: Hex
    site: str
    baseline: Baseline | None


@dataclass(frozen=True, slots=True)
class MeterPage:
    """Meters ascending by id; `more` come after the last of them."""

    meters: tuple[Meter, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class AnchorHead:
    """The newest anchor of a gateway's account; number 0 and a hash of zeros where it has none; Unix seconds."""

    gateway: Hex
    number: int
    time: int
    hash: Hex


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a delivery epoch; `filled_wh` is 0 until its epoch is cleared. `sequence`: its place in time."""

    id: Hex
    account: Hex
    meter: Hex
    epoch: int
    side: Side
    price_uaip_per_kwh: int
    quantity_wh: int
    filled_wh: int
    sequence: int


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """What one epoch moved for one meter; see `ledger.records.SettlementLine`."""

    account: Hex
    epoch: int
    meter: Hex
    key_thumbprint: Hex
    first_reading: Hex | None
    last_reading: Hex | None
    import_wh: int
    export_wh: int
    sold_wh: int
    bought_wh: int
    delivered_wh: int
    received_wh: int
    price_uaip_per_kwh: int | None
    market_income_aaip: Amount
    market_cost_aaip: Amount
    grid_income_aaip: Amount
    grid_cost_aaip: Amount
    penalty_aaip: Amount
    minted_agrid: Amount
    burned_agrid: Amount
    flags: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A delivery epoch. Price and interval are None where nothing traded; `lines` are empty until it is settled.

    `hidden_lines` are not for whoever asks: a viewing pass (`ledger.viewing_pass`) shows an account its own.
    """

    epoch: int
    phase: EpochPhase
    price_uaip_per_kwh: int | None
    price_interval: tuple[int, int] | None
    matched_wh: int
    orders: int
    import_wh: int
    export_wh: int
    lines: tuple[SettlementLine, ...]
    hidden_lines: int = 0


@dataclass(frozen=True, slots=True)
class EpochPage:
    """Delivery epochs, ascending; where `more` may follow, ask again from behind the last."""

    epochs: tuple[Epoch, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Conservation:
    """The three conservation laws, recomputed from the tables when asked."""

    energy: bool
    money: bool
    grid_supply: bool


@dataclass(frozen=True, slots=True)
class Supply:
    """Totals over all tables after block `height`; energy over all settled epochs, the grid account's side included."""

    height: int
    aip_total_aaip: Amount
    aip_expected_aaip: Amount
    locked_aaip: Amount
    owed_aaip: Amount
    grid_supply_agrid: Amount
    grid_minted_agrid: Amount
    grid_burned_agrid: Amount
    grid_held_agrid: Amount
    import_wh: int
    export_wh: int
    grid_supplied_wh: int
    grid_absorbed_wh: int
    conserved: Conservation


@dataclass(frozen=True, slots=True)
class AuthorityName:
    """One authority of the set in force."""

    name: str
    id: Hex


@dataclass(frozen=True, slots=True)
class Authorities:
    """The set in force: the log's origin and the C2SP verifier keys that check its checkpoints."""

    origin: str
    vkeys: tuple[str, ...]
    authorities: tuple[AuthorityName, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """An error answer (RFC 9457); `code` is the name of a result code or of an API error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
