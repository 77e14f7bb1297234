"""A gateway that kills itself (SIGKILL) between two steps of intake: `killed_gateway STEP --config FILE`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.commands import run_to_end
from gateway.intake.pipeline import Message, Pipeline
from gateway.run import run
from gateway.settings import load_gateway
from gateway.store.readings import Batch


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class BeforeCommit(Pipeline):
    async def commit(self, batch: Batch) -> None:
        die()


class BeforeAcknowledgement(Pipeline):
    def acknowledge(self, messages: Sequence[Message]) -> None:
        die()


class BeforeReceipt(Pipeline):
    def issue_receipts(self, meters: Iterable[bytes]) -> None:
        die()


STEPS = {"commit": BeforeCommit, "acknowledgement": BeforeAcknowledgement, "receipt": BeforeReceipt}

if __name__ == "__main__":
    run_to_end(run(load_gateway(Path(sys.argv[3])), STEPS[sys.argv[1]]))
