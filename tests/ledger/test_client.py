"""The client's own part: lists that come in pages, and nodes that are left for the next one."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from ledger.remote import caller
from ledger.remote.caller import CallError
from ledger.remote.client import AccountClient, ClientError, LedgerClient, NotFinalError

EPOCH: dict[str, object] = {
    "phase": "open", "price_uaip_per_kwh": None, "price_interval": None, "matched_wh": 0, "orders": 0, "import_wh": 0,
    "export_wh": 0, "lines": [],
}  # fmt: skip


def answering(handler: object, *urls: str) -> LedgerClient:
    client = LedgerClient(urls or ["http://one"])
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(handler))  # type: ignore[arg-type]
    return client


async def test_epochs_are_asked_for_until_no_more_follow() -> None:
    asked: list[tuple[int, int]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        first, last = int(request.url.params["from"]), int(request.url.params["to"])
        asked.append((first, last))
        epochs = [{"epoch": number, **EPOCH} for number in range(first, min(first + 3, last + 1))]
        return httpx.Response(200, json={"epochs": epochs, "more": first + 3 <= last})

    async with answering(answer) as client:
        assert [epoch.epoch for epoch in await client.epochs(5, 12)] == list(range(5, 13))
    assert asked == [(5, 12), (8, 12), (11, 12)]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_node_that_has_no_time_is_left_for_the_next(status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status) if request.url.host == "one" else httpx.Response(200, json={"calls": []})

    async with answering(answer, "http://one", "http://two") as client:
        assert await client.calls() == []
        assert client.node == "http://two"
    async with answering(answer, "http://one") as client:
        with pytest.raises(ClientError, match=f"http://one answered {status}"):
            await client.calls()


async def test_a_call_that_is_not_final_yet_says_how_to_ask_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(*_: object) -> None:
        raise NotFinalError(bytes(32), "pending", 30.0)

    async def status(_: object) -> SimpleNamespace:
        return SimpleNamespace(chain_id=bytes(8))

    monkeypatch.setattr(AccountClient, "call_and_wait", waits)
    monkeypatch.setattr(LedgerClient, "status", status)
    (tmp_path / "account.key").write_text("07" * 32)
    call = caller.read_call("money.transfer", ["to=" + "0" * 16, "amount_aaip=1"])
    later = (
        f"is pending after 30 s; do not send it again, ask later: `curl http://one/v1/transactions/{bytes(32).hex()}`"
    )
    with pytest.raises(CallError, match=re.escape(later)):
        await caller.send(call, "0" * 16, tmp_path / "account.key", "http://one/")
