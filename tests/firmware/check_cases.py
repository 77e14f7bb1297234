"""What every interpreter is asked, and the right answers: from published vectors, the ledger's codec and libsodium.

Where nobody else can know the answer it is CPython's, whose own tests show that it is right.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
from meter import field, modbus, mqtt, profiles, reading, sntp

from hil.resources.time_server import ServedTime
from ledger import cbor, envelope, keys
from ledger.keys import PrivateKey
from tests.firmware import fuzz, numbers, vectors
from tests.firmware.interpreters import ask_cpython

FOLDER = Path(__file__).parents[1] / "data" / "vectors"
NOT_CANONICAL = [
    "1800", "1817", "190018", "1a00000100", "1b0000000000000001",  # integers longer than needed
    "3800", "5800", "780161", "980101",  # lengths longer than needed
    "5f4100ff", "9f01ff", "7f6161ff",  # indefinite lengths
    "f90000", "fa00000000", "fb0000000000000000", "f7", "f0", "f818", "ff",  # floats, undefined, simple values
    "a0", "a10102", "c000", "d82a00",  # maps and tags
    "0000", "8100f6",  # bytes behind the value
    "", "18", "19ff", "4101ff", "42ff", "8201", "1c", "1f", "5bffffffffffffffff", "9bffffffffffffffff",
    "62ff80",  # not UTF-8
    "81" * 8 + "00",  # nested too deeply
]  # fmt: skip
VALUES = [1, -1, 23, 24, 255, 256, 65535, 65536, 2**32, -(2**63), 2**64 - 1, "µ", [None, True, False], [[], ["a"]]]
IDENTITY = bytes([43, 14, 1, 1, 0, 0, 2, 0, 3]) + b"ABC" + bytes([1, 2]) + b"DE"
CAMPUS = PrivateKey(b"\x0c" * 32)
GATEWAY = PrivateKey(vectors.GATEWAY_SEED)
Pairs = list[tuple[Any, Any]]
"""(case, right answer)."""


@dataclass(frozen=True, slots=True)
class Check:
    """A subject: the module of checks/ that answers, its cases, and that the board gets every n-th of them only.

    Without right answers of its own (`pairs` gives None for each) CPython's are the right ones.
    """

    name: str
    module: str
    pairs: Callable[[], Pairs]
    on_board_every: int = 1


@cache
def sign_input() -> Pairs:
    """Return RFC 8032's and djb's signatures."""
    lines = [line.split(":") for line in (FOLDER / "ed25519-sign-input-a.txt").read_text().splitlines()]
    return [
        ([secret[:64], message], [public, signed[:128], signed[:128], True, False])
        for secret, public, message, signed, *_ in lines
    ]


@cache
def wycheproof() -> Pairs:
    """Return Wycheproof's signatures with its verdicts."""
    groups = json.loads((FOLDER / "wycheproof-ed25519-a.json").read_text())["testGroups"]
    return [
        ([group["publicKey"]["pk"], case["msg"], case["sig"]], case["result"] == "valid")
        for group in groups
        for case in group["tests"]
    ]


@cache
def cctv() -> Pairs:
    """Return CCTV's edge cases with the verdicts of libsodium, the library that consensus uses."""
    cases = [(case["key"], case["msg"].encode().hex(), case["sig"]) for case in _load("cctv-ed25519-edgecases-a.json")]
    return [(list(case), keys.verify(*map(bytes.fromhex, case))) for case in cases]


def sha512() -> Pairs:
    """Return lengths around the borders of blocks, with the digests of hashlib."""
    lengths = [*range(0, 260, 13), 111, 112, 127, 128, 239, 240]
    digests = [hashlib.sha512(bytes(7 * place & 255 for place in range(length))).hexdigest() for length in lengths]
    return [(length, [digest, digest]) for length, digest in zip(lengths, digests, strict=True)]


def field_elements() -> Pairs:
    """Return pairs of numbers modulo 2^255 - 19 in limbs, as large as they get and at random, with Python's results."""
    chance = random.Random(7)
    whole = [0, 1, field.P - 1, field.P, field.P + 1, 2 * field.P, 2**255, 2**256 - 1, 2**260 - 1]
    edges = [[number >> 13 * place & 8191 for place in range(20)] for number in whole]
    edges += [[8193] * 20, [8193, 0] * 10, [0, 8193] * 10, [0] * 19 + [8193], [8193] + [0] * 19, [8191] * 19 + [8193]]
    pairs = [[a, b] for a in edges for b in edges]
    pairs += [[[chance.randrange(8194) for _ in range(20)] for _ in range(2)] for _ in range(60)]
    return [(pair, _field_results(*pair)) for pair in pairs]


def rfc8949() -> Pairs:
    """Return RFC 8949's examples: what the subset has comes out as it was, the rest is refused; so is the uncanonical.

    Byte strings have no "decoded" in the file: their diagnostic notation h'…' says it.
    """
    found: Pairs = []
    for item in _load("rfc8949-appendix-a-part1.json"):
        value = item.get("decoded", {"hex": item.get("diagnostic", "")[2:-1]})
        taken = item["roundtrip"] and _is_in_subset(cbor2.loads(bytes.fromhex(item["hex"])))
        found.append((item["hex"], [value, item["hex"]] if taken else []))
    found += [(text, []) for text in NOT_CANONICAL]
    return found + [(cbor.encode(value).hex(), [value, cbor.encode(value).hex()]) for value in VALUES]


def cose() -> Pairs:
    """Return the COSE working group's Sign1 examples: the EdDSA one is signed alike; none is an envelope of ours."""
    refusal = "not a COSE_Sign1 envelope with alg EdDSA and an 8-byte kid"
    found: Pairs = []
    for example in _load("cose-sign1-a.json").values():
        data = example["output"]["cbor"].lower()
        key = example["input"]["sign0"]["key"] if "sign0" in example["input"] else {}
        seed = key.get("d_hex", "") if key.get("crv") == "Ed25519" else ""
        signature = data[-128:] if seed else ""
        found.append(([seed, example["intermediates"]["ToBeSign_hex"].lower(), data], [signature, refusal]))
    return found


def readings() -> Pairs:
    """Return readings with the bytes of the ledger's codec."""
    stored = json.loads(vectors.FILE.read_text())
    return [
        ({**vector, "seed": stored["seed"]}, [vector["payload"], vector["envelope"], True])
        for vector in stored["readings"]
    ]


def receipts() -> Pairs:
    """Return receipts that the ledger's codec made, with what they say."""
    stored = json.loads(vectors.FILE.read_text())
    trusted = [stored["meter_id"], stored["gateway_key"], CAMPUS.public_key.hex()]
    return [([vector["envelope"], *trusted], [_receipt_fields(vector), True]) for vector in stored["receipts"]]


@cache
def messages() -> Pairs:
    """Return receipts and configurations, genuine ones, signed by others, altered, and with a field that is wrong."""
    meter, other = vectors.METER_ID, PrivateKey(b"\x0d" * 32)
    beacon = [1, 2, bytes(8), 3, 4, bytes(8)]
    answers = [
        [2, meter, 1, bytes(32), [[70, 3]], beacon, 5], [2, meter, 0, bytes(32), [], None, 5],
        [2, meter, 2**32, bytes(32), [], None, 5], [2, meter, True, bytes(32), [], None, 5],
        [2, meter, 1, bytes(31), [], None, 5], [2, meter, 1, bytes(32), [[1]], None, 5],
        [2, meter, 1, bytes(32), [], beacon[:5], 5], [2, meter, 1, bytes(32), [], None], [1, meter], [],
    ]  # fmt: skip
    settings = [
        [3, meter, 1, 60, [bytes(32)], None], [3, meter, 2**32 - 1, 86_400, [bytes(32)] * 8, [0, 2**32 - 1]],
        [3, bytes(8), 1, 60, [bytes(32)], None], [3, meter, 0, 60, [bytes(32)], None],
        [3, meter, 1, 0, [bytes(32)], None], [3, meter, 1, 60, [], None], [3, meter, 1, 60, [bytes(31)], None],
        [3, meter, 1, 60, [bytes(32)], [2, 1]], [3, meter, 1, 60, [bytes(32)], None, 0],
    ]  # fmt: skip
    sealed = [envelope.seal(cbor.encode(fields), GATEWAY) for fields in answers]
    sealed += [envelope.seal(cbor.encode(fields), CAMPUS) for fields in settings]
    sealed += [envelope.seal(cbor.encode(fields[0]), other) for fields in (answers, settings)]
    sealed += [message[:-1] + bytes([message[-1] ^ 1]) for message in (sealed[0], sealed[len(answers)])]
    sealed += [b"", sealed[0][:50], bytes(600), bytes(2049)]
    trusted = [meter.hex(), GATEWAY.public_key.hex(), CAMPUS.public_key.hex()]
    return _unanswered([[message.hex(), *trusted] for message in sealed])


@cache
def frames() -> Pairs:
    """Return frames of Modbus RTU and heads of Modbus TCP: proper ones, wounded ones and noise."""
    chance = random.Random(3)
    found: list[Any] = []
    for _ in range(300):
        slave, words = chance.randint(1, 247), chance.choice((0, 1, 2, 125))
        body = bytes([4, 2 * words]) + chance.randbytes(2 * words) if words else IDENTITY
        frame = bytearray(modbus.rtu_frame(slave, body))
        for _ in range(chance.randint(0, 2)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        if chance.random() < 0.5:
            frame = bytearray(modbus.rtu_frame(frame[0], bytes(frame[1 : chance.randint(1, len(frame) - 2)])))
        found.append([slave, words, frame.hex()])
    heads = [modbus.tcp_frame(number, 7, IDENTITY)[:7] for number in (0, 65_535)]
    return _unanswered(found + [[0, 0, head.hex()] for head in (*heads, *(chance.randbytes(7) for _ in range(20)))])


def decoded_numbers() -> Pairs:
    """Return numbers of every type with the values of struct and fractions."""
    return [([kind, words, exponent], whole) for kind, words, exponent, whole in numbers.cases(60)]


def meter_profiles() -> Pairs:
    """Return every profile with registers full of this and that."""
    return _unanswered([[name, seed] for name in profiles.NAMES for seed in (0, 1, 37)])


@cache
def packets() -> Pairs:
    """Return streams of MQTT packets of both versions in portions, whole and wounded."""
    chance = random.Random(4)
    found = []
    for level, whole in ((mqtt.V311, fuzz.STREAM), (mqtt.V5, fuzz.STREAM_5)):
        streams = [whole]
        for _ in range(40):
            wounded = bytearray(whole)
            wounded[chance.randrange(len(whole))] = chance.randrange(256)
            streams.append(bytes(wounded))
        found += [[level, stream.hex(), size] for stream in streams for size in (1, 7, 300)]
    return _unanswered(found)


@cache
def clocks() -> Pairs:
    """Return walks of a clock: even, set back, set on, and never set."""
    chance = random.Random(5)
    walks = []
    for epoch_s, period_s in ((2, 1), (10, 3), (900, 60)):
        for start_ms in (0, 1_795_000_500_000):
            steps = [chance.choice((500, 1000, 1000 * period_s, 1000 * epoch_s, 17)) for _ in range(30)]
            jumps = [chance.choice((-1, 1)) * chance.choice((3000, 3_600_000, 100 * 900_000)) for _ in range(10)]
            walks.append([epoch_s, period_s, start_ms + 100 * 900_000_000, *steps, *jumps, *steps])
    return _unanswered(walks)


@cache
def time_servers() -> Pairs:
    """Return answers of time servers, whole and wounded, and what several of them say of the time."""
    chance = random.Random(7)
    nonce = bytes(range(1, 9))
    whole = ServedTime().answers(sntp.question(nonce), 1_795_000_123_456_789_000)[0]
    found: list[Any] = [[whole.hex(), nonce.hex()], [whole.hex(), bytes(8).hex()], [whole[:47].hex(), nonce.hex()]]
    for _ in range(60):
        wounded = bytearray(whole)
        wounded[chance.choice((0, 1, 4, 5, 8, 9, 30, 32, 35, 36, 40, 43, 44))] = chance.randrange(256)
        found.append([wounded.hex(), nonce.hex()])
    for _ in range(60):
        words = [
            [1_795_000_000_000 + chance.choice((0, 0, 0, 300, 60_000)) + chance.randrange(40), chance.choice((10, 25))]
            for _ in range(chance.randrange(6))
        ]
        found.append([words, chance.choice((None, [1_795_000_000_010, 1050], [1_795_000_060_000, 300_000]))])
    return _unanswered(found)


@cache
def paces() -> Pairs:
    """Return receipts that come soon, late and by turns, under windows that are full and not."""
    choose = random.Random(7)
    return [
        ([[choose.randrange(limit), choose.random() < 0.9] for _ in range(40)], None) for limit in (700, 1500, 9000)
    ]


@cache
def own_clocks() -> Pairs:
    """Return lives of a meter's own clock: led, in holdover, stepped, on crystals that are off."""
    chance = random.Random(8)
    lives = []
    for start_ms, ppb in ((0, 40_000), (1_795_000_470_000, -90_000), (1_795_000_500_000, 0), (0, 300)):
        passed_ms = 0
        life: list[Any] = [start_ms]
        for _ in range(40):
            pass_ms = chance.choice((64_000, 1_024_000, 1_024_000, 86_400_000, 200_000_000))
            passed_ms += pass_ms
            jump_ms = chance.choice((0, 0, 0, 0, 0, 300, -3_600_000))
            offset_ms = 1_795_000_500_000 + passed_ms * ppb // 10**9 + chance.randrange(-9, 10) + jump_ms
            life.append([pass_ms, offset_ms, chance.choice((0, 10, 10, 10, 200))])
            passed_ms += 700
        lives.append(life)
    return _unanswered(lives)


@cache
def journals() -> Pairs:
    """Return lives of a journal."""
    chance = random.Random(6)
    lives = []
    for _ in range(8):
        events = []
        for place in range(45):
            events.append(["sign", reading.PERIODIC if place % 5 else reading.BOUNDARY])
            draw = chance.randrange(12)
            if draw == 0:
                events.append(["receipt", place - chance.randrange(5)])
            elif draw == 1:
                events.append(["restart", chance.choice((0, 1, 40, 150))])
            elif draw < 5:
                events.append(["thin", 0])
            elif draw == 5:
                events.append(["jump", chance.choice((place, 400, 2_000_000))])
        lives.append(events)
    return _unanswered(lives)


def hostile_bytes() -> Pairs:
    """Return portions of the fuzz, none of which violates anything."""
    return [([first, 200], []) for first in range(0, 3000, 200)]


CHECKS = (
    Check("Ed25519: RFC 8032, sign.input", "signing", sign_input, on_board_every=16),
    Check("Ed25519: Wycheproof", "verifying", wycheproof),
    Check("Ed25519: CCTV edge cases", "verifying", cctv, on_board_every=13),
    Check("Ed25519: its field", "field", field_elements, on_board_every=2),
    Check("SHA-512", "hashing", sha512),
    Check("CBOR: RFC 8949 appendix A", "coding", rfc8949),
    Check("COSE Sign1 examples", "enveloping", cose),
    Check("readings", "reading", readings),
    Check("receipts", "messages", receipts),
    Check("receipts, configurations, forged", "messages", messages),
    Check("Modbus frames", "frames", frames, on_board_every=4),
    Check("numbers in registers", "decoding", decoded_numbers, on_board_every=4),
    Check("meter profiles", "profiles", meter_profiles),
    Check("MQTT packets", "packets", packets, on_board_every=4),
    Check("clock and boundaries", "boundaries", clocks),
    Check("time servers", "times", time_servers, on_board_every=2),
    Check("the meter's own clock", "timekeeping", own_clocks),
    Check("the pace of a backlog", "pacing", paces),
    Check("journal", "journals", journals, on_board_every=2),
    Check("hostile bytes, 200 each", "hostile", hostile_bytes, on_board_every=5),
)


def right_answers(check: Check, pairs: Pairs) -> list[Any]:
    """Return the right answers to *pairs*, some of the cases of *check*: CPython's where only the firmware can know."""
    if any(right is not None for _, right in pairs):
        return [right for _, right in pairs]
    return ask_cpython(check.module, [case for case, _ in pairs], Path())


def _load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def _field_results(*limbs: list[int]) -> list[str]:
    a, b = (sum(limb << 13 * place for place, limb in enumerate(each)) for each in limbs)
    loaded = int.from_bytes(bytes(limb & 255 for each in limbs for limb in each)[7:39], "little")
    root = pow(a + b, (field.P - 5) // 8, field.P)
    return [hex(number % field.P) for number in (a * b, a + b, a - b, loaded, a - b, a + b, (a - b) ** 2, root)]


def _receipt_fields(vector: dict[str, Any]) -> list[Any]:
    """Return a receipt of reading-vectors.json as `checks/messages.py` shows one."""
    beacon = vector["beacon"] and [{"hex": item} if isinstance(item, str) else item for item in vector["beacon"]]
    meter, digest = {"hex": vectors.METER_ID.hex()}, {"hex": vector["hash"]}
    return [meter, vector["sequence"], digest, vector["refused"], beacon, vector["time"]]


def _is_in_subset(value: Any) -> bool:
    """Tell whether our formats have *value*: no maps, tags, floats, undefined or simple values."""
    if isinstance(value, list):
        return all(_is_in_subset(item) for item in value)
    return (
        value is None or isinstance(value, bool | str | bytes) or (isinstance(value, int) and -(2**64) <= value < 2**64)
    )


def _unanswered(cases: list[Any]) -> Pairs:
    return [(case, None) for case in cases]
