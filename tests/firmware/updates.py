"""Updates for tests: small images, signed by a campus key of the tests, and the meter's side on any disk."""

from __future__ import annotations

import hashlib
from typing import Any

from meter.board.folder import Directory
from meter.board.folder_image import FolderImage
from meter.errors import MalformedError
from meter.slots import Slots
from meter.update import Updater

from ledger import cbor
from ledger.keys import PrivateKey
from provisioning.image import Image
from provisioning.signed_update import SignedUpdate, sign

CAMPUS = PrivateKey(b"\x0c" * 32)
METER = bytes.fromhex("0011223344556677")
TARGET = "linux"
ROOT = "data"


class Board:
    """Target, clock and trial limit of a board."""

    TARGET = TARGET

    def __init__(self) -> None:
        self.now_ms = 0
        self.limits: list[int] = []

    def ticks_ms(self) -> int:
        return self.now_ms

    def ticks_since(self, start: int) -> int:
        return self.now_ms - start

    def limit_trial(self, seconds: int) -> None:
        self.limits.append(seconds)


class NorImage:
    """The image of a slot in flash: sectors of two pieces, erased when their first byte is written, ones behind it."""

    sector_bytes, capacity = 4096, 16 * 4096

    def __init__(self) -> None:
        self.content = bytearray(b"\xff" * self.capacity)

    def prepare(self, offset: int) -> None:
        assert offset % self.sector_bytes == 0

    def write(self, offset: int, data: bytes) -> None:
        if offset % self.sector_bytes == 0:
            self.content[offset : offset + self.sector_bytes] = b"\xff" * self.sector_bytes
        end = offset + len(data)
        self.content[offset:end] = bytes(a & b for a, b in zip(self.content[offset:end], data, strict=True))

    def read(self, offset: int, count: int) -> bytes:
        return bytes(self.content[offset : offset + count])


class Config:
    meter_id = METER
    campus_key = CAMPUS.public_key


class Meter:
    """A meter from its start on: what the launcher chooses on *disk*, and the updates that it then takes."""

    def __init__(self, disk: Any, open_image: Any = None) -> None:
        self.slots = open_slots(disk, open_image)
        self.running = self.slots.next_boot()
        self.said: list[str] = []
        self.refused: list[str] = []
        self.board = Board()
        self.updater = Updater(self.slots, self.running, Config, self.board, self._say)
        self.updater.start()

    @property
    def version(self) -> int:
        """The version that runs."""
        return int(self.updater.version)

    def take(self, message: bytes) -> None:
        """Hand the meter a message."""
        try:
            self.updater.take(message)
        except MalformedError as error:
            self.refused.append(str(error))

    def receive(self, update: SignedUpdate) -> str:
        """Send the manifest, then what pieces the meter asks for; return the last it said of this update."""
        self.take(update.manifest)
        heard = self.last_of(update.version)
        while heard.isdigit():
            for piece in update.pieces[int(heard) :]:
                self.take(piece)
            heard = self.last_of(update.version)
        return heard

    def last_of(self, version: int) -> str:
        """Return the last that the meter said of *version*."""
        return [text.partition(" ")[2] for text in self.said if text.startswith(f"{version} ")][-1]

    def _say(self, version: int, state: str) -> None:
        self.said.append(f"{version} {state}")


def open_slots(disk: Any, open_image: Any = None) -> Slots:
    """Return the slots on *disk*; `open_image`, if given, has the images elsewhere."""
    return Slots(Directory(ROOT, disk), open_image or (lambda slot, version: FolderImage(ROOT, slot, version, disk)))


def make_update(version: int, pieces: int = 3, trial_s: int = 60, **changes: Any) -> SignedUpdate:
    """Return an update of so many pieces, the last of them short; *changes* are to the image, meter or key."""
    data = b"".join(hashlib.sha256(f"{version} {place}".encode()).digest() for place in range(64 * pieces - 40))
    image = Image(changes.get("target", TARGET), version, changes.get("data", data))
    return sign(image, changes.get("meter", METER), changes.get("key", CAMPUS), trial_s)


def altered(piece: bytes) -> bytes:
    """Return *piece* with other data."""
    fields: Any = cbor.decode(piece)
    return cbor.encode([*fields[:3], bytes([fields[3][0] ^ 1]) + fields[3][1:]])
