"""Runs of faults on real processes: what a seed says goes wrong, then it heals, and in the end there is a verdict.

Several runs follow one another on the same processes, since these take longer to start than to be hurt.
`python -m tests.ledger.faults.campaign UNIT …` runs units of the soak by hand and prints what each came to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from ledger.api.resources import NodeStatus
from ledger.node import settings
from ledger.node.recovery import backup
from ledger.remote.client import ClientError
from tests.ledger.faults import campus as campuses
from tests.ledger.faults import verdict
from tests.ledger.faults.campus import CLIENTS, TWIN, Campus
from tests.ledger.faults.chains import read_stored, replay
from tests.ledger.faults.clients import Clients
from tests.ledger.faults.history import History
from tests.ledger.faults.links import Passage
from tests.ledger.faults.schedule import FAULTY_S, PLACES, TWIN_OF, Fault, Kind, Tolerated, draw
from tests.ledger.node.network import NAMES, answers, until
from tests.soak.tally import Tally

RUNS_PER_UNIT = 4
PATIENCE_S = 120.0
"""So long after healing every node has gone on; so long after that, all that was begun is final, at every node."""
HEIGHTS_AFTER_HEALING = 4
"""Beyond the highest node. None may observe any more then: the next run may have another one forget, and two of four
that wait for three others wait until the operators release them (LEDGER rule 11), which is no fault.
"""
TWIN_TURN_S = 1.2
MUST_NOT_LOG = ("Traceback", "a step of consensus failed", "refused to sign a second")
MOST_LOGGED = 3_000
DOUBLE_SIGNER = "an authority signed two values"


def run_unit(number: int) -> Tally:
    """Run one unit of the soak; its number says everything."""
    tolerated = list(Tolerated)[number % len(Tolerated)]
    return run(range(number * RUNS_PER_UNIT, (number + 1) * RUNS_PER_UNIT), tolerated)


def run(seeds: Sequence[int], tolerated: Tolerated) -> Tally:
    """Run the faults of each seed on the same processes; return what was violated, and how often what happened.

    It ends with the first run that did harm: what came after would tell of that one only.
    """
    with tempfile.TemporaryDirectory(prefix="ledger-faults-") as folder:
        violations, counts = asyncio.run(_run(Path(folder), seeds, tolerated))
    return Tally([f"{text} ({tolerated.value}, seeds from {seeds[0]})" for text in violations], counts)


async def _run(root: Path, seeds: Sequence[int], tolerated: Tolerated) -> tuple[list[str], Counter[str]]:
    counts: Counter[str] = Counter()
    correct = [place for place in PLACES if tolerated is not Tolerated.TWIN or place != TWIN_OF]
    history, violations = History(), list[str]()
    async with campuses.opened(root, with_twin=tolerated is Tolerated.TWIN) as campus:
        for place in PLACES:
            await _answers(campus, place)
        async with Clients(campus, correct, history, seeds[0]) as clients:
            for seed in seeds:
                if tolerated is Tolerated.TWIN:
                    await _start_twin(campus)
                clients.start()
                await _strike(campus, draw(seed, tolerated), Random(f"twins {seed}"), counts)
                await campus.heal()
                violations += [f"seed {seed}: {text}" for text in await _settle(campus, clients, history, correct)]
                counts["runs"] += 1
                if violations:
                    break
        for place in list(campus.network.processes):
            campus.kill(place)
        violations += await asyncio.to_thread(lambda: list(_judge(campus, history, correct, counts)))
    return violations, counts


async def _start_twin(campus: Campus) -> None:
    """Start the second process of one key, cut off until its turns begin: it takes longer to start than they last."""
    campus.links.set({campus.network.names[TWIN]}, set(NAMES), Passage.CUT)
    campus.start(TWIN)
    await _answers(campus, TWIN)


async def _answers(campus: Campus, place: int) -> None:
    async with campus.network.client(place) as client:
        await until(partial(answers, client), f"{campus.network.names[place]} answers", PATIENCE_S)


# ---- what goes wrong


async def _strike(campus: Campus, faults: Sequence[Fault], random: Random, counts: Counter[str]) -> None:
    """Let every fault happen at its time."""
    async with asyncio.TaskGroup() as striking:
        striking.create_task(asyncio.sleep(FAULTY_S))
        for fault in faults:
            striking.create_task(_happen(campus, fault, counts, random))


async def _happen(campus: Campus, fault: Fault, counts: Counter[str], random: Random) -> None:
    await asyncio.sleep(fault.start_s)
    struck = await STRIKES[fault.kind](campus, fault, fault.end_s - fault.start_s, random)
    if struck:
        counts[fault.kind.value] += struck


async def _kill(campus: Campus, fault: Fault, length_s: float, _: Random) -> int:
    return sum(await asyncio.gather(*(_kill_one(campus, place, length_s) for place in fault.places)))


async def _kill_one(campus: Campus, place: int, length_s: float) -> int:
    async with campus.busy[place]:
        is_struck = campus.kill(place)
        await asyncio.sleep(length_s)
        campus.start(place)
        return int(is_struck)


async def _pause(campus: Campus, fault: Fault, length_s: float, _: Random) -> int:
    struck = [place for place in fault.places if campus.signal(place, signal.SIGSTOP)]
    await asyncio.sleep(length_s)
    for place in struck:
        campus.signal(place, signal.SIGCONT)
    return len(struck)


async def _part(campus: Campus, fault: Fault, length_s: float, _: Random) -> int:
    """Cut the links between two sides, or those from one side to the other; count what ran into it."""
    one = {NAMES[place] for place in fault.places}
    ways = (
        [(one, set(NAMES) - one)] if fault.kind is Kind.ONE_WAY else [(one, set(NAMES) - one), (set(NAMES) - one, one)]
    )
    struck = [relay for sources, targets in ways for relay in campus.links.set(sources, targets, fault.passage)]
    before = sum(relay.hindered for relay in struck)
    await asyncio.sleep(length_s)
    for sources, targets in ways:
        campus.links.set(sources, targets, Passage.OPEN)
    return sum(relay.hindered for relay in struck) - before


async def _misset(campus: Campus, fault: Fault, length_s: float, _: Random) -> int:
    for place in fault.places:
        campus.clocks[place].step(fault.clock_s)
    await asyncio.sleep(length_s)
    for place in fault.places:
        campus.clocks[place].step(-fault.clock_s)
    return len(fault.places)


async def _wipe(campus: Campus, fault: Fault, length_s: float, _: Random) -> int:
    (place,) = fault.places
    async with campus.busy[place]:
        campus.kill(place)
        is_struck = campus.lose_data(place)
        campus.say_that_the_chain_runs(place)
        await asyncio.sleep(length_s)
        campus.start(place)
        return int(is_struck)


async def _restore(campus: Campus, fault: Fault, length_s: float, _: Random) -> int:
    """Back a running node up, let it go on for a while, and put the backup in the place of its data."""
    (place,) = fault.places
    directory = campus.network.directory(place)
    read, copy = settings.load(directory / "node.toml"), directory / f"backup-{campus.lives[place]}"
    async with campus.busy[place]:
        if not campus.is_running(place):
            return 0
        await asyncio.to_thread(backup.make, read, copy, with_keys=False, progress=_tell_nobody)
    await asyncio.sleep(length_s)
    async with campus.busy[place]:
        campus.kill(place)
        campus.lose_data(place)
        await asyncio.to_thread(backup.restore, read, copy, _tell_nobody)
        campus.start(place)
        return 1


def _tell_nobody(_: int, __: int) -> None:
    pass


async def _twin(campus: Campus, _: Fault, length_s: float, random: Random) -> int:
    """Let two processes with one key each talk with some of the others, and with others after a while."""
    end_s, turns = time.monotonic() + length_s, 0
    while time.monotonic() < end_s:
        campus.part_twins(random)
        turns += 1
        await asyncio.sleep(TWIN_TURN_S)
    return turns if campus.is_running(TWIN) else 0


Strike = Callable[[Campus, Fault, float, Random], Awaitable[int]]
STRIKES: dict[Kind, Strike] = {
    Kind.KILL: _kill,
    Kind.PAUSE: _pause,
    Kind.PARTITION: _part,
    Kind.ONE_WAY: _part,
    Kind.CLOCK: _misset,
    Kind.BLACKOUT: _kill,
    Kind.WIPE: _wipe,
    Kind.RESTORE: _restore,
    Kind.TWIN: _twin,
}


# ---- what must hold


async def _settle(campus: Campus, clients: Clients, history: History, correct: list[int]) -> list[str]:
    """See that every correct node goes on and signs, then that all which clients began comes to an end."""
    healed_s = time.monotonic()

    async def have_all(height: int, *, signing: bool = False) -> bool:
        found = (await _look(campus, correct)).values()
        return all(one is not None and one.height >= height and not (signing and one.observes) for one in found)

    try:
        await until(partial(have_all, 0), "every node answers", PATIENCE_S)
        reached = max(one.height for one in (await _look(campus, correct)).values() if one is not None)
        goal = reached + HEIGHTS_AFTER_HEALING
        await until(partial(have_all, goal, signing=True), f"every node decides height {goal}, and signs", PATIENCE_S)
        await clients.finish(PATIENCE_S)
        newest = max((one.outcome.height for one in history.transfers if one.outcome is not None), default=0)
        await until(partial(have_all, newest), f"every node has block {newest}", PATIENCE_S)
    except AssertionError as error:
        waited_s = round(time.monotonic() - healed_s)
        return [f"{waited_s} s after healing: {error}; {await _explain(campus, correct)}"]
    found = await _look(campus, correct)
    return [f"{name} signs no more: {one.alarm}" for name, one in found.items() if one is not None and one.alarm]


async def _look(campus: Campus, places: list[int]) -> dict[str, NodeStatus | None]:
    """Return the status of each node; None for one that does not answer."""
    found: dict[str, NodeStatus | None] = {}
    for place in places:
        found[NAMES[place]] = None
        async with campus.network.client(place) as client:
            with contextlib.suppress(ClientError):
                found[NAMES[place]] = await client.status()
    return found


async def _explain(campus: Campus, places: list[int]) -> str:
    """Return what each node says of itself, as it keeps the ledger from going on; asked while it still lives."""
    told = []
    for place in places:
        async with campus.network.client(place) as client:
            try:
                told.append(f"{NAMES[place]}: {await client.condition()}")
            except ClientError as error:
                told.append(f"{NAMES[place]}: {error}")
    return "\n".join(told)


def _judge(campus: Campus, history: History, correct: list[int], counts: Counter[str]) -> Iterator[str]:
    """Hold what the clients saw and what the dead processes left behind to what a ledger promises."""
    rules = campus.network.genesis
    chain_id, members = rules.chain_id, rules.authorities
    byzantine = frozenset(NAMES) - {NAMES[place] for place in correct}
    kept = [(place, campus.network.directory(place) / "data") for place in correct]
    stored = [read_stored(NAMES[place], path, chain_id) for place, path in [*kept, *campus.lost]]
    longest = max(stored, key=lambda one: len(one.blocks))
    replayed = replay(rules, [body for body, _ in longest.blocks], CLIENTS)
    yield from verdict.judge_chains(stored, chain_id, members, byzantine)
    yield from verdict.judge_signatures(stored, chain_id, members, byzantine)
    yield from verdict.judge_history(history, replayed)
    yield from _judge_logs(campus, correct, counts)
    counts["heights"] += replayed.height
    counts["rounds beyond the first"] += sum(commit.round > 0 for _, commit in longest.blocks)
    counts["transfers"] += len(replayed.outcomes)
    counts["refused transfers"] += sum(outcome.code > 0 for outcome in replayed.outcomes.values())
    counts["reads"] += len(history.reads) + len(history.sights)
    if not (replayed.outcomes and history.reads):
        yield "nothing happened: no transfer or no read"


def _judge_logs(campus: Campus, correct: list[int], counts: Counter[str]) -> Iterator[str]:
    members = campus.network.genesis.authorities.members
    names = {NAMES[place] for place in correct}
    for place in correct:
        text = campus.network.log(place)
        for line in text.splitlines():
            if any(phrase in line for phrase in MUST_NOT_LOG):
                yield f"{NAMES[place]} logged {line[-MOST_LOGGED:]}"
            if DOUBLE_SIGNER in line:
                counts["evidence found"] += 1
                name = members[json.loads(line)["index"]].name
                if name in names:
                    yield f"{NAMES[place]} found that {name} signed two values: {line}"


def main() -> int:
    """Run the units that the command line names."""
    is_clean = True
    for number in map(int, sys.argv[1:]):
        began_s = time.monotonic()
        tally = run_unit(number)
        is_clean = is_clean and not tally.violations
        print(f"unit {number}: {time.monotonic() - began_s:.1f} s, {dict(tally.counts)}", flush=True)
        for text in tally.violations:
            print(f"  VIOLATION {text}", flush=True)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
