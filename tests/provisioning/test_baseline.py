"""The common baseline is found however many readings came before it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import httpx
import pytest

from provisioning import baseline
from provisioning.errors import EnrolmentError

OLD, NEW = b"old meter"[:8], b"new meter"[:8]
URL = "http://gateway"


def gateway_with(boundaries: Mapping[bytes, range]) -> httpx.AsyncClient:
    """Return a client of a gateway that holds boundary readings of these epochs, page by page."""

    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        epochs, limit = boundaries[bytes.fromhex(query["meter"])], int(query["limit"])
        start = int(query.get("after", 0))
        page = [
            {
                "reason": "boundary",
                "refusal": None,
                "epoch": epoch,
                "envelope": base64.b64encode(b"%d" % epoch).decode(),
            }
            for epoch in epochs[start : start + limit]
        ]
        return httpx.Response(200, json={"readings": page, "next": start + limit if len(page) == limit else None})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def describe(epoch: int) -> dict[str, object]:
    envelope = base64.b64encode(b"%d" % epoch).decode()
    return {"reason": "boundary", "refusal": None, "epoch": epoch, "envelope": envelope}


async def test_a_meter_that_came_late_shares_a_baseline_with_the_first() -> None:
    pages = 3 * baseline.PAGE_READINGS
    async with gateway_with({OLD: range(pages), NEW: range(pages - 2, pages)}) as http:
        found = await baseline.find(http, URL, [OLD, NEW])
    assert found is not None
    assert found.epoch == pages - 2
    assert found.envelopes == {OLD: b"%d" % found.epoch, NEW: b"%d" % found.epoch}


async def test_without_a_common_boundary_there_is_no_baseline_yet() -> None:
    async with gateway_with({OLD: range(5), NEW: range(5, 6)}) as http:
        assert await baseline.find(http, URL, [OLD, NEW]) is None


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(200, json={"hello": "world"}), "http://gateway does not answer as a gateway does"),
        (httpx.Response(200, text="hello"), "the gateway at http://gateway does not tell its readings"),
        (httpx.Response(503), "the gateway at http://gateway does not tell its readings"),
    ],
)
async def test_a_server_that_is_no_gateway_is_named(answer: httpx.Response, text: str) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
        with pytest.raises(EnrolmentError, match=text):
            await baseline.find(http, URL, [OLD])
