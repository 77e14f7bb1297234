"""Codes of the readings in interval reports."""

from __future__ import annotations

from typing import Any

from ledger.codes import Code
from ledger.modules import money
from ledger.reading import Beacon, Reason
from tests.ledger.chain_kit import Chain, TestMeter, id_of, key_of
from tests.ledger.code_kit import E, fork, must_refuse, reaches


def beacon_of(chain: Chain, place: int = -1) -> Beacon:
    """Return the beacon of a block of *chain*, with no anchor."""
    header = chain.blocks[place].header
    return Beacon(header.height, header.time_ms // 1000, header.id[:8], 0, 0, bytes(8))


def report_one(chain: Chain, *arguments: Any, epoch: int = E, **changes: Any) -> Code:
    chain.to_epoch(epoch)
    return chain.report(chain.meters[0].boundary(*arguments, **changes))[0]


@reaches(Code.READING_REPEATED)
def _(chain: Chain) -> Code:
    chain.to_epoch(E)
    raw = chain.meters[0].boundary(E, 10, 20)
    chain.report(raw)
    supply = chain.state.get(money.HOLDINGS, chain.people["user0"].id)
    code = chain.report(raw)[0]
    assert chain.state.get(money.HOLDINGS, chain.people["user0"].id) == supply
    return code


@reaches(Code.READING_UNDECODABLE)
def _(chain: Chain) -> Code:
    return chain.report(b"not a reading")[0]


@reaches(Code.READING_NOT_BOUNDARY)
def _(chain: Chain) -> Code:
    chain.to_epoch(E)
    values: dict[str, Any] = {"reason": Reason.PERIODIC, "epoch": None}
    return chain.report(chain.meters[0].boundary(E, 0, 0, **values))[0]


@reaches(Code.READING_KEY_UNKNOWN)
def _(chain: Chain) -> Code:
    stranger = TestMeter(id_of(900), key_of(900), chain.people["user0"])
    return chain.report(stranger.boundary(chain.epoch, 0, 0))[0]


@reaches(Code.READING_BAD_SIGNATURE)
def _(chain: Chain) -> Code:
    chain.to_epoch(E)
    raw = bytearray(chain.meters[0].boundary(E, 0, 0))
    raw[-1] ^= 1
    return chain.report(bytes(raw))[0]


@reaches(Code.READING_TIME_OFF)
def _(chain: Chain) -> Code:
    chain.to_epoch(E)
    boundary = E * 900  # max(2 s, 1 % of 900 s) = 9 s
    assert report_one(chain, E, 0, 0, epoch=E + 1, time=boundary - 10) is Code.READING_TIME_OFF
    code = chain.report(chain.meters[0].boundary(E, 0, 0, time=boundary + 10))[0]
    assert chain.report(chain.meters[0].boundary(E, 0, 0, time=boundary + 9)) == [Code.DONE]
    return code


@reaches(Code.READING_FROM_FUTURE)
def _(chain: Chain) -> Code:
    return chain.report(chain.meters[0].boundary(E, 0, 0))[0]


@reaches(Code.READING_BEFORE_BEACON)
def _(chain: Chain) -> Code:
    """A meter whose clock lags says at most 9 s less than the block that it names; nor does `rebase` take more."""
    chain.to_epoch(E, offset_s=9)
    chain.block()
    chain.block()
    just, late = (
        meter.boundary(E, 0, 0, beacon=beacon_of(chain, place))
        for meter, place in zip(chain.meters, (-3, -2), strict=True)
    )
    assert chain.report(just) == [Code.DONE]
    assert must_refuse(chain, "admin", "registry", "rebase", chain.meters[1].id, late) is Code.READING_BEFORE_BEACON
    return chain.report(late)[0]


@reaches(Code.READING_LACKS_REGISTER)
def _(chain: Chain) -> Code:
    return report_one(chain, E, 0, 0, registers=((180, 1),))


@reaches(Code.READING_OUTDATED)
def _(chain: Chain) -> Code:
    chain.to_epoch(E + 2)
    older = chain.meters[0].boundary(E, 0, 0)
    chain.report(chain.meters[0].boundary(E + 2, 100, 100))
    assert must_refuse(chain, "admin", "registry", "rebase", chain.meters[0].id, older) is Code.READING_OUTDATED
    return chain.report(older)[0]


@reaches(Code.READING_FORKED)
def _(chain: Chain) -> Code:
    return fork(chain)


@reaches(Code.READING_OF_FOREIGN_METER)
def _(chain: Chain) -> Code:
    """An owner's own reading counts; the one of somebody else's meter beside it does not."""
    chain.to_epoch(E)
    readings = [meter.boundary(E, 0, 0) for meter in chain.meters]
    codes = chain.report(*readings, who="user1")
    assert codes[1] is Code.DONE
    return codes[0]


@reaches(Code.READING_NOT_OF_METER)
def _(chain: Chain) -> Code:
    raw = chain.meters[0].boundary(chain.epoch, 0, 0)
    return must_refuse(chain, "admin", "registry", "rebase", chain.meters[1].id, raw)
