"""An image in a folder of a disk, `slots/<a|b>-<version>/image.romfs`: appended durably, piece by piece."""

import errno

from meter.board.folder import Directory
from meter.manifest import MAX_PIECES, PIECE_BYTES
from meter.slots import NAMES

NAME = "image.romfs"


class FolderImage:
    """The image of *version* in *slot*, below folder *root* on *disk*. A board adds `mount`."""

    sector_bytes = PIECE_BYTES
    capacity = MAX_PIECES * PIECE_BYTES

    def __init__(self, root, slot, version, disk):
        self._root = root
        self._slots = root + "/slots"
        self._own = "{}-{}".format(NAMES[slot], version)
        self._disk = disk
        self._directory = None  # kept open while pieces are written
        self.path = "{}/{}/{}".format(self._slots, self._own, NAME)

    def prepare(self, offset):
        """Cut the image off at *offset*, and remove what else the slot holds."""
        self._directory = Directory(self._slots + "/" + self._own, self._disk)
        for folder in (self._root, self._slots):
            self._disk.sync_folder(folder)
        for name in self._disk.names(self._slots):
            if name[:2] == self._own[:2] and name != self._own:
                self._remove(self._slots + "/" + name)
        self._directory.replace(NAME, self.read(0, offset))

    def write(self, offset, data):
        """Append *data*; the file ends at *offset*."""
        self._directory.append(NAME, data)

    def read(self, offset, count):
        """Return up to *count* bytes from *offset* on."""
        try:
            return self._disk.read_part(self.path, offset, count)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return b""
            raise

    def _remove(self, folder):
        for name in self._disk.names(folder):
            self._disk.remove(folder + "/" + name)
        self._disk.remove_folder(folder)
        self._disk.sync_folder(self._slots)
