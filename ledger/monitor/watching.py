"""`campusgrid ledger watch` as a process: looks at a log again and again, tells what it sees, serves as a witness."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import typer

from ledger import checkpoint, policy, trust
from ledger.keys import PrivateKey
from ledger.monitor import fork
from ledger.monitor.memory import ForkFoundError, UnusableMemoryError, WitnessMemory
from ledger.monitor.remote_log import RemoteLog, RemoteLogError
from ledger.monitor.watcher import ChainSigners, FixedSigners, Signers, Watcher, WatchError
from ledger.policy import PolicyError

EXIT_UNSEEN, EXIT_FORK = 1, 2


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """What to watch, whom to believe, where to remember, how often to look, and where to serve as a witness."""

    url: str
    trusted: Path
    memory: Path
    interval_s: float
    once: bool
    key: PrivateKey | None
    name: str
    listen: tuple[str, int]


def watch(plan: WatchPlan) -> int:
    """Watch until SIGTERM, Ctrl-C or a fork; return the exit code. Raises LedgerError where it cannot begin."""
    with WitnessMemory(plan.memory) as memory, contextlib.closing(RemoteLog(plan.url)) as log:
        origin, signers = read_signers(plan.trusted, memory)
        watcher = Watcher(log, signers, memory)
        if plan.once:
            return _look(watcher)
        return asyncio.run(_follow(plan, watcher, origin))


def read_signers(path: Path, memory: WitnessMemory) -> tuple[str, Signers]:
    """Return the log's origin and who may sign it, after the policy, trust or genesis file *path*."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path} is no policy, trust file or genesis: {error}") from error
    if text.lstrip().startswith("{") or not text:
        root = trust.load(path)
        return checkpoint.origin(root.chain_id), ChainSigners(root, memory)
    found = policy.parse(text)
    origins = {key.name for key in found.logs}
    if len(origins) != 1:
        raise PolicyError(f"{path} names {len(origins)} logs; write a policy for each that is to be watched")
    return origins.pop(), FixedSigners(found)


def _look(watcher: Watcher) -> int:
    try:
        _tell(watcher.look())
    except ForkFoundError as error:
        _tell(f"ALARM: {error}")
        return EXIT_FORK
    except (WatchError, RemoteLogError, UnusableMemoryError) as error:
        _tell(f"not taken: {error}")
        return EXIT_UNSEEN
    return 0


async def _follow(plan: WatchPlan, watcher: Watcher, origin: str) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with _witness(plan, watcher, origin):
        while not stopped.is_set():
            if await asyncio.to_thread(_look, watcher) == EXIT_FORK:
                return EXIT_FORK
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), plan.interval_s)
    return 0


@contextlib.asynccontextmanager
async def _witness(plan: WatchPlan, watcher: Watcher, origin: str) -> AsyncIterator[None]:
    """Serve as a witness meanwhile, where there is a key to cosign with."""
    if plan.key is None:
        yield
        return
    from ledger.api.server import make_server  # noqa: PLC0415
    from ledger.api.sockets import bind  # noqa: PLC0415
    from ledger.monitor import cosigner  # noqa: PLC0415 - loads a web server, which watching alone needs not
    from ledger.node.addresses import Address  # noqa: PLC0415

    made = cosigner.Cosigner(origin, watcher.signers, watcher.memory, plan.name, plan.key)
    with bind(Address(host=plan.listen[0], port=plan.listen[1])) as socket:
        server = make_server(cosigner.make_app(made))
        serving = asyncio.create_task(server.serve(sockets=[socket]))
        _tell(f"witness {made.verifier} of {origin} at http://{plan.listen[0]}:{socket.getsockname()[1]}")
        try:
            yield
        finally:
            server.should_exit = True
            await serving


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def check_fork(evidence: Path, trusted: Path, handovers: Path | None) -> str:
    """Return what the evidence file proves to whoever trusts *trusted*; raises LedgerError where it proves nothing."""
    try:
        found = fork.loads(evidence.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WatchError(f"cannot read {evidence}: {error}") from error
    eras = trust.load_eras(trusted, handovers)
    sizes = found.first.checkpoint.size, found.second.checkpoint.size
    policies = [policy.of_keys(eras.verifiers(size)) for size in sizes]
    fork.check(found, policies[0], policies[1])
    return (
        f"{found.first.checkpoint.origin} has two histories: its signed checkpoints of {sizes[0]} and {sizes[1]} leaves"
        " exclude each other"
    )
