"""Faults of delivery do what they are named for, lose nothing, and count what they did."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from hil.delivery_faults import DUPLICATE_FLAG, Delay, DeliveryFault, Due, Duplicate, Reorder
from hil.resources.mqtt_gate import MqttGate
from tests.firmware.broker import Broker
from tests.gateway.plant import wait_for

PACKETS = [b"\x32" + bytes([number]) * 5 for number in range(100)]


def played(fault: DeliveryFault) -> list[Due]:
    """Return what is handed on of 100 packets that come one every 10 ms, in the order of its time."""
    due = [one for place, packet in enumerate(PACKETS) for one in fault.deliver(packet, place / 100)]
    return sorted(due, key=lambda one: one[0])


def test_duplicated_messages_come_once_more_and_marked() -> None:
    fault = Duplicate(random.Random(1))
    found = Counter(packet for _, packet in played(fault))
    copies = {bytes([packet[0] & ~DUPLICATE_FLAG]) + packet[1:] for packet in found if packet[0] & DUPLICATE_FLAG}
    assert set(PACKETS) <= found.keys()
    assert 30 < len(copies) == fault.struck < 70


def test_reordered_messages_come_once_each_and_overtake() -> None:
    fault = Reorder(random.Random(1))
    found = [packet for _, packet in played(fault)]
    assert sorted(found) == PACKETS
    assert found != PACKETS
    assert fault.struck > 30


def test_delayed_messages_keep_their_order() -> None:
    fault = Delay(2)
    assert played(fault) == [(place / 100 + 2, packet) for place, packet in enumerate(PACKETS)]
    assert fault.struck == len(PACKETS)


@pytest.mark.parametrize("fault", [Duplicate(random.Random(1), 0.1), Reorder(random.Random(1), 0.1), Delay(0.1)])
def test_a_gate_plays_a_fault_to_a_real_client_and_the_broker_notices_nothing(
    tmp_path: Path, broker: Broker, fault: DeliveryFault
) -> None:
    heard: list[bytes] = []
    with MqttGate(tmp_path, broker.port) as gate:
        listener, speaker = listening(broker, gate.port, heard), connected(broker, broker.port, "speaker")
        gate.fault = fault
        for number in range(100):
            speaker.publish("x", str(number), 1).wait_for_publish(10)
        wait_for(lambda: len(set(heard)) == 100, "every message")
        if isinstance(fault, Duplicate):
            wait_for(lambda: len(heard) == 100 + fault.struck, "every copy")
        gate.fault = None
        speaker.publish("x", "the end", 1)
        wait_for(lambda: heard[-1] == b"the end", "the connection to go on")
        for client in (listener, speaker):
            client.disconnect()
            client.loop_stop()
    assert fault.struck > 20
    assert broker.log.count("as listener") == 1


def test_a_late_message_whose_connection_is_gone_comes_on_the_next(
    tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []
    with MqttGate(tmp_path, broker.port) as gate:
        listener, speaker = listening(broker, gate.port, heard), connected(broker, broker.port, "speaker")
        gate.fault = fault = Delay(1)
        speaker.publish("x", "late", 1)
        wait_for(lambda: fault.struck, "the message to be held back")
        gate.cut()
        wait_for(lambda: heard == [b"late"], "the message on the next connection")
        assert [record.message for record in caplog.records if record.name == "asyncio"] == []
        for client in (listener, speaker):
            client.disconnect()
            client.loop_stop()


def test_a_shut_gate_turns_everybody_away_and_an_open_one_lets_them_in_again(tmp_path: Path, broker: Broker) -> None:
    with MqttGate(tmp_path, broker.port) as gate:
        client = connected(broker, gate.port, "client")
        gate.is_shut = True
        gate.cut()
        wait_for(lambda: gate.broken == 2 and gate.turned_away, "the client to find the gate shut")
        gate.is_shut = False
        wait_for(client.is_connected, "the client to come back")
        client.disconnect()
        client.loop_stop()


def listening(broker: Broker, port: int, heard: list[bytes]) -> Client:
    """Return a client that the broker has subscribed, and that adds to *heard* what it is sent."""
    listener = connected(broker, port, "listener")
    listener.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    subscribed: list[int] = []
    listener.on_subscribe = lambda *_: subscribed.append(1)
    listener.subscribe("x", 1)
    wait_for(lambda: subscribed, "the subscription")
    return listener


def connected(broker: Broker, port: int, name: str) -> Client:
    """Return a client with a session of the broker behind *port*."""
    client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    client.tls_set_context(ssl.create_default_context(cafile=broker.ca))
    client.username_pw_set("meter", "secret")
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_for(client.is_connected, f"{name} to connect")
    return client
