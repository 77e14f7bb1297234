"""A whole node against hostile frames and requests: it answers, keeps its alarm silent, and decides the next block."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx

from ledger.api.operator import make_operator_app
from ledger.api.source import NodeSource
from ledger.consensus.messages import Proposal, sign
from ledger.node.network import wire
from ledger.node.network.wire import CosignatureReport, Frame, FrameType, NodeReport
from ledger.node.snapshots import wire as snapshot_wire
from tests.ledger.hostile import Target, targets
from tests.ledger.mangling import EDGES, mangle
from tests.ledger.node.network import NAMES, make_network, until
from tests.ledger.node.test_service import Authorities, Lone, run_alone, transfer

REQUESTS_PER_FRAMES = 10
"""One request to the API for so many frames."""


async def attack_node(folder: Path, number: int, frames: int) -> tuple[list[str], Counter[str]]:
    """Send a node the frames of unit *number*, and requests; return what was violated, and what was counted."""
    random, counts = Random(f"node {number}"), Counter[str]()
    async with run_alone(make_network(folder)) as (lone, others):
        violations = await _send_all(lone, _frames(others, random, frames), counts)
        violations += await _ask_all(lone, random, frames // REQUESTS_PER_FRAMES, counts)
        violations += await _goes_on(lone, others)
    return violations, counts


async def _send_all(lone: Lone, frames: Iterator[Frame], counts: Counter[str]) -> list[str]:
    for place, frame in enumerate(frames):
        try:
            lone.hear(NAMES[1 + place % 3], frame)
        except Exception as error:
            return [f"a {frame.kind.name} frame raised {error!r}: {frame.payload[:400].hex()}"]
        counts[f"frame.{frame.kind.name.lower()}"] += 1
        if place % 100 == 0:
            await asyncio.sleep(0)
    return []


async def _goes_on(lone: Lone, others: Authorities) -> list[str]:
    """Let the node decide a block, whatever it was told before; it may have got that very block already."""
    block, commit = others.decide()

    async def is_decided() -> bool:
        lone.hear(NAMES[2], wire.decided(block.encode(), commit))
        return lone.node.driver.position.header.height >= 1 or lone.node.driver.alarm is not None

    await until(is_decided, "the next block")
    if lone.node.driver.alarm is not None:
        return [f"the alarm: {lone.node.driver.alarm}"]
    return [] if lone.node.driver.position.header.id == block.id else ["another block was decided"]


def _frames(others: Authorities, random: Random, count: int) -> Iterator[Frame]:
    sound = _sound(others, {target.name: target for target in targets()})
    kinds = sorted(sound)
    for _ in range(count):
        kind = random.choice(kinds)
        yield Frame(kind, mangle(sound[kind], random)[: wire.MAX_PAYLOAD_BYTES[kind]])


def _sound(others: Authorities, known: dict[str, Target]) -> dict[FrameType, list[bytes]]:
    """Return examples of each kind of frame, signed by authorities of the node's own chain."""
    network, rival = others.network, Authorities(others.network)
    body, _ = rival.decide(transfer(network, 0, 5))
    proposal = sign(Proposal(1, 0, -1, body.id), network.genesis.chain_id, 1, others.keys[1])
    frames = [
        wire.message(proposal.raw),
        *(wire.message(others.vote(place, value).raw) for place in (1, 2) for value in (body.id, bytes(32))),
        wire.proposal(proposal.raw, body.encode()),
        wire.report(NodeReport(None, 9, 40)),
        Frame(FrameType.STATUS, known["frame.report"].sound[0]),
        wire.wanted(1, body.id),
        wire.candidate(body.id, body.encode()),
        wire.block_range(1, 32),
        Frame(FrameType.DECIDED, known["frame.decided"].sound[0]),
        *wire.transactions([transfer(network, nonce) for nonce in range(3)]),
        wire.cosignature(CosignatureReport(9, 2, bytes(76))),
        wire.result_wanted(1, body.id),
        wire.result(known["result"].sound[0]),
        snapshot_wire.snapshots_wanted(),
        Frame(FrameType.SNAPSHOTS, known["frame.snapshots"].sound[0]),
        snapshot_wire.manifest_wanted(body.id),
        snapshot_wire.manifest(known["snapshot.manifest"].sound[0]),
        Frame(FrameType.PART_WANTED, known["frame.part_wanted"].sound[0]),
        Frame(FrameType.PART, known["frame.part"].sound[0]),
    ]
    found: dict[FrameType, list[bytes]] = {}
    for frame in frames:
        found.setdefault(frame.kind, []).append(frame.payload)
    return found


async def _ask_all(lone: Lone, random: Random, count: int, counts: Counter[str]) -> list[str]:
    """Send requests to every route, whose parts are anything; the answer is never a fault of the server."""
    source = NodeSource(lone.node)
    app = make_operator_app(lone.node, source)
    routes = [(path, "POST" if "post" in methods else "GET") for path, methods in app.openapi()["paths"].items()]
    body = json.dumps({"transaction": base64.b64encode(os.urandom(120)).decode()}).encode()
    many = json.dumps({"transactions": [base64.b64encode(os.urandom(120)).decode()] * 3}).encode()
    violations: list[str] = []
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
        for _ in range(count):
            route, method = random.choice(routes)
            path = "/".join(_word(random) if part.startswith("{") else part for part in route.split("/"))
            query = {_word(random): _word(random), random.choice(("after", "limit", "account", "from")): _word(random)}
            content = mangle([body, many], random) if method == "POST" else None
            try:
                answer = await client.request(method, path, params=query, content=content)
            except httpx.InvalidURL:
                continue
            except Exception as error:
                violations.append(f"{path} {query} raised {error!r}")
                continue
            counts[f"answer.{answer.status_code}"] += 1
            if answer.status_code >= 500 and answer.status_code != 503:
                violations.append(f"{path} {query}: {answer.status_code} {answer.text[:200]}")
    source.close()
    return violations


def _word(random: Random) -> str:
    if random.random() < 0.4:
        return random.choice((os.urandom(8).hex(), os.urandom(32).hex(), "1", "money", "balance_of", "2000000", "-1"))
    edge = random.choice(EDGES)
    return str(edge)[:200] or "x"
