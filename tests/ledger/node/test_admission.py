"""What clients submit and peers pass on comes into the mempool by one way, in batches, each judged by itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest_asyncio
from fastapi import FastAPI

from ledger.api import bulk
from ledger.api.problems import install
from ledger.api.source import Source
from ledger.codes import Code, Refusal
from ledger.node.admission import MAX_QUEUED_GOSSIP, Admission, Admitted
from ledger.node.chain import Chain as NodeChain
from ledger.node.chain import Ledger
from ledger.node.mempool import Mempool
from ledger.node.network import wire
from ledger.node.network.wire import Frame
from ledger.transaction import MAX_TRANSACTION_BYTES
from tests.ledger.chain_kit import Chain, make_chain


class Desk:
    """An admission with its mempool; `frames` is what it passed on, `noted` how often it said that there is work."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.frames: list[Frame] = []
        self.noted = 0
        self.pool = Mempool()
        self.ledger = Ledger(NodeChain(chain.runtime, chain.state))
        self.blamed: list[str] = []
        self.admission = Admission(self.ledger, self.pool, self.frames.append, self.note, self.blamed.append)

    def note(self) -> None:
        self.noted += 1

    def transfer(self, nonce: int, amount_aaip: int = 1) -> bytes:
        return self.chain.sign("user0", "money", "transfer", self.chain.people["user1"].id, amount_aaip, nonce=nonce)

    @property
    def passed_on(self) -> list[bytes]:
        return [raw for frame in self.frames for raw in wire.read_transactions(frame.payload)]


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk(make_chain())
    working = asyncio.create_task(made.admission.run())
    yield made
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    made.ledger.close()


async def test_each_of_many_is_judged_by_itself_and_the_good_ones_go_on_in_one_frame(desk: Desk) -> None:
    good = [desk.transfer(nonce) for nonce in range(5)]
    answers = await desk.admission.submit([*good[:3], b"nonsense", *good[3:], desk.transfer(4, 7)])
    assert [isinstance(answer, Admitted) for answer in answers] == [True, True, True, False, True, True, False]
    refusal = answers[3]
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.UNDECODABLE
    assert len(desk.frames) == 1
    assert desk.passed_on == good
    assert desk.noted == 1
    assert desk.pool.ready(100, 10**6) == tuple(good)


async def test_what_a_peer_passes_on_stays_here_and_has_a_limit(desk: Desk) -> None:
    raws = [desk.transfer(nonce) for nonce in range(3)]
    desk.admission.take_gossip("EGAT", [b"nonsense"] * (MAX_QUEUED_GOSSIP + 3))
    assert desk.admission.dropped_gossip == 3
    desk.admission.take_gossip("MEA", raws)  # nobody takes the room of others
    await desk.admission.submit([raws[0]])  # is answered behind all that came before
    assert len(desk.pool) == 3
    assert desk.passed_on == [raws[0]]
    assert set(desk.blamed) == {"EGAT"}
    desk.admission.take_gossip("EGAT", raws)  # what was judged takes no room
    assert desk.admission.dropped_gossip == 3


def test_frames_of_transactions_stay_within_their_limit() -> None:
    raws = [bytes([number]) * size for number, size in enumerate([MAX_TRANSACTION_BYTES, 1, MAX_TRANSACTION_BYTES] * 3)]
    frames = wire.transactions(raws)
    assert [raw for frame in frames for raw in wire.read_transactions(frame.payload)] == raws
    assert max(len(frame.payload) for frame in frames) <= wire.MAX_PAYLOAD_BYTES[wire.FrameType.TRANSACTIONS]
    assert wire.transactions([]) == []


async def test_the_api_takes_many_at_once(desk: Desk) -> None:
    app = FastAPI()
    install(app)
    app.include_router(bulk.routes(cast(Source, SimpleNamespace(submit_all=desk.admission.submit))), prefix="/v1")
    transport = httpx.ASGITransport(app=app)

    async def post(body: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.post("/v1/transactions/bulk", json=body)

    raws = [desk.transfer(0), b"nonsense", desk.transfer(1)]
    answer = await post({"transactions": [base64.b64encode(raw).decode() for raw in raws]})
    assert answer.status_code == 202
    assert [one["code"] for one in answer.json()["answers"]] == [None, "undecodable", None]
    bodies: list[Any] = [{"transactions": []}, {"transactions": ["%"]}, {"transactions": ["AA=="] * 501}, [1]]
    for body in bodies:
        assert (await post(body)).status_code == 400
    assert (await post({"transactions": ["A" * bulk.MAX_BODY_BYTES]})).status_code == 413
