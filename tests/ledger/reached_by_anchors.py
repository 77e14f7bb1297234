"""Codes of the anchors that gateways submit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger import anchor
from ledger.anchor import Anchor, Point
from ledger.codes import Code
from ledger.execution import Receipt
from ledger.modules.anchors import MAX_AHEAD_S
from tests.ledger.chain_kit import Chain, id_of
from tests.ledger.code_kit import reaches


def make_anchors(chain: Chain, count: int, readings: int = 2, who: str = "gateway") -> list[Anchor]:
    """Return the first *count* anchors of *who*, a second apart, the last at the chain's time."""
    point, made, time = Point(), list[Anchor](), chain.state.header.time_ms // 1000 - count
    for number in range(1, count + 1):
        hashes = [bytes([number, place] * 16) for place in range(readings)]
        made.append(anchor.follow(chain.people[who].id, point, time + number, hashes))
        point = Point(number, made[-1].time, made[-1].hash)
    return made


def anchor_codes(receipt: Receipt) -> list[Code]:
    return [Code(dict(event.values)["code"]) for event in receipt.events if event.module == "anchors"]


def submit(chain: Chain, *made: Anchor | bytes) -> list[Code]:
    raws = [one if isinstance(one, bytes) else one.encode() for one in made]
    return anchor_codes(chain.must("gateway", "anchors", "submit_anchors", raws))


@reaches(Code.ANCHOR_REPEATED)
def _(chain: Chain) -> Code:
    first, second = make_anchors(chain, 2)
    assert submit(chain, first, first, second) == [Code.DONE, Code.ANCHOR_REPEATED, Code.DONE]
    return submit(chain, first)[0]


@reaches(Code.ANCHOR_UNDECODABLE)
def _(chain: Chain) -> Code:
    first, second = make_anchors(chain, 2)
    assert submit(chain, first, b"junk", second)[1:] == [Code.ANCHOR_UNDECODABLE, Code.DONE]
    return submit(chain, first.encode() + b"\0")[0]


@reaches(Code.ANCHOR_OF_ANOTHER)
def _(chain: Chain) -> Code:
    return submit(chain, replace(make_anchors(chain, 1)[0], gateway=id_of(99)))[0]


@reaches(Code.ANCHOR_OUT_OF_ORDER)
def _(chain: Chain) -> Code:
    first, _, third = make_anchors(chain, 3)
    assert submit(chain, third) == [Code.ANCHOR_OUT_OF_ORDER]
    return submit(chain, first, third)[1]


@reaches(Code.ANCHOR_FORKED)
def _(chain: Chain) -> Code:
    """Neither another anchor with a number that is taken, nor one behind another predecessor."""
    first, second = make_anchors(chain, 2)
    assert submit(chain, first, replace(first, time=first.time - 1)) == [Code.DONE, Code.ANCHOR_FORKED]
    code = submit(chain, replace(second, previous=bytes(32)))[0]
    assert submit(chain, second) == [Code.DONE]
    return code


@reaches(Code.ANCHOR_OUTDATED)
def _(chain: Chain) -> Code:
    made = make_anchors(chain, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.modules.anchors.KEPT", 3)
        submit(chain, *made)
        assert submit(chain, made[1]) == [Code.ANCHOR_REPEATED]
        return submit(chain, made[0])[0]


@reaches(Code.ANCHOR_NOT_LATER)
def _(chain: Chain) -> Code:
    first, second = make_anchors(chain, 2)
    return submit(chain, first, replace(second, time=first.time))[1]


@reaches(Code.ANCHOR_FROM_FUTURE)
def _(chain: Chain) -> Code:
    (first,) = make_anchors(chain, 1)
    latest = chain.state.header.time_ms // 1000 + 1 + MAX_AHEAD_S
    code = submit(chain, replace(first, time=latest + 1))[0]
    assert submit(chain, replace(first, time=latest + 1)) == [Code.DONE]
    return code
