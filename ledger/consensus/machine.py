"""The state machine of Tendermint: Algorithm 1 of arXiv:1807.04938, whose line numbers the rules carry as L##.

`handle` takes one event, then applies the rules of `_advance` until none fires any more. A decided height is terminal:
only its status and late precommits still matter. Votes are not counted when they are cast but when they come back as
`MessageSigned`, durable; the step moves at once, so nothing is cast twice.

Two departures, both on the safe side. A value counts as proposed when Q votes name it, whether or not the proposal
itself came: the id is the hash of the block, a signature under it adds nothing. And the proposer, too, starts
timeoutPropose, so that a shell that cannot build a block does not hold up its node.
"""

from __future__ import annotations

from typing import Final

from ledger.block import Commit
from ledger.consensus import events as ev
from ledger.consensus.commit import build_commit, verify_commit
from ledger.consensus.effects import (
    BuildBlock,
    Cast,
    Decide,
    Effect,
    EvidenceFound,
    Halt,
    HaltReason,
    Record,
    SendDecided,
    SendTo,
    SetTimer,
    Step,
    Timer,
    ValidateBlock,
)
from ledger.consensus.height import Height, Lock, Verdict
from ledger.consensus.messages import (
    FRESH,
    Message,
    Proposal,
    SignatureCheck,
    Statement,
    Vote,
    VoteKind,
    is_signed_by,
)
from ledger.consensus.resend import report, select_lacking
from ledger.consensus.status import Status
from ledger.consensus.tally import Ahead, Arrival, Tally
from ledger.consensus.timing import Timing
from ledger.envelope import Kind

HEIGHTS_AHEAD: Final = 2
"""Messages of this many heights beyond the current one are kept; later ones must be sent again."""


class Machine:
    """The consensus core of one node. Idle until the first `HeightStarted`; no exception leaves `handle`."""

    def __init__(
        self, chain_id: bytes, timing: Timing | None = None, is_signed_by: SignatureCheck = is_signed_by
    ) -> None:
        self._chain_id = chain_id
        self._is_signed_by = is_signed_by
        self._timing = timing or Timing()
        self._height: Height | None = None
        self._early: dict[int, Ahead] = {}
        self._may_sign = True
        self._is_halted = False
        self._now_ms = 0
        self._effects: list[Effect] = []

    @property
    def state(self) -> Height | None:
        """The height in progress, to look at; None before the first `HeightStarted`."""
        return self._height

    def status(self) -> Status | None:
        """Return the report that goes to all peers every 300-500 ms; None while idle."""
        at = self._height
        return report(at.number, at.step, at.tally, at.valid.round) if at is not None else None

    def handle(self, event: ev.Event, now_ms: int) -> tuple[Effect, ...]:
        """Take in one event at wall-clock time *now_ms*; return what is to be done, in order."""
        self._now_ms, self._effects = now_ms, []
        if isinstance(event, ev.HeightStarted):
            self._start_height(event)
        elif isinstance(event, ev.StatusReceived):
            self._answer_status(event)
            return tuple(self._effects)
        elif self._height is not None:
            self._take(event, self._height)
        if self._height is not None and not self._is_halted:
            self._advance(self._height)
        return tuple(self._effects)

    # --- events -----------------------------------------------------------------------------------------------------

    def _take(self, event: ev.Event, at: Height) -> None:
        match event:
            case ev.MessageReceived() | ev.MessageSigned() | ev.CommitReceived() if not self._is_halted:
                self._take_message(event, at)
            case ev.TimeoutFired(timer) if not self._is_halted:
                self._time_out(timer, at)
            case ev.BlockValidated() if event.height == at.number and event.block_id in at.verdicts:
                at.verdicts[event.block_id] = Verdict(event.valid, event.time_ms)
            case ev.BlockBuilt() if not self._is_halted:
                self._propose_built(event, at)
            case ev.WorkAvailable(height) if height == at.number:
                at.is_wanted = True

    def _take_message(self, event: ev.MessageReceived | ev.MessageSigned | ev.CommitReceived, at: Height) -> None:
        match event:
            case ev.MessageReceived(message):
                self._receive(message, at)
            case ev.MessageSigned(message) if message.statement.height == at.number:
                self._count(message, at)
            case ev.CommitReceived(commit) if commit.height == at.number and at.commit is None:
                at.commit = commit if self._holds(commit, at) else None

    def _holds(self, commit: Commit, at: Height) -> bool:
        return verify_commit(commit, at.authorities, self._chain_id, self._is_signed_by)

    def _start_height(self, event: ev.HeightStarted) -> None:
        before = self._height
        if self._is_halted or (before is not None and event.height <= before.number):
            return
        ahead = self._early.pop(event.height, Ahead())
        self._early = {height: kept for height, kept in self._early.items() if height > event.height}
        signing = event.signing and self._may_sign and event.own is not None
        tally = Tally(event.authorities, event.own, ahead)
        at = self._height = Height(event.height, event.authorities, event.own, signing, tally, event.last_commit)
        if before is not None:
            at.add_late_precommits(before)
        if signing and any(message.sender == event.own for message in ahead.messages()):
            self._stop_signing(at)
        at.restore(tuple(one for one in event.log if one.statement.height == event.height), self._now_ms)
        self._reach(at.round, at)
        self._resume(event.delay_ms, at)

    def _resume(self, delay_ms: int, at: Height) -> None:
        at.is_wanted = len(at.tally) > 0
        at.is_due = at.step is not Step.NEW
        if at.step is Step.NEW:
            self._effects.append(SetTimer(Timer(at.number, 0, Step.NEW), delay_ms))
        elif at.step is Step.PROPOSE:
            self._enter_propose(at)

    def _receive(self, message: Message, at: Height) -> None:
        height = message.statement.height
        if height == at.number:
            self._count_received(message, at)
        elif at.number < height <= at.number + HEIGHTS_AHEAD:
            early = self._early.setdefault(height, Ahead())
            self._accuse(message, early.add(Arrival(message, self._now_ms)).conflict, at)
        elif height == at.number - 1:
            at.add_late_precommit(message)

    def _count_received(self, message: Message, at: Height) -> None:
        at.is_wanted = True
        if message.sender == at.own and at.signing and not at.tally.holds(message):
            self._stop_signing(at)
        self._count(message, at)

    def _count(self, message: Message, at: Height) -> None:
        added = at.tally.add(Arrival(message, self._now_ms))
        is_counted = added.taken and message.statement.round <= at.round
        if is_counted and message.sender != at.own and at.step is not Step.DECIDED:
            self._effects.append(Record(message))
        self._accuse(message, added.conflict, at)

    def _accuse(self, message: Message, earlier: Message | None, at: Height) -> None:
        if earlier is not None and (culprit := (message.statement.height, message.sender)) not in at.accused:
            at.accused.add(culprit)
            self._effects.append(EvidenceFound(message.sender, earlier, message))

    def _time_out(self, timer: Timer, at: Height) -> None:
        if timer.height != at.number or at.step is Step.DECIDED:
            return
        if timer.step is Step.NEW:
            at.is_due = True
        elif timer.round == at.round and at.step is not Step.NEW:
            if timer.step is Step.PROPOSE and at.step is Step.PROPOSE:  # L57
                self._vote(Kind.PREVOTE, None, at)
            elif timer.step is Step.PREVOTE and at.step is Step.PREVOTE:  # L61
                self._vote(Kind.PRECOMMIT, None, at)
            elif timer.step is Step.PRECOMMIT:  # L65
                self._start_round(at.round + 1, at)

    def _propose_built(self, built: ev.BlockBuilt, at: Height) -> None:
        is_awaited = (built.height, built.round) == (at.number, at.round) and at.step is Step.PROPOSE
        if is_awaited and at.is_proposer and at.tally.proposal(at.round) is None:
            at.verdicts[built.block_id] = Verdict(valid=True, time_ms=built.time_ms)
            self._cast(Proposal(at.number, at.round, FRESH, built.block_id), at)

    def _answer_status(self, event: ev.StatusReceived) -> None:
        """Send what the peer lacks; what a peer says of itself makes no rule fire."""
        at = self._height
        if at is None:
            return
        if event.status.height < at.number:
            self._effects.append(SendDecided(event.peer, event.status.height))
        elif event.status.height == at.number:
            messages = select_lacking(event.status, at.tally, at.valid.round)
            if messages:
                self._effects.append(SendTo(event.peer, messages))

    # --- rules ------------------------------------------------------------------------------------------------------

    def _advance(self, at: Height) -> None:
        """Apply the rules until none fires."""
        while at.step is not Step.DECIDED and not self._is_halted and self._apply_one_rule(at):
            pass
        if at.step not in (Step.NEW, Step.DECIDED) and not self._is_halted:
            self._start_vote_timers(at)

    def _apply_one_rule(self, at: Height) -> bool:
        """Apply the first rule that fires; each tells whether it changed the position."""
        return (
            self._decide(at)
            or self._skip_round(at)
            or self._start_first_round(at)
            or self._prevote_fresh(at)
            or self._prevote_again(at)
            or self._remember_valid(at)
            or self._lock(at)
            or self._precommit_nil(at)
        )

    def _decide(self, at: Height) -> bool:
        """L49: Q precommits for a valid value in any round of the height."""
        commits = [at.commit] if at.commit is not None else []
        for round_, block_id in at.tally.precommit_quorums:
            votes = at.tally.support(round_, Kind.PRECOMMIT, block_id).values()
            commits.append(build_commit(at.number, round_, block_id, votes))
        for commit in commits:
            verdict = self._verdict(commit.block_id, at)
            if verdict is not None and not verdict.valid:
                self._is_halted = True
                self._effects.append(Halt(HaltReason.INVALID_BLOCK_COMMITTED, at.number, commit.block_id))
                return True
            if verdict is not None:
                at.step, at.commit = Step.DECIDED, commit
                self._effects.append(Decide(at.number, commit.round, commit.block_id, commit))
                return True
        return False

    def _skip_round(self, at: Height) -> bool:
        """L55: W distinct senders are beyond this round."""
        target = at.tally.round_to_skip_to()
        if target is not None:
            self._start_round(target, at)
        return target is not None

    def _start_first_round(self, at: Height) -> bool:
        """LEDGER rule 3: the block interval has passed and somebody has something to say."""
        if at.step is not Step.NEW or not at.is_due or not at.is_wanted:
            return False
        self._start_round(0, at)
        return True

    def _prevote_fresh(self, at: Height) -> bool:
        """L22: a fresh proposal, valid and timely, unless locked on another value."""
        if at.step is not Step.PROPOSE:
            return False
        arrival, proposal = self._proposal(at)
        if arrival is None or proposal is None or proposal.valid_round != FRESH:
            return False
        verdict = self._verdict(proposal.block_id, at)
        if verdict is None:
            return False
        is_timely = self._timing.is_timely(verdict.time_ms, arrival.received_ms, at.round)
        is_free = at.locked.round == FRESH or at.locked.block_id == proposal.block_id
        accepted = verdict.valid and is_timely and is_free
        self._vote(Kind.PREVOTE, proposal.block_id if accepted else None, at)
        return True

    def _prevote_again(self, at: Height) -> bool:
        """L28: a re-proposal with Q prevotes of its valid round; however old its time is.

        The lock is compared with the *valid round*: comparing with the current round forks, after three rounds.
        """
        if at.step is not Step.PROPOSE:
            return False
        _, proposal = self._proposal(at)
        if proposal is None or proposal.valid_round == FRESH:
            return False
        verdict = self._verdict(proposal.block_id, at)
        if verdict is None or not at.tally.has_quorum(proposal.valid_round, Kind.PREVOTE, proposal.block_id):
            return False
        is_free = at.locked.round <= proposal.valid_round or at.locked.block_id == proposal.block_id
        self._vote(Kind.PREVOTE, proposal.block_id if verdict.valid and is_free else None, at)
        return True

    def _remember_valid(self, at: Height) -> bool:
        """L42-43: the latest valid value with Q prevotes is what this node would propose. Late prevotes count too."""
        for round_, block_id in at.tally.prevote_quorums:
            if round_ > at.valid.round:
                verdict = self._verdict(block_id, at)
                if verdict is not None and verdict.valid:
                    at.valid = Lock(round_, block_id)
                    return True
        return False

    def _lock(self, at: Height) -> bool:
        """L36-41: Q prevotes for a valid value in this round: lock it and precommit it."""
        if at.step is not Step.PREVOTE:
            return False
        for round_, block_id in at.tally.prevote_quorums:
            verdict = self._verdict(block_id, at) if round_ == at.round else None
            if verdict is not None and verdict.valid:
                at.locked = Lock(round_, block_id)
                self._vote(Kind.PRECOMMIT, block_id, at)
                return True
        return False

    def _precommit_nil(self, at: Height) -> bool:
        """L44: Q prevotes for nil."""
        if at.step is not Step.PREVOTE or not at.tally.has_quorum(at.round, Kind.PREVOTE, None):
            return False
        self._vote(Kind.PRECOMMIT, None, at)
        return True

    def _start_vote_timers(self, at: Height) -> None:
        """L34, L47: Q votes of whatever kind, for the first time."""
        if at.step is Step.PREVOTE and at.tally.has_quorum_of_any(at.round, Kind.PREVOTE):
            self._set_timer(Step.PREVOTE, at)
        if at.tally.has_quorum_of_any(at.round, Kind.PRECOMMIT):
            self._set_timer(Step.PRECOMMIT, at)

    # --- actions ----------------------------------------------------------------------------------------------------

    def _start_round(self, round_: int, at: Height) -> None:
        """L11-21."""
        at.step = Step.PROPOSE
        at.timers.clear()
        self._reach(round_, at)
        self._enter_propose(at)

    def _reach(self, round_: int, at: Height) -> None:
        self._effects += [Record(message) for message in at.tally.reach(round_)]

    def _enter_propose(self, at: Height) -> None:
        self._set_timer(Step.PROPOSE, at)
        if not at.is_proposer or at.tally.proposal(at.round) is not None:
            return
        if at.valid.block_id is not None:
            self._cast(Proposal(at.number, at.round, at.valid.round, at.valid.block_id), at)
        else:
            self._effects.append(BuildBlock(at.number, at.round, at.last_commit))

    def _vote(self, kind: VoteKind, block_id: bytes | None, at: Height) -> None:
        at.step = Step.PREVOTE if kind == Kind.PREVOTE else Step.PRECOMMIT
        self._cast(Vote(kind, at.number, at.round, block_id), at)

    def _cast(self, statement: Statement, at: Height) -> None:
        if at.signing:
            self._effects.append(Cast(statement))

    def _set_timer(self, step: Step, at: Height) -> None:
        timer = Timer(at.number, at.round, step)
        if timer not in at.timers:
            at.timers.add(timer)
            self._effects.append(SetTimer(timer, self._timing.timeout_ms(step, at.round)))

    def _verdict(self, block_id: bytes, at: Height) -> Verdict | None:
        """Return what is known of a block; ask the shell the first time."""
        if block_id not in at.verdicts:
            at.verdicts[block_id] = None
            self._effects.append(ValidateBlock(at.number, block_id))
        return at.verdicts[block_id]

    def _proposal(self, at: Height) -> tuple[Arrival | None, Proposal | None]:
        arrival = at.tally.proposal(at.round)
        statement = arrival.message.statement if arrival is not None else None
        return arrival, statement if isinstance(statement, Proposal) else None

    def _stop_signing(self, at: Height) -> None:
        """Someone else signs with this node's key, or this node forgot: two more of its votes may be a fork."""
        self._may_sign = at.signing = False
        self._effects.append(Halt(HaltReason.OWN_KEY_USED_ELSEWHERE, at.number, None))
