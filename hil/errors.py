"""What can go wrong in the rig. Every text says what happened, to which thing, and what to do next."""

from __future__ import annotations


class HilError(Exception):
    """Root of the rig's errors."""

    user_message = True


class TraceError(HilError):
    """A trace that cannot be read or lacks what is asked of it."""


class LineError(HilError):
    """A virtual serial line that cannot be described or opened."""


class ProcessError(HilError):
    """A child process that did not start, did not become ready, or ended too soon."""


class DiskError(HilError):
    """A virtual disk that cannot be mounted or changed."""


class DemoError(HilError):
    """The demo cannot start, or it did not come to the result that it promises."""


class BoardError(HilError):
    """The virtual board did not start, did not answer, or stopped in what it was told to run."""
