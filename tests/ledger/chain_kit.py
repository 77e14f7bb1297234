"""A small chain to test with: four authorities, an admin, a gateway, the grid account, users, and meters that sign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ledger import envelope, transaction
from ledger.authority import Authority, AuthoritySet
from ledger.block import Block, Commit
from ledger.codes import Code, Refusal
from ledger.consensus.commit import build_commit
from ledger.consensus.messages import Vote, sign
from ledger.execution import Execution, Receipt
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.keys import PrivateKey
from ledger.modules import MODULES, find_query
from ledger.modules.market.supply import measure_supply
from ledger.modules.module import QueryDefinition
from ledger.reading import NO_PREVIOUS
from ledger.records import ClearingRecord, SettlementLine
from ledger.runtime import Runtime
from ledger.state import AUTHORITY_SETS, LedgerState, Row, Table, authorities_at
from ledger.transaction import Call
from ledger.trial_reading import sign_boundary

EPOCH_S = 900
START_EPOCH = 2_000_000
AIP = 10**18
AUTHORITY_NAMES = ("ERC", "MEA", "PEA", "EGAT")
AUTHORITIES = ("authority", "authority1", "authority2", "authority3")
"""The authorities' accounts."""
TABLES = {table.name: table for table in (*(table for module in MODULES for table in module.tables), AUTHORITY_SETS)}
WH = 10**15
"""aGRID of one Wh."""


def key_of(number: int) -> PrivateKey:
    return PrivateKey(number.to_bytes(32, "big"))


def id_of(number: int) -> bytes:
    return number.to_bytes(8, "big")


@dataclass
class Person:
    """An account and its key; `nonce` is the next one."""

    id: bytes
    key: PrivateKey
    nonce: int = 0


@dataclass
class TestMeter:
    """Signs readings as the firmware would."""

    __test__ = False
    id: bytes
    key: PrivateKey
    owner: Person
    sequence: int = 0
    previous: bytes = NO_PREVIOUS

    def boundary(self, at_epoch: int, import_wh: int, export_wh: int, **changes: Any) -> bytes:
        self.sequence += 1
        registers_wh = import_wh, export_wh
        linked = {"previous": self.previous} | changes
        return sign_boundary(self.key, self.sequence, at_epoch, EPOCH_S, registers_wh, **linked)


def make_genesis(
    balance_aaip: int = 1000 * AIP, users: int = 4, **parameters: Any
) -> tuple[Genesis, dict[str, Person]]:
    members = [
        Authority(id_of(100 + n), name, *(key_of(1000 + 10 * n + k).public_key for k in range(3)))
        for n, name in enumerate(AUTHORITY_NAMES)
    ]
    people = {name: Person(id_of(n), key_of(n)) for n, name in enumerate(("grid", "admin", "gateway", "admin2"), 1)}
    people |= {name: Person(id_of(100 + n), key_of(100 + n)) for n, name in enumerate(AUTHORITIES)}
    numbers = [10 + n if n < 50 else 100_000 + n for n in range(users)]
    people |= {f"user{n}": Person(id_of(number), key_of(number)) for n, number in enumerate(numbers)}
    roles = {"grid": Role.GRID, "admin": Role.ADMIN, "gateway": Role.GATEWAY, "admin2": Role.ADMIN}
    roles |= dict.fromkeys(AUTHORITIES, Role.AUTHORITY)
    accounts = tuple(
        GenesisAccount(person.id, person.key.public_key, roles.get(name, Role.USER), balance_aaip)
        for name, person in people.items()
    )
    genesis = Genesis(
        "test campus", START_EPOCH * EPOCH_S * 1000 - 60_000, bytes(32), AuthoritySet(tuple(members)),
        Parameters(epoch_s=EPOCH_S, **parameters), people["grid"].id, accounts,
    )  # fmt: skip
    return genesis, people


@dataclass
class Chain:
    """Runs blocks; each is built by one runtime and executed by another that remembers nothing of it."""

    genesis: Genesis
    people: dict[str, Person]
    runtime: Runtime = field(init=False)
    state: LedgerState = field(init=False)
    blocks: list[Block] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    meters: list[TestMeter] = field(default_factory=list)
    vote_keys: dict[bytes, PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runtime = Runtime(self.genesis)
        self.state = self.runtime.genesis_state()
        keys = [key_of(1000 + 10 * n) for n in range(len(AUTHORITY_NAMES))]
        self.vote_keys |= {key.public_key: key for key in keys}

    @property
    def epoch(self) -> int:
        return self.state.header.time_ms // 1000 // EPOCH_S

    def row(self, table: Table[Row], key: bytes) -> Row:
        """Return a row that must be there."""
        found = self.state.get(table, key)
        assert found is not None
        return found

    def commit(self) -> Commit | None:
        header = self.state.header
        if header.height == 0:
            return None
        vote = Vote(envelope.Kind.PRECOMMIT, header.height, 0, header.id)
        members = authorities_at(self.state, header.height).members
        messages = [
            sign(vote, self.genesis.chain_id, index, self.vote_keys[member.vote_key])
            for index, member in enumerate(members)
        ]
        return build_commit(header.height, 0, header.id, messages)

    def sign(self, who: str, module: str, function: str, *arguments: Any, **changes: Any) -> bytes:
        person = self.people[who]
        values: dict[str, Any] = {
            "chain_id": self.genesis.chain_id, "sender": person.id, "nonce": person.nonce, "valid_until": 10**6,
            "call": Call(module, function, arguments), "key": person.key,
        } | changes  # fmt: skip
        person.nonce += 1
        return transaction.sign(**values)

    def block(self, *transactions: bytes, time_ms: int | None = None, evidence: Iterable[bytes] = ()) -> Execution:
        """Build, check and apply the next block, 1 s after the last unless *time_ms* says otherwise."""
        header = self.state.header
        proposed, built = self.runtime.build(
            self.state, height=header.height + 1, time_ms=time_ms or header.time_ms + 1000, proposer=1,
            transactions=transactions, evidence=evidence, last_commit=self.commit(),
        )  # fmt: skip
        executed = Runtime(self.genesis).execute(self.state, proposed)
        assert executed == built
        assert len(built.receipts) == len(transactions)
        for write in executed.writes:
            assert write.value is None or TABLES[write.table].decode(write.value) == write.row
        self.state.apply(executed)
        self.blocks.append(proposed)
        self.executions.append(executed)
        supply = measure_supply(self.state)
        assert supply.is_energy_conserved, supply
        assert supply.is_money_conserved, supply
        assert supply.is_grid_conserved, supply
        return executed

    def to_epoch(self, epoch: int, *transactions: bytes, offset_s: int = 1) -> Execution:
        """Make a block *offset_s* after the start of *epoch*."""
        return self.block(*transactions, time_ms=(epoch * EPOCH_S + offset_s) * 1000)

    def run(self, who: str, module: str, function: str, *arguments: Any) -> Receipt:
        """Put one call into a block of its own and return its receipt."""
        return self.block(self.sign(who, module, function, *arguments)).receipts[0]

    def must(self, who: str, module: str, function: str, *arguments: Any) -> Receipt:
        receipt = self.run(who, module, function, *arguments)
        assert receipt.code is Code.DONE, receipt.text
        return receipt

    def decide(self, module: str, function: str, *arguments: Any, reference: str = "minutes") -> Receipt:
        """Have three authorities approve a decision, each in a block of its own; return the last one's receipt."""
        for who in AUTHORITIES[:2]:
            self.must(who, module, function, reference, *arguments)
        return self.must(AUTHORITIES[2], module, function, reference, *arguments)

    def ask(self, module: str, name: str, *arguments: Any) -> Any:
        """Return the answer of a query."""
        query = find_query(module, name)
        assert isinstance(query, QueryDefinition)
        answer = query.ask(self.runtime.look(self.state), arguments)
        assert not isinstance(answer, Refusal), answer
        return answer

    def add_person(self, who: str, number: int) -> Person:
        """Name somebody whom the ledger does not know yet."""
        self.people[who] = Person(id_of(number), key_of(number))
        return self.people[who]

    def add_meter(self, owner: str, number: int, *, rated_power_w: int = 10_000, can_export: bool = True) -> TestMeter:
        meter = TestMeter(id_of(500 + number), key_of(500 + number), self.people[owner])
        arguments = (
            meter.id,
            meter.owner.id,
            "eastron_sdm120",
            rated_power_w,
            meter.key.public_key,
            can_export,
            "east",
        )
        self.must("admin", "registry", "assign_meter", *arguments)
        self.meters.append(meter)
        return meter

    def add_based_meter(
        self, owner: str, number: int, import_wh: int = 0, export_wh: int = 0, **options: Any
    ) -> TestMeter:
        """Assign a meter and give it a baseline at the start of this epoch."""
        meter = self.add_meter(owner, number, **options)
        self.must("admin", "registry", "rebase", meter.id, meter.boundary(self.epoch, import_wh, export_wh))
        return meter

    def report(self, *readings: bytes, who: str = "gateway") -> list[Code]:
        """Report *readings* in a block and return the code of each."""
        return reading_codes(self.must(who, "market", "report_intervals", list(readings)))


def lines_of(execution: Execution) -> list[SettlementLine]:
    return [entry.record for entry in execution.records if isinstance(entry.record, SettlementLine)]


def clearings_of(execution: Execution) -> list[ClearingRecord]:
    return [entry.record for entry in execution.records if isinstance(entry.record, ClearingRecord)]


def reading_codes(receipt: Receipt) -> list[Code]:
    return [Code(dict(event.values)["code"]) for event in receipt.events if event.name == "reading"]


def make_chain(**options: Any) -> Chain:
    """Return a chain whose first block lies just after the start of START_EPOCH."""
    chain = Chain(*make_genesis(**options))
    chain.to_epoch(START_EPOCH)
    return chain
