"""Frames: what is written is read back, and no bytes of a peer raise anything but MalformedError."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ledger import cbor
from ledger.block import Commit
from ledger.consensus.effects import Step
from ledger.consensus.status import Status
from ledger.errors import MalformedError
from ledger.node.network import wire
from ledger.node.network.wire import CosignatureReport, Frame, NodeReport
from ledger.node.reporting.results import ReceiptResult, Result, decode_result
from ledger.roots import Write

COMMIT = Commit(3, 1, b"i" * 32, ((0, b"s" * 64), (2, b"t" * 64)))
RESULT = Result(
    b"i" * 32, 7, b"s" * 32, 40, b"l" * 32, (ReceiptResult(b"t" * 32, 0, "", b"e" * 32),), (b"record",), (b"leaf",),
    (Write("money.holdings", b"key", b"value"), Write("money.owed", b"key", None)),
)  # fmt: skip
STATUS = Status(7, 1, Step.PREVOTE, frozenset({0}), ())
READERS: list[Callable[[bytes], object]] = [
    wire.read_proposal, wire.read_report, wire.read_wanted, wire.read_candidate, wire.read_range, wire.read_decided,
    wire.read_cosignature, decode_result, wire.read_transactions,
]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "read", "value"),
    [
        (wire.proposal(b"envelope", b"body"), wire.read_proposal, (b"envelope", b"body")),
        (wire.report(NodeReport(STATUS, 7, 40)), wire.read_report, NodeReport(STATUS, 7, 40)),
        (wire.report(NodeReport(None, 1, 0, observes=True)), wire.read_report, NodeReport(None, 1, 0, observes=True)),
        (wire.report(NodeReport(None, 1, 0)), wire.read_report, NodeReport(None, 1, 0)),
        (wire.result_wanted(7, b"i" * 32), wire.read_wanted, (7, b"i" * 32)),
        (wire.result(RESULT.encode()), decode_result, RESULT),
        (wire.wanted(7, b"i" * 32), wire.read_wanted, (7, b"i" * 32)),
        (wire.candidate(b"i" * 32, b"body"), wire.read_candidate, (b"i" * 32, b"body")),
        (wire.block_range(1, 32), wire.read_range, (1, 32)),
        (wire.decided(b"body", COMMIT), wire.read_decided, (b"body", COMMIT)),
        (wire.cosignature(CosignatureReport(9, 2, b"line")), wire.read_cosignature, CosignatureReport(9, 2, b"line")),
    ],
)
def test_what_is_written_is_read_back(frame: Frame, read: Callable[[bytes], object], value: object) -> None:
    assert read(frame.payload) == value


values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**70), 2**70) | some.binary(max_size=40) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=5),
    max_leaves=20,
)


@given(values | some.binary())
def test_no_bytes_of_a_peer_raise_anything_else(value: object) -> None:
    for data in (value if isinstance(value, bytes) else b"", cbor.encode(value)):
        for read in READERS:
            try:
                read(data)
            except MalformedError:
                continue
