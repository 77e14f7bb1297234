"""The last configuration that worked: a copy of config.json, made when the gateway's receipt came, used in safe mode.

It lies beside config.json, the one place that is known while config.json tells nothing. A checksum ends it.
The launcher reads it too, and is never replaced: its name and its form are for ever.
"""

from binascii import crc32

from meter import config
from meter.errors import ConfigError

SUFFIX = ".good"
DAMAGED_SUFFIX = ".damaged"


def keep(board, path):
    """Copy the configuration file *path*, unless its copy is the same; raises OSError."""
    folder, name = _split(path)
    directory = board.Directory(folder)
    data = directory.read(name)
    copy = data + b"\n" + str(crc32(data)).encode()
    if name + SUFFIX not in directory.names() or directory.read(name + SUFFIX) != copy:
        directory.replace(name + SUFFIX, copy)


def is_kept(path):
    """Tell whether there is a copy of *path*, good or not: whether the meter ever worked."""
    try:
        open(path + SUFFIX, "rb").close()
    except OSError:
        return False
    return True


def load(path):
    """Return the Config in the copy of *path*; None where there is no good one."""
    try:
        return config.parse(_read(path), path[: path.rfind("/") + 1])
    except (ConfigError, OSError):
        return None


def restore(board, path):
    """Put the copy in the place of *path*, whose content goes into a file beside it; raises ConfigError, OSError."""
    folder, name = _split(path)
    directory = board.Directory(folder)
    data = _read(path)
    if name in directory.names():
        directory.replace(name + DAMAGED_SUFFIX, directory.read(name))
    directory.replace(name, data)


def _read(path):
    data, _, checksum = config.read(path + SUFFIX).rpartition(b"\n")
    if checksum != str(crc32(data)).encode():
        raise ConfigError("the copy of the last configuration that worked is damaged")
    return data


def _split(path):
    folder, _, name = path.rpartition("/")
    return folder or ("/" if path[:1] == "/" else "."), name
