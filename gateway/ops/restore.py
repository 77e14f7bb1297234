"""`campusgrid gateway restore`: put a backup in the place of the database, if it fits, and mark that this was done.

The mark (table `restores`) is what keeps a gateway with an old memory honest: it gives a meter no receipt before the
meter's chain reaches beyond every receipt that may have been given since the backup was made, and the ids of what it
stores from now on are above all that were ever given. Nor can it know who was shut out since: so nobody comes in by
what was given out before, unless the operator wants that.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.access import audit
from gateway.access.operator import command_line_actor
from gateway.errors import BackupError
from gateway.ops import inspection, sealing
from gateway.ops.backup import Source, create_private, sync_folder
from gateway.ops.inspection import Inspection
from gateway.ops.sealing import Manifest
from gateway.settings import GatewaySettings
from gateway.store.database import claim, give_to_owner, restored_beside

ID_SHIFT: Final = 20
"""Ids after a restore start at its time in seconds, shifted by this: above whatever was stored before it."""
_LOGS: Final = ("-wal", "-shm")
_NEW_ACCESS: Final = """\
Who was shut out since the backup cannot be known, so no password and no API key holds any more. For each person and
each program that shall come in again, beginning with an admin:
   campusgrid gateway user list --config {config}
   campusgrid gateway user reset-link NAME --config {config}
   campusgrid gateway api-key list --config {config}
   campusgrid gateway api-key add NAME --role ROLE --config {config}"""
_KEPT_ACCESS: Final = (
    "People, passwords and API keys are as they were when the backup was made: disable and revoke again what was\n"
    "disabled or revoked since (campusgrid gateway user list, campusgrid gateway api-key list)."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A backup that was decrypted to the file `path` and found whole."""

    path: Path
    manifest: Manifest
    found: Inspection


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: the mark that it set, what came back, and where the database before it lies, if any."""

    generation: int
    made_at: int
    found: Inspection
    replaced: Path | None
    keeps_access: bool


def check_backup(backup: Path, private: bytes, source: Source) -> Opened:
    """Decrypt *backup* with the *private* X25519 key beside the database and inspect it; raises BackupError.

    The caller removes the decrypted file.
    """
    path = source.store.with_name(source.store.name + ".restoring")
    try:
        source.store.parent.mkdir(parents=True, exist_ok=True)
        with backup.open("rb") as sealed, create_private(path) as target:
            session = sealing.open_session(sealed, backup.name, private)
            manifest = sealing.unseal(sealed, backup.name, session, target, source.key.public_key)
            target.flush()
            os.fsync(target.fileno())
        _require_chain(backup.name, manifest, source.chain.hex())
        return Opened(path, manifest, inspection.inspect(path, backup.name, source.roster))
    except OSError as error:
        path.unlink(missing_ok=True)
        if not backup.is_file():
            raise BackupError(f"{backup}: {error.strerror}; name a .backup file; nothing was changed") from error
        raise BackupError(f"{backup}: cannot be restored: {error}; nothing was changed") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def restore(
    backup: Path, private: bytes, source: Source, *, may_be_older: bool, now: float, keeps_access: bool = False
) -> Restored:
    """Replace the database of a stopped gateway by what is in *backup*; raises BackupError, and changes nothing then.

    A healthy database that holds more than the backup is replaced only if it *may_be_older*. The database before is
    kept beside the new one. Passwords and API keys are worth nothing any more, unless it *keeps_access*.
    """
    with closing(claim(source.store)):
        opened = check_backup(backup, private, source)
        try:
            if not opened.found.counts["readings"]:
                raise BackupError(f"{backup.name}: holds no reading; there is nothing to restore")
            heard = _heard_since(source.store, opened.path)
            if heard and not may_be_older:
                raise BackupError(
                    f"{source.store}: is whole and holds newer readings of {heard} meters than {backup.name};"
                    " to give them up all the same, add --older"
                )
            generation = max(int(now), opened.found.generation + 1, _generation(source.store) + 1)
            _mark(opened, generation, backup.name, int(now), keeps_access=keeps_access)
            replaced = _swap(opened.path, source.store, generation)
        except (OSError, sqlite3.Error) as error:
            raise BackupError(f"{source.store}: the restore failed: {error}; mend that, and restore again") from error
        finally:
            opened.path.unlink(missing_ok=True)
    return Restored(generation, opened.manifest.made_at, opened.found, replaced, keeps_access)


def try_backup(backup: Path, private: bytes, source: Source) -> str:
    """Restore *backup* on trial with the true private key, change nothing, and return what it holds."""
    opened = check_backup(backup, private, source)
    opened.path.unlink()
    return f"{backup}: good, fits this gateway; {_describe(opened.found)}"


def describe(done: Restored, settings: GatewaySettings, config: Path) -> str:
    """Return what was done, and what comes next."""
    first, last = done.made_at // settings.epoch_s, done.generation // settings.epoch_s
    kept = f"The database before is kept as {done.replaced}.\n" if done.replaced else ""
    return (
        f"{settings.store}: restored, as of {done.generation - done.made_at} s ago; {_describe(done.found)}.\n{kept}"
        f"Next: 1. start the gateway.\n"
        f"2. have the boundary readings of the time between sent again, in the campus folder:\n"
        f"   campusgrid provision configure CAMPUS --resend {first} {last}\n"
        f"3. GET /health names what still waits. Stop the gateway, give up what nobody can send again, and start it:\n"
        f"   campusgrid gateway adopt --all --config {config}\n"
        f"Until then a meter gets no receipt, so that none takes back an earlier one.\n"
        + (_KEPT_ACCESS if done.keeps_access else _NEW_ACCESS.format(config=config))
    )


def _describe(found: Inspection) -> str:
    text = f"{found.counts['readings']} readings of {found.counts['chains']} meters, every chain complete"
    return text + (f" ({found.foreign} readings sampled are of meters no longer enrolled)" if found.foreign else "")


def _require_chain(name: str, manifest: Manifest, chain: str) -> None:
    if manifest.chain != chain:
        raise BackupError(
            f"{name}: is of the ledger {manifest.chain}, this gateway's genesis is {chain};"
            " give a backup of this campus"
        )


def _heard_since(store: Path, backup: Path) -> int:
    """Return of how many meters the present database holds more than *backup* does; 0 if it is missing or damaged."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                return 0
            present = dict(connection.execute("SELECT meter_id, highest FROM chains"))
    except sqlite3.Error:
        return 0
    with closing(sqlite3.connect(f"file:{backup}?immutable=1", uri=True)) as connection:
        saved = dict(connection.execute("SELECT meter_id, highest FROM chains"))
    return sum(highest > saved.get(meter_id, 0) for meter_id, highest in present.items())


def _generation(store: Path) -> int:
    """Return the present database's mark, as far as it can be read: two restores of one backup differ by it."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True)) as connection:
            return inspection.generation_of(connection)
    except sqlite3.Error:
        return 0


def _mark(opened: Opened, generation: int, name: str, now: int, *, keeps_access: bool) -> None:
    """Set the mark, lift the ids, end all access: in one transaction of the file that is not in its place yet."""
    actor, made_at = command_line_actor(), opened.manifest.made_at
    base = generation << ID_SHIFT
    with closing(sqlite3.connect(opened.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")  # the newest reading and its outbox row move together
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO restores VALUES (?, ?, ?)", (generation, made_at, actor.who))
        connection.execute("DELETE FROM sessions")  # who has logged out since, or was disabled, stays out
        connection.execute("DELETE FROM links")
        if not keeps_access:
            connection.execute("UPDATE people SET password = NULL")
            connection.execute("UPDATE api_keys SET revoked_at = ? WHERE revoked_at IS NULL", (now,))
        detail = {"made_at": made_at, "generation": generation, "keeps_access": keeps_access}
        audit.append_at_rest(connection, now, actor, "restore backup", name, **detail)
        (newest,) = connection.execute("SELECT max(id) FROM readings").fetchone()
        connection.execute("UPDATE outbox SET reading = ? WHERE reading = ?", (base, newest))
        connection.execute("UPDATE readings SET id = ? WHERE id = ?", (base, newest))
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'anchors'").fetchone():  # else an older schema
            connection.execute("UPDATE anchors SET last = ? WHERE last = ?", (base, newest))
            connection.execute("UPDATE anchor_chain SET reading = ? WHERE reading = ?", (base, newest))
        connection.execute("UPDATE evidence SET id = ? WHERE id = (SELECT max(id) FROM evidence)", (base,))
        connection.execute(  # all of them: how many are kept is counted by their ids
            "UPDATE quarantine SET id = id + ? - (SELECT max(id) FROM quarantine)", (base,)
        )
        connection.execute("DELETE FROM sqlite_sequence WHERE name IN ('quarantine', 'alarms')")
        connection.execute("INSERT INTO sqlite_sequence VALUES ('quarantine', ?1), ('alarms', ?1)", (base,))
        connection.execute("COMMIT")


def _swap(opened: Path, store: Path, generation: int) -> Path | None:
    """Put *opened* in its place, durably, and return where the database before it lies now.

    A new database with the log of an old one would be neither, and an old one without its log has forgotten: should
    this be cut short, the file under its second name keeps the gateway from starting until the restore is repeated.
    """
    aside = store.with_name(f"{store.name}.replaced-{generation}")
    restored = restored_beside(store)
    opened.replace(restored)
    sync_folder(store.parent)
    for part in _LOGS:
        if (log := Path(f"{store}{part}")).exists():
            log.replace(f"{aside}{part}")
    has_old = store.exists()
    if has_old:
        os.link(store, aside)
    restored.replace(store)
    give_to_owner(store.parent, store, store.with_suffix(".lock"))
    sync_folder(store.parent)
    return aside if has_old else None
