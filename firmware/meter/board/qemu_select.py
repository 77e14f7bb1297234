"""`select` for the virtual board, whose port has none: frozen there under that name.

Nothing on that board can be waited for but time, so a poll sleeps, and asyncio needs no more of it than that.
"""

import time

POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16


class poll:
    """An empty set of streams."""

    def register(self, stream, events=POLLIN | POLLOUT):
        """Refuse *stream*."""
        raise OSError(22, "the virtual board has no stream to wait for")

    modify = unregister = register

    def ipoll(self, timeout_ms=-1):
        """Wait *timeout_ms*; return that nothing is ready."""
        if timeout_ms < 0:
            raise OSError(22, "every task waits and none for the time: the virtual board would stand still for ever")
        time.sleep_ms(timeout_ms)
        return ()
