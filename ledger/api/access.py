"""Who may see whose intervals: an account its own, an agent its user's, and those whose role it is everybody's.

What the network must see to agree (orders, balances, heads) is open to whoever reaches the API. What was measured at a
meter is not, unless `intervals = "anybody"` stands under [api] in node.toml.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers

from ledger import cbor, viewing_pass
from ledger.api.problems import ProblemError
from ledger.api.source import Source
from ledger.errors import MalformedError
from ledger.genesis import Role
from ledger.modules import accounts
from ledger.modules.registry.tables import DELEGATIONS
from ledger.node.chain import Chain

SEES_ALL: Final = Role.ADMIN | Role.GATEWAY | Role.AUTHORITY | Role.GRID
MEASURED: Final = frozenset({
    "import_wh", "export_wh", "import_before_wh", "export_before_wh", "corrected_wh", "returned_aaip", "paid_aaip",
})  # fmt: skip
"""Values of events that name a meter: what was measured there, or follows from it at a known price."""
RESULT: Final = "result"
_INTERVAL_VALUES: Final = 2
"""The oracle answers for a meter with [import, export], and with one value for what no meter measures."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever asks: what `account` may see (None: a stranger), or all."""

    account: bytes | None = None
    sees_all: bool = False

    def may_see(self, owner: bytes | None) -> bool:
        """Tell whether intervals of *owner* may be shown."""
        return self.sees_all or (owner is not None and owner == self.account)

    def shown(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return an event's *values* without what was measured at a meter, unless all may be seen."""
        if self.sees_all:
            return values
        hidden = {RESULT} if _is_interval(values.get(RESULT)) else set()
        if "meter" in values:
            hidden |= MEASURED
        return {name: value for name, value in values.items() if name not in hidden}

    def answered(self, answer: Any) -> Any:
        """Return a query's *answer*; the oracle's for a meter is shown to whoever asked for it."""
        if isinstance(answer, dict) and _is_interval(answer.get(RESULT)) and not self.may_see(answer.get("requester")):
            return answer | {RESULT: None}
        return answer


def holds_measured(events: bytes) -> bool:
    """Tell whether a stranger would be shown some of a transaction's encoded *events* in part only."""
    found = (dict(pairs) for _, _, pairs in cbor.decode(events))
    return any(Viewer().shown(values) != values for values in found)


def _is_interval(result: Any) -> bool:
    return isinstance(result, list | tuple) and len(result) == _INTERVAL_VALUES


async def find_viewer(source: Source, headers: Headers) -> Viewer:
    """Return who asks, by the pass in *headers*; raises ProblemError (401) where it does not hold."""
    if source.shows_intervals:
        return Viewer(sees_all=True)
    header = headers.get("authorization")
    if header is None:
        return Viewer()
    try:
        shown = viewing_pass.read(header)
    except MalformedError as error:
        raise _bad_pass(str(error)) from error
    return await source.ledger.run(partial(_admit, shown=shown, now_s=int(time.time())))


def _admit(chain: Chain, shown: viewing_pass.ViewingPass, now_s: int) -> Viewer:
    row = accounts.find(chain.state, shown.account)
    if shown.chain_id != chain.runtime.chain_id:
        raise _bad_pass("it is of another chain")
    if not now_s < shown.until_s <= now_s + viewing_pass.MAX_VALID_S:
        raise _bad_pass(f"it must end within {viewing_pass.MAX_VALID_S} s from now; look at both clocks")
    if row is None or not shown.is_signed_by(row.public_key):
        raise _bad_pass(f"the key of account {shown.account.hex()} did not sign it")
    if row.roles & SEES_ALL:
        return Viewer(shown.account, sees_all=True)
    delegation = chain.state.get(DELEGATIONS, shown.account)
    if delegation is not None and now_s * 1000 <= delegation.until_ms:
        return Viewer(delegation.user)
    return Viewer(shown.account)


def _bad_pass(reason: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, "bad_pass", f"the viewing pass does not hold: {reason}")
