"""The line to the broker keeps its own bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.intake import mqtt
from gateway.intake.mqtt import BrokerLink
from gateway.settings import load_gateway
from tests.gateway.plant import BOUND_S, Plant

BOUND = 40


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


async def test_at_the_bound_the_socket_is_read_no_further_and_nothing_is_lost(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_IN_FLIGHT", BOUND)
    pen = plant.pens[0]
    sent = [pen.sign() for _ in range(5 * BOUND)]
    link = BrokerLink(load_gateway(plant.config).broker)
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(BOUND_S):
        await until(lambda: link.is_connected)
        await asyncio.to_thread(lambda: plant.line(pen.meter_id.hex()).send(pen.topic, *sent))
        await until(lambda: link.in_flight == BOUND)
        taken: list[bytes] = []
        while len(taken) < len(sent):
            assert link.in_flight <= BOUND
            batch = await link.take(1000)
            taken += [message.payload for message in batch]
            link.acknowledge(batch)
        link.stop_reading()
        assert await link.take(1) == []
        await link.stop()
        await running
    assert taken == sent


async def test_a_broker_that_refuses_the_gateway_is_asked_ever_more_rarely(plant: Plant) -> None:
    settings = load_gateway(plant.config).broker.model_copy(update={"password": "wrong"})
    link = BrokerLink(settings)
    start_s = time.monotonic()
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(BOUND_S):
        await until(lambda: link._connection == 3)
        assert time.monotonic() - start_s >= 3 * mqtt.RETRY_FIRST_S
        link.stop_reading()
        await link.stop()
        await running
    assert not link.is_connected
