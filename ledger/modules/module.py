"""What a module of the ledger is made of: tables, calls, queries, metrics, hooks and genesis, each declared once.

    module = Module("grid")

    @module.call()
    def transfer(context: Context, to: AccountId, amount_agrid: Amount) -> Refusal | None:
        \"\"\"Say what it does; this is its documentation.\"\"\"

    @module.query()
    def balance_of(look: Look, account: AccountId) -> Amount:
        \"\"\"Say what it returns; API, client and command line have it from here.\"\"\"

Annotations are the kinds of the arguments: they are checked before anything runs. A call that returns a refusal has
changed nothing, whatever it wrote before. Hooks see every block; nothing here knows the time but by `context`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from ledger import cbor
from ledger.block import Commit
from ledger.codes import Code, Refusal
from ledger.genesis import Genesis, Parameters, Role
from ledger.modules.kinds import READING, READINGS, STATEMENT, Amount, Kind
from ledger.records import Record
from ledger.signatures import SignatureCache
from ledger.state import Head, Overlay, Reader, Table


class Event(NamedTuple):
    """Something that happened: by which module, what, and the values by name (canonical CBOR values)."""

    module: str
    name: str
    values: tuple[tuple[str, cbor.Value], ...]

    def fields(self) -> list[cbor.Value]:
        """Return the event as nested arrays."""
        return [self.module, self.name, self.values]


@dataclass(slots=True)
class Context:
    """What a call or hook sees and changes. `sender`, `transaction_id` are empty in hooks. Times are block times.

    `parent` is the head that the block stands on, `parameters` are those in force, `version` is the block's protocol
    version, by which a rule that a release changes tells whether it counts yet (`runtime.VERSIONS`). `hook_work` is how
    many orders and lines the block's hooks have been through so far.
    """

    state: Overlay
    genesis: Genesis
    signatures: SignatureCache
    parent: Head
    height: int
    time_ms: int
    last_commit: Commit | None
    evidence: tuple[bytes, ...]
    parameters: Parameters
    version: int
    sender: bytes = b""
    roles: Role = field(default_factory=lambda: Role(0))
    transaction_id: bytes = b""
    events: list[Event] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    hook_work: int = 0

    @property
    def time_s(self) -> int:
        """The block's time in whole seconds."""
        return self.time_ms // 1000

    def for_call(self, sender: bytes, roles: Role, transaction_id: bytes) -> Context:
        """Return the context of a call: this block's, with events and records of its own."""
        return Context(
            self.state, self.genesis, self.signatures, self.parent, self.height, self.time_ms, self.last_commit,
            self.evidence, self.parameters, self.version, sender, roles, transaction_id, [], [], self.hook_work,
        )  # fmt: skip

    def emit(self, module: str, name: str, /, **values: cbor.Value) -> None:
        """Record an event."""
        self.events.append(Event(module, name, tuple(values.items())))


@dataclass(frozen=True, slots=True)
class Look:
    """What a query sees: the rows after the block of `height`, its time; parameters and version of the next block."""

    state: Reader
    genesis: Genesis
    parameters: Parameters
    version: int
    height: int
    time_ms: int


CallFunction = Callable[..., Refusal | None]
QueryFunction = Callable[..., cbor.Value]
Hook = Callable[[Context], None]
Due = Callable[[Look], int | None]
Measure = Callable[[Look], int]


@dataclass(frozen=True, slots=True)
class CallDefinition:
    """One call: its arguments by name and kind, the roles of which a sender needs one (none: anybody), its purpose."""

    module: str
    name: str
    arguments: tuple[tuple[str, Kind], ...]
    roles: Role
    documentation: str
    function: CallFunction
    is_free: bool = False
    _readings: tuple[tuple[int, bool], ...] = field(init=False, repr=False, compare=False)
    _statements: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Note where readings stand among the arguments, and whether as a list of them: it is asked of every call."""
        kinds = [kind for _, kind in self.arguments]
        places = tuple((place, kind == READINGS) for place, kind in enumerate(kinds) if kind in (READING, READINGS))
        object.__setattr__(self, "_readings", places)
        object.__setattr__(self, "_statements", kinds.count(STATEMENT))

    def signatures(self, arguments: tuple[cbor.Value, ...]) -> list[bytes]:
        """Return the signed readings among *arguments*, which fit this call."""
        signed: list[bytes] = []
        for place, are_many in self._readings:
            signed.extend(arguments[place] if are_many else (arguments[place],))
        return signed

    def count_signatures(self, arguments: tuple[cbor.Value, ...]) -> int:
        """Return how many signatures are checked for *arguments*, which fit this call: readings' and statements'."""
        return len(self.signatures(arguments)) + self._statements

    def check(self, arguments: tuple[cbor.Value, ...]) -> Refusal | None:
        """Return why *arguments* do not fit this call, or None."""
        return _check(f"{self.module}.{self.name}", self.arguments, arguments)


@dataclass(frozen=True, slots=True)
class QueryDefinition:
    """One question about the state: its arguments by name and kind, and whether the answer is an amount of tokens."""

    module: str
    name: str
    arguments: tuple[tuple[str, Kind], ...]
    is_amount: bool
    documentation: str
    function: QueryFunction

    def ask(self, look: Look, arguments: tuple[cbor.Value, ...]) -> cbor.Value | Refusal:
        """Return the answer: a plain value, or nested dictionaries and lists of those; else why there is none."""
        return _check(f"{self.module}.{self.name}", self.arguments, arguments) or self.function(look, *arguments)


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A number that operators watch, read from the state."""

    name: str
    documentation: str
    measure: Measure


@dataclass(slots=True)
class Module:
    """A part of the state machine. `begin` and `end` hooks run in every block, before and after its transactions.

    `due` names the earliest block time in ms at which the next block has hook work to do, or None.
    """

    name: str
    tables: tuple[Table[Any], ...] = ()
    calls: dict[str, CallDefinition] = field(default_factory=dict)
    queries: dict[str, QueryDefinition] = field(default_factory=dict)
    metrics: dict[str, MetricDefinition] = field(default_factory=dict)
    genesis: Hook | None = None
    begin: Hook | None = None
    end: Hook | None = None
    due: Due | None = None

    def call(
        self,
        roles: Role = Role(0),  # noqa: B008 (immutable)
        *,
        is_free: bool = False,
    ) -> Callable[[CallFunction], CallFunction]:
        """Declare the decorated function a call of this module, open to senders that have one of *roles*.

        No fee is taken for a call that is free.
        """

        def declare(function: CallFunction) -> CallFunction:
            arguments, documentation = read_arguments(function), inspect.getdoc(function) or ""
            name = function.__name__
            self.calls[name] = CallDefinition(self.name, name, arguments, roles, documentation, function, is_free)
            return function

        return declare

    def query(self) -> Callable[[QueryFunction], QueryFunction]:
        """Declare the decorated function a query of this module, open to everybody who may read the node's API."""

        def declare(function: QueryFunction) -> QueryFunction:
            arguments, documentation = read_arguments(function), inspect.getdoc(function) or ""
            is_amount = get_type_hints(function, include_extras=True)["return"] == Amount
            name = function.__name__
            self.queries[name] = QueryDefinition(self.name, name, arguments, is_amount, documentation, function)
            return function

        return declare

    def metric(self) -> Callable[[Measure], Measure]:
        """Declare the decorated function a metric of this module; its docstring is the metric's help."""

        def declare(function: Measure) -> Measure:
            name = f"campusgrid_{self.name}_{function.__name__}"
            self.metrics[name] = MetricDefinition(name, inspect.getdoc(function) or "", function)
            return function

        return declare


def read_arguments(function: Callable[..., Any]) -> tuple[tuple[str, Kind], ...]:
    """Return name and kind of all arguments of *function* but the first, which is its context."""
    hints = get_type_hints(function, include_extras=True)
    names = list(inspect.signature(function).parameters)[1:]
    return tuple((name, _kind(hints[name])) for name in names)


def _check(name: str, kinds: tuple[tuple[str, Kind], ...], arguments: tuple[cbor.Value, ...]) -> Refusal | None:
    if len(arguments) != len(kinds):
        return Refusal(Code.BAD_ARGUMENTS, f"{name} has {len(kinds)} arguments, not {len(arguments)}")
    for (label, kind), value in zip(kinds, arguments, strict=True):
        if not kind.accepts(value):
            return Refusal(Code.BAD_ARGUMENTS, f"{name}: {label} is not {kind}")
    return None


def _kind(hint: Any) -> Kind:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"{hint!r} says nothing about which arguments are accepted")
    kind: Kind = get_args(hint)[1]
    return kind
