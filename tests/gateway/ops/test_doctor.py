"""What the doctor finds, and how it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway import cli
from gateway.ops import checks, disk
from gateway.ops.checks import Finding, Severity
from tests.gateway.plant import Plant


@pytest.mark.parametrize(("worst", "code"), [(Severity.WELL, 0), (Severity.WARNING, 1), (Severity.FAULT, 2)])
def test_the_worst_finding_is_the_exit_code(
    worst: Severity, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [Finding("a", Severity.WELL, "good"), Finding("b", worst, "so so", "do this")]
    monkeypatch.setattr("gateway.ops.doctor.run_checks", lambda _config: findings)
    assert cli.run(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)[1] == {
        "check": "b", "severity": worst.name.lower(), "text": "so so", "mend": "do this",
    }  # fmt: skip
    cli.run(["doctor"])
    assert "to mend it: do this" in capsys.readouterr().out


def test_a_gateway_is_looked_at_with_its_broker_and_ledger(plant: Plant) -> None:
    found = {finding.check: finding for finding in checks.run_checks(plant.config)}
    assert found["broker"].severity is Severity.WELL
    assert found["ledger"].severity is Severity.FAULT
    assert found["ledger"].mend

    plant.broker.stop()
    (plant.config.parent / "account.key").unlink()
    assert [f.check for f in checks.check_gateway(plant.config)] == ["configuration"]


def test_a_full_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 2**62)
    assert checks.check_disk(tmp_path / "not" / "there").severity is Severity.FAULT
