"""What the doctor finds, and how it says so."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import cli
from gateway.ops import checks, custody, disk, entrance, neighbours
from gateway.ops.backup import make_backup, make_key, read_source
from gateway.ops.finding import Finding, Severity
from gateway.settings import load_gateway
from ledger.api.resources import NodeStatus
from provisioning import certificates
from tests.gateway.api.test_gate import give_certificate, require_login
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.ops.conftest import Archive
from tests.gateway.plant import EPOCH_S, Holder, Plant, make_genesis, wait_for


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
    said = capsys.readouterr().out.splitlines()
    assert "to mend it: do this" in said[-2]
    assert said[-1] == f"{int(code == 2)} faults, {int(code == 1)} warnings, {1 + (code == 0)} well"


def test_a_gateway_that_does_not_run_or_cannot_work_is_a_fault_in_its_own_words(plant: Plant) -> None:
    stopped = findings(plant)["gateway"]
    assert (stopped.severity, "does not run" in stopped.text) == (Severity.FAULT, True)
    assert "journalctl -u campusgrid-gateway" in stopped.mend
    plant.start()
    wait_for(lambda: "no ledger node answers" in findings(plant)["gateway"].text, "the ledger to be missed")
    assert findings(plant)["gateway"].severity is Severity.WARNING
    plant.broker.stop()
    wait_for(lambda: findings(plant)["gateway"].severity is Severity.FAULT, "the broker to be missed")


def test_a_lost_database_is_a_fault_with_its_backup_named_and_no_command_makes_an_empty_one(
    archive: Archive, plant: Plant
) -> None:
    made = make_backup(archive.source, archive.settings, time.time())
    plant.config.write_text(
        plant.config.read_text()
        + f'[backup]\nfolder = "{archive.settings.folder}"\npublic_key = "{archive.settings.public_key}"\n'
    )
    found = findings(plant)["database"]
    assert found.severity is Severity.FAULT
    assert f"campusgrid gateway restore {archive.settings.folder / made.file}" in found.mend
    assert cli.run(["gateway", "user", "list", "--config", str(plant.config)]) == 1
    assert not plant.store.exists()


def test_a_gateway_that_works_with_its_neighbours_is_well(settling_plant: Plant, node: LedgerNode) -> None:
    plant, pen = settling_plant, settling_plant.pens[0]
    node.start()
    key = make_key(plant.folder / "backup.key")
    plant.config.write_text(plant.config.read_text() + f'[backup]\nfolder = "../backups"\npublic_key = "{key}"\n')
    plant.start()
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign())
    line.newest_receipt(1, plant.receipt_key.public_key)
    settings = load_gateway(plant.config)
    assert settings.backup is not None
    make_backup(read_source(settings), settings.backup, time.time())
    with suppress(AssertionError):
        wait_for(lambda: not complaints(plant), "all to be well: the gateway has heard its ledger, and is anchored")
    assert complaints(plant) == []
    assert findings(plant).keys() == {
        *(
            "configuration",
            "disk",
            "clock offset",
            "database",
            "intake",
            "outbox",
            "anchors",
            "backup",
            "broker",
            "certificate",
        ),
        *("broker rights", "gateway", "ledger", "ledger blocks", "login"),
    }


def test_what_is_missing_is_found_with_what_mends_it(plant: Plant) -> None:
    found = findings(plant)
    for name, severity, said in [
        ("ledger", Severity.FAULT, "1 of 1 nodes do not answer"),
        ("clock offset", Severity.WARNING, "neither a time server nor a ledger node tells the time"),
        ("database", Severity.WARNING, "is not there yet"),
        ("backup", Severity.WARNING, "there are no backups"),
    ]:
        assert found[name].severity is severity
        assert said in found[name].text
        assert found[name].mend

    plant.broker.stop()
    assert findings(plant)["broker"].severity is Severity.FAULT
    (plant.config.parent / "account.key").unlink()
    (plant.folder / "roster.json").unlink()
    named = [(one.check, Path(one.text.split(":")[0]).name) for one in checks.check_gateway(plant.config)]
    assert named == [("configuration", "roster.json"), ("configuration", "account.key")]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("acl", "topic write meter/+/receipt", "topic write meter/+/#", "may publish readings, as if it were a meter"),
        ("acl", "topic read meter/+/status", "topic read #", "may read what is not for it"),
        ("acl", "topic write meter/+/receipt", "", "may not publish receipts"),
        ("mosquitto.conf", "allow_anonymous false", "allow_anonymous true", "lets anybody in without a password"),
        ("mosquitto.conf", "allow_anonymous false", "allow_anonymous false\nlog_type none", None),
    ],
)
def test_a_broker_that_allows_too_much_or_too_little_is_found(
    plant: Plant, file: str, old: str, new: str, said: str | None
) -> None:
    path = plant.broker.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    plant.broker.stop()
    plant.broker.start()
    rights = {one.check: one for one in neighbours.check_broker(load_gateway(plant.config).broker)}["broker rights"]
    assert rights.severity is (Severity.WELL if said is None else Severity.FAULT)
    assert said is None or rights.text.endswith(said)


def test_a_password_that_the_broker_does_not_know_is_found(plant: Plant) -> None:
    plant.config.write_text(plant.config.read_text().replace(plant.broker.password, "wrong"))
    found = {one.check: one for one in neighbours.check_broker(load_gateway(plant.config).broker)}
    assert "the broker refuses 'gateway'" in found["broker rights"].text


def test_a_certificate_that_ends_soon_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXPIRY_WARNING_DAYS", 10**6)
    found = [one for one in neighbours.check_broker(load_gateway(plant.config).broker) if one.check == "certificate"]
    assert [one.severity for one in found] == [Severity.WARNING] * 2


def test_a_broker_whose_certificate_does_not_hold_is_mended_by_a_new_one_not_by_a_restart(
    plant: Plant, tmp_path: Path
) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(certificates.make_authority("other").certificate_pem)
    settings = load_gateway(plant.config).broker.model_copy(update={"ca": other})
    (found,) = neighbours.check_broker(settings)
    assert (found.check, found.severity) == ("broker", Severity.FAULT)
    assert found.mend.startswith("issue a new one (provisioning/README.md, A certificate ends)")


def test_the_doctor_knows_the_certificate_of_the_api_and_whether_an_admin_can_log_in(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_login(plant, *give_certificate(plant))
    plant.start()
    found = findings(plant)
    assert (found["login"].severity, found["login"].text) == (Severity.WARNING, "no admin can log in")
    settings = load_gateway(plant.config)
    (certificate, _) = entrance.check_entrance(settings.api, settings.store)
    assert certificate.severity is Severity.WELL
    monkeypatch.setattr(neighbours, "EXPIRY_WARNING_DAYS", 10**6)
    (certificate, _) = entrance.check_entrance(settings.api, settings.store)
    assert certificate.severity is Severity.WARNING
    assert "the certificate of the API" in certificate.text
    (plant.config.parent / "api.key").write_text("none")
    assert "api.cert" in findings(plant)["configuration"].text


def test_a_node_of_another_ledger_or_one_that_stands_still_is_found(plant: Plant, node: LedgerNode) -> None:
    node.start()
    found = {one.check: one for one in neighbours.check_ledger([node.url], make_genesis(Holder()))}
    assert "is of another ledger" in found["ledger node"].text
    status = neighbours.ask_status(node.url)
    assert isinstance(status, NodeStatus)
    late = replace(status, time_ms=status.time_ms - 10**6, alarm="evidence")
    found = {one.check: one for one in neighbours._judge_nodes([late], node.genesis)}
    assert found["ledger blocks"].severity is Severity.FAULT
    assert "signs no more: evidence" in found["ledger node"].text


def test_what_waits_too_long_is_found(plant: Plant) -> None:
    plant.start()
    pen = plant.pens[0]
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign(epoch=int(time.time()) // EPOCH_S - 1), pen.sign(skip=1), pen.sign())
    line.newest_receipt(1, plant.receipt_key.public_key)
    wait_for(lambda: plant.stored() == 3, "the readings")
    plant.kill_all()
    age(plant, 100)
    found = findings(plant)
    assert found["outbox"].severity is Severity.WARNING
    assert "1 boundary readings wait for the ledger, the oldest for" in found["outbox"].text
    assert found["intake"].severity is Severity.WARNING
    assert "chains" not in found
    age(plant, 10**5)
    found = findings(plant)
    assert found["outbox"].severity is Severity.FAULT
    assert found["anchors"].severity is Severity.WARNING
    assert "it marks them as late" in found["anchors"].text
    with closing(sqlite3.connect(plant.store)) as connection, connection:
        connection.execute("UPDATE anchor_chain SET reading = 99")
        assert "every reading is under an anchor" in custody._check_anchors(connection).text
        connection.execute(
            "INSERT INTO anchors (number, time, first, last, count, root, previous, hash)"
            " VALUES (1, ?, 1, 3, 3, zeroblob(32), zeroblob(32), zeroblob(32))",
            (int(time.time()) - 600,),
        )
        waiting = custody._check_anchors(connection)
        assert waiting.severity is Severity.WARNING
        assert waiting.text.startswith("1 anchors wait for the ledger; what it has no anchor of waits for 60")


def test_an_alarm_that_nobody_has_seen_is_named_with_its_meter_and_the_next_step(plant: Plant) -> None:
    plant.start()
    pen = plant.pens[0]
    twin = pen.copy()
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign(), pen.sign())
    line.newest_receipt(2, plant.receipt_key.public_key)
    line.send(pen.topic, twin.sign(r180=1))
    wait_for(lambda: "alarm" in findings(plant), "the alarm")
    alarm = findings(plant)["alarm"]
    assert alarm.severity is Severity.WARNING
    assert alarm.text.startswith("fork, of Room 1: The meter signed two different readings under one number")
    assert "An admin inspects the evidence" in alarm.mend


def test_a_damaged_database_is_found_with_the_command_that_restores_it(plant: Plant) -> None:
    plant.start()
    plant.kill_all()
    Path(f"{plant.store}-wal").unlink()
    plant.store.write_bytes(plant.store.read_bytes()[:4096] + b"\xff" * 50_000)
    found = findings(plant)["database"]
    assert found.severity is Severity.FAULT
    assert "campusgrid gateway restore" in found.mend


@pytest.mark.parametrize(("days", "severity"), [(1, Severity.WELL), (3, Severity.WARNING), (8, Severity.FAULT)])
def test_a_backup_counts_by_its_age_and_only_while_its_file_is_there(
    archive: Archive, plant: Plant, days: int, severity: Severity
) -> None:
    made = make_backup(archive.source, archive.settings, time.time() - days * 86_400)
    settings = load_gateway(plant.config).model_copy(update={"backup": archive.settings})
    assert custody.check_backup(settings, plant.config).severity is severity
    (archive.settings.folder / made.file).unlink()
    assert "is gone" in custody.check_backup(settings, plant.config).text


def complaints(plant: Plant) -> list[str]:
    return [f"{name}: {one.text}" for name, one in findings(plant).items() if one.severity is not Severity.WELL]


def findings(plant: Plant) -> dict[str, Finding]:
    return {finding.check: finding for finding in checks.check_gateway(plant.config)}


def age(plant: Plant, seconds: int) -> None:
    """Let what the gateway stored have come *seconds* earlier."""
    with closing(sqlite3.connect(plant.store)) as connection, connection:
        connection.execute("UPDATE readings SET received_at = received_at - ?", (seconds,))
        connection.execute("UPDATE outbox SET epoch = epoch - ?", (seconds // EPOCH_S,))


def test_a_full_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 2**62)
    found = checks.check_disk(tmp_path / "not" / "there")
    assert found.severity is Severity.FAULT
    assert found.mend.startswith(f"du -xh {disk.mount_of(tmp_path)} |")


def test_where_to_look_for_room_is_the_disk_that_is_full() -> None:
    assert disk.mount_of(Path("/proc/self/not-there")) == Path("/proc")
    assert disk.mount_of(Path("/")) == Path("/")
