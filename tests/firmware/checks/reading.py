"""Readings: encoded, sealed, and read again. Runs on every interpreter."""

from meter import envelope, reading


def answer(case: dict) -> list:
    """Return payload and envelope of the reading that *case* describes, and whether it is read again as it was."""
    taken = reading.Reading(
        case["sequence"], case["time"], case["quality"], case["offset_ms"], unhexed(case["beacon"]), case["reason"],
        unhexed(case["epoch"]), tuple([tuple(pair) for pair in case["registers"]]), case["status"],
        bytes.fromhex(case["previous"]),
    )  # fmt: skip
    sealed = reading.seal(taken, envelope.Key(bytes.fromhex(case["seed"])))
    return [reading.encode(taken).hex(), sealed.hex(), reading.decode(sealed) == taken]


def unhexed(value: object) -> object:
    """Return *value* with the texts of a list as bytes."""
    if not isinstance(value, list):
        return value
    return [bytes.fromhex(item) if isinstance(item, str) else item for item in value]
