"""The doctor's checks of what the gateway holds: its database, what waits in it and for how long, and its backups."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.checks.alarms import EXPLANATIONS, AlarmCode
from gateway.errors import BackupError
from gateway.ops.backup import read_record, require_memory
from gateway.ops.finding import Finding, Severity
from gateway.readings.overview import GAP_TOLERATED_S, describe_restore, steps_after_restore
from gateway.roster import Roster
from gateway.settings import GatewaySettings
from gateway.store.restores import Restore
from ledger.genesis import Genesis

LOOKED_FOR_S: Final = 10.0
"""For how long a large database is looked through for damage."""
EPOCHS_WAITED: Final = 2
ANCHOR_LATE_S: Final = 120
"""The ledger marks an anchor that comes later (`ledger.modules.anchors.LATE_S`)."""
BACKUP_LATE_S: Final = 2 * 86_400
BACKUP_OLD_S: Final = 7 * 86_400
METERS_NAMED: Final = 3
_SEEN: Final = "GET /api/alarms?state=open has the evidence; POST /api/alarms/ID/acknowledge says that somebody looks"
_STEPS_PER_LOOK: Final = 100_000
_HELD: Final = (
    "SELECT count(*) FROM chains c JOIN readings r ON r.meter_id = c.meter_id AND r.sequence = c.head"
    " WHERE r.time >= ? OR c.meter_id IN (SELECT meter_id FROM adoptions WHERE adopted_at >= ?)"
)


def check_store(settings: GatewaySettings, config: Path, genesis: Genesis, roster: Roster) -> Iterator[Finding]:
    """Yield whether the database is whole, and what waits in it for meters or ledger."""
    if not settings.store.exists():
        yield _judge_missing(settings, config)
        return
    try:
        with closing(sqlite3.connect(f"file:{settings.store}?mode=ro", uri=True, timeout=LOOKED_FOR_S)) as connection:
            yield _check_pages(connection, settings.store)
            yield _check_arrivals(connection, settings.epoch_s)
            yield _check_outbox(connection, settings.epoch_s, genesis.parameters.settle_deadline_s)
            yield _check_anchors(connection)
            yield from _check_gaps(connection, config)
            yield from _check_alarms(connection, roster)
            yield from _check_restore(connection, settings.epoch_s, len(roster), config)
    except sqlite3.Error as error:
        text = f"{settings.store}: {error}"
        yield Finding("database", Severity.FAULT, text, _restore_command(settings, config))


def check_backup(settings: GatewaySettings, config: Path) -> Finding:
    """Whether a backup that a trial restored is new enough."""
    if settings.backup is None:
        text = "there are no backups: gateway.toml has no section [backup]"
        return Finding("backup", Severity.WARNING, text, "campusgrid gateway backup-key FILE, then fill in [backup]")
    mend = f"campusgrid gateway backup --config {config}; journalctl -u campusgrid-backup"
    try:
        record = read_record(settings.backup.folder)
    except BackupError as error:
        return Finding("backup", Severity.FAULT, str(error), mend)
    if record is None:
        return Finding("backup", Severity.FAULT, f"no backup in {settings.backup.folder} was ever restored", mend)
    if not (settings.backup.folder / record.file).is_file():
        text = f"{settings.backup.folder / record.file}, the last one that was restored on trial, is gone"
        return Finding("backup", Severity.FAULT, text, mend)
    age_s = int(time.time()) - record.made_at
    text = f"the last one restored on trial is {_describe_age(age_s)} old, with {record.readings} readings"
    severity = Severity.FAULT if age_s > BACKUP_OLD_S else Severity.WARNING if age_s > BACKUP_LATE_S else Severity.WELL
    return Finding("backup", severity, text, mend if severity else "")


def _judge_missing(settings: GatewaySettings, config: Path) -> Finding:
    try:
        require_memory(settings)
    except BackupError:
        text = f"{settings.store} is gone, and was backed up"
        return Finding("database", Severity.FAULT, text, _restore_command(settings, config))
    text = f"{settings.store} is not there yet: the gateway never ran"
    return Finding("database", Severity.WARNING, text, "systemctl start campusgrid-gateway")


def _check_pages(connection: sqlite3.Connection, store: Path) -> Finding:
    """Look for damage for a bounded time; what is not seen in it the gateway sees when it starts."""
    deadline = time.monotonic() + LOOKED_FOR_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_PER_LOOK)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        found = "ok"
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise sqlite3.DatabaseError(f"is damaged ({' '.join(str(found).split())})")
    return Finding("database", Severity.WELL, f"{store} is whole")


def _check_arrivals(connection: sqlite3.Connection, epoch_s: int) -> Finding:
    (newest,) = connection.execute("SELECT max(received_at) FROM readings").fetchone()
    if newest is None:
        return Finding("intake", Severity.WARNING, "no reading was ever taken in", "power the meters; see `broker`")
    age_s = int(time.time()) - newest
    text = f"the newest reading came {age_s} s ago"
    if age_s > EPOCHS_WAITED * epoch_s:
        return Finding("intake", Severity.WARNING, text, "systemctl status campusgrid-gateway mosquitto; GET /health")
    return Finding("intake", Severity.WELL, text)


def _check_outbox(connection: sqlite3.Connection, epoch_s: int, deadline_s: int) -> Finding:
    count, oldest = connection.execute(
        "SELECT count(*), min(epoch) FROM outbox WHERE state IN ('waiting', 'submitted')"
    ).fetchone()
    if not count:
        return Finding("outbox", Severity.WELL, "the ledger has answered for every boundary reading")
    age_s = int(time.time()) - oldest * epoch_s
    text = f"{count} boundary readings wait for the ledger, the oldest for {age_s} s"
    mend = "see `ledger`; meters without a baseline: campusgrid provision rebase CAMPUS"
    if age_s > deadline_s:
        return Finding("outbox", Severity.FAULT, f"{text}: what is late settles as a gap, without trades", mend)
    if age_s > EPOCHS_WAITED * epoch_s:
        return Finding("outbox", Severity.WARNING, text, mend)
    return Finding("outbox", Severity.WELL, text)


def _check_anchors(connection: sqlite3.Connection) -> Finding:
    count, oldest = connection.execute(
        "SELECT count(*), min(time) FROM anchors WHERE state IN ('waiting', 'submitted')"
    ).fetchone()
    bare = connection.execute(
        "SELECT received_at FROM readings WHERE id > (SELECT reading FROM anchor_chain) ORDER BY id LIMIT 1"
    ).fetchone()
    since = min((time_s for time_s in (oldest, bare and bare[0]) if time_s is not None), default=None)
    if since is None:
        return Finding("anchors", Severity.WELL, "every reading is under an anchor that the ledger has")
    age_s = int(time.time()) - since
    text = f"{count} anchors wait for the ledger; what it has no anchor of waits for {max(0, age_s)} s"
    if age_s > ANCHOR_LATE_S:
        return Finding("anchors", Severity.WARNING, f"{text}: it marks them as late", "see `ledger`; GET /health")
    return Finding("anchors", Severity.WELL, text)


def _check_gaps(connection: sqlite3.Connection, config: Path) -> Iterator[Finding]:
    (count,) = connection.execute(
        "SELECT count(*) FROM chains c WHERE c.highest > c.head AND (SELECT r.received_at FROM readings r"
        " WHERE r.meter_id = c.meter_id AND r.sequence > c.head ORDER BY r.sequence LIMIT 1) < ?",
        (int(time.time()) - GAP_TOLERATED_S,),
    ).fetchone()
    if count:
        text = f"{count} meters get no receipts: readings are missing before those that came"
        mend = f"wait if they may still come; else stop the gateway: campusgrid gateway adopt --all --config {config}"
        yield Finding("chains", Severity.WARNING, text, mend)


def _check_alarms(connection: sqlite3.Connection, roster: Roster) -> Iterator[Finding]:
    """Yield a finding for each kind of alarm that nobody has acknowledged, with the meters that it is about."""
    found: dict[AlarmCode, list[str]] = {}
    for code, meter_id in connection.execute("SELECT code, meter_id FROM alarms WHERE state = 'open' ORDER BY id DESC"):
        meter = roster.meters.get(meter_id)
        found.setdefault(AlarmCode(code), []).append(meter.label if meter else meter_id.hex())
    for kind, meters in found.items():
        more = f" and {len(meters) - METERS_NAMED} more" if len(meters) > METERS_NAMED else ""
        text = f"{kind}, of {', '.join(meters[:METERS_NAMED])}{more}: {EXPLANATIONS[kind].text}"
        yield Finding("alarm", Severity.WARNING, text, f"{EXPLANATIONS[kind].next_step} {_SEEN}")


def _check_restore(connection: sqlite3.Connection, epoch_s: int, enrolled: int, config: Path) -> Iterator[Finding]:
    row = connection.execute("SELECT generation, made_at FROM restores ORDER BY generation DESC LIMIT 1").fetchone()
    if row is None:
        return
    (beyond,) = connection.execute(_HELD, (row[0], row[0])).fetchone()
    if beyond < enrolled:
        last = Restore(*row)
        text = describe_restore(last, enrolled - beyond, enrolled)
        yield Finding("restore", Severity.WARNING, text, steps_after_restore(last, epoch_s, str(config)))


def _describe_age(age_s: int) -> str:
    for name, seconds in (("days", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= 2 * seconds:
            return f"{age_s // seconds} {name}"
    return f"{age_s} s"


def _restore_command(settings: GatewaySettings, config: Path) -> str:
    return (
        f"systemctl stop campusgrid-gateway; campusgrid gateway restore {_newest_backup(settings)} --key PRIVATE-KEY"
        f" --config {config}; systemctl start campusgrid-gateway"
    )


def _newest_backup(settings: GatewaySettings) -> str:
    if settings.backup is None:
        return "BACKUP"
    try:
        record = read_record(settings.backup.folder)
    except BackupError:
        record = None
    return str(settings.backup.folder / (record.file if record else "BACKUP"))
