"""Whether a node and its chain are well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.api.condition import Health, LastClearing, MissedVotes
from ledger.modules import grid, requests
from ledger.modules.authorities import DUTIES
from ledger.modules.market.tables import EPOCHS, read_clock
from ledger.modules.requests import Totals
from ledger.node.chain import Chain
from ledger.node.network.sync import LAG_BLOCKS
from ledger.node.service import Node
from ledger.state import LedgerState

MAX_EPOCHS_BACK: Final = 7 * 96
"""How far back the last clearing is looked for: a week of quarter hours."""


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """What the newest state says of how the ledger is."""

    oracle: Totals
    supply: grid.Supply
    last_clearing: LastClearing | None
    missed_votes: tuple[MissedVotes, ...]


def measure_chain(chain: Chain) -> ChainHealth:
    """Return how the ledger is; runs in the chain's thread."""
    state = chain.state
    duties = {key: row.missed_votes for key, row in state.scan(DUTIES)}
    members = state.authority_set.members
    return ChainHealth(
        oracle=requests.totals(state),
        supply=grid.supply(state),
        last_clearing=_find_last_clearing(state),
        missed_votes=tuple(MissedVotes(member.name, duties.get(member.id, 0)) for member in members),
    )


async def describe_health(node: Node) -> Health:
    """Return how *node* and its chain are right now."""
    chain, driver, lag = await node.ledger.run(measure_chain), node.driver, measure_lag(node)
    return Health(
        height=driver.position.header.height,
        syncing=lag >= LAG_BLOCKS,
        lag_blocks=lag,
        signing=is_signing(node),
        alarm=driver.alarm or driver.key_fault,
        last_clearing=chain.last_clearing,
        oracle_open=chain.oracle.open,
        oracle_late=chain.oracle.timed_out,
        grid_minted_agrid=chain.supply.minted_agrid,
        grid_burned_agrid=chain.supply.burned_agrid,
        missed_votes=chain.missed_votes,
        disk_free_bytes=node.room.free_bytes,
        disk_days_left=node.room.days_left,
    )


def measure_lag(node: Node) -> int:
    """Return how many heights *node* is behind what W peers say they work on: one of them is correct."""
    driver = node.driver
    heights = sorted((peer.height for peer in node.peers.by_name.values()), reverse=True)
    weak = driver.position.authorities.weak_quorum
    return max(0, heights[weak - 1] - driver.height) if len(heights) >= weak else 0


def is_signing(node: Node) -> bool:
    """Tell whether *node* takes part in deciding the height in progress."""
    at = node.machine.state
    return at is not None and at.signing and node.driver.alarm is None


def _find_last_clearing(state: LedgerState) -> LastClearing | None:
    end = read_clock(state).next_clear
    for key in reversed(state.keys(EPOCHS.name)[-MAX_EPOCHS_BACK:]):
        row, epoch = state.get(EPOCHS, key), int.from_bytes(key, "big")
        if row is not None and epoch < end and row.orders:
            return LastClearing(epoch, row.orders, row.matched_wh, row.price_uaip_per_kwh)
    return None
