"""An operator sees each value and where it came from, and starts from a file that explains itself and is accepted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.errors import SettingsError
from gateway.ops.configuration import section_of, template, write_template
from gateway.settings import GatewaySettings, load_gateway
from tests.gateway.plant import Plant
from tests.gateway.test_run import run


def test_what_init_writes_is_accepted_by_check_where_the_files_lie_as_provisioning_lays_them(plant: Plant) -> None:
    shutil.copy(plant.folder / "broker" / "ca.crt", plant.folder / "ca.crt")
    (plant.config.parent / "broker.password").write_text("correct horse\n")
    plant.config.unlink()
    assert "written. Set what has no default" in run("config", "init", str(plant.config)).stdout
    plant.config.write_text(plant.config.read_text().replace("# epoch_s = 900", "epoch_s = 5"))

    done = run("config", "check", "--config", str(plant.config))

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == f"{plant.config}: good; 2 meters enrolled"
    assert "epoch_s = 5  # file" in lines
    assert f'store = "{plant.config.parent}/data/gateway.sqlite"  # file' in lines
    assert "retention.raw_days = 90  # default" in lines
    assert "# backup is not set" in lines


def test_the_password_is_not_shown(plant: Plant) -> None:
    done = run("config", "check", "--config", str(plant.config))
    assert "broker.password = (hidden)  # file" in done.stdout
    assert plant.broker.password not in done.stdout


def test_each_default_in_the_written_file_is_the_programs_own(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in template().split("\n")
    ]
    active = "\n".join(line for line in lines if not line.endswith(' = ""'))  # set or not set
    (tmp_path / "all.toml").write_text(active)
    (tmp_path / "some.toml").write_text(template())
    every, some = load_gateway(tmp_path / "all.toml"), load_gateway(tmp_path / "some.toml")
    assert every.backup is not None
    assert every.model_copy(update={"backup": None}) == some


def test_every_key_is_there_and_explained() -> None:
    active = template().replace("\n# ", "\n")
    fields = [(name, field) for model in sections(GatewaySettings) for name, field in keys(model)]
    assert [name for name, _ in fields if f"\n{name} = " not in active] == []
    assert [name for name, field in fields if not field.description] == []


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("mine")
    with pytest.raises(SettingsError, match="cannot be written: File exists; choose a file that does not exist"):
        write_template(path)
    assert path.read_text() == "mine"


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if inner := section_of(field):
            yield from sections(inner)


def keys(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    yield from ((name, field) for name, field in model.model_fields.items() if not section_of(field))
