"""MQTT: what comes out of a stream of bytes in portions of any size. Runs on every interpreter."""

from meter import mqtt
from meter.errors import UplinkError

from tests.firmware.checks.coding import shown


def answer(case: list) -> list:
    """Return the packets of level case[0] in the stream case[1] (hex), fed case[2] bytes at a time, up to a refusal."""
    level, text, size = case
    stream = bytes.fromhex(text)
    parser = mqtt.Parser(level)
    found: list = []
    for place in range(0, len(stream), size):
        try:
            found += [[type(packet).__name__, shown(packet)] for packet in parser.feed(stream[place : place + size])]
        except UplinkError as error:
            return found + [str(error)]
    return found
