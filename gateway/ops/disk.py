"""How much room the disk has, and from where on that is somebody's business."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

MIN_FREE_BYTES: Final = 256 * 2**20
LOW_FREE_BYTES: Final = 2 * 2**30


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the file system on which *folder* is, or would be made."""
    return shutil.disk_usage(_nearest(folder)).free


def mount_of(folder: Path) -> Path:
    """Return where the file system is mounted on which *folder* is, or would be made."""
    nearest = _nearest(folder)
    return next(place for place in (nearest, *nearest.parents) if place.is_mount())


def find_fault(folder: Path) -> str | None:
    """Return what to tell an operator about the room for *folder*, or None while there is enough."""
    free = free_bytes(folder)
    if free >= MIN_FREE_BYTES:
        return None
    return (
        f"{folder}: {free // 2**20} MiB free; when it is full the gateway acknowledges nothing, and readings wait in"
        " broker and meters; free some space, or lower retention.raw_days"
    )


def _nearest(folder: Path) -> Path:
    return next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
