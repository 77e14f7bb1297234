"""Compare what two nodes computed for a block."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.commands.diagnosing import AsJson, Urls
from ledger.commands.urls import require_url
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from ledger.api.block_result import BlockResult


def diff_block(
    height: Annotated[int, typer.Argument(min=1, help="The block's height.")],
    url: Urls,
    account: Annotated[str, typer.Option(help="Who asks, 16 hex digits: nodes show rows to authorities.")] = "",
    key: Annotated[Path, typer.Option(help="The file with that account's key.")] = Path("account.key"),
    as_json: AsJson = False,
) -> None:
    """Show where nodes differ in what they computed for a block: receipts, rows, records, leaves; exit 1 if they do.

    A node that computes something else than a block says votes nil, keeps its own result and asks the proposer for
    his: its --url alone will do. Blocks decided a moment ago are compared between two nodes. For example:

        campusgrid ledger diff-block 1207 --url http://erc:9933 --url http://mea:9933
    """
    from ledger.difference import compare  # noqa: PLC0415 - see `ledger.commands`

    results = asyncio.run(_gather(height, url, account, key))
    differences = []
    for one, other in _pair(results):
        lines = list(compare(one, other))
        title = f"block {one.block_id.hex()[:16]} of {one.proposer} at height {height}: {one.source} and {other.source}"
        differences.append({"block_id": one.block_id.hex(), "nodes": [one.source, other.source], "differences": lines})
        if not as_json:
            typer.echo("\n  ".join([f"{title} {'differ' if lines else 'computed the same'}", *lines]))
    if as_json:
        typer.echo(json.dumps({"height": height, "comparisons": differences}, indent=2))
    raise typer.Exit(1 if any(one["differences"] for one in differences) else 0)


async def _gather(height: int, urls: Sequence[str], account: str, key: Path) -> list[BlockResult]:
    from ledger.node.settings import read_key  # noqa: PLC0415
    from ledger.remote.client import LedgerClient, ViewingKey  # noqa: PLC0415 - see `ledger.commands`

    if re.fullmatch("([0-9a-f]{16})?", account) is None:
        raise LedgerError("give the account that asks with --account, 16 lower-case hex digits")
    viewer = ViewingKey(bytes.fromhex(account), read_key(key)) if account else None

    found: list[BlockResult] = []
    for url in urls:
        require_url(url)
        async with LedgerClient([url], viewer) as client:
            found += await client.results(height)
    return found


def _pair(results: Sequence[BlockResult]) -> Iterator[tuple[BlockResult, BlockResult]]:
    """Yield every two results of one block by two nodes once; raises LedgerError where there are none."""
    by_source = {(one.block_id, one.source): one for one in results}
    pairs = [pair for pair in combinations(by_source.values(), 2) if pair[0].block_id == pair[1].block_id]
    if not pairs:
        held = ", ".join(f"{one.source}'s of {one.block_id.hex()[:16]}" for one in by_source.values()) or "none"
        raise LedgerError(
            f"there are no two results of one block to compare (found: {held}); give --url of two nodes that executed"
            " it; they keep the newest few blocks, and those that they refused"
        )
    yield from pairs
