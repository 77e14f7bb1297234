"""`campusgrid gateway user|api-key|audit`: who may use the gateway, and what was done. They work while it runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway.access.audit import AuditLog, Head
from gateway.access.keys import DEFAULT_DAYS, Keys, Scope
from gateway.access.operator import command_line_actor
from gateway.access.people import LINK_LIFETIME_S, People
from gateway.access.roles import PERSONAL_ROLES, Role
from gateway.errors import AccessError
from gateway.ops.backup import require_memory
from gateway.roster import Meter, read_roster
from gateway.settings import GatewaySettings, load_gateway
from gateway.store.database import Database

T = TypeVar("T")
Config = Annotated[Path, typer.Option("--config", help="The gateway's TOML file.", show_default=False)]
Name = Annotated[str, typer.Argument(help="The person's name.")]
RoleName = Annotated[str, typer.Option("--role", help="facility, operator, admin, tenant or auditor.")]
KeyRole = Annotated[str, typer.Option("--role", help="facility, operator, admin, tenant, auditor or metrics.")]
Account = Annotated[
    str | None, typer.Option("--account", help="A tenant's ledger account, 16 hex digits: whose meters it sees.")
]
user_app = typer.Typer(no_args_is_help=True, help="Add, list and shut out people.")
key_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of programs.")


@user_app.command("add")
def add_user(name: Name, role: RoleName, config: Config, account: Account = None) -> None:
    """Add a person and print the one-time link with which they choose their password.

    Example: campusgrid gateway user add anna --role operator --config gateway.toml
    """
    settings = load_gateway(config)
    chosen = _read_role(role), _read_account(settings, account)
    link = _on_people(settings, lambda people: people.add(name, *chosen, command_line_actor()))
    _print_link(settings, name, link)


@user_app.command("list")
def list_users(config: Config, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List everybody who may log in.

    Example: campusgrid gateway user list --config gateway.toml
    """
    people = _on_people(load_gateway(config), lambda people: people.all())
    rows = [
        {"name": one.name, "role": one.role, "state": one.state, "account": one.account.hex() if one.account else ""}
        for one in people
    ]
    _print_rows(rows, as_json, "nobody yet: campusgrid gateway user add NAME --role admin --config …")


@user_app.command()
def disable(name: Name, config: Config) -> None:
    """Shut a person out at once: sessions, links and own keys are worth nothing from now on.

    Example: campusgrid gateway user disable anna --config gateway.toml
    """
    _on_people(load_gateway(config), lambda people: people.disable(name, command_line_actor()))
    typer.echo(f"{name} is shut out; campusgrid gateway user enable {name} lets them in again")


@user_app.command()
def enable(name: Name, config: Config) -> None:
    """Let a person in again who was shut out, with the password they had.

    Example: campusgrid gateway user enable anna --config gateway.toml
    """
    _on_people(load_gateway(config), lambda people: people.enable(name, command_line_actor()))
    typer.echo(f"{name} may log in again")


@user_app.command("role")
def change_role(name: Name, role: RoleName, config: Config, account: Account = None) -> None:
    """Give a person another role; their sessions and own keys end.

    Example: campusgrid gateway user role anna --role admin --config gateway.toml
    """
    settings = load_gateway(config)
    chosen = _read_role(role), _read_account(settings, account)
    _on_people(settings, lambda people: people.change_role(name, *chosen, command_line_actor()))
    typer.echo(f"{name} is {role} now and has to log in again; own API keys are revoked")


@user_app.command("reset-link")
def reset_link(name: Name, config: Config) -> None:
    """Print a new one-time link with which a person chooses a new password.

    Example: campusgrid gateway user reset-link anna --config gateway.toml
    """
    settings = load_gateway(config)
    _print_link(settings, name, _on_people(settings, lambda people: people.renew_link(name, command_line_actor())))


@key_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: KeyRole,
    config: Config,
    account: Account = None,
    meter: Annotated[list[str] | None, typer.Option("--meter", help="Only this meter; may be repeated.")] = None,
    may_write: Annotated[bool, typer.Option("--write", help="The key may also write.")] = False,
    days: Annotated[int, typer.Option("--days", help="How long it holds.")] = DEFAULT_DAYS,
) -> None:
    """Make an API key and print it: it is shown here alone.

    Example: campusgrid gateway api-key add prometheus --role metrics --config gateway.toml
    """
    settings = load_gateway(config)
    meters = _read_meters(settings, meter) if meter else None
    scope = Scope(name, _read_role(role, Role), _read_account(settings, account), meters, not may_write, days)
    typer.echo(_on_keys(settings, lambda keys: keys.add(scope, None, command_line_actor())))


@key_app.command("list")
def list_keys(config: Config, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all API keys, without their secrets.

    Example: campusgrid gateway api-key list --config gateway.toml
    """
    rows = [
        {
            "id": key.id, "name": key.scope.name, "role": key.scope.role, "owner": key.owner or "",
            "may": "read" if key.scope.is_read_only else "write",
            "meters": "all of the role" if key.scope.meters is None else len(key.scope.meters),
            "until": _day(key.expires_at), "state": _key_state(key.revoked_at, key.expires_at),
        }
        for key in _on_keys(load_gateway(config), lambda keys: keys.all())
    ]  # fmt: skip
    _print_rows(rows, as_json, "no key yet: campusgrid gateway api-key add NAME --role operator --config …")


@key_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `api-key list` shows it.")], config: Config
) -> None:
    """Make a key worth nothing, from the next request on.

    Example: campusgrid gateway api-key revoke 0123456789ab --config gateway.toml
    """
    _on_keys(load_gateway(config), lambda keys: keys.revoke(key_id, command_line_actor()))
    typer.echo(f"key {key_id} is revoked")


def audit(
    config: Config,
    verify: Annotated[bool, typer.Option("--verify", help="Check that no row was altered, removed or put in.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="A head that --verify printed earlier: the log must go on from it.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many rows to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who wrote what, the newest first, or check the log. Exit code 1: it is not what was written.

    Example: campusgrid gateway audit --verify --config gateway.toml
    """
    settings = load_gateway(config)
    if verify or since:
        _verify(settings, since)
        return
    rows = [
        {
            "number": row.id, "at": _moment(row.at), "who": row.who, "from": row.origin, "did": row.action,
            "to": row.subject, "detail": row.detail,
        }
        for row in _on_audit(settings, lambda log: log.page(None, limit))
    ]  # fmt: skip
    _print_rows(rows, as_json, "nothing was written yet")


def _verify(settings: GatewaySettings, since: str | None) -> None:
    noted = None if since is None else _read_head(since)
    head, faults = _on_audit(settings, lambda log: log.verify(noted))
    for fault in faults:
        typer.echo(f"FAIL  {fault}", err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo(f"{head.count} rows, whole. Note the head elsewhere and check against it with --since:\n{head}")


def _read_head(text: str) -> Head:
    number, _, digest = text.partition(":")
    try:
        return Head(int(number), bytes.fromhex(digest))
    except ValueError as error:
        raise AccessError(f"--since {text!r} is no head: give NUMBER:HEX as --verify printed it") from error


def _read_role(text: str, choice: Iterable[Role] = PERSONAL_ROLES) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        raise AccessError(f"--role {text!r} is no role; choose one of {', '.join(choice)}") from error


def _read_account(settings: GatewaySettings, text: str | None) -> bytes | None:
    if text is None:
        return None
    return _read_ids(settings, [text], "--account", lambda meter: meter.account)[0]


def _read_meters(settings: GatewaySettings, texts: list[str]) -> frozenset[bytes]:
    return frozenset(_read_ids(settings, texts, "--meter", lambda meter: meter.meter_id))


def _read_ids(settings: GatewaySettings, texts: list[str], option: str, field: Callable[[Meter], bytes]) -> list[bytes]:
    """Return *texts* as ids that the roster has in *field*."""
    known = {field(meter).hex(): field(meter) for meter in read_roster(settings.roster)}
    for text in texts:
        if text not in known:
            raise AccessError(f"{option} {text!r} is not in {settings.roster}; it lists every meter and its account")
    return [known[text] for text in texts]


def _on_people(settings: GatewaySettings, work: Callable[[People], Awaitable[T]]) -> T:
    return _on_store(settings, lambda database: work(People(database)))


def _on_keys(settings: GatewaySettings, work: Callable[[Keys], Awaitable[T]]) -> T:
    return _on_store(settings, lambda database: work(Keys(database)))


def _on_audit(settings: GatewaySettings, work: Callable[[AuditLog], Awaitable[T]]) -> T:
    return _on_store(settings, lambda database: work(AuditLog(database)))


def _on_store(settings: GatewaySettings, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _opened(settings) as database:
            return await work(database)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(settings: GatewaySettings) -> AsyncIterator[Database]:
    require_memory(settings)
    database = await Database.open_beside(settings.store)
    try:
        yield database
    finally:
        await database.close()


def _print_link(settings: GatewaySettings, name: str, link: str) -> None:
    typer.echo(f"{settings.api.base_url}enrol/{link}")
    typer.echo(f"give this link to {name}: it works once, for {LINK_LIFETIME_S // 3600} hours", err=True)


def _print_rows(rows: list[dict[str, Any]], as_json: bool, empty: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(empty)
        return
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _key_state(revoked_at: int | None, expires_at: int) -> str:
    return "revoked" if revoked_at is not None else "valid" if expires_at > time.time() else "expired"


def _day(time_s: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time_s))


def _moment(time_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(time_s))
