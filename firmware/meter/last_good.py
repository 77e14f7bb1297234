"""The last configuration that worked: a copy of config.json, made when the gateway's receipt came, used in safe mode.

It lies beside config.json, the one place that is known while config.json tells nothing. A checksum ends it.
"""

from binascii import crc32

from meter import config
from meter.errors import ConfigError

SUFFIX = ".good"
DAMAGED_SUFFIX = ".damaged"


def keep(board, path):
    """Copy the configuration file *path*, unless its copy is the same; raises OSError."""
    folder, name = _folder(board, path)
    data = folder.read(name)
    copy = data + b"\n" + str(crc32(data)).encode()
    if name + SUFFIX not in folder.names() or folder.read(name + SUFFIX) != copy:
        folder.replace(name + SUFFIX, copy)


def load(board, path):
    """Return the Config in the copy of *path*; None where there is no good one."""
    try:
        return config.parse(_read(*_folder(board, path)), path[: path.rfind("/") + 1])
    except (ConfigError, OSError):
        return None


def restore(board, path):
    """Put the copy in the place of *path*, whose content goes into a file beside it; raises ConfigError, OSError."""
    folder, name = _folder(board, path)
    data = _read(folder, name)
    if name in folder.names():
        folder.replace(name + DAMAGED_SUFFIX, folder.read(name))
    folder.replace(name, data)


def _read(folder, name):
    data, _, checksum = folder.read(name + SUFFIX).rpartition(b"\n")
    if checksum != str(crc32(data)).encode():
        raise ConfigError("the copy of the last configuration that worked is damaged")
    return data


def _folder(board, path):
    folder, _, name = path.rpartition("/")
    return board.Directory(folder or ("/" if path[:1] == "/" else ".")), name
