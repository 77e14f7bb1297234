"""The authorities of a running ledger: who they are, and how they come, go, change keys and go on after a loss."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.commands.urls import require_url

if TYPE_CHECKING:
    from ledger.transaction import Call

app = typer.Typer(no_args_is_help=True, help="Show and change the authorities of a running ledger.")
rotate = typer.Typer(no_args_is_help=True, help="Replace an authority's keys.")
resume = typer.Typer(no_args_is_help=True, help="Go on after so many nodes lost data that none would sign again.")
app.add_typer(rotate, name="rotate-keys")
app.add_typer(resume, name="resume")

Url = Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")]
Account = Annotated[str, typer.Option(help="The institution's account id, 16 hex digits.")]
Key = Annotated[Path, typer.Option(help="The file with the account's key.")]
Reference = Annotated[str, typer.Option(help="What the decision is called in the minutes; the same for all.")]
Config = Annotated[Path, typer.Option(help="The node's settings, node.toml.")]
Request = Annotated[Path, typer.Argument(help="The file that `request` made.")]
PermissionFile = Annotated[Path, typer.Argument(help="The file that goes from institution to institution.")]


@app.command("list")
def show(url: Url) -> None:
    """Print the authorities in force, what they missed, and who is admitted and has not joined.

    For example: campusgrid ledger authority list --url http://127.0.0.1:9933
    """
    require_url(url)
    members, candidates = asyncio.run(_read_members(url))
    for one in members:
        typer.echo(
            f"{one['authority']}  {one['name']:<12} missed votes {one['missed_votes']}, offences {one['offences']}"
        )
    for one in candidates:
        typer.echo(f"{one['authority']}  {one['name']:<12} admitted, has not joined yet")


@app.command()
def admit(
    entry: Annotated[Path, typer.Argument(help="The newcomer's entry.json.")],
    reference: Reference,
    account: Account,
    url: Url,
    key: Key = Path("account.key"),
) -> None:
    """Approve that an institution may join; a quorum must. Its node must stand in every [[peers]] first.

    For example: campusgrid ledger authority admit eppo.json --reference "minutes 12" --account 00000000000000b2
    --key account.key --url http://127.0.0.1:9933
    """
    from ledger.members import institution  # noqa: PLC0415 - see `ledger.commands`
    from ledger.transaction import Call  # noqa: PLC0415

    one = institution.load(entry)
    keys = (one.vote_key, one.cosign_key, one.log_key)
    _send(Call("authorities", "admit", (reference, one.id, one.account_key, one.name, *keys)), account, key, url)


@app.command()
def remove(authority: str, reference: Reference, account: Account, url: Url, key: Key = Path("account.key")) -> None:
    """Approve that AUTHORITY (its id) leaves the set; a quorum must, and four must stay.

    For example: campusgrid ledger authority remove 00000000000000a4 --reference "minutes 13" --account 00000000000000b2
    --key account.key --url http://127.0.0.1:9933
    """
    from ledger.transaction import Call  # noqa: PLC0415 - see `ledger.commands`

    _send(Call("authorities", "remove", (reference, _read_id(authority))), account, key, url)


@app.command()
def join(config: Config, account: Account, url: Url, key: Key = Path("account.key")) -> None:
    """Join as an admitted institution, once its node has caught up; run it beside the node, which it proves synced.

    For example: campusgrid ledger authority join --config node.toml --account 00000000000000a5 --key account.key
    --url http://127.0.0.1:9933
    """
    from ledger.members import membership  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node import settings  # noqa: PLC0415

    _send(membership.join(settings.load(config), _read_id(account)), account, key, url)


@rotate.command("request")
def request_rotation(
    config: Config, account: Account, out: Annotated[Path, typer.Option(help="The file to write.")]
) -> None:
    """Write the new public keys and the proofs that the node holds them, for the others to approve.

    node.toml names the new key files in [next_keys], and the node was restarted with them. For example:

        campusgrid ledger authority rotate-keys request --config node.toml --account 00000000000000a1 --out new.json
    """
    from dataclasses import asdict  # noqa: PLC0415 - see `ledger.commands`

    from ledger.members import founding, membership  # noqa: PLC0415
    from ledger.node import settings  # noqa: PLC0415

    made = membership.rotation(settings.load(config), _read_id(account))
    founding.write(out, json.dumps(asdict(made), indent=2) + "\n", mode=0o644)
    typer.echo(f"{out}: give it to the other institutions; a quorum approves it with `rotate-keys approve`")


@rotate.command("approve")
def approve_rotation(
    request: Request, reference: Reference, account: Account, url: Url, key: Key = Path("account.key")
) -> None:
    """Approve a request to replace an authority's keys; a quorum must, the authority itself counts.

    For example: campusgrid ledger authority rotate-keys approve rotation.json --reference "minutes 14"
    --account 00000000000000b2 --key account.key --url http://127.0.0.1:9933
    """
    from ledger.members import membership  # noqa: PLC0415 - see `ledger.commands`

    _send(membership.load_rotation(request).call(reference), account, key, url)


@resume.command("sign")
def sign_permission(
    file: PermissionFile, account: Account, url: Url, reference: Reference = "", key: Key = Path("account.key")
) -> None:
    """Sign that the ledger goes on from the newest block of the own node; what came after it anywhere is given up.

    Only where so many nodes were restored or wiped at once that a quorum never signs again (`why-stuck` says so), and
    after all nodes that are left have copied the same newest block. The first institution gives --reference, each adds
    its signature to the file, then each lets its node go on with `resume accept`. For example:

        campusgrid ledger authority resume sign permission.json --reference "the fire" --account 00000000000000b2
        --key account.key --url http://127.0.0.1:9933
    """
    from ledger.members import membership  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node.recovery import resuming  # noqa: PLC0415
    from ledger.node.settings import read_key  # noqa: PLC0415

    require_url(url)
    before = resuming.load(file) if file.exists() else None
    if before is None and not reference:
        raise typer.BadParameter("the first to sign gives --reference, what the institutions call this decision")
    signing = membership.sign_permission(before, reference, url, _read_id(account), read_key(key))
    made = asyncio.run(signing)
    resuming.dump(made, file)
    typer.echo(f"{file}: {len(made.calls)} signed to go on from block {made.height} ({made.block_id.hex()[:16]}…)")


@resume.command("accept")
def accept_permission(file: PermissionFile, config: Config) -> None:
    """Let the own node, which is stopped, go on by a permission that a quorum has signed; then start it.

    For example: campusgrid ledger authority resume accept permission.json --config node.toml
    """
    from ledger.node import settings  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node.recovery import resuming  # noqa: PLC0415 - see `ledger.commands`

    height = resuming.accept(settings.load(config), resuming.load(file))
    typer.echo(f"the node signs from block {height} on, and brings the permission into the chain: start it")


async def _read_members(url: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    from ledger.remote.client import LedgerClient  # noqa: PLC0415 - see `ledger.commands`

    async with LedgerClient([url]) as client:
        members = await client.query("authorities", "list_duties")
        return members, await client.query("authorities", "list_candidates")


def _send(call: Call, account: str, key: Path, url: str) -> None:
    """Send *call*, print its receipt, and end with 1 if it was refused."""
    from ledger.remote import caller  # noqa: PLC0415 - see `ledger.commands`

    require_url(url)
    receipt = asyncio.run(caller.send(call, account, key, url))
    typer.echo(json.dumps(receipt, indent=2))
    raise typer.Exit(0 if receipt["code"] == 0 else 1)


def _read_id(text: str) -> bytes:
    if len(text) == 16 and set(text) <= set("0123456789abcdef"):
        return bytes.fromhex(text)
    raise typer.BadParameter(f"{text!r} is no id: 16 lower-case hex digits, as `authority list` prints them")
