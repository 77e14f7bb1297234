"""What clients did and saw: every operation with the moments at which it began and was answered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """A receipt: where a transaction stands, and what came of it."""

    height: int
    index: int
    code: int


@dataclass(slots=True)
class Transfer:
    """A transaction of one client. `acknowledged_s` and `outcome` are None until some node said that it is final."""

    id: bytes
    sender: bytes
    receiver: bytes
    amount_aaip: int
    invoked_s: float
    acknowledged_s: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """An account as one node showed it. `life` tells one data directory of the node from the next."""

    node: str
    life: int
    invoked_s: float
    returned_s: float
    account: bytes
    height: int
    balance_aaip: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Sight:
    """A node's receipt for a transaction; `outcome` is None where the node did not hold it as final."""

    node: str
    life: int
    invoked_s: float
    returned_s: float
    id: bytes
    outcome: Outcome | None


@dataclass
class History:
    """All that the clients of one run recorded."""

    transfers: list[Transfer] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
