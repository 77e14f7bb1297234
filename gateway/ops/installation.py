"""`campusgrid gateway install`: units, folders and a user, as a list of steps that can be shown, done and repeated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError
from gateway.ops import units
from gateway.settings import GatewaySettings, load_gateway
from ledger.errors import LedgerError
from ledger.node import settings as node_settings

UNITS: Final = Path("/etc/systemd/system")
SYSUSERS: Final = Path("/etc/sysusers.d/campusgrid.conf")
_COMMAND_TIMEOUT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to have: what it is, whether it is so already, and how it comes about. `detail` is for a dry run."""

    text: str
    is_done: Callable[[], bool]
    do: Callable[[], object]
    detail: str = ""


def install(config: Path | None, node: Path | None, root: Path, *, is_dry: bool) -> Iterator[str]:
    """Make systemd run what *config* and *node* describe, and yield a line for each step; raises GatewayError.

    What is written goes below *root*; with *is_dry* nothing is.
    """
    if config is None and node is None:
        raise GatewayError("nothing to install: give --config gateway.toml, --node node.toml, or both")
    for step in _steps(config and config.resolve(), node and node.resolve(), root.resolve()):
        if step.is_done():
            yield f"unchanged  {step.text}"
        elif is_dry:
            yield f"would do   {step.text}"
            yield from (f"           | {line}" for line in step.detail.splitlines())
        else:
            _do(step)
            yield f"done       {step.text}"
    yield from _warn_of(Path(sys.executable).parent / "campusgrid")
    yield from _next(config, node)


def _warn_of(program: Path) -> Iterator[str]:
    """Yield a line if the services' user cannot come to *program* or to its interpreter."""
    for path in {program, Path(sys.executable).resolve()}:
        closed = next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)
        if closed is not None:
            yield f"warning    {units.USER} cannot enter {closed}, where {path} is: install campusgrid below /opt"


def _steps(config: Path | None, node: Path | None, root: Path) -> Iterator[Step]:
    program = Path(sys.executable).parent / "campusgrid"
    yield _write(root, SYSUSERS, units.SYSUSERS)
    command = ["systemd-sysusers", *([] if root == Path("/") else [f"--root={root}"])]
    yield Step(f"user {units.USER}: {' '.join(command)}", lambda: _owner(root) is not None, lambda: _run(command))
    if config is not None:
        settings = load_gateway(config)
        yield from _gateway_steps(program, config, settings, root)
    if node is not None:
        yield from _node_steps(program, node, root)
    reload = ["systemctl", "daemon-reload"]
    is_running = root == Path("/") and Path("/run/systemd/system").is_dir()
    yield Step(" ".join(reload), lambda: not is_running, lambda: _run(reload))


def _gateway_steps(program: Path, config: Path, settings: GatewaySettings, root: Path) -> Iterator[Step]:
    store = _real(settings.store)
    broker, ledger, api = settings.broker, settings.ledger, settings.api
    read = [config, settings.roster, settings.receipt_key, broker.ca, broker.password_file, ledger.genesis, ledger.key]
    read += [api.cert, api.key]
    yield from _reach(root, [*(path for path in read if path is not None), store.parent])
    yield _folder(root, store.parent, f"{store.stem}*")
    yield _write(root, UNITS / "campusgrid-gateway.service", units.gateway(program, config, store.parent))
    if settings.backup is not None:
        folder = _real(settings.backup.folder)
        yield _folder(root, folder, "*.backup", "*.json")
        yield _write(root, UNITS / "campusgrid-backup.service", units.backup(program, config, [store.parent, folder]))
        yield _write(root, UNITS / "campusgrid-backup.timer", units.backup_timer())


def _node_steps(program: Path, node: Path, root: Path) -> Iterator[Step]:
    try:
        settings = node_settings.load(node)
    except LedgerError as error:
        raise GatewayError(str(error)) from error
    folder, keys, tls = _real(settings.data_dir), settings.keys, settings.tls
    yield from _reach(root, [node, settings.genesis, *keys.files, tls.ca, tls.cert, tls.key, folder])
    yield _folder(root, folder, "*")
    yield _write(root, UNITS / "campusgrid-ledger.service", units.ledger_node(program, node, folder))


def _next(config: Path | None, node: Path | None) -> Iterator[str]:
    names = ["campusgrid-ledger.service"] if node else []
    if config is not None:
        has_backup = load_gateway(config).backup is not None
        names += ["campusgrid-gateway.service", *(["campusgrid-backup.timer"] if has_backup else [])]
    yield f"next: systemctl enable --now {' '.join(names)}"
    if config is not None:
        yield f"then: campusgrid doctor --config {config}"


def _write(root: Path, path: Path, content: str) -> Step:
    target = _below(root, path)

    def write() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".new")
        partial.write_text(content, "utf-8")
        partial.chmod(0o644)
        partial.replace(target)

    return Step(str(path), lambda: target.is_file() and target.read_text("utf-8") == content, write, content)


def _folder(root: Path, path: Path, *patterns: str) -> Step:
    """Make the folder *path* for the services' user, with those files in it that fit *patterns*."""
    target = _below(root, path)

    def contents() -> list[Path]:
        return [target, *(found for pattern in patterns for found in target.glob(pattern))]

    def make() -> None:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for found in contents():
            os.chown(found, *_require_owner(root))

    return Step(f"folder {path}, owned by {units.USER}", lambda: all(_is_owned(root, at) for at in contents()), make)


def _reach(root: Path, paths: Sequence[Path]) -> Iterator[Step]:
    """Let the services' user read the files *paths*, which provisioning wrote for root alone, and come to them."""
    ancestors = {parent for path in paths for parent in _real(path).parents}
    yield from (_pass(path, _below(root, path)) for path in sorted(ancestors))
    yield from (_give(root, _real(path)) for path in paths if _below(root, _real(path)).is_file())


def _pass(path: Path, target: Path) -> Step:
    return Step(
        f"folder {path}, to be passed through", lambda: not target.exists() or bool(target.stat().st_mode & 0o001),
        lambda: target.chmod(target.stat().st_mode | 0o001),
    )  # fmt: skip


def _give(root: Path, path: Path) -> Step:
    target = _below(root, path)
    return Step(
        f"{path}, owned by {units.USER}", lambda: _is_owned(root, target),
        lambda: os.chown(target, *_require_owner(root)),
    )  # fmt: skip


def _require_owner(root: Path) -> tuple[int, int]:
    owner = _owner(root)
    if owner is None:
        raise GatewayError(f"the user {units.USER} was not made: does systemd-sysusers read {SYSUSERS}?")
    return owner


def _is_owned(root: Path, target: Path) -> bool:
    return target.exists() and (target.stat().st_uid, target.stat().st_gid) == _owner(root)


def _owner(root: Path) -> tuple[int, int] | None:
    """Return user and group id of the services' user in the system below *root*."""
    try:
        rows = [line.split(":") for line in _below(root, Path("/etc/passwd")).read_text("utf-8").splitlines()]
    except FileNotFoundError:
        return None
    return next(((int(row[2]), int(row[3])) for row in rows if row[0] == units.USER), None)


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _real(path: Path) -> Path:
    """Return *path* without detours: systemd takes none."""
    return Path(os.path.normpath(path))


def _do(step: Step) -> None:
    try:
        step.do()
    except OSError as error:
        raise GatewayError(f"{step.text}: failed: {error.strerror or error}; run it as root, or with --root") from error


def _run(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise GatewayError(f"{command[0]} is not here: install it (Debian: apt-get install systemd), or use --dry-run")
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise GatewayError(f"`{' '.join(command)}` failed: {' '.join((done.stderr or done.stdout).split())}")
