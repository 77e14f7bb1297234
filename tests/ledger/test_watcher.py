"""A watcher believes signatures and tiles, remembers across restarts, and keeps evidence of a second history."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import policy, trust
from ledger.errors import MalformedError
from ledger.monitor import fork
from ledger.monitor.fork import NoForkError
from ledger.monitor.memory import FORK, ForkFoundError, UnusableMemoryError, WitnessMemory
from ledger.monitor.remote_log import RemoteLog, RemoteLogError
from ledger.monitor.watcher import ChainSigners, Watcher, WatchError
from ledger.monitor.watching import check_fork, read_signers
from ledger.policy import PolicyError
from ledger.trust import TrustRoot
from tests.ledger import proof_kit, test_handover
from tests.ledger.chain_kit import AUTHORITY_NAMES, key_of
from tests.ledger.reached_by_governance import KEYS
from tests.ledger.served_log import ServedLog, entries, served

ROOT = TrustRoot(proof_kit.CHAIN_ID, proof_kit.authority_set())
POLICY = policy.of_keys(proof_kit.make().verifiers)


@contextlib.contextmanager
def watching(log: ServedLog, directory: Path, root: TrustRoot = ROOT) -> Iterator[Watcher]:
    with served(log) as url, WitnessMemory(directory) as memory, contextlib.closing(RemoteLog(url)) as remote:
        yield Watcher(remote, ChainSigners(root, memory), memory)


def look(log: ServedLog, directory: Path) -> str:
    """Look once, as a watcher does that was started anew."""
    with watching(log, directory) as watcher:
        return watcher.look()


def seen(directory: Path) -> int:
    with WitnessMemory(directory) as memory:
        return memory.remembered.checkpoint.size if memory.remembered else 0


def test_a_log_that_grows_is_followed_over_restarts_and_across_tiles(tmp_path: Path) -> None:
    log = ServedLog(entries(0))
    for size in (1, 2, 3, 255, 256, 257, 1000, 1024, 1300):
        log.leaves = entries(size)
        assert f"{size} leaves" in look(log, tmp_path)
        assert seen(tmp_path) == size
    assert "they agree" in look(log, tmp_path)
    log.leaves = entries(300)
    assert "has 300 leaves, 1300 were seen; they agree" in look(replace(log, tiles_of=entries(1300)), tmp_path)
    assert seen(tmp_path) == 1300


@pytest.mark.parametrize(("size", "fork_at"), [(500, 499), (500, 3), (700, 499), (501, 0), (1024, 400)])
def test_a_second_history_signed_by_a_quorum_is_evidence_that_anybody_can_check(
    tmp_path: Path, size: int, fork_at: int
) -> None:
    log, memory = ServedLog(entries(500)), tmp_path / "memory"
    look(log, memory)
    log.leaves = entries(size, fork_at)
    with pytest.raises(ForkFoundError, match="two histories"):
        look(log, memory)
    evidence = fork.loads((memory / FORK).read_text())
    fork.check(evidence, POLICY, POLICY)
    assert [one.checkpoint.size for one in (evidence.first, evidence.second)] == [500, size]
    trusted = tmp_path / "trust.json"
    trusted.write_text(trust.dumps(ROOT))
    assert "two histories" in check_fork(memory / FORK, trusted, None)
    log.leaves = entries(500)
    with pytest.raises(ForkFoundError):  # it does not go away
        look(log, memory)


def test_a_fork_from_a_whole_tile_whose_root_is_a_node_is_shown_too(tmp_path: Path) -> None:
    log = ServedLog(entries(512))
    look(log, tmp_path)
    log.leaves = entries(600, fork_at=100)
    with pytest.raises(ForkFoundError):
        look(log, tmp_path)
    fork.check(fork.loads((tmp_path / FORK).read_text()), POLICY, POLICY)


def test_evidence_that_was_altered_proves_nothing(tmp_path: Path) -> None:
    log = ServedLog(entries(5))
    look(log, tmp_path)
    log.leaves = entries(9, fork_at=2)
    with pytest.raises(ForkFoundError):
        look(log, tmp_path)
    good = json.loads((tmp_path / FORK).read_text())
    honest = str(ServedLog(entries(9)).signed)
    for altered in [{"second": honest}, {"first": good["second"]}, {"path": []}, {"path": good["path"][:-1]}]:
        with pytest.raises(NoForkError):
            fork.check(fork.loads(json.dumps(good | altered)), POLICY, POLICY)
    unsigned = str(ServedLog(entries(9, fork_at=2), signers=("ERC", "MEA")).signed)
    with pytest.raises(NoForkError, match="too few"):
        fork.check(fork.loads(json.dumps(good | {"second": unsigned})), POLICY, POLICY)
    for text in ["", "[]", "{}", '{"first": 1, "second": 2, "path": 3}']:
        with pytest.raises(MalformedError):
            fork.loads(text)


def test_what_too_few_have_signed_is_not_taken_and_is_no_fork(tmp_path: Path) -> None:
    log = ServedLog(entries(5))
    look(log, tmp_path)
    for signers in [("ERC", "MEA"), (), ("ERC", "ERC", "ERC")]:
        with pytest.raises(WatchError, match="too few"):
            look(replace(log, leaves=entries(9, fork_at=2), signers=signers), tmp_path)
    with pytest.raises(WatchError, match="no log key"):
        look(replace(log, log_key=proof_kit.private_key("stranger")), tmp_path)
    assert seen(tmp_path) == 5


def test_tiles_that_do_not_lead_to_the_checkpoint_are_not_taken_and_are_no_fork(tmp_path: Path) -> None:
    """A server may hold tiles back or alter them: that says nothing against those who signed."""
    log = ServedLog(entries(5))
    look(log, tmp_path)
    for held in [entries(9, fork_at=2), entries(9, fork_at=7)]:
        with pytest.raises(WatchError, match="do not lead"):
            look(replace(log, leaves=entries(9), tiles_of=held), tmp_path)
    with pytest.raises(RemoteLogError, match="answered 404"):
        look(replace(log, leaves=entries(9), tiles_of=[]), tmp_path)
    assert seen(tmp_path) == 5
    assert "grew" in look(replace(log, leaves=entries(9)), tmp_path)


def test_one_watcher_at_a_time_and_a_damaged_memory_is_not_guessed_at(tmp_path: Path) -> None:
    with WitnessMemory(tmp_path), pytest.raises(UnusableMemoryError, match="another watcher"):
        WitnessMemory(tmp_path)
    (tmp_path / "checkpoint").write_text("garbage")
    with pytest.raises(UnusableMemoryError, match="is damaged"):
        WitnessMemory(tmp_path)


def test_what_cannot_be_remembered_is_not_taken_until_it_can(tmp_path: Path) -> None:
    in_the_way = tmp_path / "checkpoint.new"
    in_the_way.mkdir()
    with pytest.raises(UnusableMemoryError, match=r"cannot write .*checkpoint: .*make room or mend the disk"):
        look(ServedLog(entries(5)), tmp_path)
    assert seen(tmp_path) == 0
    in_the_way.rmdir()
    assert "begins with 5 leaves" in look(ServedLog(entries(5)), tmp_path)


def test_a_file_of_noise_is_no_trust_and_no_evidence(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"\xff\xfe\x00noise")
    with WitnessMemory(tmp_path) as memory, pytest.raises(PolicyError, match="noise is no policy"):
        read_signers(noise, memory)
    with pytest.raises(WatchError, match=r"cannot read .*noise"):
        check_fork(noise, noise, None)


def test_the_watcher_follows_the_authorities_as_they_hand_over_and_remembers_how(tmp_path: Path) -> None:
    chain = test_handover.CHAIN
    root = TrustRoot(chain.genesis.chain_id, chain.genesis.authorities)
    cosigners = {name: key_of(1001 + 10 * n) for n, name in enumerate(AUTHORITY_NAMES)}
    log = ServedLog(entries(3), AUTHORITY_NAMES[:3], root.chain_id, cosigners, key_of(1002))
    with watching(log, tmp_path, root) as watcher:
        assert watcher.look() == "begins with 3 leaves"
        assert "/v1/handovers" not in log.asked
        log.leaves = entries(test_handover.GOOD[-1].header.log_size + 5)
        log.cosigners = {name: cosigners[name] for name in ("MEA", "PEA")} | {"EPPO": KEYS[1]}
        log.signers = ("MEA", "PEA", "EPPO")
        with pytest.raises(WatchError, match="too few"):
            watcher.look()
        log.handovers = [one.encode() for one in test_handover.GOOD]
        assert "grew from 3" in watcher.look()
    log.handovers = ()
    with watching(log, tmp_path, root) as watcher:
        assert "they agree" in watcher.look()
