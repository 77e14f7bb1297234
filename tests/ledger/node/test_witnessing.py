"""A node asks real witnesses for cosignatures, and what it serves then meets a policy that demands them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from ledger import checkpoint, policy
from ledger.api import log
from ledger.checkpoint import SignatureType, VerifierKey
from ledger.keys import PrivateKey
from ledger.monitor import cosigner, fork
from ledger.monitor.cosigner import Cosigner
from ledger.monitor.memory import WitnessMemory
from ledger.monitor.watcher import FixedSigners
from ledger.node.settings import WitnessSettings
from ledger.node.signers import witnessing
from ledger.node.signers.cosigning import Provable, decode_provable
from ledger.node.signers.witnessing import FRESH_S, Witnessing
from ledger.node.storage.disk import Disk
from ledger.node.storage.store import Store
from ledger.policy import PolicyRefusedError
from tests.ledger.chain_kit import Chain, key_of, make_chain
from tests.ledger.node.provable import Place

KEYS = {name: PrivateKey(name.encode() * 4) for name in ("witness1", "witness2")}
LOG_KEY = key_of(1002)


@pytest.fixture(scope="module")
def chain() -> Chain:
    made = make_chain()
    for _ in range(4):
        made.block(*(made.sign("user1", "money", "transfer", made.people["user2"].id, 1) for _ in range(100)))
    return made


class Campus:
    """A node's log and two witnesses of it; one that is `broken` gets the answer given there."""

    def __init__(self, place: Place, disk: Disk, witnesses: dict[str, Cosigner]) -> None:
        self.place, self.disk, self.witnesses = place, disk, witnesses
        self.apps = {name: httpx.ASGITransport(cosigner.make_app(one)) for name, one in witnesses.items()}
        self.broken: dict[str, httpx.Response] = {}
        self.asked: list[str] = []
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        origin = checkpoint.origin(place.chain.genesis.chain_id)
        known = checkpoint.verifier_keys(place.chain.genesis.authorities, origin)
        lines = [f"log {key}" for key in known if key.type is SignatureType.LOG]
        lines += [f"witness {name} {one.verifier}" for name, one in witnesses.items()]
        self.policy = policy.parse("\n".join([*lines, "group both all witness1 witness2", "quorum both", ""]))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        self.asked.append(name)
        if name in self.broken:
            return self.broken[name]
        return await self.apps[name].handle_async_request(request)

    @property
    def provable(self) -> Provable:
        stored = self.place.store.meta("provable")
        assert stored is not None
        return decode_provable(stored)

    def witnessing(self, **keys: VerifierKey) -> Witnessing:
        """Return what a node that was just started asks them with."""
        return Witnessing(self.settings(*self.witnesses, **keys), self.disk, lambda: self.provable, lambda: LOG_KEY)

    def settings(self, *names: str, **keys: VerifierKey) -> list[WitnessSettings]:
        """Return `[[witnesses]]` of node.toml with those named."""
        return [
            WitnessSettings.model_validate(
                {
                    "url": f"http://{name}/",
                    "key": str(keys.get(name, self.witnesses[name].verifier)),
                }
            )
            for name in names
        ]

    async def shown(self, asking: Witnessing) -> fork.SignedCheckpoint:
        """Return the checkpoint that the API shows."""
        app, public = FastAPI(), witnessing.served(self.provable, asking.witnessed, time.time())
        source: Any = SimpleNamespace(public_checkpoint=public, log_key=LOG_KEY)
        app.include_router(log.routes(source))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as http:
            return fork.parse_note((await http.get("/checkpoint")).text)

    async def satisfies(self, asking: Witnessing) -> bool:
        found = await self.shown(asking)
        try:
            self.policy.check(found.checkpoint, found.lines)
        except PolicyRefusedError:
            return False
        return True


@pytest.fixture
def witnesses(chain: Chain, tmp_path: Path) -> Iterator[dict[str, Cosigner]]:
    origin = checkpoint.origin(chain.genesis.chain_id)
    signers = FixedSigners(policy.of_keys(checkpoint.verifier_keys(chain.genesis.authorities, origin)))
    with WitnessMemory(tmp_path / "one") as one, WitnessMemory(tmp_path / "two") as two:
        memories = zip(KEYS.items(), (one, two), strict=True)
        yield {name: Cosigner(origin, signers, memory, f"{name}.example", key) for (name, key), memory in memories}


@pytest.fixture
async def campus(chain: Chain, witnesses: dict[str, Cosigner], tmp_path: Path) -> AsyncIterator[Campus]:
    place = Place(chain, tmp_path / "node")
    disk = Disk(place.store, Store.open_reader(tmp_path / "node" / "data" / "ledger.sqlite"))
    made = Campus(place, disk, witnesses)
    yield made
    await made.http.aclose()
    disk.close()


async def test_what_a_node_serves_meets_a_policy_that_demands_witnesses(campus: Campus) -> None:
    """From nothing; as the log grows; and by a node that was started anew and knows not what they remember."""
    campus.place.prove(1)
    asking = campus.witnessing()
    assert not await campus.satisfies(asking)
    await asking.ask_all(campus.http)
    assert await campus.satisfies(asking)
    await asking.ask_all(campus.http)
    assert len(campus.asked) == 2, "a checkpoint that they cosigned is not shown them again"
    campus.place.prove(2)
    await asking.ask_all(campus.http)
    assert len(campus.asked) == 4, "what follows is proven at once"
    size = campus.place.prove(4)
    again = campus.witnessing()
    await again.ask_all(campus.http)
    assert len(campus.asked) == 8, "409 tells what a witness remembers"
    assert await campus.satisfies(again)
    assert (await campus.shown(again)).checkpoint.size == size
    assert await campus.disk.read(witnessing.stored) == again.witnessed, "for `serve`, and for after a restart"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="\u2014 witness1.example AAAA\n"),
        httpx.Response(200, text="nonsense"),
        httpx.Response(200, text="x" * 5000),
        httpx.Response(409, text="0\n"),
        httpx.Response(409, text="what?"),
    ],
)
async def test_a_witness_that_fails_is_left_alone_and_the_other_one_counts(
    campus: Campus, answer: httpx.Response
) -> None:
    campus.place.prove(1)
    asking = campus.witnessing()
    campus.broken["witness1"] = answer
    await asking.ask_all(campus.http)
    assert asking.witnessed is not None
    assert [line.name for line in asking.witnessed.lines[3:]] == ["witness2.example"]
    campus.asked.clear()
    campus.place.prove(2)
    await asking.ask_all(campus.http)
    assert campus.asked == ["witness2"], "so soon after a failure"
    del campus.broken["witness1"]
    asking.witnesses[0].not_before_s = 0
    await asking.ask_all(campus.http)
    assert await campus.satisfies(asking)


async def test_a_witness_that_has_seen_more_is_asked_again_with_the_next_checkpoint(campus: Campus) -> None:
    campus.place.prove(1)
    asking = campus.witnessing()
    campus.broken["witness1"] = httpx.Response(409, text="999999\n")
    await asking.ask_all(campus.http)
    assert asking.witnesses[0].failures == 0
    del campus.broken["witness1"]
    campus.place.prove(2)
    await asking.ask_all(campus.http)
    assert await campus.satisfies(asking)


async def test_a_cosignature_by_another_key_than_in_node_toml_is_not_kept(campus: Campus) -> None:
    campus.place.prove(1)
    other = VerifierKey("witness1.example", SignatureType.COSIGNATURE, key_of(5).public_key)
    asking = campus.witnessing(witness1=other)
    await asking.ask_all(campus.http)
    assert asking.witnesses[0].failures == 1
    assert not await campus.satisfies(asking)


async def test_a_cosignature_of_a_time_to_come_is_not_kept_and_makes_nothing_fresh(campus: Campus) -> None:
    """Else one witness with a wrong clock would have old checkpoints served until that time."""
    campus.place.prove(1)
    note, now_s = campus.provable, int(time.time())
    lines = [
        checkpoint.cosign(note.checkpoint, "witness1.example", KEYS["witness1"], now_s + ahead_s)
        for ahead_s in (FRESH_S // 2, 2 * FRESH_S)
    ]
    for line, failures in zip(lines, (0, 1), strict=True):
        asking = campus.witnessing()
        campus.broken["witness1"] = httpx.Response(200, text=str(line))
        await asking.ask_all(campus.http)
        assert asking.witnesses[0].failures == failures
    far = replace(note, lines=(*note.lines, lines[1]))
    assert far.is_fresh(now_s, FRESH_S)
    assert not far.is_fresh(now_s + FRESH_S, FRESH_S), "what others signed is old, and that is of a time to come"


async def test_one_with_fewer_witnesses_takes_the_place_of_an_old_one_alone(campus: Campus) -> None:
    campus.place.prove(1)
    asking = campus.witnessing()
    await asking.ask_all(campus.http)
    both = asking.witnessed
    assert both is not None
    campus.place.prove(2)
    campus.broken["witness1"] = httpx.Response(500)
    await asking.ask_all(campus.http)
    assert asking.witnessed == both, "both had signed that one"
    now_s, newest = time.time(), campus.provable
    assert witnessing.served(newest, both, now_s) == both
    assert witnessing.served(newest, both, now_s + FRESH_S) == newest
    same = replace(newest, checkpoint=both.checkpoint)
    assert witnessing.served(same, both, now_s + FRESH_S) == both, "a log that stands still has nothing newer"
    assert witnessing.served(newest, None, now_s) == newest


async def test_what_a_witness_signed_that_is_left_out_is_served_no_more(campus: Campus) -> None:
    campus.place.prove(1)
    asking = campus.witnessing()
    await asking.ask_all(campus.http)
    assert len(campus.asked) == 2
    asking.reload(campus.settings("witness2"))
    await asking.drop_strangers()
    assert asking.witnessed is None
    assert await campus.disk.read(witnessing.stored) is None, "`serve` shows it no more, either"
    await asking.ask_all(campus.http)
    assert [line.name for line in (await campus.shown(asking)).lines[4:]] == ["witness2.example"]
    assert len(campus.asked) == 2, "what the other one signed is known still"
    held = asking.witnessed
    asking.reload(campus.settings("witness1", "witness2"))
    await asking.drop_strangers()
    assert asking.witnessed == held
    await asking.ask_all(campus.http)
    assert await campus.satisfies(asking)


def test_a_witness_has_a_cosigner_key() -> None:
    log_key = VerifierKey("log.example", SignatureType.LOG, LOG_KEY.public_key)
    for key, fault in ((str(log_key), "cosigner key"), ("nonsense", "name")):
        with pytest.raises(ValidationError, match=fault):
            WitnessSettings.model_validate({"url": "http://one", "key": key})
