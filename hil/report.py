"""The demo's report: what was measured, as JSON, and the reasons for which it is not a success."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.conservation import Conservation
from hil.custody import Custody
from hil.errors import DemoError
from ledger.api.resources import BlockSummary, Epoch


@dataclass(frozen=True, slots=True)
class ReportedMeter:
    """One meter of the campus."""

    id: str
    model: str
    interpreter: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof file and the authorities' keys, as paths from the command's folder, and the verdict of `verify`."""

    file: str
    authorities: str
    verified: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the demo measured. `blocks` has each node's block at one common height, by node name."""

    custody: Custody
    counted_twice: int
    refused: int
    meters: tuple[ReportedMeter, ...]
    epochs: tuple[Epoch, ...]
    blocks: dict[str, BlockSummary]
    finality_ms: dict[str, int | None]
    conservation: Conservation
    proof: Proof
    duration_s: int

    @property
    def failures(self) -> list[str]:
        """Why this is not a success; empty when it is."""
        custody, conservation = self.custody, self.conservation
        checks = {
            f"{len(custody.lost)} signed readings are not stored": not custody.lost,
            f"{self.duplicated} readings or intervals are counted twice": not self.duplicated,
            f"{len(custody.invented)} stored readings were never signed": not custody.invented,
            "the ledger nodes differ at one height": len({block.state_root for block in self.blocks.values()}) == 1,
            "an epoch is not settled": all(epoch.phase == "settled" for epoch in self.epochs),
            "no epoch matched any energy": any(epoch.matched_wh > 0 for epoch in self.epochs),
            f"not conserved: {'; '.join(conservation.faults[:3])}": not conservation.faults,
            f"the proof was refused: {self.proof.verdict}": self.proof.verified,
            "no transaction's finality was measured": None not in self.finality_ms.values(),
        }
        return [text for text, holds in checks.items() if not holds]

    @property
    def duplicated(self) -> int:
        """Readings signed or stored twice, and intervals settled twice."""
        return len(self.custody.duplicated) + self.counted_twice

    def content(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "readings": {
                "signed": self.custody.signed, "stored": self.custody.stored, "refused": self.refused,
                "lost": len(self.custody.lost), "duplicated": self.duplicated,
            },
            "meters": [{"id": m.id, "model": m.model, "interpreter": m.interpreter} for m in self.meters],
            "epochs": [_epoch(epoch) for epoch in self.epochs],
            "ledger": {
                "height": next(iter(self.blocks.values())).height,
                "nodes": [
                    {"name": name, "height": block.height, "state_root": block.state_root.hex()}
                    for name, block in self.blocks.items()
                ],
                "finality_ms": self.finality_ms,
            },
            "conservation": self.conservation.laws,
            "proof": {
                "file": self.proof.file, "authorities": self.proof.authorities, "verified": self.proof.verified,
            },
            "duration_s": self.duration_s,
            "failures": self.failures,
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Write the report to *path*; raises DemoError where that is impossible."""
        try:
            path.write_text(json.dumps(self.content(), indent=2) + "\n")
        except OSError as error:
            raise DemoError(f"cannot write the report {path}: {error.strerror}") from error


def _epoch(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch, "export_wh": epoch.export_wh, "import_wh": epoch.import_wh, "orders": epoch.orders,
        "matched_wh": epoch.matched_wh, "price_uaip_per_kwh": epoch.price_uaip_per_kwh,
        "settled": epoch.phase == "settled",
    }  # fmt: skip
