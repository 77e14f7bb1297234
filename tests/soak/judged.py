"""Altered proof files before an outside judge, `proofbundle`: ours accepts nothing that it refuses."""

from __future__ import annotations

from tests.ledger import judged_proofs
from tests.soak.tally import Tally

UNITS = 200
CASES_PER_UNIT = 500


def compare_verdicts(number: int) -> Tally:
    """Judge one unit of proof files."""
    first = number * CASES_PER_UNIT
    counts = judged_proofs.campaign(range(first, first + CASES_PER_UNIT))
    return Tally(judged_proofs.find_violations(counts), counts)
