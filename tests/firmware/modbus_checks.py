"""Hostile frames for the Modbus parsers, alike on CPython and under MicroPython."""

import json

from meter import modbus
from meter.errors import LineError


def check_frames(path: str) -> list:
    """Return what the parsers made of each frame of the JSON file at *path*.

    A case is [slave, words, hex of the frame]; 0 words stand for an identification.
    """
    with open(path) as file:  # noqa: PTH123
        cases = json.load(file)
    return [_verdict(slave, words, bytes.fromhex(frame)) for slave, words, frame in cases]


def _verdict(slave: int, words: int, frame: bytes) -> str:
    query = modbus.registers(4, 0, words) if words else modbus.identification()
    try:
        pdu = modbus.parse_rtu(frame, slave, query)
        if words:
            return modbus.parse_registers(pdu, words).hex()
        return json.dumps(sorted([(key, part.hex()) for key, part in modbus.parse_identification(pdu).items()]))
    except LineError as error:
        return str(error)
