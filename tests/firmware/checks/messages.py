"""Receipts and configurations, genuine and not: what they say, or why they are refused. Runs on every interpreter."""

from meter import configuration, envelope, receipt
from meter.errors import MalformedError

from tests.firmware.checks.coding import shown


class Settings:
    """What `configuration.open_sealed` asks of config.json's values."""

    def __init__(self, meter_id: bytes, campus_key: bytes) -> None:
        self.meter_id = meter_id
        self.campus_key = campus_key


def answer(case: list) -> object:
    """Return the fields of message case[0], all in hex; case[1] is the meter's id, the others are the keys of trust."""
    message, meter_id, gateway_key, campus_key = [bytes.fromhex(text) for text in case]
    try:
        if envelope.kind_of(message) == envelope.CONFIGURATION:
            return shown(list(configuration.open_sealed(message, Settings(meter_id, campus_key))))
        return [shown(receipt.decode(message)), receipt.is_authentic(message, [bytes(32), gateway_key])]
    except MalformedError as error:
        return str(error)
