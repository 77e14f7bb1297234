"""Proof files: a settlement line, opened, with the readings it rests on and the way to a cosigned checkpoint.

The file is a C2SP tlog-proof (c2sp.org/tlog-proof@v1); its `extra` line holds CBOR

    [1, salt, record, meter public key, [first reading | null, last reading | null]]

Every byte of it is bound: salt and record by the leaf's commitment, the key by the record's thumbprint, the readings
by the record's hashes, the rest by signatures. Only the one canonical form is accepted, so every altered byte is
refused. After the authorities' cosignatures those of outside witnesses may follow, in the order of their lines: for
whoever has a policy (`ledger.policy`) that names the witnesses' keys.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ledger import cbor, checkpoint, keys, merkle, reading, records
from ledger.checkpoint import Checkpoint, SignatureLine, SignatureType, VerifierKey
from ledger.errors import LedgerError, MalformedError
from ledger.policy import Policy, PolicyRefusedError

MAX_PROOF_BYTES: Final = 64 * 1024
_HEADER: Final = "c2sp.org/tlog-proof@v1"
_EXTRA_VERSION: Final = 1


class ProofRefusedError(LedgerError):
    """A proof that does not hold; the text says which part failed."""


class NotCosignedError(ProofRefusedError):
    """A proof whose checkpoint those whose keys are given did not sign as they must."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a settlement line's leaf: salt (32 bytes), encoded record, meter key, the two boundary readings."""

    salt: bytes
    record: bytes
    meter_key: bytes
    readings: tuple[bytes | None, bytes | None]

    def leaf(self) -> bytes:
        """Return the leaf data that this opening belongs to."""
        return records.leaf_of(records.RecordKind.SETTLEMENT_LINE, self.record, self.salt)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof file's parts. `path` runs from the leaf upwards; the signatures stand as in the file."""

    opening: Opening
    index: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    signatures: tuple[SignatureLine, ...]

    def encode(self) -> bytes:
        """Return the proof file's bytes."""
        opening = self.opening
        extra = [_EXTRA_VERSION, opening.salt, opening.record, opening.meter_key, list(opening.readings)]
        lines = [
            _HEADER,
            f"extra {_base64(cbor.encode(extra))}",
            f"index {self.index}",
            *map(_base64, self.path),
            "",
            "",
        ]
        return ("\n".join(lines) + checkpoint.note(self.checkpoint, self.signatures)).encode()


@dataclass(frozen=True, slots=True)
class ProvenLine:
    """A settlement line that a quorum of the authorities vouches for, with the meter's own readings, all checked.

    `cosigners` are the key names of those authorities, and of the witnesses that a policy asked for.
    """

    line: records.SettlementLine
    readings: tuple[reading.Reading | None, reading.Reading | None]
    checkpoint: Checkpoint
    index: int
    cosigners: tuple[str, ...]


def parse(data: bytes) -> Proof:
    """Return the proof that *data* canonically writes, nothing checked yet; raises MalformedError."""
    if len(data) > MAX_PROOF_BYTES:
        raise MalformedError(f"a proof file has at most {MAX_PROOF_BYTES} bytes, not {len(data)}")
    try:
        head, separator, note = data.decode().partition("\n\n")
    except UnicodeDecodeError as error:
        raise MalformedError("a proof file is UTF-8 text") from error
    lines = head.split("\n")
    if not separator or len(lines) < 3 or lines[0] != _HEADER:
        raise MalformedError(f"a proof file begins with {_HEADER}, extra and index lines")
    opening = _parse_extra(_field(lines[1], "extra "))
    index = _parse_index(_field(lines[2], "index "))
    path = tuple(_unbase64(line) for line in lines[3:])
    proof = Proof(opening, index, path, *checkpoint.parse_note(note))
    if proof.encode() != data:
        raise MalformedError("the proof is not in its canonical form")
    return proof


def verify(data: bytes, verifiers: Sequence[VerifierKey], demanded: Policy | None = None) -> ProvenLine:
    """Return what *data* proves to a holder of the authorities' *verifiers*; raises ProofRefusedError.

    Where a policy is *demanded*, those who signed must meet it, too.
    """
    try:
        proof = parse(data)
        line = records.decode_settlement_line(proof.opening.record)
    except MalformedError as error:
        raise ProofRefusedError(f"format: {error}") from error
    cosigners = check_cosigned(proof.checkpoint, proof.signatures, verifiers, demanded)
    _check_inclusion(proof)
    readings = _check_readings(proof.opening, line)
    _check_interval(line, *readings)
    return ProvenLine(line, readings, proof.checkpoint, proof.index, cosigners)


def check_cosigned(
    note: Checkpoint,
    signatures: Sequence[SignatureLine],
    verifiers: Sequence[VerifierKey],
    demanded: Policy | None = None,
) -> tuple[str, ...]:
    """Return the names of the quorum that cosigned *note*; raises NotCosignedError unless exactly one did, in order.

    The first of *signatures* is that of the log's server. After the quorum there may be witnesses whom the policy
    *demanded* names; raises ProofRefusedError where it is not met.
    """
    cosigners = [key for key in verifiers if key.type is SignatureType.COSIGNATURE]
    quorum = 2 * len(cosigners) // 3 + 1
    log_line, *lines = signatures
    own, others = lines[:quorum], lines[quorum:]
    logs = [key for key in verifiers if key.type is SignatureType.LOG and key.name == note.origin]
    if not any(checkpoint.is_signed(note, log_line, key) for key in logs):
        raise NotCosignedError("checkpoint: the log signature is not by a listed log key")
    if len(own) != quorum or (others and demanded is None):
        hint = "; if others are witnesses', a policy must name them" if others else ""
        raise NotCosignedError(f"cosignatures: exactly {quorum} of {len(cosigners)} are needed, not {len(lines)}{hint}")
    places = [_signer(note, line, cosigners) for line in own]
    if any(first >= second for first, second in pairwise(places)):
        raise NotCosignedError("cosignatures: they repeat or do not stand in the order of the listed keys")
    names = tuple(cosigners[place].name for place in places)
    return names if demanded is None else (*names, *_check_witnesses(note, signatures, quorum, verifiers, demanded))


def _check_witnesses(
    note: Checkpoint,
    signatures: Sequence[SignatureLine],
    quorum: int,
    verifiers: Sequence[VerifierKey],
    demanded: Policy,
) -> tuple[str, ...]:
    """Return the names of the witnesses that signed after the authorities' *quorum*; raises ProofRefusedError.

    Neither an authority nor the log is a witness of itself, whatever the policy calls it.
    """
    lines, known = signatures[1 + quorum :], {key.public_key for key in verifiers}
    witnesses = [key for key in demanded.witnesses.values() if key.public_key not in known and key.name != note.origin]
    try:
        places = [_signer(note, line, witnesses) for line in lines]
    except NotCosignedError as error:
        raise ProofRefusedError(f"{error}; the policy must name each witness of the file") from error
    if len(set(places)) < len(places) or list(lines) != checkpoint.in_order(lines):
        raise ProofRefusedError("witnesses: their cosignatures repeat or do not stand in the order of their lines")
    try:
        demanded.check(note, signatures)
    except PolicyRefusedError as error:
        hint = "" if lines else "; ask the node for a proof with `witnesses=true`"
        raise ProofRefusedError(f"policy: {error}{hint}") from error
    return tuple(witnesses[place].name for place in places)


def _signer(note: Checkpoint, line: SignatureLine, signers: Sequence[VerifierKey]) -> int:
    for place, key in enumerate(signers):
        if checkpoint.is_signed(note, line, key):
            return place
    raise NotCosignedError(f"cosignatures: the one by {line.name!r} is bad, or by nobody who is listed")


def _check_inclusion(proof: Proof) -> None:
    leaf = merkle.leaf_hash(proof.opening.leaf())
    if merkle.root_from_path(leaf, proof.index, proof.checkpoint.size, proof.path) != proof.checkpoint.root:
        raise ProofRefusedError("inclusion: the line is not at this place of the log that the checkpoint covers")


def _check_readings(
    opening: Opening, line: records.SettlementLine
) -> tuple[reading.Reading | None, reading.Reading | None]:
    if keys.thumbprint(opening.meter_key) != line.key_thumbprint:
        raise ProofRefusedError("meter key: it is not the one that the settlement line names")
    first_key = None if line.flags & records.LineFlag.KEY_CHANGED else opening.meter_key
    first = _check_reading("first", opening.readings[0], line.first_reading, first_key)
    return first, _check_reading("last", opening.readings[1], line.last_reading, opening.meter_key)


def _check_reading(
    place: str, raw: bytes | None, expected: bytes | None, meter_key: bytes | None
) -> reading.Reading | None:
    """Return the reading that the line names; *meter_key* is None where the key before signed it."""
    if raw is None or expected is None:
        if raw is not None or expected is not None:
            raise ProofRefusedError(f"{place} reading: the file and the settlement line differ on whether there is one")
        return None
    try:
        found = reading.decode(raw)
    except MalformedError as error:
        raise ProofRefusedError(f"{place} reading: {error}") from error
    if found.hash != expected:
        raise ProofRefusedError(f"{place} reading: it is not the one that the settlement line names")
    if meter_key is not None and not found.is_signed_by(meter_key):
        raise ProofRefusedError(f"{place} reading: the meter's signature does not verify")
    return found


def _check_interval(line: records.SettlementLine, first: reading.Reading | None, last: reading.Reading | None) -> None:
    """A line with nothing unusual but kept GRID or a new key must be the difference of its two boundary readings."""
    if line.flags & ~(records.LineFlag.KEPT | records.LineFlag.KEY_CHANGED):
        return
    if first is None or last is None:
        raise ProofRefusedError("interval: the line claims a full epoch but names no two readings")
    if (first.epoch, last.epoch) != (line.epoch, line.epoch + 1):
        raise ProofRefusedError("interval: the readings are not those of the line's epoch")
    for obis, energy_wh in ((reading.ENERGY_IMPORT, line.import_wh), (reading.ENERGY_EXPORT, line.export_wh)):
        start, end = first.register(obis), last.register(obis)
        if start is None or end is None or end - start != energy_wh:
            raise ProofRefusedError(f"interval: register {reading.obis_text(obis)} did not move by {energy_wh} Wh")


def _parse_extra(text: str) -> Opening:
    values = cbor.decode(_unbase64(text))
    if type(values) is not list or len(values) != 5 or values[0] != _EXTRA_VERSION or type(values[0]) is not int:
        raise MalformedError("the extra line holds no opening of version 1")
    _, salt, record, meter_key, readings = values
    if any(type(value) is not bytes for value in (salt, record, meter_key)) or len(salt) != records.SALT_BYTES:
        raise MalformedError("the opening's salt, record and meter key are byte strings")
    if (
        type(readings) is not list
        or len(readings) != 2
        or any(type(raw) not in (bytes, type(None)) for raw in readings)
    ):
        raise MalformedError("the opening holds two readings, each bytes or null")
    return Opening(salt, record, meter_key, (readings[0], readings[1]))


def _parse_index(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise MalformedError("the index is not a number")
    return int(text)


def _field(line: str, name: str) -> str:
    if not line.startswith(name):
        raise MalformedError(f"a line with {name.strip()!r} is missing")
    return line[len(name) :]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedError(f"not base64: {text[:20]!r}") from error
