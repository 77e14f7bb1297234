"""`campusgrid gateway config`: what a gateway.toml says, and a commented one to start from.

Both are made from the settings themselves (`gateway.settings`), so that no key is missing and no text is old.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.api.server import make_tls_context as make_server_context
from gateway.errors import SettingsError
from gateway.genesis import read_genesis
from gateway.intake.mqtt import make_tls_context
from gateway.roster import read_roster
from gateway.settings import BiddingSettings, GatewaySettings, read_key, read_text

HIDDEN: Final = frozenset({"broker.password"})
_INTRODUCTION: Final = """\
# The gateway's configuration. Written by `campusgrid gateway config init`; `campusgrid gateway config check` reads it.
# Lines that begin with "# " and a key show the default. Relative paths start at the folder of this file.
"""


def check_files(settings: GatewaySettings) -> int:
    """Read every file that *settings* name and return the number of enrolled meters; raises SettingsError for all."""
    if faults := find_faults(settings):
        raise SettingsError("\n".join(faults))
    return len(read_roster(settings.roster))


def find_faults(settings: GatewaySettings) -> list[str]:
    """Return what is wrong with the files that *settings* name, a line for each."""
    reads: list[Callable[[], object]] = [
        lambda: read_roster(settings.roster),
        lambda: read_genesis(settings),
        lambda: read_key(settings.receipt_key),
        lambda: read_key(settings.ledger.key),
        settings.broker.read_password,
        lambda: make_tls_context(settings.broker),
        lambda: make_server_context(settings.api),
        lambda: _check_store(settings.store),
    ]
    faults = []
    for read in reads:
        try:
            read()
        except SettingsError as error:
            faults.append(str(error))
    return faults


def describe(path: Path, settings: GatewaySettings) -> Iterator[str]:
    """Yield a line for each value of *settings*, which were read from *path*: the key, the value, where it is from."""
    yield from _describe("", settings, tomllib.loads(read_text(path)))


def describe_bidding(path: Path, bidding: BiddingSettings, settings: GatewaySettings) -> list[str]:
    """Return a line for each meter that an agent bids for, with its instructions as they were understood.

    Raises SettingsError where a meter in *bidding*, read from *path*, is not in the gateway's roster.
    """
    enrolled = {meter.meter_id.hex() for meter in read_roster(settings.roster)}
    meters = [meter.meter_id for user in bidding.users for meter in user.meters]
    if unknown := [meter_id for meter_id in meters if meter_id not in enrolled]:
        raise SettingsError(f"{path}: meter {unknown[0]} is not in {settings.roster}; enrol it, or remove it here")
    said = {meter_id: str(instructions) for meter_id, instructions in bidding.instructions.items()}
    return [f"meter {meter_id}: {said.get(meter_id) or 'as the agent thinks best'}  ({path})" for meter_id in meters]


def write_template(path: Path) -> None:
    """Write a commented gateway.toml to *path*, which must not exist; raises SettingsError."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written: {error.strerror}; choose a file that does not exist"
        ) from error


def template() -> str:
    """Return a gateway.toml with every key, what it means, and its default or, where it needs a value, an example."""
    tables = [_table(name, field) for name, field in GatewaySettings.model_fields.items() if section_of(field)]
    return "\n".join([_INTRODUCTION, _keys(GatewaySettings, is_active=True), *tables])


def _check_store(store: Path) -> None:
    """Raise SettingsError where there can be no database at *store*."""
    folder = next(parent for parent in store.parents if parent.exists())
    if store.is_dir() or not folder.is_dir():
        raise SettingsError(f"{store}: cannot be the database (`store`): name a file in a folder of its own")


def _describe(prefix: str, section: BaseModel, given: Mapping[str, Any]) -> Iterator[str]:
    for name in type(section).model_fields:
        key, value = prefix + name, getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _describe(f"{key}.", value, given.get(name, {}))
        elif value is not None or name in given:
            shown = "(hidden)" if key in HIDDEN else _toml(value)
            yield f"{key} = {shown}  # {'file' if name in given else 'default'}"
        else:
            yield f"# {key} is not set"


def _table(name: str, field: FieldInfo) -> str:
    """Return the table of a section; one that may be left out is commented out as a whole."""
    model = section_of(field)
    assert model is not None
    is_active = field.default is not None
    heading = f"[{name}]" if is_active else f"# [{name}]"
    return f"# {_one_line(model.__doc__)}\n{heading}\n{_keys(model, is_active=is_active)}"


def _keys(model: type[BaseModel], *, is_active: bool) -> str:
    lines = []
    for name, field in model.model_fields.items():
        if section_of(field):
            continue
        value = field.examples[0] if field.examples else field.default
        mark = "" if is_active and (field.is_required() or field.examples) else "# "
        lines.append(f"# {_one_line(field.description)}\n{mark}{name} = {_toml('' if value is None else value)}\n")
    return "".join(lines)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the section that *field* is, or None if it is a single value."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _toml(value: Any) -> str:
    # strings, numbers, booleans and lists of JSON are TOML's too
    if isinstance(value, Mapping):
        return "{" + ", ".join(f" {_toml(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
