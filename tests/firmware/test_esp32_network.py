"""The keeper of an ESP32's network on CPython, and the contract of the fake radio that it is held against."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from meter import config

from hil.resources.esp32_chip import radio, wires
from hil.resources.esp32_chip.chip import CHIP, Air
from tests.firmware.device import wait_until

LIMIT_S = 10
KEEPER = "meter.board.esp32_network"
WIFI = config.Wifi("wifi", "campus", "long enough", "meter-1")


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Give the keeper's module on a chip that was just switched on, impatient."""
    monkeypatch.setitem(sys.modules, "machine", wires)
    monkeypatch.setitem(sys.modules, "network", radio)
    monkeypatch.setattr(CHIP, "air", Air())
    monkeypatch.setattr(radio, "_station", radio._Station())
    monkeypatch.delitem(sys.modules, KEEPER, raising=False)
    module = importlib.import_module(KEEPER)
    monkeypatch.setattr(module, "ATTEMPT_S", 0.3)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.05)
    monkeypatch.setattr(module, "BACKOFF_LIMIT_S", 0.1)
    yield module
    sys.modules.pop(KEEPER, None)


class Heard:
    """What the keeper said; `text` waits for a complaint, `event` for a link that is up."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[str | dict[str, Any]] = asyncio.Queue()
        self.say = self._said.put_nowait

    async def text(self, wanted: str) -> None:
        """Return when it has complained so."""
        async with asyncio.timeout(LIMIT_S):
            while await self._said.get() != wanted:
                pass

    async def event(self) -> dict[str, Any]:
        """Return its next event."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                said = await self._said.get()
                if isinstance(said, dict):
                    return said


async def test_a_link_is_brought_up_lost_and_found_again_until_nobody_wants_it(keeper: ModuleType) -> None:
    heard = Heard()
    CHIP.air.is_there = False
    link = keeper.link_of(WIFI)
    keeping = asyncio.create_task(keeper.keep(link, lambda _: b"\x80", heard.say, heard.say))
    await heard.text("network wifi campus: no access point of that name is in reach")
    CHIP.air.is_there = True
    assert await heard.event() == {"event": "network", "link": "wifi campus", "address": "10.0.0.7"}
    CHIP.air.is_there = False
    await heard.text("network wifi campus: the access point fell silent")
    CHIP.air.is_there = True
    await heard.event()
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    assert not radio.WLAN().active()


def test_a_station_left_to_itself_tries_for_ever_and_hides_why_it_fails(keeper: ModuleType) -> None:
    CHIP.air.password = "another one"
    wlan = radio.WLAN()
    wlan.active(True)
    wlan.connect("campus", "long enough")
    wait_until(lambda: wlan.status() and radio._station.reason, "no attempt has failed")
    assert wlan.status() == radio.STAT_CONNECTING
    with pytest.raises(OSError, match="Wifi Internal Error"):
        wlan.connect("campus", "long enough")


def test_a_station_that_tries_once_says_why_it_failed_until_it_succeeds(keeper: ModuleType) -> None:
    CHIP.air.is_there = False
    wlan = radio.WLAN()
    wlan.active(True)
    wlan.config(reconnects=0)
    wlan.connect("campus", "long enough")
    wait_until(lambda: wlan.status() == 201, "the access point is still there")
    CHIP.air.is_there = True
    wlan.connect()
    assert wlan.status() == 201  # of the attempt before
    wait_until(wlan.isconnected, "no connection")
    assert wlan.status() == radio.STAT_GOT_IP


def test_a_radio_that_is_off_takes_no_orders(keeper: ModuleType) -> None:
    wlan = radio.WLAN()
    for order in (lambda: wlan.connect("a", "b"), wlan.disconnect, lambda: wlan.config(reconnects=0)):
        with pytest.raises(OSError, match="Wifi"):
            order()
