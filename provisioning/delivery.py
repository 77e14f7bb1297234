"""An update on its way to one meter: what to send next, and how it ended. No I/O: the meter's hints in, messages out.

The meter asks for pieces (`firmware/protocol/PROTOCOL.md`, Update). Its hints are not signed, so they are taken for
what they are: somebody who forges one can hold a delivery up or have it fail, but puts nothing into a meter. That a
version is confirmed is believed only together with a start-up reading, signed by the meter, that names the version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from provisioning.signed_update import SignedUpdate

PIECES_PER_HINT: Final = 8
ASK_S: Final = 5.0
"""After so long without news the meter is asked again."""
PROOF_S: Final = 10.0
"""So long a confirmation waits for the start-up reading, which was published before it."""
MAX_HINT_BYTES: Final = 160
WHAT_TO_DO: Final = {
    "rolled-back boots": "it was started three times and got no receipt: mend the firmware, and sign a higher version",
    "rolled-back receipt": "it got no receipt in its time: see that the gateway runs, and sign a higher version",
    "rolled-back image": "its image was damaged on the meter: sign a higher version",
    "refused target": "the image is for another kind of board: build one with another --target and a higher --version",
    "refused version": "the meter had this version or a higher one: build the image with a higher --version",
    "refused size": "the image does not fit into the meter's slot",
    "refused signature": "the campus key is not the one in the meter's config.json",
    "refused busy": "another update is on trial there: wait until it is over",
    "refused launcher": "the meter was started by main.py: start it by launch.py (firmware/README.md)",
    "refused image": "what arrived is not what was signed: try again",
    "refused meter": "the broker's topics are mixed up",
}


class Stage(Enum):
    """How far a delivery is. CLAIMED: the meter's hint says confirmed, unproven; UNPROVEN: and no proof came."""

    SILENT = auto()
    SENDING = auto()
    TRIAL = auto()
    CLAIMED = auto()
    UNPROVEN = auto()
    CONFIRMED = auto()
    FAILED = auto()


@dataclass(slots=True)
class Delivery:
    """One update for one meter. `done` counts the pieces that the meter has; `outcome` says why it failed.

    `is_proven`: the meter's signed word is here that it was started with this version.
    """

    update: SignedUpdate
    stage: Stage = Stage.SILENT
    done: int = 0
    outcome: str = ""
    is_proven: bool = False
    _ask_at_s: float = field(default=0.0)
    _claimed_at_s: float = field(default=0.0)

    @property
    def is_over(self) -> bool:
        """Tell whether it ended, in whatever way."""
        return self.stage in {Stage.CONFIRMED, Stage.UNPROVEN, Stage.FAILED}

    def due(self, now_s: float) -> list[bytes]:
        """Return what is to be sent at *now_s*: the manifest, where the meter was not heard for a while.

        A claim is asked for again too: the meter itself, where it is not there yet, contradicts one that was forged.
        """
        if self.stage is Stage.CLAIMED and now_s >= self._claimed_at_s + PROOF_S:
            self.stage = Stage.UNPROVEN
        if self.is_over or now_s < self._ask_at_s:
            return []
        self._ask_at_s = now_s + ASK_S
        return [self.update.manifest]

    def hear(self, hint: bytes, now_s: float) -> list[bytes]:
        """Take one hint of the meter; return the pieces that it asks for. What is no news of this update is ignored."""
        words = hint[:MAX_HINT_BYTES].decode("ascii", "replace").split(" ", 2)
        is_news = words[:2] == ["update", str(self.update.version)] and len(words) == 3
        before = self.stage
        if self.is_over or not is_news or not self._move(words[2]):
            return []
        self._ask_at_s = now_s + ASK_S
        if before is not Stage.CLAIMED:
            self._claimed_at_s = now_s
        if self.stage is not Stage.SENDING:
            return []
        return list(self.update.pieces[self.done : self.done + PIECES_PER_HINT])

    def prove(self) -> None:
        """Take note of a start-up reading, signed by the meter, that names this version."""
        self.is_proven = True
        if self.stage is Stage.CLAIMED:
            self.stage = Stage.CONFIRMED

    def _move(self, state: str) -> bool:
        """Go to where *state* says that the meter is; tell whether it makes sense."""
        total = len(self.update.pieces)
        if state.isdecimal() and int(state) < total:
            self.stage, self.done = Stage.SENDING, int(state)
        elif state == "trial":
            self.stage, self.done = Stage.TRIAL, total
        elif state == "confirmed":
            self.stage, self.done = Stage.CONFIRMED if self.is_proven else Stage.CLAIMED, total
        elif state in WHAT_TO_DO:
            self.stage, self.outcome = Stage.FAILED, f"{state}: {WHAT_TO_DO[state]}"
        else:
            return False
        return True
