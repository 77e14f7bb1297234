"""The market: orders, the auction at gate closure, interval reports, and settlement.

`tables` holds its rows, `orders` and `intervals` its calls, `auction` and `settlement` its hooks; `lines` is the pure
arithmetic of a settlement, `transfers` carries it out, `corrections` puts right what proved late, `claims` waits for
what proves it behind a later boundary, `rollovers` enters again what stayed unfilled, `retention` forgets, `supply`
recomputes what must be conserved.
"""

from __future__ import annotations

from ledger.modules.market import auction, intervals, orders, queries, settlement
from ledger.modules.market.tables import CLOCK, CLOCK_KEY, DROPPED, DROPPED_KEY, Clock, Dropped, module
from ledger.modules.module import Context

__all__ = ["auction", "intervals", "module", "orders", "queries", "settlement"]


def _genesis(context: Context) -> None:
    epoch = context.time_s // context.parameters.epoch_s
    context.state.put(CLOCK, CLOCK_KEY, Clock(1, epoch + 1, epoch, epoch, epoch))
    context.state.put(DROPPED, DROPPED_KEY, Dropped(until=epoch))


module.genesis = _genesis
module.begin = auction.close_gates
module.end = settlement.settle_epochs
module.due = settlement.find_due_ms
