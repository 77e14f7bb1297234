"""A chain in memory to time calls on: authorities, admins, services, users, and meters with baselines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger import anchor, cbor, envelope, transaction
from ledger.anchor import Point
from ledger.authority import Authority, AuthoritySet
from ledger.block import Commit
from ledger.codes import Code
from ledger.consensus.commit import build_commit
from ledger.consensus.messages import Vote, sign
from ledger.errors import LedgerError
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.keys import PrivateKey
from ledger.reading import NO_PREVIOUS
from ledger.runtime import Runtime
from ledger.transaction import Call
from ledger.trial_reading import link_to, sign_boundary

AUTHORITIES: Final = 5
"""One more than must stay, so that one can be removed."""
METERS_PER_USER: Final = 10
FIRST_EPOCH: Final = 2_000_000
BALANCE_AAIP: Final = 10**24
RATED_POWER_W: Final = 10_000
_SERVICES: Final = {
    "grid": Role.GRID, "admin": Role.ADMIN, "admin2": Role.ADMIN, "gateway": Role.GATEWAY, "maker": Role.MARKET_MAKER,
}  # fmt: skip
_VALIDITY_BLOCKS: Final = 10**6


class CannotMakeError(LedgerError):
    """A call that this chain cannot be brought to take; the text says why."""


@dataclass(slots=True)
class Person:
    """An account with its key; `nonce` is the next one."""

    id: bytes
    key: PrivateKey
    nonce: int = 0


@dataclass(slots=True)
class Meter:
    """A meter that signs readings; each names the one before."""

    id: bytes
    key: PrivateKey
    owner: Person
    sequence: int = 0
    previous: bytes = NO_PREVIOUS

    def read(self, epoch: int, epoch_s: int, wh: int) -> bytes:
        """Return the signed boundary reading at the start of *epoch*; both registers show *wh*."""
        self.sequence += 1
        raw = sign_boundary(self.key, self.sequence, epoch, epoch_s, (wh, wh), previous=self.previous)
        self.previous = link_to(raw)
        return raw


class Campus:
    """The chain, in the epoch after the one at whose start its *meters* got their baselines; nothing is reported yet.

    `people` has the accounts by name: those of the services, `authority0` …, `user0` … (which own ten meters each; the
    last one, `idle`, has none).
    """

    def __init__(self, meters: int) -> None:
        users = max(2, 1 + -(-meters // METERS_PER_USER))
        names = [*_SERVICES, *(f"authority{n}" for n in range(AUTHORITIES)), *(f"user{n}" for n in range(users))]
        self.people = {name: Person(_id(name), _key(name)) for name in names}
        self.idle = self.people[names[-1]]
        self._vote_keys = [_key(f"vote{n}") for n in _AUTHORITY_ORDER]
        self.genesis = self._make_genesis()
        self.runtime = Runtime(self.genesis)
        self.state = self.runtime.genesis_state()
        self.meters: list[Meter] = []
        self._fresh = 0
        self.advance_to(FIRST_EPOCH)
        self._add_meters(meters)
        self.advance_to(FIRST_EPOCH + 1)

    @property
    def epoch(self) -> int:
        """The epoch of the newest block."""
        return self.state.header.time_ms // 1000 // self.genesis.parameters.epoch_s

    def fresh(self) -> Person:
        """Return an account that the chain does not know."""
        self._fresh += 1
        return Person(_id(f"fresh{self._fresh}"), _key(f"fresh{self._fresh}"))

    def read(self, meter: Meter, epoch: int) -> bytes:
        """Return the reading of *meter* at the start of *epoch*; it counts 100 Wh an epoch."""
        return meter.read(epoch, self.genesis.parameters.epoch_s, 100 * (epoch - FIRST_EPOCH))

    def make_anchors(self, count: int) -> list[bytes]:
        """Return the first *count* anchors of the gateway."""
        point, raws, time_s = Point(), [], self.state.header.time_ms // 1000 - 64 * 60
        for number in range(count):
            made = anchor.follow(self.people["gateway"].id, point, time_s + 60 * number, ())
            point = Point(made.number, made.time, made.hash)
            raws.append(made.encode())
        return raws

    def sign(self, sender: str, call: Call) -> bytes:
        """Return *call* as the next transaction of *sender*; the nonce is used up by `run` alone."""
        person = self.people[sender]
        return transaction.sign(self.genesis.chain_id, person.id, person.nonce, _VALIDITY_BLOCKS, call, person.key)

    def run(self, sender: str, module: str, function: str, *arguments: cbor.Value) -> bytes:
        """Put a call into a block of its own and return the transaction's id; raises CannotMakeError."""
        raw = self.sign(sender, Call(module, function, arguments))
        self.people[sender].nonce += 1
        self.block([raw])
        return hashlib.sha256(raw).digest()

    def advance_to(self, epoch: int) -> None:
        """Make an empty block one second into *epoch*."""
        self.block([], (epoch * self.genesis.parameters.epoch_s + 1) * 1000)

    def block(self, raws: Sequence[bytes], time_ms: int | None = None) -> None:
        """Add a block of *raws*, one second later unless *time_ms* says otherwise; raises CannotMakeError."""
        header = self.state.header
        _, execution = self.runtime.build(
            self.state, height=header.height + 1, time_ms=time_ms or header.time_ms + 1000, proposer=0,
            transactions=raws, evidence=(), last_commit=self.commit(),
        )  # fmt: skip
        refused = [one for one in execution.receipts if one.code is not Code.DONE]
        if refused or len(execution.receipts) != len(raws):
            text = f"{refused[0].code.name.lower()}: {refused[0].text}" if refused else "the block does not hold it"
            raise CannotMakeError(f"the chain could not be prepared: {text}")
        self.state.apply(execution)

    def commit(self) -> Commit | None:
        """Return the certificate of the newest block."""
        header = self.state.header
        if header.height == 0:
            return None
        vote = Vote(envelope.Kind.PRECOMMIT, header.height, 0, header.id)
        votes = [sign(vote, self.genesis.chain_id, place, key) for place, key in enumerate(self._vote_keys)]
        return build_commit(header.height, 0, header.id, votes)

    def _make_genesis(self) -> Genesis:
        members = tuple(
            Authority(
                self.people[f"authority{n}"].id, f"A{n}",
                *(_key(f"{use}{n}").public_key for use in ("vote", "cosign", "log")),
            )
            for n in _AUTHORITY_ORDER
        )  # fmt: skip
        accounts = tuple(
            GenesisAccount(person.id, person.key.public_key, _role(name), BALANCE_AAIP)
            for name, person in self.people.items()
        )
        parameters = Parameters()
        start_ms = FIRST_EPOCH * parameters.epoch_s * 1000 - 60_000
        return Genesis(
            "bench-call", start_ms, bytes(32), AuthoritySet(members), parameters,
            self.people["grid"].id, accounts,
        )  # fmt: skip

    def _add_meters(self, count: int) -> None:
        admin, assigned, based = self.people["admin"], [], []
        for number in range(count):
            owner = self.people[f"user{number // METERS_PER_USER}"]
            meter = Meter(_id(f"meter{number}"), _key(f"meter{number}"), owner)
            self.meters.append(meter)
            key = meter.key.public_key
            call = Call(
                "registry", "assign_meter", (meter.id, owner.id, "eastron_sdm120", RATED_POWER_W, key, True, "a")
            )
            assigned.append(self.sign("admin", call))
            admin.nonce += 1
        self.block(assigned)
        for meter in self.meters:
            based.append(self.sign("admin", Call("registry", "rebase", (meter.id, self.read(meter, FIRST_EPOCH)))))
            admin.nonce += 1
        self.block(based)


def _role(name: str) -> Role:
    return _SERVICES.get(name) or (Role.AUTHORITY if name.startswith("authority") else Role.USER)


def _id(name: str) -> bytes:
    return hashlib.sha256(b"id of " + name.encode()).digest()[:8]


def _key(name: str) -> PrivateKey:
    return PrivateKey(hashlib.sha256(b"key of " + name.encode()).digest())


_AUTHORITY_ORDER: Final = sorted(range(AUTHORITIES), key=lambda n: _id(f"authority{n}"))
