"""Meter profiles: their requests, and what the registers mean. Runs on every interpreter."""

from meter import profile
from meter.errors import LineError

MODEL_START = 40002


def answer(case: list) -> list:
    """Return the requests of profile case[0], and the reading where every register byte follows from number case[1]."""
    name, seed = case
    loaded = profile.load(name)
    if loaded.sunspec_model is not None:
        loaded.at(MODEL_START)
    return [_read(loaded, requests, seed) for requests in (loaded.boundary, loaded.telemetry)]


def _read(loaded: object, requests: tuple, seed: int) -> list:
    found: list = []
    for request in requests:
        data = bytes([(seed * (request.address + place)) >> 3 & 255 for place in range(2 * request.words)])
        found += profile.decode(request, data, ((180, 5), (280, 6)))
    asked = [[request.function, request.address, request.words] for request in requests]
    try:
        return [asked, [[code, str(value)] for code, value in profile.settle(loaded, found)]]
    except LineError:
        return [asked, "no usable number"]  # of several, which one is named differs between interpreters
