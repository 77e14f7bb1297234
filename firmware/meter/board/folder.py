"""Files that outlive a power cut, in one folder of a disk: what `append`, `replace` and `remove` did is there for good.

The disk is an argument. A cut may lose, tear or reorder what was done to a file since its last `sync`, and to names
since the last `sync_folder`. `Disk` is for littlefs, whose flush is a commit and whose names need none.
"""

import errno
import os

from meter.errors import ConfigError, in_words

NEW = ".new"


class Disk:
    """The files of a littlefs, mounted. Nothing is buffered here."""

    def names(self, path):
        """Return the names of all files in folder *path*."""
        return os.listdir(path)

    def read(self, path):
        """Return the content of a file."""
        with open(path, "rb") as file:
            return file.read()

    def read_part(self, path, offset, count):
        """Return up to *count* bytes of a file from *offset* on."""
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(count)

    def pieces(self, path, size):
        """Give the content of a file, *size* bytes at a time and then the rest."""
        with open(path, "rb") as file:
            while True:
                piece = file.read(size)
                if not piece:
                    return
                yield piece

    def open(self, path, mode):
        """Return the file opened with *mode* "ab" or "wb", unbuffered: what failed once must not be written later."""
        return open(path, mode, buffering=0)

    def write(self, file, data):
        """Write all of *data*; a disk that takes only part of it is full."""
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC)

    def sync(self, file):
        """Make the content of *file* durable."""
        file.flush()

    def close(self, file):
        """Close *file*."""
        file.close()

    def rename(self, old, new):
        """Rename a file, replacing *new*."""
        os.rename(old, new)

    def remove(self, path):
        """Remove a file."""
        os.remove(path)

    def make_folder(self, path):
        """Make folder *path* and those above it; raises ConfigError where that is not possible."""
        built = ""
        for part in path.split("/"):
            built += part if built.endswith("/") or not built else "/" + part
            built = built or "/"
            if part and not _exists(built):
                try:
                    os.mkdir(built)
                except OSError as error:
                    raise ConfigError("cannot make folder {}: {}".format(built, in_words(error))) from None

    def remove_folder(self, path):
        """Remove an empty folder."""
        os.rmdir(path)

    def sync_folder(self, path):
        """Make the names in folder *path* durable: littlefs did it when it changed them."""


class Directory:
    """The files of folder *path* on *disk*."""

    def __init__(self, path, disk):
        self._path = path
        self._disk = disk
        self._name = None
        self._file = None
        disk.make_folder(path)

    def names(self):
        """Return the names of all files."""
        return self._disk.names(self._path)

    def read(self, name):
        """Return the content of file *name*."""
        return self._disk.read(self._path + "/" + name)

    def pieces(self, name, size):
        """Give the content of file *name*, up to *size* bytes at a time; it is open until the end, or `close`."""
        return self._disk.pieces(self._path + "/" + name, size)

    def append(self, name, data):
        """Write *data* at the end of file *name*, which is made if it is new. After an OSError its end is unknown."""
        try:
            if name != self._name:
                self._close()
                self._file = self._disk.open(self._path + "/" + name, "ab")  # stays open for the next append
                self._name = name
                self._disk.sync_folder(self._path)
            self._disk.write(self._file, data)
            self._disk.sync(self._file)
        except OSError:
            self._close()
            raise

    def replace(self, name, data):
        """Give file *name* the content *data*: after a power cut it has the old content or the new, never a mixture."""
        self.rewrite(name, (data,))

    def rewrite(self, name, pieces):
        """Give file *name* the content *pieces*, in the same way; they may be made from its old content meanwhile."""
        self._close()
        path = self._path + "/" + name
        file = self._disk.open(path + NEW, "wb")
        try:
            for piece in pieces:
                self._disk.write(file, piece)
            self._disk.sync(file)
        finally:
            self._disk.close(file)
        self._disk.rename(path + NEW, path)
        self._disk.sync_folder(self._path)

    def remove(self, name):
        """Remove file *name*."""
        if name == self._name:
            self._close()
        self._disk.remove(self._path + "/" + name)
        self._disk.sync_folder(self._path)

    def _close(self):
        if self._file is not None:
            file, self._file, self._name = self._file, None, None
            self._disk.close(file)


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True
