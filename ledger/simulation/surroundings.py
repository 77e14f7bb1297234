"""What surrounds the nodes of one run: time, network, chance, the authorities, and the witness who sees it all."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random

from ledger.authority import Authority, AuthoritySet
from ledger.consensus.machine import Machine
from ledger.consensus.messages import Message, Refusal, decode
from ledger.consensus.status import Status, decode_status
from ledger.consensus.timing import Timing
from ledger.errors import MalformedError
from ledger.keys import PrivateKey
from ledger.simulation.application import Application, ApplicationFactory
from ledger.simulation.network import Network, Timeline
from ledger.simulation.schedule import Schedule
from ledger.simulation.witness import Witness


class PowerCut(Exception):  # noqa: N818 - it is what happens, not an error
    """The simulated machine loses power between two instructions."""


class Surroundings:
    """All that a simulated node can reach of its run; it knows no node but by name."""

    def __init__(
        self,
        schedule: Schedule,
        make_application: ApplicationFactory,
        make_machine: Callable[[bytes, Timing], Machine],
    ) -> None:
        self.schedule = schedule
        self.make_machine = make_machine
        self.random = Random(f"run {schedule.seed}")
        self.timeline = Timeline()
        self.network = Network(schedule, self.timeline, self.random)
        self._make_application = make_application
        self._last_status: tuple[bytes, Status] | None = None
        self._verified: dict[bytes, tuple[Message, AuthoritySet]] = {}
        self._opportunities: Counter[str] = Counter()
        self.keys = [PrivateKey(hashlib.sha256(b"vote %d" % index).digest()) for index in range(schedule.count)]
        self.authorities = AuthoritySet(tuple(_authority(index, key) for index, key in enumerate(self.keys)))
        self.chain_id = make_application(self.authorities).chain_id
        correct = {str(index) for index in range(schedule.count) if index not in schedule.habits}
        self.witness = Witness(self.authorities, self.chain_id, correct, set(schedule.habits))

    def new_application(self) -> Application:
        """Return an application in its genesis state."""
        return self._make_application(self.authorities)

    def decode(self, raw: bytes, sets: Mapping[int, AuthoritySet]) -> Message | None:
        """Return the message in *raw*, or None; what one node has verified the others need not verify again."""
        known = self._verified.get(raw)
        if known is not None and sets.get(known[0].statement.height) == known[1]:
            return known[0]
        try:
            message = decode(raw, sets, self.chain_id)
        except MalformedError:
            return None
        if isinstance(message, Refusal):
            return None
        self._verified[raw] = message, sets[message.statement.height]
        return message

    def read_status(self, raw: bytes) -> Status:
        """Return the report in *raw*, which all peers get at once and one need read."""
        if self._last_status is None or self._last_status[0] != raw:
            self._last_status = raw, decode_status(raw)
        return self._last_status[1]

    def maybe_cut_power(self, name: str, index: int) -> None:
        """Cut the power of the node *name* (authority *index*) here, now and then."""
        self._opportunities[name] += 1
        is_now = self.schedule.crash_at == (index, self._opportunities[name])
        chance = 0 if self.network.is_healed else self.schedule.crash_permille
        if is_now or (chance and self.random.randrange(1_000) < chance):
            raise PowerCut(name)


def _authority(index: int, key: PrivateKey) -> Authority:
    others = [hashlib.sha256(b"%d" % number + key.public_key).digest() for number in range(2)]
    return Authority(bytes(7) + bytes([index]), f"authority-{index}", key.public_key, *others)
