"""Opening the gateway's memory at the start: where it is gone or damaged, the error says what brings it back."""

from __future__ import annotations

from gateway.errors import DamageError
from gateway.ops.backup import read_record, require_memory
from gateway.settings import GatewaySettings
from gateway.store.database import Database


async def open_memory(settings: GatewaySettings) -> Database:
    """Return the gateway's database; raises BackupError where it is gone, StoreError where it cannot be used."""
    require_memory(settings)
    try:
        return await Database.open(settings.store)
    except DamageError as error:
        raise DamageError(f"{error}. {_tell_how_to_restore(settings)}") from error


def _tell_how_to_restore(settings: GatewaySettings) -> str:
    record = read_record(settings.backup.folder) if settings.backup else None
    if settings.backup is None or record is None:
        return (
            f"There is none: move {settings.store} away, start, and have the meters send again what they keep"
            " (gateway/README.md, Restore)"
        )
    file = settings.backup.folder / record.file
    return f"The last one: `campusgrid gateway restore {file} --key PRIVATE-KEY --config GATEWAY.TOML`"
