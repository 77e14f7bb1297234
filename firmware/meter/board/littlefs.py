"""Mounting a littlefs on raw flash: a flash that was never used is formatted, a damaged one is left as it is.

A cut during formatting leaves no file system, and must not end in a meter that thinks itself damaged; a file system
that is damaged must never be taken for a fresh flash. The two are told apart by what formatting never writes.
"""

import vfs

_COUNT = 4  # of `vfs.AbstractBlockDev.ioctl`
_FORMATTED_BYTES = 128
"""Formatting writes no more into each of the first two blocks than this, and nothing into the others."""
_LOOKED_AT_BYTES = 64


def mount(device, path):
    """Mount the littlefs of *device* at *path*, unless something is; where nothing was ever kept it is formatted first.

    Raises OSError where it is damaged.
    """
    if path in [place for _, place in vfs.mount()]:
        return
    try:
        volume = vfs.VfsLfs2(device, mtime=False)
    except OSError:
        if not is_unused(device):
            raise
        vfs.VfsLfs2.mkfs(device)
        volume = vfs.VfsLfs2(device, mtime=False)
    vfs.mount(volume, path)


def is_unused(device):
    """Tell whether *device* is as the factory, or a cut while it was formatted, left it."""
    erased = b"\xff" * _LOOKED_AT_BYTES
    found = bytearray(_LOOKED_AT_BYTES)
    for block in range(device.ioctl(_COUNT, 0)):
        device.readblocks(block, found, _FORMATTED_BYTES if block < 2 else 0)
        if found != erased:
            return False
    return True
