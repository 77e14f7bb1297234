"""A process that ends with the one that started it: `--exit-with-parent` of nodes and gateways."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

from ledger.errors import LedgerError

_PR_SET_PDEATHSIG: Final = 1
_INIT: Final = 1


class ParentEndedError(LedgerError):
    """The process with which this one was to end is gone already, or its end cannot be noticed."""


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent's thread that started this process ends.

    Raises ParentEndedError where the kernel cannot, or where the parent ended before: process 1 then has this one, or
    it changed hands meanwhile. An orphan that another subreaper took in before this call is not noticed.
    """
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise ParentEndedError(f"--exit-with-parent does not work here: {os.strerror(ctypes.get_errno())}")
    if parent == _INIT or os.getppid() != parent:
        raise ParentEndedError(
            "--exit-with-parent: the process that started this one has ended already; where that is process 1, which"
            " ends last, leave the option out"
        )
