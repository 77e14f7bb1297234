"""A witness answers as c2sp.org/tlog-witness says, and never cosigns what does not continue what it cosigned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from ledger import checkpoint, policy
from ledger.checkpoint import SignatureType, VerifierKey
from ledger.keys import PrivateKey
from ledger.monitor import fork, witness
from ledger.monitor.cosigner import Cosigner
from ledger.monitor.fork import parse_note
from ledger.monitor.memory import FORK, WitnessMemory
from ledger.monitor.watcher import FixedSigners
from tests.ledger import proof_kit
from tests.ledger.served_log import ServedLog, entries

KEY = PrivateKey(b"witness." * 4)
ORIGIN = checkpoint.origin(proof_kit.CHAIN_ID)
SIGNERS = FixedSigners(policy.of_keys(proof_kit.make().verifiers))


@dataclass
class Asked:
    """A witness and whoever asks it."""

    cosigner: Cosigner

    def add(self, log: ServedLog, old_size: int, path: tuple[bytes, ...] | None = None) -> tuple[int, str, str]:
        sent = witness.write_submission(old_size, log.path(old_size) if path is None else path, log.signed)
        answer = self.cosigner.add(sent)
        return answer.status, answer.body, answer.kind

    def cosigns(self, log: ServedLog, old_size: int) -> bool:
        status, text, _ = self.add(log, old_size)
        assert status == HTTPStatus.OK, text
        signed = parse_note(f"{log.signed}{text}")
        return checkpoint.is_signed(signed.checkpoint, signed.lines[-1], self.cosigner.verifier)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with WitnessMemory(tmp_path) as memory:
        yield Asked(Cosigner(ORIGIN, SIGNERS, memory, "example.com/witness", KEY))


def test_the_published_requests_get_their_answers(tmp_path: Path) -> None:
    """But for two: of an unknown log the specification says 404, and a bad signature there is no canonical base64."""
    vectors = Path(__file__).parents[1] / "data/vectors/tlog-witness-add-checkpoint-a.json"
    published = json.loads(vectors.read_text(encoding="utf-8"))
    origin = parse_note(published["cases"][0]["request_body"].partition("\n\n")[2]).checkpoint.origin
    log_key = VerifierKey(origin, SignatureType.LOG, bytes.fromhex(published["log_ed25519_public_key_hex"]))
    signers = FixedSigners(policy.parse(f"log {log_key}\nquorum none\n"))
    with WitnessMemory(tmp_path) as memory:
        cosigner = Cosigner(origin, signers, memory, published["witness_name"], KEY)
        answers = [cosigner.add(case["request_body"].encode()) for case in published["cases"]]
    assert [case["expect_status"] for case in published["cases"]] == [200, 403, 403, 422]
    assert [answer.status for answer in answers] == [200, 400, 404, 422]
    for place in (0, 2, 3):
        assert all(text in answers[place].body for text in published["cases"][place]["expect_body_contains"])


def test_it_cosigns_what_continues_what_it_cosigned_and_the_same_again(asked: Asked) -> None:
    log = ServedLog(entries(5))
    assert asked.cosigns(log, 0)
    assert asked.cosigns(log, 5)
    log.leaves = entries(300)
    assert asked.cosigns(log, 5)
    assert asked.add(log, 5) == (409, "300\n", "text/x.tlog.size")
    assert asked.add(log, 0) == (409, "300\n", "text/x.tlog.size")


def test_what_it_cosigned_is_on_the_disk(asked: Asked, tmp_path: Path) -> None:
    log = ServedLog(entries(5))
    assert asked.cosigns(log, 0)
    assert (tmp_path / "checkpoint").read_text() == str(log.signed)


def test_it_refuses_each_fault_with_its_status(asked: Asked) -> None:
    log = ServedLog(entries(5))
    assert asked.cosigns(log, 0)
    log.leaves = entries(9)
    assert asked.add(ServedLog(entries(9), chain_id=bytes(8)), 5)[0] == HTTPStatus.NOT_FOUND
    assert asked.add(ServedLog(entries(9), signers=("ERC", "MEA")), 5)[0] == HTTPStatus.FORBIDDEN
    assert asked.add(log, 10, ())[0] == HTTPStatus.BAD_REQUEST
    for path in [(), log.path(5)[:-1], (*log.path(5), bytes(32)), log.path(4)]:
        assert asked.add(log, 5, path)[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    assert asked.add(ServedLog(entries(9, fork_at=2)), 5)[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    assert asked.add(ServedLog(entries(5)), 5, (bytes(32),))[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    assert asked.cosigns(log, 5)


def test_another_root_of_the_same_size_is_a_conflict_and_kept_as_evidence(asked: Asked, tmp_path: Path) -> None:
    log = ServedLog(entries(5))
    assert asked.cosigns(log, 0)
    assert asked.add(ServedLog(entries(5, fork_at=2)), 5, ())[0] == HTTPStatus.CONFLICT
    fork.check(fork.loads((tmp_path / FORK).read_text()), SIGNERS.one, SIGNERS.one)
    log.leaves = entries(6)
    assert asked.add(log, 5)[0] == HTTPStatus.CONFLICT  # of such a log it cosigns nothing more


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"old 1",
        b"old 01\n\nx",
        b"old -1\n\nx",
        b"old 0\n\n",
        b"old 0\nAAAA\n\nx",
        b"old 0\n!\n\nx",
        b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\nx",
        b"old 1\n\n" + str(ServedLog(entries(5)).signed).encode()[:-1],
    ],
)
def test_what_is_no_request_is_refused_and_nothing_is_remembered(asked: Asked, body: bytes) -> None:
    assert asked.cosigner.add(body).status == HTTPStatus.BAD_REQUEST
    assert asked.cosigner.memory.remembered is None


def test_what_it_cannot_remember_it_does_not_cosign(asked: Asked, tmp_path: Path) -> None:
    in_the_way = tmp_path / "checkpoint.new"
    in_the_way.mkdir()
    status, text, _ = asked.add(ServedLog(entries(5)), 0)
    assert (status, text) == (HTTPStatus.SERVICE_UNAVAILABLE, "this witness cannot remember: ask again later\n")
    in_the_way.rmdir()
    assert asked.cosigns(ServedLog(entries(5)), 0)
