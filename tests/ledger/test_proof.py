"""A proof file holds off-line, and nothing but the one canonical file does."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import checkpoint, proof
from ledger.checkpoint import SignatureType
from ledger.proof import ProofRefusedError
from ledger.records import LineFlag
from tests.ledger import proof_kit
from tests.ledger.proof_kit import WITNESSES

KIT = proof_kit.make()
COMMAND = [str(Path(sys.executable).with_name("campusgrid")), "verify"]


def test_a_good_proof_tells_the_line_the_readings_and_who_cosigned() -> None:
    proven = proof.verify(KIT.proof().encode(), KIT.verifiers)
    assert proven.line == KIT.line
    assert [found.sequence for found in proven.readings if found] == [41, 57]
    assert len(proven.cosigners) == 3


@pytest.mark.parametrize("index", range(7))
def test_every_place_of_a_log_can_be_proven(index: int) -> None:
    kit = proof_kit.make(leaves=7, index=index)
    assert proof.verify(kit.proof().encode(), kit.verifiers).index == index


def refused(data: bytes, because: str) -> None:
    with pytest.raises(proof.ProofRefusedError, match=because):
        proof.verify(data, KIT.verifiers)


def assert_every_flipped_bit_is_refused(data: bytes, verifiers: list[checkpoint.VerifierKey]) -> None:
    accepted = []
    for place in range(len(data)):
        for bit in range(8):
            altered = bytearray(data)
            altered[place] ^= 1 << bit
            try:
                proof.verify(bytes(altered), verifiers)
            except proof.ProofRefusedError:
                continue
            accepted.append((place, bit))
    assert accepted == []


def test_every_flipped_bit_at_every_position_is_refused() -> None:
    data = KIT.proof().encode()
    assert len(data) > 1000
    assert_every_flipped_bit_is_refused(data, KIT.verifiers)


@pytest.mark.parametrize("cut", [0, 1, 100, 700, -1])
def test_a_cut_or_lengthened_file_is_refused(cut: int) -> None:
    data = KIT.proof().encode()
    refused(data[:cut], "format|cosignatures")
    refused(data + b"\n", "format")
    refused(data.replace(b"\n", b"\r\n"), "format")
    refused(b"\xef\xbb\xbf" + data, "format")


def test_missing_surplus_repeated_and_unordered_cosignatures_are_refused() -> None:
    for signers in [(0, 1), (0, 1, 2, 3)]:
        refused(KIT.proof(signers).encode(), "exactly 3 of 4")
    for signers in [(1, 0, 2), (0, 0, 1)]:
        refused(KIT.proof(signers).encode(), "order")


def test_an_unknown_or_foreign_signature_is_refused_even_beside_a_quorum() -> None:
    good = KIT.proof()
    stranger = checkpoint.cosign(good.checkpoint, "stranger", proof_kit.private_key("stranger"), 1)
    refused(replace(good, signatures=(*good.signatures[:3], stranger)).encode(), "stranger")
    refused(replace(good, signatures=(*good.signatures, stranger)).encode(), "exactly 3 of 4")
    foreign_log = checkpoint.sign_as_log(good.checkpoint, proof_kit.private_key("stranger"))
    refused(replace(good, signatures=(foreign_log, *good.signatures[1:])).encode(), "log signature")


def test_witnesses_count_where_a_policy_names_them_and_every_flipped_bit_is_refused() -> None:
    data = KIT.proof(witnesses=WITNESSES).encode()
    assert proof.verify(data, KIT.verifiers, KIT.policy).cosigners[3:] == WITNESSES
    accepted = []
    for place in range(data.index(b"alpha") - 4, len(data)):
        for bit in range(8):
            altered = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            with contextlib.suppress(ProofRefusedError):
                proof.verify(altered, KIT.verifiers, KIT.policy)
                accepted.append((place, bit))
    assert accepted == []
    refused(data, "exactly 3 of 4 .* a policy must name them")


@pytest.mark.parametrize(
    ("witnesses", "because"),
    [
        ((), "policy: .* too few; ask the node for a proof with `witnesses=true`"),
        (WITNESSES[:1], "policy: .* cosigned by w0: too few$"),
        (WITNESSES[::-1], "order of their lines"),
        ((WITNESSES[0], *WITNESSES), "repeat"),
        ((*WITNESSES, "gamma.example/w"), "gamma.example/w.* the policy must name each witness"),
    ],
)
def test_witnesses_that_do_not_do_are_refused(witnesses: tuple[str, ...], because: str) -> None:
    with pytest.raises(ProofRefusedError, match=because):
        proof.verify(KIT.proof(witnesses=witnesses).encode(), KIT.verifiers, KIT.policy)


def test_neither_an_authority_nor_the_log_is_its_own_witness_whatever_a_policy_says() -> None:
    good = KIT.proof()
    for name, purpose in ((f"{KIT.origin}/EGAT", "EGAT cosign"), ("renamed", "EGAT cosign"), (KIT.origin, "witness")):
        key = proof_kit.private_key(purpose)
        verifier = checkpoint.VerifierKey(name, SignatureType.COSIGNATURE, key.public_key)
        line = checkpoint.cosign(good.checkpoint, name, key, proof_kit.TIME_S)
        demanded = replace(KIT.policy, witnesses={"w0": verifier}, groups={}, quorum="w0")
        data = replace(good, signatures=(*good.signatures, line)).encode()
        with pytest.raises(ProofRefusedError, match="by nobody who is listed"):
            proof.verify(data, KIT.verifiers, demanded)


def test_a_log_signature_never_counts_as_a_cosignature() -> None:
    good = KIT.proof()
    log_keys = [key for key in KIT.verifiers if key.type is SignatureType.LOG]
    second_log = checkpoint.sign_as_log(good.checkpoint, proof_kit.private_key("ERC log"))
    assert any(checkpoint.is_signed(good.checkpoint, second_log, key) for key in log_keys)
    refused(replace(good, signatures=(*good.signatures[:3], second_log)).encode(), "bad, or by nobody")


def test_a_reading_of_another_key_or_another_moment_is_refused() -> None:
    good = KIT.proof()
    other = proof_kit.boundary_reading(proof_kit.private_key("other meter"), 57, proof_kit.EPOCH + 1, 100_420, 2_000)
    for readings in [
        (good.opening.readings[0], other.raw),
        (good.opening.readings[0], None),
        good.opening.readings[::-1],
    ]:
        refused(replace(good, opening=replace(good.opening, readings=readings)).encode(), "reading")


def test_where_a_meters_key_changed_the_first_reading_is_the_old_keys_and_bound_by_its_hash_alone() -> None:
    kit = proof_kit.make(first_signer="the key before", flags=int(LineFlag.KEY_CHANGED))
    good = kit.proof()
    assert proof.verify(good.encode(), kit.verifiers).line.import_wh == 420
    refused(proof_kit.make(first_signer="the key before").proof().encode(), "first reading: the meter's signature")
    other = proof_kit.boundary_reading(proof_kit.private_key("meter"), 41, proof_kit.EPOCH, 100_001, 2_000)
    for readings in [(other.raw, good.opening.readings[1]), (good.opening.readings[0], other.raw)]:
        refused(replace(good, opening=replace(good.opening, readings=readings)).encode(), "reading")
    more = proof_kit.make(flags=int(LineFlag.KEY_CHANGED), import_wh=421)
    refused(more.proof().encode(), "1.8.0 did not move by 421 Wh")


def test_a_line_that_is_not_the_difference_of_its_readings_is_refused_though_authorities_signed_it() -> None:
    kit = proof_kit.make(import_wh=421)
    refused(kit.proof().encode(), "1.8.0 did not move by 421 Wh")
    shifted = proof_kit.make(epoch=proof_kit.EPOCH + 1)
    refused(shifted.proof().encode(), "epoch")


def test_a_line_of_a_meter_that_did_not_report_is_provable_without_readings() -> None:
    for flags in (LineFlag.NOT_REPORTED, LineFlag(0), LineFlag.KEPT):
        kit = proof_kit.make(first_reading=None, last_reading=None, flags=int(flags))
        good = kit.proof()
        silent = replace(good, opening=replace(good.opening, readings=(None, None))).encode()
        if flags is LineFlag.NOT_REPORTED:
            assert proof.verify(silent, kit.verifiers).readings == (None, None)
        else:
            with pytest.raises(ProofRefusedError, match="names no two readings"):
                proof.verify(silent, kit.verifiers)


def test_a_checkpoint_of_another_chain_does_not_pass_under_this_chains_key_names() -> None:
    """Signatures cover the origin, not the key names: the same keys in two chains must not be mistaken."""
    good, here = KIT.proof(), KIT.verifiers
    elsewhere = [replace(key, name=key.name.replace(KIT.origin, "campusgrid/elsewhere")) for key in here]
    renamed = [
        replace(line, name=key.name, data=key.hash + line.data[4:])
        for line in good.signatures
        for key in elsewhere
        if any(checkpoint.is_signed(good.checkpoint, line, own) and own.public_key == key.public_key for own in here)
    ]
    assert len(renamed) == len(good.signatures)
    assert all(any(checkpoint.is_signed(good.checkpoint, line, key) for key in elsewhere) for line in renamed)
    with pytest.raises(ProofRefusedError, match="log signature"):
        proof.verify(replace(good, signatures=tuple(renamed)).encode(), elsewhere)


@pytest.mark.parametrize("time_s", [0, 2**63, 2**64 - 1])
def test_a_cosignature_without_a_possible_time_is_refused(time_s: int) -> None:
    good = KIT.proof()
    name = checkpoint.cosigner_name(KIT.origin, KIT.authorities.members[0].name)
    key = proof_kit.private_key(f"{KIT.authorities.members[0].name} cosign")
    timeless = checkpoint.cosign(good.checkpoint, name, key, time_s)
    refused(replace(good, signatures=(good.signatures[0], timeless, *good.signatures[2:])).encode(), "bad")


def run_verify(file: Path, keys: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, str(file), "--authorities", str(keys), *options], capture_output=True, text=True, check=False
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    file, keys = tmp_path / "line.tlog-proof", tmp_path / "authorities.vkeys"
    file.write_bytes(KIT.proof().encode())
    keys.write_text("".join(f"{key}\n" for key in KIT.verifiers))
    return file, keys


def test_the_command_accepts_a_good_file_and_says_what_it_proves(files: tuple[Path, Path]) -> None:
    told = run_verify(*files)
    assert (told.returncode, told.stderr) == (0, "")
    assert "import 420 Wh" in told.stdout
    assert json.loads(run_verify(*files, "--json").stdout)["line"]["import_wh"] == 420


def test_the_command_counts_the_witnesses_of_a_policy(files: tuple[Path, Path], tmp_path: Path) -> None:
    file, asked = files[0], tmp_path / "policy"
    asked.write_text(str(KIT.policy))
    assert_one_line_refusal(run_verify(*files, "--policy", str(asked)), "witnesses=true")
    file.write_bytes(KIT.proof(witnesses=WITNESSES).encode())
    told = run_verify(*files, "--policy", str(asked))
    assert (told.returncode, told.stderr) == (0, "")
    assert all(name in told.stdout.splitlines()[-1] for name in ("EGAT", *WITNESSES))
    assert_one_line_refusal(run_verify(*files), "a policy must name them")
    assert_one_line_refusal(run_verify(*files, "--policy", str(file)), "is no policy: line 1")


def assert_one_line_refusal(told: subprocess.CompletedProcess[str], because: str) -> None:
    assert told.returncode == 1
    assert because in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert told.stdout == ""


def test_the_command_refuses_bad_files_in_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    file, keys = files
    assert_one_line_refusal(run_verify(tmp_path / "none", keys), "cannot read")
    assert_one_line_refusal(run_verify(tmp_path, keys), "cannot read")
    assert_one_line_refusal(run_verify(file, file), "not a list of verifier keys")
    keys.write_text("".join(f"{key}\n" for key in KIT.verifiers[:6]))
    assert_one_line_refusal(run_verify(file, keys), "is refused: cosignatures")
    file.write_bytes(b"\xff" * 100_000)
    assert_one_line_refusal(run_verify(file, keys), "is refused: format")


def test_proofbundle_accepts_the_same_file_and_counts_the_same_cosigners(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    leaf = tmp_path / "leaf"
    leaf.write_bytes(KIT.opening.leaf())
    log_key = next(str(key) for key in KIT.verifiers if key.public_key == proof_kit.private_key("PEA log").public_key)
    witnesses = [f"--witness-vkey={key}" for key in KIT.verifiers if key.type is SignatureType.COSIGNATURE]
    judge = [str(Path(sys.executable).with_name("proofbundle")), "verify-proof", str(files[0])]
    judge += ["--payload-file", str(leaf), "--log-vkey", log_key, "--expected-origin", KIT.origin, *witnesses]
    verdicts = [
        subprocess.run([*judge, "--threshold", n], capture_output=True, check=False).returncode for n in ("3", "4")
    ]
    assert verdicts[0] == 0
    assert verdicts[1] != 0
