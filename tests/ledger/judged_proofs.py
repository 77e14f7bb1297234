"""An outside judge: what our verifier accepts, `proofbundle` accepts too; what it refuses, ours refuses.

A seed draws a good proof file, with or without outside witnesses whom a policy then demands of it, and, mostly, one way
to spoil or rewrite it. Ours may refuse more: it knows
the meter's readings, and one text form alone. Cases that nobody spoils keep the comparison from being empty.
"""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import cbor2
from proofbundle.tlogproof import verify_tlog_proof

from ledger import checkpoint, proof
from ledger.checkpoint import SignatureLine, SignatureType
from ledger.errors import MalformedError
from ledger.proof import Proof, ProofRefusedError
from tests.ledger import proof_kit
from tests.ledger.proof_kit import WITNESSES, ProofKit, private_key, witness_key

BOTH, NEITHER = "both accept", "both refuse"
OURS_ALONE, THEIRS_ALONE = "ours alone accepts", "proofbundle alone accepts"
NOTHING = "nothing"
ORIGIN: Final = proof_kit.make().origin
VERIFIERS: Final = proof_kit.make().verifiers
POLICY: Final = proof_kit.make().policy
COSIGNERS: Final = [str(key) for key in VERIFIERS if key.type is SignatureType.COSIGNATURE]
LOG_KEY: Final = next(str(key) for key in VERIFIERS if key.public_key == private_key("PEA log").public_key)
KITS: Final = [proof_kit.make(leaves, index) for leaves in (1, 2, 3, 7, 8, 11, 64) for index in {0, leaves // 2}]
Spoil = Callable[[random.Random, bytes], bytes]
Forge = Callable[[random.Random, ProofKit, Proof], Proof]


def campaign(seeds: range) -> Counter[str]:
    """Return how often which verdicts fell, and how often each way to spoil a file was drawn."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        how, data, has_witnesses = make(seed)
        counts[f"by {how}"] += 1
        counts[judge(data, has_witnesses=has_witnesses)] += 1
    return counts


def find_violations(counts: Counter[str]) -> list[str]:
    """Return what must not be: ours accepted what proofbundle did not, or a file that was altered."""
    accepted = counts[BOTH] + counts[OURS_ALONE]
    found = [f"{counts[OURS_ALONE]} files that proofbundle refuses were accepted"] if counts[OURS_ALONE] else []
    if accepted != counts[f"by {NOTHING}"]:
        found.append(f"{accepted} files were accepted, {counts[f'by {NOTHING}']} were good")
    return found


def make(seed: int) -> tuple[str, bytes, bool]:
    """Return a case's name, its bytes, and whether a policy demands witnesses of it."""
    draw = random.Random(seed)
    kit, has_witnesses = draw.choice(KITS), draw.random() < 0.5
    good = kit.proof(tuple(sorted(draw.sample(range(4), 3))), WITNESSES if has_witnesses else ())
    how = draw.choice([NOTHING, NOTHING, *SPOILERS, *FORGERS])
    data = good.encode()
    if how in FORGERS:
        data = FORGERS[how](draw, kit, good).encode()
    elif how in SPOILERS:
        data = SPOILERS[how](draw, data)
    return (how if data != good.encode() else NOTHING, data, has_witnesses)


def judge(data: bytes, *, has_witnesses: bool) -> str:
    """Return who accepts *data*."""
    try:
        proof.verify(data, VERIFIERS, POLICY if has_witnesses else None)
        ours = True
    except ProofRefusedError:
        ours = False
    text = data.decode("utf-8", "surrogateescape")
    known = [*COSIGNERS, *(str(witness_key(name)) for name in WITNESSES if has_witnesses)]
    threshold = 3 + len(known) - len(COSIGNERS)
    theirs = verify_tlog_proof(text, _leaf(data), LOG_KEY, known, threshold=threshold, expected_origin=ORIGIN)["ok"]
    return {(True, True): BOTH, (True, False): OURS_ALONE, (False, True): THEIRS_ALONE, (False, False): NEITHER}[
        ours, bool(theirs)
    ]


def _leaf(data: bytes) -> bytes:
    """Return the leaf that the file opens, read as leniently as can be: proofbundle is told it from outside."""
    try:
        return proof.parse(data).opening.leaf()
    except MalformedError:
        pass
    try:
        line = data.split(b"\n")[1].removeprefix(b"extra ")
        _, salt, record, key, readings = cbor2.loads(base64.b64decode(line))
        return proof.Opening(salt, record, key, (readings[0], readings[1])).leaf()
    except Exception:
        return b"no leaf"


def _flip_bit(draw: random.Random, data: bytes) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def _cut(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data))]


def _drop_line(draw: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    del lines[draw.randrange(len(lines))]
    return b"\n".join(lines)


def _repeat_line(draw: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    place = draw.randrange(len(lines))
    lines.insert(place, lines[place])
    return b"\n".join(lines)


def _swap_lines(draw: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    first, second = draw.sample(range(len(lines)), 2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def _rewrite(draw: random.Random, data: bytes) -> bytes:
    """Write the same in another form: line ends, spaces, base64, digits."""
    place = data.index(b"index ") + 6
    forms = [
        data.replace(b"\n", b"\r\n"),
        data + b"\n",
        data.rstrip(b"\n"),
        b"\xef\xbb\xbf" + data,
        data.replace(b"\xe2\x80\x94", b"-"),
        data.replace(b" ", b"  ", draw.randrange(1, 4)),
        data.replace(b"=", b"", 1),
        data.replace(b"+", b"-").replace(b"/", b"_"),
        data[:place] + b"0" + data[place:],
        data[:place] + b"+" + data[place:],
        data.replace(b"\n", b" \n", draw.randrange(1, 6)),
        data.upper(),
    ]
    return draw.choice(forms)


def _stray_base64_bits(draw: random.Random, data: bytes) -> bytes:
    """Change a last digit before '=' in bits that decoding drops."""
    places = [place for place in range(1, len(data)) if data[place : place + 1] == b"=" != data[place - 1 : place]]
    place = draw.choice(places) - 1
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    digit = alphabet[alphabet.index(data[place]) ^ 1]
    return data[:place] + bytes([digit]) + data[place + 1 :]


def _other_index(draw: random.Random, kit: ProofKit, good: Proof) -> Proof:
    return replace(good, index=draw.choice([good.index + 1, good.index ^ 1, good.index + len(kit.leaves), 2**62]))


def _other_path(draw: random.Random, _kit: ProofKit, good: Proof) -> Proof:
    node = draw.randbytes(32)
    return replace(good, path=draw.choice([(*good.path, node), (node, *good.path), good.path[:-1], good.path[::-1]]))


def _other_cosigners(draw: random.Random, kit: ProofKit, good: Proof) -> Proof:
    """Too few, too many, one twice, in another order, by a stranger, with no time."""
    lines = kit.cosignatures()
    stranger = checkpoint.cosign(good.checkpoint, lines[0].name, private_key("stranger"), 1)
    chosen = [lines[:2], lines, [lines[0], *lines[:2]], lines[2::-1], [stranger, *lines[1:3]], [*lines[:3], stranger]]
    return replace(good, signatures=(good.signatures[0], *draw.choice(chosen)))


def _other_witnesses(draw: random.Random, kit: ProofKit, good: Proof) -> Proof:
    """One alone, one twice, in another order, a stranger, an authority or the log in the place of one."""
    first, second = kit.witnessed(*WITNESSES)
    stranger, log = (
        checkpoint.cosign(good.checkpoint, WITNESSES[1], private_key(name), 1) for name in ("stranger", "PEA log")
    )
    others = [
        [first], [first, first], [second, first], [first, second, stranger], [first, stranger], [first, log],
        [first, kit.cosignatures()[3]],
    ]  # fmt: skip
    return replace(good, signatures=(*good.signatures[:4], *draw.choice(others)))


def _other_log_line(draw: random.Random, kit: ProofKit, good: Proof) -> Proof:
    stranger = checkpoint.sign_as_log(good.checkpoint, private_key("stranger"))
    renamed = SignatureLine(kit.cosignatures()[0].name, good.signatures[0].data)
    rest = good.signatures[1:]
    return replace(good, signatures=draw.choice([(stranger, *rest), (renamed, *rest), rest, (*rest, *good.signatures)]))


def _other_checkpoint(draw: random.Random, kit: ProofKit, good: Proof) -> Proof:
    note = good.checkpoint
    changed = draw.choice(
        [
            replace(note, size=4 * note.size + 8),
            replace(note, root=draw.randbytes(32)),
            replace(note, origin=f"{note.origin}0"),
        ]
    )
    if draw.random() < 0.5:
        return replace(good, checkpoint=changed)
    names = [line.name for line in kit.cosignatures()[:3]]
    members = kit.authorities.members[:3]
    lines = [
        checkpoint.cosign(changed, name, private_key(f"{member.name} cosign"), 7)
        for name, member in zip(names, members, strict=True)
    ]
    return replace(
        good, checkpoint=changed, signatures=(checkpoint.sign_as_log(changed, private_key("PEA log")), *lines)
    )


def _other_opening(draw: random.Random, _kit: ProofKit, good: Proof) -> Proof:
    opening = good.opening
    changed = [
        replace(opening, salt=draw.randbytes(32)),
        replace(opening, meter_key=draw.randbytes(32)),
        replace(opening, readings=opening.readings[::-1]),
        replace(opening, readings=(None, None)),
    ]
    return replace(good, opening=draw.choice(changed))


SPOILERS: Final[dict[str, Spoil]] = {
    "a flipped bit": _flip_bit,
    "a cut": _cut,
    "a dropped line": _drop_line,
    "a repeated line": _repeat_line,
    "swapped lines": _swap_lines,
    "another form": _rewrite,
    "stray base64 bits": _stray_base64_bits,
}
FORGERS: Final[dict[str, Forge]] = {
    "another index": _other_index,
    "another path": _other_path,
    "other cosigners": _other_cosigners,
    "other witnesses": _other_witnesses,
    "another log signature": _other_log_line,
    "another checkpoint": _other_checkpoint,
    "another opening": _other_opening,
}
EXPECTED: Final = frozenset([BOTH, THEIRS_ALONE, NEITHER, *(f"by {how}" for how in (NOTHING, *SPOILERS, *FORGERS))])
"""What a campaign of any size must have counted."""
