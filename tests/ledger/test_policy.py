"""Policies are those of C2SP: what one says is what counts, and what is no policy is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger import checkpoint, policy
from ledger.checkpoint import SignatureLine, SignatureType
from ledger.policy import PolicyError, PolicyRefusedError
from tests.ledger import proof_kit
from tests.ledger.proof_kit import private_key

KIT = proof_kit.make()
NOTE = KIT.covered()
LOG = checkpoint.sign_as_log(NOTE, private_key("PEA log"))
OURS = policy.of_keys(KIT.verifiers)
WITNESSES = {key.name.rpartition("/")[2]: key for key in KIT.verifiers if key.type is SignatureType.COSIGNATURE}


def signed_by(*names: str) -> list[SignatureLine]:
    return [line for line in KIT.cosignatures() if line.name.rpartition("/")[2] in names]


def test_three_of_four_is_a_policy_that_reads_as_it_is_written() -> None:
    text = str(OURS)
    assert len(text.splitlines()) == 4 + 4 + 2
    assert text.splitlines()[-2].startswith("group authorities 3 ")
    assert policy.parse(text) == OURS
    assert policy.parse("# ours\n\n \t" + text.replace(" ", "\t ")) == OURS
    assert OURS.check(NOTE, [LOG, *signed_by("ERC", "MEA", "PEA")]) == ("ERC", "MEA", "PEA")
    assert len(OURS.check(NOTE, [LOG, *KIT.cosignatures()])) == 4
    for lines in [[LOG, *signed_by("ERC", "MEA")], [LOG, *signed_by("ERC", "MEA"), *signed_by("MEA")]]:
        with pytest.raises(PolicyRefusedError, match="cosigned by ERC, MEA: too few"):
            OURS.check(NOTE, lines)
    with pytest.raises(PolicyRefusedError, match="no log key"):
        OURS.check(NOTE, KIT.cosignatures())


def test_a_daily_two_of_three_and_groups_of_groups() -> None:
    keys = "".join(f"witness {name} {key} https://{name}.example\n" for name, key in WITNESSES.items())
    log = next(key for key in KIT.verifiers if checkpoint.is_signed(NOTE, LOG, key))
    text = f"log {log}\n{keys}group daily 2 ERC MEA PEA\ngroup both all daily EGAT\nquorum "
    daily, both = policy.parse(f"{text}daily\n"), policy.parse(f"{text}both\n")
    assert daily.check(NOTE, [LOG, *signed_by("ERC", "PEA")])
    with pytest.raises(PolicyRefusedError):
        daily.check(NOTE, [LOG, *signed_by("ERC", "EGAT")])
    assert both.check(NOTE, [LOG, *signed_by("ERC", "PEA", "EGAT")])
    with pytest.raises(PolicyRefusedError):
        both.check(NOTE, [LOG, *signed_by("ERC", "MEA", "PEA")])
    assert policy.parse(f"log {log}\nquorum none\n").check(NOTE, [LOG]) == ()


def test_groups_within_groups_go_as_deep_as_a_policy_is_long() -> None:
    log = next(key for key in KIT.verifiers if checkpoint.is_signed(NOTE, LOG, key))
    groups = "".join(f"group {place} any {place - 1}\n" for place in range(1, 3000))
    found = policy.parse(f"log {log}\nwitness ERC {WITNESSES['ERC']}\ngroup 0 any ERC\n{groups}quorum 2999\n")
    assert found.check(NOTE, [LOG, *signed_by("ERC")]) == ("ERC",)
    with pytest.raises(PolicyRefusedError, match="cosigned by nobody: too few"):
        found.check(NOTE, [LOG, *signed_by("MEA")])


@pytest.mark.parametrize(
    ("lines", "because"),
    [
        ("", "no quorum line"),
        ("quorum nobody", "line 1: 'nobody' is not defined"),
        ("quorum none\nquorum none", "line 2: .* one too many"),
        ("witness none KEY0\nquorum none", "line 1: the name 'none' is taken"),
        ("witness A KEY0\nwitness B KEY0\nquorum A", "line 2: the public key"),
        ("witness A KEY0\nwitness A KEY1\nquorum A", "line 2: the name 'A' is taken"),
        ("witness A LOG\nquorum A", "line 1: the key of .* is no cosignature key"),
        ("log KEY0\nquorum none", "line 1: the key of .* is no log key"),
        ("witness A garbage\nquorum A", "line 1"),
        ("witness A KEY0\ngroup G 2 A\nquorum G", "line 2: '2' of 1 is no threshold"),
        ("witness A KEY0\ngroup G 0 A\nquorum G", "line 2: '0' of 1"),
        ("witness A KEY0\ngroup G \u0661 A\nquorum G", "line 2"),
        ("witness A KEY0\ngroup G 1\nquorum G", "line 2"),
        ("witness A KEY0\ngroup G 1 A A\nquorum G", "line 2: 'A' is in a group already"),
        ("group G any A\nwitness A KEY0\nquorum G", "line 1: 'A' is not defined above"),
        ("group G any G\nquorum G", "line 1"),
        ("witness A KEY0\r\nquorum A", "line 1: it holds a control character"),
        ("#" * 70_000, "longer than"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_line(lines: str, because: str) -> None:
    first, second, *_ = WITNESSES.values()
    text = lines.replace("KEY0", str(first)).replace("KEY1", str(second)).replace("LOG", str(KIT.verifiers[0]))
    with pytest.raises(PolicyError, match=because):
        policy.parse(text)


def test_the_published_cosignatures_meet_a_policy_of_their_witnesses() -> None:
    case = json.loads((Path(__file__).parents[1] / "data/vectors/tlog-cosignature-v1-a.json").read_text())["cases"][0]
    keys = [checkpoint.parse_key(text) for text in case["vkeys_that_verify"]]
    witnesses = [key for key in keys if key.type is SignatureType.COSIGNATURE]
    lines = "".join(f"witness w{place} {key}\n" for place, key in enumerate(witnesses))
    names = " ".join(f"w{place}" for place in range(len(witnesses)))
    logs = "".join(f"log {key}\n" for key in keys if key.type is SignatureType.LOG)
    found = policy.parse(f"{logs}{lines}group all-of-them all {names}\nquorum all-of-them\n")
    note, signatures = checkpoint.parse_note(case["note"])
    assert len(found.check(note, signatures)) == len(witnesses) == 3
    tampered, bad = checkpoint.parse_note(case["tampered_note_must_fail"])
    with pytest.raises(PolicyRefusedError):
        found.check(tampered, bad)
