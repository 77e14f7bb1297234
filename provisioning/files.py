"""Files of a campus directory, written whole or not at all: temporary file, sync, rename, sync of the folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from provisioning.errors import DirectoryError

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
SECRET_FOLDER_MODE: Final = 0o700
LOCK_TIMEOUT_S: Final = 10.0
LOCK_POLL_S: Final = 0.02


def make_folder(path: Path) -> Path:
    """Make the folder *path* and the parents that it lacks, readable by their owner only, and return it."""
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.is_dir():
                folder.mkdir(mode=SECRET_FOLDER_MODE)
    except OSError as error:
        raise DirectoryError(
            f"cannot make the folder {path}: {error.strerror}. Choose a folder you may write to."
        ) from error
    return path


def write_secret(path: Path, content: str | bytes) -> None:
    """Write *content* to *path*, readable and writable by the owner only."""
    _write(path, content, SECRET_MODE)


def write_public(path: Path, content: str | bytes) -> None:
    """Write *content* to *path*, readable by everyone."""
    _write(path, content, PUBLIC_MODE)


def read_text(path: Path) -> str:
    """Return the text of *path*; raises DirectoryError with one clear line."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DirectoryError(f"cannot read {path}: {cause}. Check the path.") from error


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep every other process that locks the file *path* out; the kernel lets go when this one ends, however it does.

    Raises DirectoryError where another holds it for LOCK_TIMEOUT_S.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE)
    except OSError as error:
        raise DirectoryError(f"cannot lock {path}: {error.strerror}. Choose a folder you may write to.") from error
    try:
        end_s = time.monotonic() + LOCK_TIMEOUT_S
        while not _is_locked(descriptor):
            if time.monotonic() > end_s:
                raise DirectoryError(f"another campusgrid holds {path}: end it, then run this again.")
            time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Try to lock; tell whether that went well."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, content: str | bytes, mode: int) -> None:
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_synced(draft, data, mode)
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise DirectoryError(f"cannot write {path}: {error.strerror}. Choose a folder you may write to.") from error


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
