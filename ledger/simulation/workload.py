"""What the accounts of an executed run want: meters, orders, an agent, reports, decisions, a change of the authorities.

Everything is signed before the run, from what its schedule says, and offered to every block from a certain time on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from ledger import keys, transaction
from ledger.authority import AuthoritySet
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.keys import PrivateKey
from ledger.simulation.application import Membership
from ledger.simulation.node import EPOCH_MS
from ledger.simulation.surroundings import companion_keys, key_of
from ledger.statements import sign_possession
from ledger.transaction import Call
from ledger.trial_reading import sign_boundary

EPOCH_S: Final = 1
EPOCH: Final = EPOCH_MS // 1000 // EPOCH_S
"""The epoch in which every run begins; what is traded is delivered in the next."""
TRANSFERS: Final = 4
RATED_W: Final = 10_000_000
"""So much that 100 Wh fit into a second."""
BALANCE_AAIP: Final = 10**24
VALID_UNTIL: Final = 10**6
_SETTLED_MS: Final = 2_000
_PLACES: Final = {"seller": 201, "buyer": 202, "grid": 203, "admin": 204, "gateway": 205, "agent": 206}
_ROLES: Final = {
    "seller": Role.USER, "buyer": Role.USER, "grid": Role.GRID, "admin": Role.ADMIN, "gateway": Role.GATEWAY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """A transaction, and the time of the first block that may hold it."""

    from_ms: int
    raw: bytes


@dataclass(slots=True)
class Workload:
    """A genesis, and what is offered to the blocks after it."""

    genesis: Genesis
    offers: list[Offer] = field(default_factory=list)
    _nonces: dict[bytes, int] = field(default_factory=dict)

    def offer(self, after_ms: int, account: bytes, module: str, function: str, *arguments: Any) -> None:
        """Have *account* call `module.function` in a block of *after_ms* after the start of the run, or later."""
        nonce = self._nonces.get(account, 0)
        self._nonces[account] = nonce + 1
        call = Call(module, function, arguments)
        raw = transaction.sign(self.genesis.chain_id, account, nonce, VALID_UNTIL, call, _key(account))
        self.offers.append(Offer(EPOCH_MS + after_ms, raw))

    def decide(self, after_ms: int, module: str, function: str, *arguments: Any) -> None:
        """Have as many authorities as are needed approve of a decision."""
        for member in self.genesis.authorities.members[: self.genesis.authorities.quorum]:
            self.offer(after_ms, member.id, module, function, "minutes", *arguments)


def make_workload(membership: Membership) -> Workload:
    """Return what goes on in a run whose authorities change as *membership* says."""
    workload = Workload(_genesis(membership.genesis))
    _give_meters(workload)
    for _ in range(TRANSFERS):
        workload.offer(0, _id("seller"), "money", "transfer", _id("buyer"), 5)
    _trade(workload)
    _report(workload)
    workload.decide(0, "money", "issue", _id("buyer"), 10**18)
    workload.decide(300, "governance", "pause", "oracle")
    _change_authorities(workload, membership)
    return workload


def _genesis(members: AuthoritySet) -> Genesis:
    accounts = [GenesisAccount(_id(who), _key(_id(who)).public_key, role, BALANCE_AAIP) for who, role in _ROLES.items()]
    accounts += [GenesisAccount(one.id, _key(one.id).public_key, Role.AUTHORITY) for one in members.members]
    parameters = Parameters(epoch_s=EPOCH_S, settle_deadline_s=60)
    return Genesis("simulation", EPOCH_MS - 60_000, bytes(32), members, parameters, _id("grid"), tuple(accounts))


def _give_meters(workload: Workload) -> None:
    for who in ("seller", "buyer"):
        key = _key(_meter(who))
        described = _meter(who), _id(who), "eastron_sdm120", RATED_W, key.public_key, True, "east"
        workload.offer(0, _id("admin"), "registry", "assign_meter", *described)
        workload.offer(0, _id("admin"), "registry", "rebase", _meter(who), _read(who, EPOCH - 1))


def _trade(workload: Workload) -> None:
    """The seller's agent and the buyer order for the next epoch; one order is taken back."""
    agent, key = _id("agent"), _key(_id("agent"))
    until_ms = EPOCH_MS + 3_600_000
    workload.offer(
        0, _id("seller"), "registry", "delegate", agent, key.public_key, [_meter("seller")], 10**21, until_ms
    )
    workload.offer(0, agent, "market", "create_sell_order", _meter("seller"), EPOCH + 1, 3_000_000, 100)
    workload.offer(0, _id("buyer"), "market", "create_buy_order", _meter("buyer"), EPOCH + 1, 3_500_000, 150)
    workload.offer(0, _id("buyer"), "market", "create_buy_order", _meter("buyer"), EPOCH + 1, 3_400_000, 100)
    placed = transaction.decode(workload.offers[-1].raw).id
    workload.offer(200, _id("buyer"), "market", "cancel_order", placed[:8])


def _report(workload: Workload) -> None:
    for after_ms, epoch in ((0, EPOCH), (1_000, EPOCH + 1), (_SETTLED_MS, EPOCH + 2)):
        readings = [_read(who, epoch) for who in ("seller", "buyer")]
        workload.offer(after_ms + 250, _id("gateway"), "market", "report_intervals", readings)


def _change_authorities(workload: Workload, membership: Membership) -> None:
    """Let the authorities decide what turns the set of genesis into the later one."""
    before = membership.genesis.members
    later = {member.id: member for member in membership.later.members} if membership.later is not None else {}
    for place, member in enumerate(before if later else ()):
        after = later.get(member.id)
        if after is None:
            workload.decide(100, "authorities", "remove", member.id)
        elif after != member:
            key = key_of(place, 1)
            held = (key, *companion_keys(key))
            proofs = (sign_possession(workload.genesis.chain_id, member.id, one) for one in held)
            public = (one.public_key for one in held)
            workload.decide(100, "authorities", "rotate_keys", member.id, *public, *proofs)


def _read(who: str, epoch: int) -> bytes:
    """Return the reading of a meter at the start of *epoch*: 120 Wh went through it in each before."""
    passed = epoch - EPOCH + 1
    registers_wh = (0, 120 * passed) if who == "seller" else (120 * passed, 0)
    return sign_boundary(_key(_meter(who)), 1 + passed, epoch, EPOCH_S, registers_wh)


def _id(who: str) -> bytes:
    return _PLACES[who].to_bytes(8, "big")


def _meter(who: str) -> bytes:
    return (1_000 + _PLACES[who]).to_bytes(8, "big")


def _key(account: bytes) -> PrivateKey:
    return PrivateKey(account.rjust(keys.SEED_BYTES, b"\1"))
