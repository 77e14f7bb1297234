"""For outsiders: whom to trust at first, and watching a log for ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.commands.urls import require_url

TrustFile = Annotated[
    Path, typer.Option("--genesis", metavar="FILE", help="The first authorities: a trust file or genesis.json.")
]
Handovers = Annotated[
    Path | None, typer.Option(metavar="FILE", help="How the authorities changed since: a node's /v1/handovers.")
]


def trust(genesis: Annotated[Path, typer.Argument(metavar="GENESIS", help="The chain's genesis.json.")]) -> None:
    """Print a chain's trust file: its id and first authorities, which is all that an outsider needs to check it.

    The genesis file itself stays with the authorities: its secret opens what the log keeps closed. For example:

        campusgrid ledger trust genesis.json > trust.json
    """
    from ledger.trust import dumps, load  # noqa: PLC0415 - see `ledger.commands`

    typer.echo(dumps(load(genesis)), nl=False)


def policy(genesis: TrustFile, handovers: Handovers = None) -> None:
    """Print the policy (c2sp.org/tlog-policy) by which any tool tells whether a checkpoint of today counts.

    For example: campusgrid ledger policy --genesis trust.json --handovers handovers
    """
    from ledger import checkpoint  # noqa: PLC0415 - see `ledger.commands`
    from ledger.policy import of_keys  # noqa: PLC0415
    from ledger.trust import load_eras  # noqa: PLC0415

    eras = load_eras(genesis, handovers)
    keys = checkpoint.verifier_keys(eras.newest, checkpoint.origin(eras.chain_id))
    typer.echo(str(of_keys(keys)), nl=False)


def watch(
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")],
    trusted: Annotated[
        Path,
        typer.Option("--trust", metavar="FILE", help="Whom to believe: a trust file, a genesis.json or a tlog policy."),
    ],
    memory: Annotated[Path, typer.Option(metavar="DIR", help="What was seen is kept here; one for each log.")],
    every: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds between two looks.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    cosign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Serve as a witness with the key in this file (64 hex digits).")
    ] = None,
    name: Annotated[str, typer.Option(help="With --cosign: the witness's name, such as pea.example/witness.")] = "",
    listen: Annotated[str, typer.Option(help="With --cosign: where to serve, host:port.")] = "127.0.0.1:9955",
) -> None:
    """Follow another operator's log: every checkpoint must be signed by enough of its authorities, and only grow.

    Exit 2 with the evidence in DIR/fork.json once the log shows two histories; with --once, exit 1 where a checkpoint
    could not be taken. With --cosign, other nodes may ask for cosignatures at http://HOST:PORT/add-checkpoint
    (c2sp.org/tlog-witness). For example:

        campusgrid ledger watch --url http://mea:9933 --trust trust.json --memory seen/mea

        campusgrid ledger watch --url http://mea:9933 --trust trust.json --memory seen/mea --cosign witness.key
        --name pea.example/witness --listen 0.0.0.0:9955
    """
    from ledger.monitor.watching import WatchPlan, watch  # noqa: PLC0415
    from ledger.node.addresses import split_address  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node.settings import read_key  # noqa: PLC0415

    require_url(url)
    if cosign is not None and (not name or any(character.isspace() or character == "+" for character in name)):
        raise typer.BadParameter("give the witness a --name without spaces and '+', such as pea.example/witness")
    if cosign is not None and once:
        raise typer.BadParameter("a witness serves until it is stopped: leave --once or --cosign out")
    key = None if cosign is None else read_key(cosign)
    try:
        address = split_address(listen)
    except ValueError as error:
        raise typer.BadParameter(f"--listen {listen!r}: {error}") from error
    plan = WatchPlan(url, trusted, memory, every, once, key, name, (address["host"], address["port"]))
    raise typer.Exit(watch(plan))


def check_fork(
    evidence: Annotated[Path, typer.Argument(metavar="FILE", help="The evidence: fork.json of a watcher.")],
    genesis: TrustFile,
    handovers: Handovers = None,
) -> None:
    """Check the evidence that a log has two histories; exit 1 unless it proves that to whoever trusts the authorities.

    For example: campusgrid ledger check-fork seen/mea/fork.json --genesis trust.json --handovers seen/mea/handovers
    """
    from ledger.monitor.watching import check_fork  # noqa: PLC0415 - see `ledger.commands`

    typer.echo(check_fork(evidence, genesis, handovers))
