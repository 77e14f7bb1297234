"""Checks against vector files that run alike on CPython and under MicroPython; each returns how many cases it had."""

import json

from meter import ed25519, envelope, reading, receipt


def check_sign_input(path: str) -> int:
    """Sign and verify every line of djb's sign.input at *path*."""
    count = 0
    with open(path) as lines:  # noqa: PTH123
        for line in lines:
            secret, public, message, signed = [bytes.fromhex(text) for text in line.split(":")[:4]]
            seed, signature = secret[:32], signed[:64]
            assert ed25519.public_key(seed) == public
            assert ed25519.sign(seed, message) == ed25519.sign(seed, message, public) == signature
            assert ed25519.verify(public, message, signature)
            assert not ed25519.verify(public, message + b"!", signature)
            count += 1
    return count


def check_wycheproof(path: str) -> int:
    """Judge every signature in Wycheproof's file at *path*."""
    count = 0
    with open(path) as file:  # noqa: PTH123
        groups = json.load(file)["testGroups"]
    for group in groups:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            verdict = ed25519.verify(public, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert verdict == (case["result"] == "valid"), case
            count += 1
    return count


def check_readings(path: str) -> int:
    """Encode, sign and decode every reading, verify and decode every receipt of reading-vectors.json at *path*."""
    with open(path) as file:  # noqa: PTH123
        vectors = json.load(file)
    key = envelope.Key(bytes.fromhex(vectors["seed"]))
    assert key.public.hex() == vectors["public_key"]
    for vector in vectors["readings"]:
        taken = reading.Reading(
            vector["sequence"], vector["time"], vector["quality"], vector["offset_ms"], _beacon(vector["beacon"]),
            vector["reason"], _about(vector["epoch"]), tuple([tuple(pair) for pair in vector["registers"]]),
            vector["status"], bytes.fromhex(vector["previous"]),
        )  # fmt: skip
        assert reading.encode(taken).hex() == vector["payload"], vector
        sealed = reading.seal(taken, key)
        assert sealed.hex() == vector["envelope"], vector
        assert reading.decode(sealed) == taken, vector
    for vector in vectors["receipts"]:
        data = bytes.fromhex(vector["envelope"])
        assert receipt.is_authentic(data, [bytes(32), bytes.fromhex(vectors["gateway_key"])])
        assert not receipt.is_authentic(data, [key.public])
        assert receipt.decode(data) == receipt.Receipt(
            bytes.fromhex(vectors["meter_id"]), vector["sequence"], bytes.fromhex(vector["hash"]), vector["refused"],
            _beacon(vector["beacon"]), vector["time"],
        )  # fmt: skip
    return len(vectors["readings"]) + len(vectors["receipts"])


def _about(value: object) -> object:
    return value[:3] + [bytes.fromhex(text) for text in value[3:]] if isinstance(value, list) else value


def _beacon(values: list) -> list:
    return values and [values[0], values[1], bytes.fromhex(values[2]), values[3], values[4], bytes.fromhex(values[5])]
