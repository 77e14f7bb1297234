"""What each meter was sent, `meters/<id>/sent.json`: the numbers that it obeys only ever rise, so they are kept."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from provisioning import files
from provisioning.campus import Campus, CampusMeter
from provisioning.errors import DirectoryError, SendError
from provisioning.image import Image

NAME: Final = "sent.json"
LOCK_NAME: Final = "sent.lock"
"""Locked while a number is taken: two who send at once must not sign different things under the same one."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The newest configuration's number, and the newest update's version and image (SHA-256, hex).

    `proven` is the version, 0 for none, that a start-up reading, signed by the meter, was last seen to name.
    """

    configuration: int = 0
    version: int = 0
    image: str = ""
    proven: int = 0


def read(campus: Campus, meter: CampusMeter) -> Sent:
    """Return what *meter* was sent; raises DirectoryError."""
    path = _path(campus, meter)
    if not path.exists():
        return Sent()
    try:
        content = json.loads(files.read_text(path))
        proven = int(content.get("proven", 0))  # which older notes lack
        return Sent(int(content["configuration"]), int(content["version"]), str(content["image"]), proven)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DirectoryError(
            f"{path} is damaged: {error!r}. Restore it from a backup of the campus directory."
        ) from error


def count_configuration(campus: Campus, meter: CampusMeter) -> int:
    """Return the number of the next configuration of *meter*, taken note of before it is used."""
    with _locked(campus, meter):
        sent = read(campus, meter)
        _write(campus, meter, replace(sent, configuration=sent.configuration + 1))
    return sent.configuration + 1


def note_update(campus: Campus, meter: CampusMeter, image: Image) -> None:
    """Take note that *meter* is sent *image*; raises SendError for a version that it cannot take any more.

    The same image may be sent again: that goes on with what broke off.
    """
    digest = hashlib.sha256(image.data).hexdigest()
    with _locked(campus, meter):
        sent = read(campus, meter)
        if image.version < sent.version or (image.version == sent.version and digest != sent.image):
            raise SendError(
                f"meter {meter.plan.label!r} was sent version {sent.version} already: a meter takes only higher ones."
                f" Build the image anew with --version {sent.version + 1}."
            )
        _write(campus, meter, replace(sent, version=image.version, image=digest))


def is_proven(campus: Campus, meter: CampusMeter, version: int) -> bool:
    """Tell whether the signed word of *meter* was seen that it was started with *version*."""
    return read(campus, meter).proven == version


def note_proof(campus: Campus, meter: CampusMeter, version: int) -> None:
    """Take note that a start-up reading, signed by *meter*, names *version*: it is published once."""
    with _locked(campus, meter):
        _write(campus, meter, replace(read(campus, meter), proven=version))


def _locked(campus: Campus, meter: CampusMeter) -> AbstractContextManager[None]:
    return files.lock(_path(campus, meter).with_name(LOCK_NAME))


def _write(campus: Campus, meter: CampusMeter, sent: Sent) -> None:
    files.write_secret(_path(campus, meter), json.dumps(asdict(sent), indent=2) + "\n")


def _path(campus: Campus, meter: CampusMeter) -> Path:
    return meter.config(campus.folder).with_name(NAME)
