"""A damaged database is refused at the start, and the error names the command that mends it.

`tests/faults` runs that command on a real gateway.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.errors import DamageError
from gateway.ops.backup import make_backup
from gateway.ops.opening import open_memory
from gateway.ops.restore import restore
from gateway.settings import ApiSettings, BrokerSettings, GatewaySettings, LedgerSettings
from hil.database_damage import damage_page
from tests.gateway.ops.conftest import Archive


def test_a_damaged_database_is_refused_with_the_command_that_brings_it_back(archive: Archive) -> None:
    made = make_backup(archive.source, archive.settings, 1_800_000_000)
    damage_page(archive.source.store, random.Random(1))
    file = archive.settings.folder / made.file
    with pytest.raises(DamageError) as refused:
        opened(archive)
    assert "is damaged" in str(refused.value)
    assert str(refused.value).endswith(f"`campusgrid gateway restore {file} --key PRIVATE-KEY --config GATEWAY.TOML`")
    restore(file, bytes(archive.opening), archive.source, may_be_older=False, now=1_800_000_001)
    opened(archive)


def test_a_damaged_database_without_a_backup_says_how_to_begin_anew(archive: Archive) -> None:
    damage_page(archive.source.store, random.Random(1))
    with pytest.raises(DamageError, match=r"There is none: move \S+ away, start, and have the meters"):
        opened(archive)


def test_noise_in_any_page_is_damage_and_no_other_fault(archive: Archive) -> None:
    whole = archive.source.store.read_bytes()
    for start in range(0, len(whole), 4096):
        noise = random.Random(start).randbytes(4096)
        archive.source.store.write_bytes(whole[:start] + noise + whole[start + 4096 :])
        with pytest.raises(DamageError):
            opened(archive)


def opened(archive: Archive) -> None:
    """Open the archive's database as a starting gateway does, and close it."""

    async def open_and_close() -> None:
        await (await open_memory(settings(archive))).close()

    asyncio.run(open_and_close())


def settings(archive: Archive) -> GatewaySettings:
    has_backup = archive.settings.folder.exists()
    return GatewaySettings(
        roster=Path(), store=archive.source.store, receipt_key=Path(), api=ApiSettings(),
        backup=archive.settings if has_backup else None,
        broker=BrokerSettings(host="broker", port=1, ca=Path(), password="x"),
        ledger=LedgerSettings(urls=["http://ledger"], genesis=Path(), account="0" * 16, key=Path()),
    )  # fmt: skip
