"""What surrounds the nodes of one run: time, network, chance, the authorities, and the witness who sees it all."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random

from ledger.authority import Authority, AuthoritySet
from ledger.consensus.machine import Machine
from ledger.consensus.messages import Message, Refusal, SignatureCheck, decode
from ledger.consensus.timing import Timing
from ledger.errors import MalformedError
from ledger.keys import PrivateKey
from ledger.simulation.application import Application, ApplicationFactory, Membership
from ledger.simulation.ideal import Ideal, Signatures
from ledger.simulation.network import Network, Timeline
from ledger.simulation.schedule import Change, Round, Schedule
from ledger.simulation.witness import Witness

MachineFactory = Callable[[bytes, Timing, SignatureCheck], Machine]
SignaturesFactory = Callable[[bytes], Signatures]


class PowerCut(Exception):  # noqa: N818 - it is what happens, not an error
    """The simulated machine loses power between two instructions."""


class LedSet(AuthoritySet):
    """A set whose first rounds are led by whom a schedule says."""

    leaders: tuple[int, ...] = ()

    def proposer(self, height: int, round_: int) -> int:
        """Return the index of the leader."""
        return self.leaders[round_] if round_ < len(self.leaders) else super().proposer(height, round_)


class Surroundings:
    """All that a simulated node can reach of its run; it knows no node but by name."""

    def __init__(
        self,
        schedule: Schedule,
        make_application: ApplicationFactory,
        make_machine: MachineFactory,
        make_signatures: SignaturesFactory = Ideal,
    ) -> None:
        self.schedule = schedule
        self.random = Random(f"run {schedule.seed}")
        self.timeline = Timeline()
        self.network = Network(schedule, self.timeline, self.random)
        self.membership = membership_of(schedule)
        self.may_crash = bool(schedule.crash_permille) or schedule.crash_at is not None
        self._make_application, self._make_machine = make_application, make_machine
        self._verified: dict[bytes, tuple[Message, AuthoritySet]] = {}
        self._opportunities: Counter[str] = Counter()
        self._first_application = make_application(self.membership)
        self.chain_id = self._first_application.chain_id
        self.signatures = make_signatures(self.chain_id)
        bad_keys = {key.public_key for member in schedule.habits for key in keys_of(member, schedule)}
        correct = {str(member) for member in range(schedule.count + 1) if member not in schedule.habits}
        self.witness = Witness(self.chain_id, self.signatures.is_signed_by, correct, bad_keys)

    @property
    def may_report(self) -> bool:
        """Whether nodes tell each other where they stand: in the rounds of the twins method they do not."""
        return not self.schedule.rounds or self.network.is_healed

    def new_application(self) -> Application:
        """Return an application in its genesis state."""
        return self._make_application(self.membership)

    def new_machine(self) -> Machine:
        """Return a core in its first state."""
        return self._make_machine(self.chain_id, self.schedule.timing, self.signatures.is_signed_by)

    def decode(self, raw: bytes, sets: Mapping[int, AuthoritySet]) -> Message | None:
        """Return the message in *raw*, or None; what one node has verified the others need not verify again."""
        known = self._verified.get(raw)
        if known is not None and sets.get(known[0].statement.height) == known[1]:
            return known[0]
        try:
            message = decode(raw, sets, self.chain_id, self.signatures.is_signed_by)
        except MalformedError:
            return None
        if isinstance(message, Refusal):
            return None
        self._verified[raw] = message, sets[message.statement.height]
        return message

    def remember(self, message: Message, authorities: AuthoritySet) -> None:
        """Note a message that was just signed by a key of *authorities*, and so need not be verified."""
        self._verified[message.raw] = message, authorities

    def maybe_cut_power(self, name: str, member: int) -> None:
        """Cut the power of the process *name* (of *member*) here, now and then."""
        self._opportunities[name] += 1
        is_now = self.schedule.crash_at == (member, self._opportunities[name])
        chance = 0 if self.network.is_healed else self.schedule.crash_permille
        if is_now or (chance and self.random.random() * 1_000 < chance):
            raise PowerCut(name)


def membership_of(schedule: Schedule) -> Membership:
    """Return the sets of a run: that of genesis, and what the schedule changes it to."""
    genesis = _authorities(tuple((member, 0) for member in range(schedule.count)), schedule.rounds)
    change = schedule.change
    if change is None:
        return Membership(genesis)
    members = dict.fromkeys(range(schedule.count), 0)
    if change.change is Change.ADD:
        members[schedule.count] = 0
    elif change.change is Change.REMOVE:
        del members[schedule.count - 1]
    else:
        members[schedule.count - 1] = 1
    return Membership(genesis, change.at_height, _authorities(tuple(members.items()), ()))


def keys_of(member: int, schedule: Schedule) -> tuple[PrivateKey, ...]:
    """Return a member's vote keys, oldest first."""
    change = schedule.change
    is_rotated = change is not None and change.change is Change.ROTATE and member == schedule.count - 1
    return tuple(key_of(member, generation) for generation in range(2 if is_rotated else 1))


@lru_cache(maxsize=256)
def _authorities(members: tuple[tuple[int, int], ...], rounds: tuple[Round, ...]) -> AuthoritySet:
    made = tuple(_authority(member, key_of(member, generation)) for member, generation in members)
    if not rounds:
        return AuthoritySet(made)
    led = LedSet(made)
    object.__setattr__(led, "leaders", tuple(one.leader for one in rounds))
    return led


@lru_cache(maxsize=256)
def key_of(member: int, generation: int) -> PrivateKey:
    """Return a member's vote key, the first or one that it is rotated to."""
    return PrivateKey(hashlib.sha256(b"vote %d %d" % (member, generation)).digest())


@lru_cache(maxsize=256)
def _authority(member: int, key: PrivateKey) -> Authority:
    others = (one.public_key for one in companion_keys(key))
    return Authority(bytes(7) + bytes([member]), f"authority-{member}", key.public_key, *others)


def companion_keys(key: PrivateKey) -> tuple[PrivateKey, PrivateKey]:
    """Return the cosigner key and the log key that go with a vote key."""
    first, second = (PrivateKey(hashlib.sha256(b"%d" % number + key.public_key).digest()) for number in range(2))
    return first, second
