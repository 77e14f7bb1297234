"""Hostile frames for the Modbus parsers: what they hold, or why they are refused. Runs on every interpreter."""

from meter import modbus
from meter.errors import LineError

from tests.firmware.checks.coding import shown


def answer(case: list) -> object:
    """Return what the parsers make of *case*: [slave, words, frame in hex].

    0 words stand for an identification, slave 0 for the head of a TCP frame.
    """
    slave, words, text = case
    frame = bytes.fromhex(text)
    try:
        if slave == 0:
            return list(modbus.parse_tcp_head(frame))
        query = modbus.registers(4, 0, words) if words else modbus.identification()
        pdu = modbus.parse_rtu(frame, slave, query)
        if words:
            return shown(modbus.parse_registers(pdu, words))
        return shown(sorted([(key, part) for key, part in modbus.parse_identification(pdu).items()]))
    except LineError as error:
        return str(error)
