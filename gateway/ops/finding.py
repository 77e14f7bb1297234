"""What a check of the doctor found, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is; the worst one is the command's exit code."""

    WELL = 0
    WARNING = 1
    FAULT = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `mend` is the command or step that mends it, empty where all is well."""

    check: str
    severity: Severity
    text: str
    mend: str = ""
