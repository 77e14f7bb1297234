"""Codes of transactions that are not admitted, and of invalid blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger import transaction
from ledger.block import Block, Commit
from ledger.codes import Code, Refusal
from ledger.runtime import InvalidBlockError
from tests.ledger.chain_kit import Chain, key_of
from tests.ledger.code_kit import next_block, reaches, reject


def judge(chain: Chain, raw: bytes) -> Code:
    """Return the code for *raw*; mempool, builder and a block that holds it must agree."""
    header = chain.state.header
    checked = chain.runtime.check_transaction(chain.state, raw)
    assert isinstance(checked, Refusal)
    arguments: dict[str, Any] = {
        "height": header.height + 1,
        "time_ms": header.time_ms + 1,
        "proposer": 0,
        "evidence": (),
    }
    built, _ = chain.runtime.build(chain.state, transactions=[raw], last_commit=chain.commit(), **arguments)
    assert built.transactions == ()
    return reject(chain, replace(built, transactions=(raw,)), checked.code)


def transfer(chain: Chain, **changes: Any) -> bytes:
    return chain.sign("user0", "money", "transfer", chain.people["user1"].id, 1, **changes)


@reaches(Code.DONE)
def _(chain: Chain) -> Code:
    return chain.run("user0", "money", "transfer", chain.people["user1"].id, 1).code


@reaches(Code.UNDECODABLE)
def _(chain: Chain) -> Code:
    return judge(chain, b"not an envelope")


@reaches(Code.WRONG_CHAIN)
def _(chain: Chain) -> Code:
    return judge(chain, transfer(chain, chain_id=bytes(8)))


@reaches(Code.EXPIRED)
def _(chain: Chain) -> Code:
    return judge(chain, transfer(chain, valid_until=chain.state.header.height))


@reaches(Code.UNKNOWN_SENDER)
def _(chain: Chain) -> Code:
    return judge(chain, transfer(chain, sender=bytes(8)))


@reaches(Code.WRONG_NONCE)
def _(chain: Chain) -> Code:
    used = transfer(chain)
    chain.block(used)
    header = chain.state.header
    assert isinstance(chain.runtime.check_transaction(chain.state, transfer(chain, nonce=3)), transaction.Transaction)
    too_far = chain.runtime.check_transaction(chain.state, transfer(chain, nonce=1000))
    assert isinstance(too_far, Refusal)
    assert header == chain.state.header
    code = judge(chain, used)
    chain.state = chain.runtime.genesis_state()
    for block in chain.blocks[:-1]:
        chain.state.apply(chain.runtime.execute(chain.state, block))
    return code


@reaches(Code.BAD_SIGNATURE)
def _(chain: Chain) -> Code:
    return judge(chain, transfer(chain, key=key_of(11)))


# --- blocks ---


def altered(chain: Chain, **changes: Any) -> Block:
    block = next_block(chain)
    return replace(block, header=replace(block.header, **changes))


@reaches(Code.WRONG_HEIGHT)
def _(chain: Chain) -> Code:
    return reject(chain, altered(chain, height=chain.state.header.height + 2))


@reaches(Code.WRONG_PARENT)
def _(chain: Chain) -> Code:
    return reject(chain, altered(chain, parent=bytes(32)))


@reaches(Code.WRONG_TIME)
def _(chain: Chain) -> Code:
    with pytest.raises(InvalidBlockError):
        next_block(chain, time_ms=chain.state.header.time_ms)
    return reject(chain, altered(chain, time_ms=chain.state.header.time_ms))


@reaches(Code.WRONG_VERSION)
def _(chain: Chain) -> Code:
    return reject(chain, altered(chain, version=2))


@reaches(Code.WRONG_PROPOSER)
def _(chain: Chain) -> Code:
    return reject(chain, altered(chain, first_proposer=4))


@reaches(Code.WRONG_COMMIT)
def _(chain: Chain) -> Code:
    block, commit = next_block(chain), chain.commit()
    assert commit is not None
    too_few = replace(commit, signatures=commit.signatures[:2])
    forged = replace(commit, signatures=((0, bytes(64)), *commit.signatures[1:]))
    for wrong in (None, too_few, forged, Commit(1, 0, bytes(32), commit.signatures)):
        assert reject(chain, replace(block, last_commit=wrong)) is Code.WRONG_COMMIT
    return reject(chain, replace(block, last_commit=None))


@reaches(Code.WRONG_EVIDENCE)
def _(chain: Chain) -> Code:
    return reject(chain, replace(next_block(chain), evidence=(b"evidence",)))


@reaches(Code.WRONG_RESULT)
def _(chain: Chain) -> Code:
    for name in ("state_root", "log_root", "set_hash", "next_set_hash", "transaction_root", "last_commit_hash"):
        assert reject(chain, altered(chain, **{name: bytes([1] * 32)})) is Code.WRONG_RESULT
    return reject(chain, altered(chain, log_size=0))


@reaches(Code.BLOCK_TOO_LARGE)
def _(chain: Chain) -> Code:
    readings = [b"x" * 1000] * 100
    raws = [chain.sign("gateway", "market", "report_intervals", readings) for _ in range(25)]
    block = next_block(chain, transactions=raws)
    assert 0 < len(block.transactions) < len(raws)
    assert len(block.encode()) <= 2 * 2**20
    return reject(chain, replace(block, transactions=tuple(raws)))
