"""`campusgrid verify` with the first authorities alone: hand-over certificates lead to whoever cosigned."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ledger import handover, merkle, receipt_proof, records, trust
from ledger.checkpoint import Checkpoint, cosign, cosigner_name, origin, sign_as_log
from ledger.errors import LedgerError
from ledger.keys import PrivateKey
from ledger.trust import TrustRoot
from ledger.verify import verify
from tests.ledger import test_handover, test_receipt_proof
from tests.ledger.chain_kit import AUTHORITY_NAMES, key_of
from tests.ledger.reached_by_governance import KEYS

CHAIN_ID, FIRST, GOOD = test_handover.CHAIN_ID, test_handover.FIRST, test_handover.GOOD
OLD_KEYS = {name: key_of(1001 + 10 * n) for n, name in enumerate(AUTHORITY_NAMES)}
NEW_KEYS = OLD_KEYS | {"EPPO": KEYS[1], "ERC": test_handover.NEW_KEYS[1]}


def receipt(size: int, keys: dict[str, PrivateKey], *names: str) -> bytes:
    """Return the proof of a receipt in a log of *size* leaves, cosigned by *names* in the order of the set."""
    record = records.encode(records.ReceiptRecord(test_receipt_proof.TRANSACTION, 9, 2, 0, EFFECTS))
    leaf = merkle.leaf_hash(records.leaf_of(records.RecordKind.RECEIPT, record, b"s" * 32))
    hashes = [merkle.leaf_hash(bytes([place % 256])) for place in range(size - 1)]
    hash_of = merkle.hashes_over([leaf, *hashes])
    name = origin(CHAIN_ID)
    note = Checkpoint(name, size, hash_of(0, size))
    lines = [sign_as_log(note, key_of(1002))]
    lines += [cosign(note, cosigner_name(name, one), keys[one], 1_800_000_000) for one in names]
    path = merkle.inclusion_path(0, size, hash_of)
    return receipt_proof.ReceiptProof(
        b"s" * 32, record, test_receipt_proof.EVENTS, 0, path, note, tuple(lines)
    ).encode()


EFFECTS = hashlib.sha256(test_receipt_proof.EVENTS).digest()
APP = typer.Typer()
APP.command()(verify)
LAST = GOOD[-1].header.log_size


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Where the proof goes, the trust file, the hand-over certificates."""
    (tmp_path / "trust.json").write_text(trust.dumps(TrustRoot(CHAIN_ID, FIRST)))
    (tmp_path / "handovers").write_bytes(test_handover.FILE)
    return tmp_path / "proof", tmp_path / "trust.json", tmp_path / "handovers"


def run(files: tuple[Path, Path, Path], data: bytes, *, handed_over: bool = True) -> str:
    proof, trusted, handovers = files
    proof.write_bytes(data)
    options = [str(proof), "--genesis", str(trusted)]
    result = CliRunner().invoke(APP, [*options, "--handovers", str(handovers)] if handed_over else options)
    if isinstance(result.exception, LedgerError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_checkpoint_counts_if_those_of_its_own_time_cosigned_it(files: tuple[Path, Path, Path]) -> None:
    later = receipt(LAST + 5, NEW_KEYS, "ERC", "MEA", "EPPO")
    assert "in block 9, done" in run(files, later)
    early = receipt(GOOD[0].header.log_size - 1, OLD_KEYS, "ERC", "MEA", "PEA")
    assert "verified" in run(files, early)
    assert "verified" in run(files, early, handed_over=False)
    with pytest.raises(LedgerError, match="`--genesis` with `--handovers FILE`"):
        run(files, later, handed_over=False)


@pytest.mark.parametrize(
    "data",
    [
        receipt(LAST + 5, OLD_KEYS, "ERC", "MEA", "PEA"),  # with a key that was rotated away
        receipt(LAST + 5, NEW_KEYS, "MEA", "PEA", "EGAT"),  # by one who left
        receipt(LAST + 5, NEW_KEYS, "ERC", "MEA"),
        receipt(GOOD[0].header.log_size - 1, NEW_KEYS, "ERC", "MEA", "EPPO"),  # before they came
    ],
)
def test_those_of_another_time_do_not_count(files: tuple[Path, Path, Path], data: bytes) -> None:
    with pytest.raises(LedgerError, match="cosignatures"):
        run(files, data)


def test_without_certificates_or_with_bad_ones_a_later_set_is_unknown(files: tuple[Path, Path, Path]) -> None:
    later = receipt(LAST + 5, NEW_KEYS, "ERC", "MEA", "EPPO")
    with pytest.raises(LedgerError, match="cosignatures"):
        run(files, later, handed_over=False)
    files[2].write_bytes(handover.encode_all(CHAIN_ID, [one.encode() for one in GOOD[1:]]))
    with pytest.raises(LedgerError, match="handovers is refused: hand-over 1"):
        run(files, later)
    files[2].unlink()
    with pytest.raises(LedgerError, match="v1/handovers gives it"):
        run(files, later)
