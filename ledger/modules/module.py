"""What a module of the ledger is made of: tables, calls, hooks and genesis, declared in one file each.

    module = Module("grid")

    @module.call()
    def transfer(context: Context, to: AccountId, amount_agrid: Amount) -> Refusal | None:
        \"\"\"Say what it does; this is its documentation.\"\"\"

A call's annotations are its argument types: they are checked before it runs. A call that returns a refusal has changed
nothing, whatever it wrote before. Hooks see every block; nothing here knows the time but by `context`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from ledger import cbor
from ledger.block import Commit
from ledger.codes import Code, Refusal
from ledger.genesis import Genesis, Parameters, Role
from ledger.records import Record
from ledger.signatures import SignatureCache
from ledger.state import Overlay, Reader, Table

MAX_AMOUNT: Final = 10**40
MAX_EPOCH: Final = 2**32 - 1
MAX_RATED_POWER_W: Final = 10**8
MAX_TEXT_CHARACTERS: Final = 40
_HIDDEN: Final = ((0, 31), (127, 159), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF))
MAX_READINGS_PER_REPORT: Final = 600


@dataclass(frozen=True, slots=True)
class Bytes:
    """A byte string of `lowest` to `highest` bytes."""

    lowest: int
    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"{self.lowest} bytes" if self.lowest == self.highest else f"{self.lowest} to {self.highest} bytes"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is bytes and self.lowest <= len(value) <= self.highest


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from `lowest` to `highest`."""

    lowest: int
    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"an integer from {self.lowest} to {self.highest}"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is int and self.lowest <= value <= self.highest


@dataclass(frozen=True, slots=True)
class Text:
    """A text of 1 to `highest` characters, none of which hides or turns what stands beside it."""

    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"a text of 1 to {self.highest} characters"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is str and 0 < len(value) <= self.highest and not any(map(_is_hidden, value))


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return "true or false"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is bool


@dataclass(frozen=True, slots=True)
class Many:
    """A list of 1 to `highest` items of one kind."""

    item: Bytes
    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"a list of 1 to {self.highest} items of {self.item}"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is list and 0 < len(value) <= self.highest and all(map(self.item.accepts, value))


Kind = Bytes | Integer | Text | Flag | Many

AccountId = Annotated[bytes, Bytes(8, 8)]
MeterId = Annotated[bytes, Bytes(8, 8)]
OrderId = Annotated[bytes, Bytes(8, 8)]
PublicKey = Annotated[bytes, Bytes(32, 32)]
Amount = Annotated[int, Integer(1, MAX_AMOUNT)]
Epoch = Annotated[int, Integer(0, MAX_EPOCH)]
RatedPower = Annotated[int, Integer(1, MAX_RATED_POWER_W)]
Price = Annotated[int, Integer(0, 2**63 - 1)]
Quantity = Annotated[int, Integer(0, 2**63 - 1)]
Label = Annotated[str, Text(MAX_TEXT_CHARACTERS)]
Boolean = Annotated[bool, Flag()]
READING: Final = Bytes(1, 180)
READINGS: Final = Many(Bytes(0, 1024), MAX_READINGS_PER_REPORT)
ReadingEnvelope = Annotated[bytes, READING]
ReadingEnvelopes = Annotated[list[bytes], READINGS]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: by which module, what, and the values by name (canonical CBOR values)."""

    module: str
    name: str
    values: tuple[tuple[str, cbor.Value], ...]

    def fields(self) -> list[cbor.Value]:
        """Return the event as nested arrays."""
        return [self.module, self.name, [list(pair) for pair in self.values]]


@dataclass(slots=True)
class Context:
    """What a call or hook sees and changes. `sender`, `transaction_id` are empty in hooks. Times are block times.

    `hook_work` is how many orders and lines the block's hooks have been through so far.
    """

    state: Overlay
    genesis: Genesis
    signatures: SignatureCache
    height: int
    time_ms: int
    last_commit: Commit | None
    evidence: tuple[bytes, ...]
    sender: bytes = b""
    roles: Role = field(default_factory=lambda: Role(0))
    transaction_id: bytes = b""
    events: list[Event] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    hook_work: int = 0

    @property
    def parameters(self) -> Parameters:
        """The chain's parameters."""
        return self.genesis.parameters

    @property
    def time_s(self) -> int:
        """The block's time in whole seconds."""
        return self.time_ms // 1000

    def emit(self, module: str, name: str, **values: cbor.Value) -> None:
        """Record an event."""
        self.events.append(Event(module, name, tuple(values.items())))


CallFunction = Callable[..., Refusal | None]
Hook = Callable[[Context], None]
Due = Callable[[Reader, Genesis], int | None]


@dataclass(frozen=True, slots=True)
class CallDefinition:
    """One call: its arguments by name and kind, the roles of which a sender needs one (none: anybody), its purpose."""

    module: str
    name: str
    arguments: tuple[tuple[str, Kind], ...]
    roles: Role
    documentation: str
    function: CallFunction

    def signatures(self, arguments: tuple[cbor.Value, ...]) -> list[bytes]:
        """Return the signed envelopes among *arguments*, which fit this call."""
        signed: list[bytes] = []
        for (_, kind), value in zip(self.arguments, arguments, strict=True):
            if kind == READING:
                signed.append(value)
            elif kind == READINGS:
                signed.extend(value)
        return signed

    def check(self, arguments: tuple[cbor.Value, ...]) -> Refusal | None:
        """Return why *arguments* do not fit this call, or None."""
        name = f"{self.module}.{self.name}"
        if len(arguments) != len(self.arguments):
            return Refusal(Code.BAD_ARGUMENTS, f"{name} has {len(self.arguments)} arguments, not {len(arguments)}")
        for (label, kind), value in zip(self.arguments, arguments, strict=True):
            if not kind.accepts(value):
                return Refusal(Code.BAD_ARGUMENTS, f"{name}: {label} is not {kind}")
        return None


@dataclass(slots=True)
class Module:
    """A part of the state machine. `begin` and `end` hooks run in every block, before and after its transactions.

    `due` names the earliest block time in ms at which the next block has hook work to do, or None.
    """

    name: str
    tables: tuple[Table[Any], ...] = ()
    calls: dict[str, CallDefinition] = field(default_factory=dict)
    genesis: Hook | None = None
    begin: Hook | None = None
    end: Hook | None = None
    due: Due | None = None

    def call(self, roles: Role = Role(0)) -> Callable[[CallFunction], CallFunction]:  # noqa: B008 (immutable)
        """Declare the decorated function a call of this module, open to senders that have one of *roles*."""

        def declare(function: CallFunction) -> CallFunction:
            definition = _define(self.name, function, roles)
            self.calls[definition.name] = definition
            return function

        return declare


def _is_hidden(character: str) -> bool:
    """Tell control, line and direction characters; by number, for Python's own tables differ between its versions."""
    return any(first <= ord(character) <= last for first, last in _HIDDEN)


def _define(module: str, function: CallFunction, roles: Role) -> CallDefinition:
    hints = get_type_hints(function, include_extras=True)
    names = list(inspect.signature(function).parameters)[1:]
    arguments = tuple((name, _kind(hints[name])) for name in names)
    documentation = inspect.getdoc(function) or ""
    return CallDefinition(module, function.__name__, arguments, roles, documentation, function)


def _kind(hint: Any) -> Kind:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"{hint!r} says nothing about which arguments are accepted")
    kind: Kind = get_args(hint)[1]
    return kind
