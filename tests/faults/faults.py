"""The faults of the campaign: each injects one kind, at a moment of chance, and returns how often it really fired."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from hil.delivery_faults import Delay, DeliveryFault, Duplicate, Reorder
from hil.resources.mqtt_gate import MqttGate
from tests.faults.campus import CONNECTED, Campus
from tests.gateway.plant import wait_for

HOUR_S: Final = 3600
TOLERANCE_S: Final = 60
COMMIT_FAILED: Final = "commit failed, intake waits"
REFUSED_READ_ONLY: Final = re.compile(r"cannot (hold|be used as) the gateway's database: .*(Read-only|readonly|unable)")
REFUSED_DAMAGE: Final = re.compile(r"the database is damaged|cannot be used as the gateway's database")
RESTORE: Final = re.compile(r"`campusgrid gateway (restore [^`]+)`")
MOST_KILLS: Final = 3
START_S: Final = 3.0
"""About what a gateway needs to start: kills fall into its start, its recovery, or its work."""

Injection = Callable[[Campus], int]


def kill_gateway(campus: Campus) -> int:
    """Kill -9 the gateway, perhaps again while it starts or has just started, and start it again."""
    fired = 0
    for _ in range(campus.source.randint(1, MOST_KILLS)):
        campus.idle(START_S)
        fired += campus.kill_gateway()
        campus.start_gateway(is_awaited=False)
    campus.await_gateway()
    return fired


def kill_broker(campus: Campus) -> int:
    """Kill -9 the broker, which has acknowledged what it has not written, and start it again."""
    campus.idle(1)
    return _replace_broker(campus, is_forgetful=False)


def delete_broker_state(campus: Campus) -> int:
    """Kill -9 the broker and delete its database: sessions, subscriptions, what it had queued."""
    campus.idle(1)
    broker = campus.plant.broker
    assert broker.process is not None
    broker.process.send_signal(10)  # SIGUSR1: write the database now
    wait_for(lambda: list((broker.folder / "data").iterdir()), "the broker to write its state")
    return _replace_broker(campus, is_forgetful=True)


def kill_meters(campus: Campus) -> int:
    """Kill -9 some of the meters, as a power cut does, and start them again."""
    chosen = campus.source.sample(campus.firmware, campus.source.randint(1, len(campus.firmware)))
    fired = 0
    for meter in chosen:
        campus.idle(0.5)
        process = meter.device._process
        meter.device.kill()
        fired += process is not None and process.returncode == -9
    for meter in chosen:
        meter.device.start()
        meter.device.wait_for(lambda event: event["event"] == "signed")
    return fired


def cut_network(campus: Campus) -> int:
    """Break all connections of the gateway, of the meters, or of both, and let none be made for a while."""
    before = campus.log().count(CONNECTED)
    gates = campus.source.choice(
        [[campus.gateway_gate], [campus.gateway_gate, campus.meter_gate], [campus.meter_gate, campus.gateway_gate]]
    )
    marks = {id(gate): (gate.broken, gate.turned_away) for gate in gates}
    for gate in gates:
        gate.is_shut = True
        gate.cut()
        campus.idle(0.5)
    fired = 0
    for gate in gates:
        broken, turned_away = marks[id(gate)]
        wait_for(partial(_has_turned_away, gate, turned_away), "somebody to find the gate shut")
        fired += gate.broken > broken
        gate.is_shut = False
    campus.reconnect(before)
    return fired


def duplicate_delivery(campus: Campus) -> int:
    """Deliver messages twice, for a while; it fired when the gateway saw copies."""
    before = campus.count("duplicates")
    struck = _deliver_with(campus, Duplicate(campus.source))
    wait_for(lambda: campus.count("duplicates") > before, "the gateway to see a copy")
    return struck


def reorder_delivery(campus: Campus) -> int:
    """Let messages overtake each other, for a while; it fired when the gateway saw a gap that was filled later."""
    before = campus.count("noted.GAP")
    struck = _deliver_with(campus, Reorder(campus.source))
    wait_for(lambda: campus.count("noted.GAP") > before, "the gateway to see a gap")
    return struck


def delay_delivery(campus: Campus) -> int:
    """Deliver all messages late, for a while."""
    return _deliver_with(campus, Delay(campus.source.uniform(0.3, 2)))


def fill_disk(campus: Campus) -> int:
    """Leave the gateway not a byte of disk until it says that it cannot commit; perhaps kill -9 it in that state."""
    before = campus.log().count(COMMIT_FAILED)
    campus.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    campus.disk.fill()
    try:
        wait_for(lambda: campus.log().count(COMMIT_FAILED) > before, "the gateway to find its disk full")
        campus.idle(1)
        is_killed = campus.source.random() < 0.5 and campus.kill_gateway()
    finally:
        campus.disk.make_room()
    if is_killed:
        campus.start_gateway()
    return campus.log().count(COMMIT_FAILED) - before


def make_disk_read_only(campus: Campus) -> int:
    """Kill -9 the gateway and start it on a read-only disk, which it must refuse, then on a sound one."""
    campus.kill_gateway()
    campus.disk.remount("ro")
    try:
        code, said = campus.run_gateway("run")
    finally:
        campus.disk.remount("rw")
    campus.start_gateway()
    return int(code == 1 and REFUSED_READ_ONLY.search(said) is not None and said.count("\n") == 1)


def damage_database(campus: Campus) -> int:
    """Back up, kill -9, overwrite a page; the gateway must refuse to start and print the command that mends it."""
    before = campus.log().count("broker unreachable")
    campus.gateway_gate.is_shut = True  # so that no reading is receipted that the backup does not hold
    campus.gateway_gate.cut()
    wait_for(lambda: campus.log().count("broker unreachable") > before, "the gateway to be alone")
    code, said = campus.run_gateway("backup")
    assert code == 0, said
    campus.kill_gateway()
    campus.damage_database()
    code, said = campus.run_gateway("run")
    printed = RESTORE.search(said)
    fired = int(code == 1 and REFUSED_DAMAGE.search(said) is not None and printed is not None)
    if printed is not None:
        key = str(campus.plant.folder / "backup.key")
        command = printed[1].replace("PRIVATE-KEY", key).replace(" --config GATEWAY.TOML", "")
        code, said = campus.run_gateway(*shlex.split(command))
        assert code == 0, said
    for replaced in campus.disk.inside.glob("*.replaced-*"):
        replaced.unlink()
    campus.gateway_gate.is_shut = False
    campus.start_gateway()
    return fired


def step_clock_forward(campus: Campus) -> int:
    """Set the gateway's clock an hour ahead, and right again."""
    return _step_clock(campus, HOUR_S)


def step_clock_back(campus: Campus) -> int:
    """Set the gateway's clock back by an hour, and right again."""
    return _step_clock(campus, -HOUR_S)


def _has_turned_away(gate: MqttGate, before: int) -> bool:
    return gate.turned_away > before


def _replace_broker(campus: Campus, *, is_forgetful: bool) -> int:
    before = campus.log().count(CONNECTED)
    broker = campus.plant.broker
    process = broker.process
    assert process is not None
    broker.stop(9)
    fired = process.returncode == -9
    if is_forgetful:
        files = list((broker.folder / "data").iterdir())
        for file in files:
            file.unlink()
        fired = fired and bool(files)
    broker.start()
    campus.reconnect(before)
    return int(fired)


def _deliver_with(campus: Campus, fault: DeliveryFault) -> int:
    campus.gateway_gate.fault = fault
    try:
        wait_for(lambda: fault.struck > 20, "messages to be struck")
        campus.idle(1)
    finally:
        campus.gateway_gate.fault = campus.weather
    return fault.struck


def _step_clock(campus: Campus, seconds: int) -> int:
    """It fired when a reading was stored at an hour that is not."""
    newest = "SELECT received_at FROM readings ORDER BY id DESC LIMIT 1"
    campus.clock.step(seconds)
    try:
        with suppress(AssertionError):
            wait_for(
                lambda: abs(campus.rows(newest)[0][0] - time.time() - seconds) < TOLERANCE_S, "a reading at that hour"
            )
            campus.idle(1)
            return 1
        return 0
    finally:
        campus.clock.step(-seconds)


FAULTS: Final[dict[str, Injection]] = {
    "gateway killed": kill_gateway,
    "broker killed": kill_broker,
    "broker state deleted": delete_broker_state,
    "meter killed": kill_meters,
    "network cut": cut_network,
    "delivery duplicated": duplicate_delivery,
    "delivery reordered": reorder_delivery,
    "delivery delayed": delay_delivery,
    "disk full": fill_disk,
    "disk read-only": make_disk_read_only,
    "database page damaged": damage_database,
    "clock an hour ahead": step_clock_forward,
    "clock an hour back": step_clock_back,
}
