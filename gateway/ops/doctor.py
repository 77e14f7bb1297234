"""`campusgrid doctor`: what is wrong on this machine or with this gateway, and the command that mends it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from gateway.ops.checks import run_checks
from gateway.ops.finding import Finding, Severity

_MARKS = {Severity.WELL: "ok  ", Severity.WARNING: "warn", Severity.FAULT: "FAIL"}


def doctor(
    config: Annotated[Path | None, typer.Option("--config", help="The gateway.toml of a gateway to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine, and a gateway; what is worst stands last. Exit code 0 is well, 1 warnings, 2 faults.

    Example: campusgrid doctor --config /etc/campusgrid/gateway/gateway.toml
    """
    findings = run_checks(config)
    if as_json:
        typer.echo(json.dumps([_describe(finding) for finding in findings], indent=2))
    else:
        for finding in sorted(findings, key=lambda one: one.severity):  # the worst last, where a terminal stops
            typer.echo(f"{_MARKS[finding.severity]}  {finding.check}: {finding.text}")
            if finding.mend:
                typer.echo(f"      to mend it: {finding.mend}")
        typer.echo(_sum_up(findings))
    raise typer.Exit(max(finding.severity for finding in findings))


def _sum_up(findings: list[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    return f"{counts[Severity.FAULT]} faults, {counts[Severity.WARNING]} warnings, {counts[Severity.WELL]} well"


def _describe(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check, "severity": finding.severity.name.lower(), "text": finding.text, "mend": finding.mend,
    }  # fmt: skip
