"""The mistakes: which line of which module becomes what. Each is one that somebody could make, most somebody made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """In *module* the text *old*, which is there once, becomes *new*."""

    name: str
    module: str
    old: str
    new: str


MACHINE, HEIGHT = "ledger.consensus.machine", "ledger.consensus.height"
TALLY, RESEND = "ledger.consensus.tally", "ledger.consensus.resend"
TIMING, COMMIT, AUTHORITY = "ledger.consensus.timing", "ledger.consensus.commit", "ledger.authority"
NODE, DISK = "ledger.simulation.node", "ledger.simulation.disk"

NO_MISTAKE = Mutant(
    "no mistake: nobody may complain", MACHINE, "            or self._lock(at)\n", "            or self._lock(at)\n"
)
"""The core as it is: what notices anything here notices too much."""

MUTANTS = (
    NO_MISTAKE,
    Mutant(
        "compare the lock with the round in progress (L28)",
        MACHINE,
        "is_free = at.locked.round <= proposal.valid_round or",
        "is_free = at.locked.round <= at.round or",
    ),
    Mutant(
        "a fresh block passes any lock (L22)",
        MACHINE,
        "is_free = at.locked.round == FRESH or at.locked.block_id == proposal.block_id",
        "is_free = True",
    ),
    Mutant(
        "a lock refuses its own value (L22)",
        MACHINE,
        "is_free = at.locked.round == FRESH or at.locked.block_id == proposal.block_id",
        "is_free = at.locked.round == FRESH",
    ),
    Mutant("precommit without a lock (L38)", MACHINE, "at.locked = Lock(round_, block_id)", "pass"),
    Mutant(
        "unlock at every round change (L54)",
        MACHINE,
        "        at.timers.clear()\n",
        "        at.timers.clear()\n        at.locked = Lock()\n",
    ),
    Mutant(
        "believe a re-proposal without Q prevotes (L28)",
        MACHINE,
        "if verdict is None or not at.tally.has_quorum(proposal.valid_round, Kind.PREVOTE, proposal.block_id):",
        "if verdict is None:",
    ),
    Mutant(
        "prevote an invalid block that comes again (L28)",
        MACHINE,
        "self._vote(Kind.PREVOTE, proposal.block_id if verdict.valid and is_free else None, at)",
        "self._vote(Kind.PREVOTE, proposal.block_id if is_free else None, at)",
    ),
    Mutant(
        "prevote an invalid fresh block (L22)",
        MACHINE,
        "accepted = verdict.valid and is_timely and is_free",
        "accepted = is_free",
    ),
    Mutant(
        "believe any time (rule 13)",
        MACHINE,
        "accepted = verdict.valid and is_timely and is_free",
        "accepted = verdict.valid and is_free",
    ),
    Mutant(
        "precommit a block that is not valid (L36)",
        MACHINE,
        "            if verdict is not None and verdict.valid:\n                at.locked",
        "            if verdict is not None:\n                at.locked",
    ),
    Mutant(
        "precommit nil on Q prevotes of any kind (L44)",
        MACHINE,
        "not at.tally.has_quorum(at.round, Kind.PREVOTE, None)",
        "not at.tally.has_quorum_of_any(at.round, Kind.PREVOTE)",
    ),
    Mutant(
        "lock the prevotes of an earlier round (L36)",
        MACHINE,
        "verdict = self._verdict(block_id, at) if round_ == at.round else None",
        "verdict = self._verdict(block_id, at)",
    ),
    Mutant(
        "decide by the precommits of this round alone (L49)",
        MACHINE,
        "        for round_, block_id in at.tally.precommit_quorums:\n            votes",
        "        for round_, block_id in at.tally.precommit_quorums:\n"
        "            if round_ != at.round:\n                continue\n            votes",
    ),
    Mutant(
        "decide an invalid block (rule 7)",
        MACHINE,
        "            if verdict is not None and not verdict.valid:\n                self._is_halted",
        "            if False:\n                self._is_halted",
    ),
    Mutant("never skip rounds (L55)", MACHINE, "target = at.tally.round_to_skip_to()", "target = None"),
    Mutant(
        "skip to where a single one is (L55)",
        TALLY,
        "return self.ahead.rounds()[needed - 1] if",
        "return self.ahead.rounds()[0] if",
    ),
    Mutant(
        "do not remember the valid value (L42)",
        MACHINE,
        "                    at.valid = Lock(round_, block_id)\n                    return True",
        "                    return False",
    ),
    Mutant("build anew instead of re-proposing (L16)", MACHINE, "if at.valid.block_id is not None:", "if False:"),
    Mutant("set a timer whenever it is asked for (L34, L47)", MACHINE, "if timer not in at.timers:", "if True:"),
    Mutant(
        "no timeoutPrevote (L34)",
        MACHINE,
        "if at.step is Step.PREVOTE and at.tally.has_quorum_of_any(at.round, Kind.PREVOTE):",
        "if False:",
    ),
    Mutant(
        "timeoutPrecommit on one value alone (L47)",
        MACHINE,
        "if at.tally.has_quorum_of_any(at.round, Kind.PRECOMMIT):",
        "if at.tally.has_quorum(at.round, Kind.PRECOMMIT, None):",
    ),
    Mutant(
        "a timer of a past round still counts (L57)",
        MACHINE,
        "elif timer.round == at.round and at.step is not Step.NEW:",
        "elif at.step is not Step.NEW:",
    ),
    Mutant(
        "a decided height goes on (rule 18)",
        MACHINE,
        "if timer.height != at.number or at.step is Step.DECIDED:",
        "if timer.height != at.number:",
    ),
    Mutant("start rounds with nothing to say (rule 3)", MACHINE, "not at.is_due or not at.is_wanted", "not at.is_due"),
    Mutant("an observer votes (rule 11)", MACHINE, "        if at.signing:\n", "        if True:\n"),
    Mutant(
        "do not notice the own key elsewhere (rule 10)",
        MACHINE,
        "if message.sender == at.own and at.signing and not at.tally.holds(message):",
        "if False:",
    ),
    Mutant(
        "keep no log of inputs (rule 10)",
        MACHINE,
        "if is_counted and message.sender != at.own and at.step is not Step.DECIDED:",
        "if False:",
    ),
    Mutant(
        "keep messages of every height to come (rule 8)",
        MACHINE,
        "elif at.number < height <= at.number + HEIGHTS_AHEAD:",
        "elif at.number < height:",
    ),
    Mutant(
        "send only to those behind (rule 9)",
        MACHINE,
        "elif event.status.height == at.number:",
        "elif event.status.height == at.number and event.status.round < at.round:",
    ),
    Mutant(
        "keep the prevotes for the valid round back (rule 9)",
        RESEND,
        "is_left or (valid_round <= status.round and",
        "is_left or (False and",
    ),
    Mutant("keep back what others said in a round that is left (rule 9)", RESEND, "if is_left or (", "if False or ("),
    Mutant(
        "forget the lock in a crash (rule 10)",
        HEIGHT,
        "self.locked = self.valid = Lock(statement.round, statement.block_id)",
        "pass",
    ),
    Mutant(
        "come back with the oldest lock (rule 10)",
        HEIGHT,
        "if is_lock and statement.round > self.locked.round:",
        "if is_lock and self.locked.round == FRESH:",
    ),
    Mutant(
        "mix rounds in a certificate (rule 15)",
        HEIGHT,
        "if commit is None or message.statement != Vote(",
        "if commit is None or message.statement.block_id != commit.block_id or not Vote(",
    ),
    Mutant(
        "hoard the messages of all rounds to come (rule 8)",
        TALLY,
        "            held = self._by_sender[message.sender] = {}",
        "            held = self._by_sender.setdefault(message.sender, {})",
    ),
    Mutant(
        "keep an equivocator's first vote alone (rule 8)",
        TALLY,
        "if conflict is not None and len(backers) < self.weak_quorum:",
        "if conflict is not None:",
    ),
    Mutant(
        "see no evidence in two votes (rule 12)",
        TALLY,
        "conflict = next(earlier, None) if has_voted else None",
        "conflict = None",
    ),
    Mutant("Q is one less", AUTHORITY, "return 2 * len(self.members) // 3 + 1", "return 2 * len(self.members) // 3"),
    Mutant("Q is 2f + 1 (IBFT)", AUTHORITY, "return 2 * len(self.members) // 3 + 1", "return 2 * self.faults + 1"),
    Mutant("W is one less", AUTHORITY, "return len(self.members) // 3 + 1", "return max(1, len(self.members) // 3)"),
    Mutant(
        "the same proposer in every round (L14)",
        AUTHORITY,
        "return (height + round_) % len(self.members)",
        "return height % len(self.members)",
    ),
    Mutant(
        "timeouts double (rule 6)",
        TIMING,
        "return min(start + round_ * self.growth_ms, self.cap_ms)",
        "return start * 2**round_",
    ),
    Mutant(
        "a time may be ratcheted away (rule 13)",
        TIMING,
        "max(received_ms - delay - self.precision_ms, received_ms - self.max_drift_ms)",
        "received_ms - delay - self.precision_ms",
    ),
    Mutant(
        "count a signature twice in a certificate",
        COMMIT,
        "indices != sorted(set(indices))",
        "indices != sorted(indices)",
    ),
    Mutant(
        "a certificate of W signatures",
        COMMIT,
        "len(indices) < authorities.quorum",
        "len(indices) < authorities.weak_quorum",
    ),
    Mutant(
        "send a vote before it is durable (rule 10)",
        NODE,
        "        message = self.disk.sign(cast.statement, fresh)",
        "        self.publish(fresh)\n        if world.may_crash:\n"
        "            world.maybe_cut_power(self.name, self.member)\n"
        "        message = self.disk.sign(cast.statement, fresh)",
    ),
    Mutant("come back without the own votes (rule 10)", DISK, "return (*own, *self.log)", "return tuple(self.log)"),
    Mutant(
        "sign at once after a disk was lost (rule 11)",
        NODE,
        "return self._heights_heard is not None or self.disk.height < self._signs_from",
        "return False",
    ),
)
