"""`campusgrid verify`: checks a proof file off-line, with nothing but the authorities' public keys."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger import checkpoint, proof, reading
from ledger.errors import LedgerError


class UnreadableFileError(LedgerError):
    """A file that was named on the command line and cannot be read."""


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The proof file (.tlog-proof).")],
    authorities: Annotated[
        Path, typer.Option("--authorities", metavar="KEYS", help="The authorities' C2SP verifier keys, one a line.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print what is proven as one JSON object.")] = False,
) -> None:
    """Check a settlement proof off-line: meter signatures, inclusion, checkpoint, cosignatures.

    Exit 0: everything holds. Exit 1: refused, with the part that failed. Example:

        campusgrid verify proof.tlog-proof --authorities authorities.vkeys
    """
    try:
        verifiers = checkpoint.parse_keys(_read(authorities).decode())
    except (checkpoint.KeyFileError, UnicodeDecodeError) as error:
        raise checkpoint.KeyFileError(f"{authorities} is not a list of verifier keys: {error}") from error
    try:
        proven = proof.verify(_read(file), verifiers)
    except proof.ProofRefusedError as error:
        raise proof.ProofRefusedError(f"{file} is refused: {error}") from error
    typer.echo(json.dumps(_as_json(proven)) if as_json else _as_text(proven))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(max(proof.MAX_PROOF_BYTES, checkpoint.MAX_KEYS_BYTES) + 1)
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
        f"  cosigned  {', '.join(name.rpartition('/')[2] for name in proven.cosigners)}",
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
