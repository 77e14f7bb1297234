"""Two weeks of measured traces through the whole market, twice: conserved after every day, the same state root."""

from __future__ import annotations

from hil import tools
from hil.replay.campus import Agents, Campus
from hil.replay.ledger import ReplayError
from hil.resources import trace

DAYS = 14
UNITS = 6


def replay(number: int) -> list[str]:
    """Replay the fortnight twice with one kind of agents and one seed; return what was violated."""
    agents, roots = list(Agents)[number % len(Agents)], set()
    for _ in range(2):
        campus = Campus(trace.load(tools.TRACE), DAYS, agents, number)
        try:
            traded_wh = sum(one.book.matched_wh for one in campus.play())
        except ReplayError as error:
            return [f"{agents}, seed {number}: {error}"]
        if not traded_wh:
            return [f"{agents}, seed {number}: nothing was traded"]
        roots.add(campus.ledger.state.header.state_root)
    return [] if len(roots) == 1 else [f"{agents}, seed {number}: two runs end in different states"]
