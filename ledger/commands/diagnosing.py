"""Find out how a node is, and what keeps a ledger from deciding."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from ledger.commands.columns import write_columns
from ledger.commands.urls import require_url

if TYPE_CHECKING:
    from ledger.api.condition import AuthorityCondition, Condition, Health, LastClearing
    from ledger.api.resources import NodeStatus

STALE_S: Final = 15.0
"""Several blocks, unless the chain's interval is a long one: so it is told as what is seen, not as a fault."""

T = TypeVar("T")
Urls = Annotated[
    list[str], typer.Option("--url", help="A node's API, such as http://127.0.0.1:9933; several, each with --url.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def status(
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")], as_json: AsJson = False
) -> None:
    """Show where a node stands and how it and its chain are.

    For example: campusgrid ledger status --url http://127.0.0.1:9933
    """
    require_url(url)
    found, health = asyncio.run(_ask_status(url))
    if as_json:
        typer.echo(json.dumps({**_dump(found), "health": _dump(health) if health else None}, indent=2))
    else:
        typer.echo(_write_status(found, health))


def why_stuck(url: Urls, as_json: AsJson = False) -> None:
    """Say in plain words what keeps a ledger from deciding its next block; exit 1 if something does.

    Shows for each authority where it stands, when it was last heard, which votes it lacks, how far its clock is off,
    and why the asked nodes voted nil. The first --url is judged; others add their reasons. For example:

        campusgrid ledger why-stuck --url http://erc:9933 --url http://mea:9933
    """
    from ledger.stuck import find_cause  # noqa: PLC0415 - see `ledger.commands`

    conditions, silent = asyncio.run(_ask_all(url))
    cause = find_cause(conditions)
    if as_json:
        verdict = {"is_stuck": cause.is_stuck, "text": cause.text, "next_step": cause.next_step}
        told = {"conditions": [_dump(one) for one in conditions], "unreachable": silent, "verdict": verdict}
        typer.echo(json.dumps(told, indent=2))
    else:
        for one in conditions:
            typer.echo(_write_condition(one) + "\n")
        for address, fault in silent.items():
            typer.echo(f"{address} did not answer: {fault}\n")
        typer.echo(f"{'held up' if cause.is_stuck else 'not held up'}: {cause.text}\nwhat to do: {cause.next_step}")
    raise typer.Exit(1 if cause.is_stuck else 0)


async def _ask_all(urls: Sequence[str]) -> tuple[list[Condition], dict[str, str]]:
    """Return the conditions of the nodes that answer, and why the others do not; raises ClientError if none does."""
    from ledger.remote.client import ClientError, LedgerClient  # noqa: PLC0415 - see `ledger.commands`

    found: list[Condition] = []
    silent: dict[str, str] = {}
    for url in urls:
        require_url(url)
        async with LedgerClient([url]) as client:
            try:
                found.append(await client.condition())
            except ClientError as error:
                silent[url] = str(error)
    if not found:
        raise ClientError(f"no node answers: {'; '.join(silent.values())}; start one, or mend the URL")
    return found, silent


async def _ask_status(url: str) -> tuple[NodeStatus, Health | None]:
    """Return status and health; a process that reads beside a node has no health of its own."""
    from ledger.remote.client import LedgerClient, RefusedError  # noqa: PLC0415 - see `ledger.commands`

    async with LedgerClient([url]) as client:
        try:
            return await client.status(), await client.health()
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        return await client.status(), None


def _dump(value: object) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 - see `ledger.commands`

    return TypeAdapter(type(value)).dump_python(value, mode="json")


def _write_status(found: NodeStatus, health: Health | None) -> str:
    role = "no authority" if found.index is None else f"authority {found.index}"
    linked = [peer for peer in found.peers if peer.connected]
    rows = [
        ("node", f"{found.name}, {role} of chain {found.chain_id.hex()}"),
        ("state", _write_state(found, health) if health else "a copy beside the node answers: ask the node itself"),
        ("faults", _write_tolerance(found)),
        ("height", f"{found.height}, {_age_s(found):.1f} s old"),
        ("root", found.state_root.hex()),
        ("log", f"{found.log_size} leaves, provable up to {found.checkpoint_size}"),
        ("consensus", f"round {found.round} ({found.step}); transactions waiting: {found.mempool}"),
        ("peers", f"{len(linked)} of {len(found.peers)} linked" + _list_peers(found)),
        *(_write_health(health) if health else ()),
    ]
    return "\n".join(f"{name:<13} {text}" for name, text in rows)


def _write_health(health: Health) -> list[tuple[str, str]]:
    cleared, days = health.last_clearing, health.disk_days_left
    return [
        ("clearing", _write_clearing(cleared) if cleared else "no book with orders was cleared of late"),
        ("oracle", f"{health.oracle_open} requests open, {health.oracle_late} ended without an answer"),
        ("GRID", f"{_kwh(health.grid_minted_agrid)} minted, {_kwh(health.grid_burned_agrid)} burned"),
        ("missed votes", ", ".join(f"{one.name} {one.missed_votes}" for one in health.missed_votes)),
        ("disk", f"{health.disk_free_bytes / 2**30:.1f} GiB free" + (f", full in {days:.0f} days" if days else "")),
    ]


def _write_tolerance(found: NodeStatus) -> str:
    if found.development or not found.tolerated_faults:
        return "NOT FAULT-TOLERANT" + (": a development chain, to try things on" if found.development else "")
    return f"any {found.tolerated_faults} of the authorities may fail in whatever way"


def _age_s(found: NodeStatus) -> float:
    return max(0.0, time.time() - found.time_ms / 1000)


def _write_state(found: NodeStatus, health: Health) -> str:
    if health.alarm is not None:
        return f"ALARM: {health.alarm}"
    if health.syncing:
        return f"copies blocks, {health.lag_blocks} behind"
    if found.mempool and _age_s(found) > STALE_S:
        return "transactions wait, and the newest block is old: `campusgrid ledger why-stuck` tells what keeps it"
    return "well" if health.signing else "follows the chain and signs nothing"


def _list_peers(found: NodeStatus) -> str:
    return "".join(f"; {peer.name} {f'at {peer.height}' if peer.connected else 'away'}" for peer in found.peers)


def _write_clearing(cleared: LastClearing) -> str:
    price = cleared.price_uaip_per_kwh
    at = "nothing matched" if price is None else f"{cleared.matched_wh} Wh at {price / 10**6:.6f} AIP/kWh"
    return f"epoch {cleared.epoch}: {cleared.orders} orders, {at}"


def _kwh(amount_agrid: int) -> str:
    return f"{amount_agrid // 10**15 / 1000:.3f} kWh"


def _write_condition(one: Condition) -> str:
    age_s = one.height_age_ms / 1000
    work = f"transactions waiting: {one.mempool}" if one.mempool else "work waits" if one.has_work else "nothing waits"
    place = f"{one.name}: height {one.height}, round {one.round} ({one.step}), for {age_s:.1f} s"
    lines = [
        f"{place}; {one.proposer} proposes, {one.quorum} of {len(one.authorities)} must agree; {work}",
        write_columns(
            ("authority", "height", "round", "step", "heard", "last vote", "clock", "prevote", "precommit", "lacks"),
            [_cells(peer) for peer in one.authorities],
        ),
    ]
    nils = [nil for nil in one.nils if nil.height == one.height]
    if nils:
        lines.append(f"why {one.name} voted nil at height {one.height}:")
        lines += [f"  round {nil.round} {nil.kind}: {nil.text}" for nil in nils]
    return "\n".join(lines)


def _cells(one: AuthorityCondition) -> tuple[str, ...]:
    from ledger.api.condition import MISSING  # noqa: PLC0415 - see `ledger.commands`

    return (
        one.name + ("" if one.connected else " (no link)"),
        _or_dash(one.height),
        _or_dash(one.round),
        one.step or "-",
        "itself" if one.is_self else _age(one.report_age_ms),
        "-" if one.is_self else _age(one.message_age_ms),
        "-" if one.clock_offset_ms is None else f"{one.clock_offset_ms:+d} ms",
        "-" if one.prevote == MISSING else one.prevote[:8],
        "-" if one.precommit == MISSING else one.precommit[:8],
        _write_lacks(one),
    )


def _write_lacks(one: AuthorityCondition) -> str:
    parts = (("prevotes", one.lacks_prevotes), ("precommits", one.lacks_precommits))
    return "; ".join(f"{kind} of {', '.join(names)}" for kind, names in parts if names) or "-"


def _age(age_ms: int | None) -> str:
    return "never" if age_ms is None else f"{age_ms / 1000:.1f} s ago"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
