"""`campusgrid verify`: checks a proof off-line, with nothing but the authorities' public keys, today's or the first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ledger import checkpoint, policy, proof, reading, receipt_proof, records, trust
from ledger.checkpoint import VerifierKey
from ledger.errors import LedgerError, MalformedError
from ledger.policy import Policy

_OTHER_ERA: Final = (
    ". If the authorities changed since the chain began, say how: `--genesis` with `--handovers FILE`, which any node's"
    " /v1/handovers gives"
)
_Check = Callable[[bytes, Sequence[VerifierKey], Policy | None], tuple[str, dict[str, Any]]]
"""Returns what a proof says, as text and as JSON; raises ProofRefusedError."""


class UnreadableFileError(LedgerError):
    """A file that was named on the command line and cannot be read."""


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The proof of a settlement line, transaction or fee.")],
    authorities: Annotated[
        Path | None, typer.Option(metavar="KEYS", help="The authorities' C2SP verifier keys, one a line.")
    ] = None,
    genesis: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead: the first authorities, as trust file or genesis.json.")
    ] = None,
    handovers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --genesis: how the authorities changed since.")
    ] = None,
    demanded: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Who must have signed besides: a tlog policy with witnesses."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is proven as one JSON object.")] = False,
) -> None:
    """Check a proof off-line: meter signatures, inclusion, checkpoint, cosignatures.

    Exit 0: everything holds. Exit 1: refused, with the part that failed. For example:

        campusgrid verify proof.tlog-proof --authorities authorities.vkeys

    Whoever trusts a chain's first authorities needs nobody's word for who they are today: hand-over certificates, which
    any node gives away, lead there.

        curl -o handovers http://127.0.0.1:9933/v1/handovers

        campusgrid verify proof.tlog-proof --genesis trust.json --handovers handovers

    A proof that was asked for with `witnesses=true` carries outside witnesses' cosignatures, too. Take what `campusgrid
    ledger policy` prints, add a line for each of the witnesses and the quorum that you want, and say --policy.
    """
    if (authorities is None) == (genesis is None) or (handovers is not None and genesis is None):
        raise typer.BadParameter("give --authorities, or --genesis and if the authorities changed since --handovers")
    data = _read(file, receipt_proof.MAX_PROOF_BYTES)
    try:
        verifiers = _read_keys(authorities) if authorities else _keys_of_era(data, genesis, handovers)
        asked = _read_policy(demanded) if demanded else None
        shown = _find_check(data)(data, verifiers, asked)
    except proof.ProofRefusedError as error:
        is_other_era = isinstance(error, proof.NotCosignedError) and handovers is None
        raise proof.ProofRefusedError(f"{file} is refused: {error}{_OTHER_ERA if is_other_era else ''}") from error
    typer.echo(json.dumps(shown[1]) if as_json else shown[0])


def _find_check(data: bytes) -> _Check:
    """Return what checks a proof of the kind that *data* seems to be."""
    if _is_line(data):
        return _verify_line
    return _verify_fee if _is_fee(data) else _verify_receipt


def _is_fee(data: bytes) -> bool:
    try:
        records.decode_fee(receipt_proof.parse(data).record)
    except MalformedError:
        return False
    return True


def _is_line(data: bytes) -> bool:
    """Tell a settlement line's proof, which is text, from a receipt's or fee's, which is a CBOR array of seven."""
    return not data.startswith(b"\x87")


def _verify_line(data: bytes, verifiers: Sequence[VerifierKey], demanded: Policy | None) -> tuple[str, dict[str, Any]]:
    proven = proof.verify(data, verifiers, demanded)
    return _as_text(proven), _as_json(proven)


def _verify_receipt(
    data: bytes, verifiers: Sequence[VerifierKey], demanded: Policy | None
) -> tuple[str, dict[str, Any]]:
    proven = receipt_proof.verify(data, None, verifiers, demanded)
    record = proven.record
    events = [f"{module}.{name}" for module, name, _ in proven.events]
    outcome = "done" if record.code == 0 else f"refused with code {record.code}"
    text = f"verified: transaction {record.transaction_id.hex()} in block {record.height}, {outcome}"
    shown = {
        "verified": True,
        "transaction": record.transaction_id.hex(),
        "height": record.height,
        "code": record.code,
        "events": events,
    }
    return "\n".join([text, f"  events    {', '.join(events) or 'none'}"]), shown


def _verify_fee(data: bytes, verifiers: Sequence[VerifierKey], demanded: Policy | None) -> tuple[str, dict[str, Any]]:
    fee = receipt_proof.verify_fee(data, verifiers, demanded)
    text = f"verified: account {fee.account.hex()} paid {fee.fee_aaip} aAIP in block {fee.height}"
    order = f"  order     {fee.order.hex()} rolled over to epoch {fee.epoch}, meter {fee.meter.hex()}"
    values = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(fee).items()}
    return f"{text}\n{order}", {"verified": True, "fee": values}


def _keys_of_era(data: bytes, genesis: Path | None, handovers: Path | None) -> list[VerifierKey]:
    """Return the keys of whoever had to cosign the checkpoint in *data*: its size tells when it was made."""
    assert genesis is not None
    eras = trust.load_eras(genesis, handovers)
    try:
        note = (proof.parse(data) if _is_line(data) else receipt_proof.parse(data)).checkpoint
    except MalformedError as error:
        raise proof.ProofRefusedError(f"format: {error}") from error
    return eras.verifiers(note.size)


def _read_keys(path: Path) -> list[VerifierKey]:
    try:
        return checkpoint.parse_keys(_read(path, checkpoint.MAX_KEYS_BYTES).decode())
    except (checkpoint.KeyFileError, UnicodeDecodeError) as error:
        raise checkpoint.KeyFileError(f"{path} is not a list of verifier keys: {error}") from error


def _read_policy(path: Path) -> Policy:
    try:
        return policy.parse(_read(path, policy.MAX_POLICY_BYTES).decode())
    except (policy.PolicyError, UnicodeDecodeError) as error:
        raise policy.PolicyError(f"{path} is no policy: {error}") from error


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise UnreadableFileError(f"cannot read {path}: {error.strerror}. Check the path.") from error


def _as_text(proven: proof.ProvenLine) -> str:
    line = proven.line
    price = "nothing traded" if line.price_uaip_per_kwh is None else f"{line.price_uaip_per_kwh} µAIP/kWh"
    rows = [
        f"verified: meter {line.meter.hex()}, epoch {line.epoch}, account {line.account.hex()}",
        *(_reading_text(place, found) for place, found in zip(("first", "last"), proven.readings, strict=True)),
        f"  measured  import {line.import_wh} Wh, export {line.export_wh} Wh",
        f"  traded    bought {line.bought_wh} Wh, sold {line.sold_wh} Wh at {price}",
        f"  market    +{line.market_income_aaip} -{line.market_cost_aaip} aAIP, penalty {line.penalty_aaip} aAIP",
        f"  grid      +{line.grid_income_aaip} -{line.grid_cost_aaip} aAIP",
        f"  log       leaf {proven.index} of {proven.checkpoint.size} in {proven.checkpoint.origin}",
        f"  cosigned  {', '.join(name.removeprefix(f'{proven.checkpoint.origin}/') for name in proven.cosigners)}",
    ]
    return "\n".join(rows)


def _reading_text(place: str, found: reading.Reading | None) -> str:
    if found is None:
        return f"  {place:<9} none: the meter did not report"
    values = ", ".join(f"{reading.obis_text(code)} = {value}" for code, value in found.registers)
    return f"  {place:<9} reading {found.sequence} at {found.time}: {values} Wh, signed by the meter"


def _as_json(proven: proof.ProvenLine) -> dict[str, Any]:
    line = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(proven.line).items()}
    return {
        "verified": True,
        "line": line,
        "readings": [found and {"sequence": found.sequence, "time": found.time} for found in proven.readings],
        "log": {"origin": proven.checkpoint.origin, "size": proven.checkpoint.size, "index": proven.index},
        "cosigners": list(proven.cosigners),
    }
