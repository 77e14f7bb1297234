"""What is sent to a meter that is to have an update: as it asks, again when it is silent, and no longer than needed."""

from __future__ import annotations

import pytest

from ledger.keys import PrivateKey
from provisioning.delivery import ASK_S, PIECES_PER_HINT, PROOF_S, WHAT_TO_DO, Delivery, Stage
from provisioning.image import Image
from provisioning.signed_update import PIECE_BYTES, sign

UPDATE = sign(Image("linux", 7, bytes(20 * PIECE_BYTES)), bytes(8), PrivateKey(bytes(32)), 60)


def test_the_manifest_goes_first_and_again_while_nothing_is_heard() -> None:
    delivery = Delivery(UPDATE)
    assert delivery.due(100.0) == [UPDATE.manifest]
    assert delivery.due(100.0 + ASK_S - 0.1) == []
    assert delivery.due(100.0 + ASK_S) == [UPDATE.manifest]
    assert delivery.stage is Stage.SILENT


def test_pieces_go_as_the_meter_asks_for_them() -> None:
    delivery = Delivery(UPDATE)
    delivery.due(0.0)
    assert delivery.hear(b"update 7 0", 4.0) == list(UPDATE.pieces[:PIECES_PER_HINT])
    assert delivery.due(4.0 + ASK_S - 0.1) == []
    assert delivery.hear(b"update 7 16", 5.0) == list(UPDATE.pieces[16:])
    assert (delivery.stage, delivery.done) == (Stage.SENDING, 16)
    assert delivery.hear(b"update 7 trial", 6.0) == []
    assert (delivery.stage, delivery.done, delivery.is_over) == (Stage.TRIAL, 20, False)
    assert delivery.due(6.0 + ASK_S) == [UPDATE.manifest]
    delivery.prove()
    assert (delivery.stage, delivery.is_over) == (Stage.TRIAL, False)
    assert delivery.hear(b"update 7 confirmed", 12.0) == []
    assert (delivery.stage, delivery.is_over, delivery.due(99.0)) == (Stage.CONFIRMED, True, [])
    assert delivery.hear(b"update 7 0", 13.0) == []


def test_a_confirmation_counts_with_a_signed_reading_and_waits_for_it() -> None:
    delivery = Delivery(UPDATE)
    delivery.hear(b"update 7 confirmed", 0.0)
    assert (delivery.stage, delivery.is_over) == (Stage.CLAIMED, False)
    delivery.prove()
    assert delivery.stage is Stage.CONFIRMED


def test_a_confirmation_without_a_signed_reading_ends_unproven_however_often_it_is_said() -> None:
    delivery = Delivery(UPDATE)
    for now_s in range(int(PROOF_S)):
        delivery.hear(b"update 7 confirmed", float(now_s))
        delivery.due(float(now_s))
    assert delivery.stage is Stage.CLAIMED
    assert delivery.due(PROOF_S) == []
    assert (delivery.stage, delivery.is_over) == (Stage.UNPROVEN, True)


def test_a_forged_confirmation_is_contradicted_by_the_meter_itself() -> None:
    delivery = Delivery(UPDATE)
    delivery.hear(b"update 7 confirmed", 0.0)
    assert delivery.due(ASK_S) == [UPDATE.manifest]
    assert delivery.hear(b"update 7 8", ASK_S) == list(UPDATE.pieces[8:16])
    delivery.due(PROOF_S + ASK_S)
    assert delivery.stage is Stage.SENDING


@pytest.mark.parametrize("state", WHAT_TO_DO)
def test_every_way_to_fail_says_what_to_do(state: str) -> None:
    delivery = Delivery(UPDATE)
    delivery.hear(b"update 7 " + state.encode(), 0.0)
    assert (delivery.stage, delivery.outcome.startswith(state + ": ")) == (Stage.FAILED, True)


@pytest.mark.parametrize(
    "hint",
    [
        b"", b"lost", b"update", b"update 7", b"update 8 confirmed", b"update 6 3", b"update 7 20", b"update 7 -1",
        b"update 7 refused", b"update 7 \xff", b"safe storage: full", "update 7 ٣".encode(),
        b"update 7 confirmed " * 20, b"update 7 " + b"9" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_news_of_this_update_changes_nothing(hint: bytes) -> None:
    delivery = Delivery(UPDATE)
    assert delivery.hear(hint, 0.0) == []
    assert (delivery.stage, delivery.done, delivery.due(0.0)) == (Stage.SILENT, 0, [UPDATE.manifest])
