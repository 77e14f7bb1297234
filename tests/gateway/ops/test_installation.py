"""systemd runs what `install` wrote: units that it finds nothing wrong with, as a user of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.ops.installation import install
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.plant import BOUND_S, Plant

UNITS = [
    "campusgrid-gateway.service",
    "campusgrid-ledger.service",
    "campusgrid-backup.service",
    "campusgrid-backup.timer",
]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty system below a folder, with what systemd-sysusers needs."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    return root


def test_a_dry_run_prints_the_units_and_writes_nothing(plant: Plant, target: Path) -> None:
    lines = list(install(with_backup(plant), None, target, is_dry=True))
    assert list(target.rglob("*")) == [target / "etc"]
    text = "\n".join(lines)
    assert "would do   /etc/systemd/system/campusgrid-gateway.service" in text
    assert "           | Type=notify" in text
    assert "           | ExecReload=/bin/kill -HUP $MAINPID" in text
    assert f"would do   user campusgrid: systemd-sysusers --root={target}" in text
    assert lines[-2:] == [
        "next: systemctl enable --now campusgrid-gateway.service campusgrid-backup.timer",
        f"then: campusgrid doctor --config {plant.config}",
    ]


def test_installing_twice_changes_nothing_the_second_time_and_mends_what_was_changed(
    plant: Plant, target: Path
) -> None:
    config = with_backup(plant)
    first = list(install(config, None, target, is_dry=False))
    assert any(line.startswith("done       user campusgrid") for line in first)
    again = list(install(config, None, target, is_dry=False))
    assert [line for line in again if line.startswith("done")] == []
    unit = target / "etc/systemd/system/campusgrid-gateway.service"
    unit.write_text("[Service]\nExecStart=/bin/false\n")
    mended = list(install(config, None, target, is_dry=False))
    assert [line for line in mended if line.startswith("done")] == [
        "done       /etc/systemd/system/campusgrid-gateway.service"
    ]


def test_the_services_have_a_user_who_owns_their_folders(plant: Plant, target: Path) -> None:
    copied = target / plant.folder.relative_to("/")
    copied.parent.mkdir(parents=True)
    shutil.copytree(plant.folder, copied)
    list(install(with_backup(plant), None, target, is_dry=False))
    (row,) = [line for line in (target / "etc/passwd").read_text().splitlines() if line.startswith("campusgrid:")]
    owner = int(row.split(":")[2])
    store = target / plant.store.parent.relative_to("/")
    key = copied / "gateway" / "receipt.key"
    assert {store.stat().st_uid, key.stat().st_uid, (copied / "genesis.json").stat().st_uid} == {owner}
    assert store.stat().st_mode & 0o077 == 0


def test_systemd_finds_nothing_wrong_with_the_units(plant: Plant, node: LedgerNode, target: Path) -> None:
    list(install(with_backup(plant), node.folder / "node.toml", target, is_dry=False))
    units = target / "etc/systemd/system"
    assert sorted(path.name for path in units.iterdir()) == sorted(UNITS)
    for unit in units.iterdir():
        assert findings(unit) == "", unit.name
    (units / "campusgrid-gateway.service").write_text("[Service]\nType=notify\nExecStart=true\nSpeed=3\n")
    assert "Unknown key 'Speed' in section [Service]" in findings(units / "campusgrid-gateway.service")


def findings(unit: Path) -> str:
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    return subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False).stderr


def test_the_services_are_exposed_as_little_as_systemd_can_tell(plant: Plant, target: Path) -> None:
    list(install(with_backup(plant), None, target, is_dry=False))
    unit = target / "etc/systemd/system/campusgrid-gateway.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", unit],
        capture_output=True, text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:]


def test_with_nothing_to_install_it_says_what_to_give(target: Path) -> None:
    with pytest.raises(GatewayError, match=r"give --config gateway.toml, --node node.toml, or both"):
        list(install(None, None, target, is_dry=True))


def with_backup(plant: Plant) -> Path:
    text = plant.config.read_text() + f'\n[backup]\nfolder = "{plant.folder}/backups"\npublic_key = "{"11" * 32}"\n'
    plant.config.write_text(text)
    return plant.config
