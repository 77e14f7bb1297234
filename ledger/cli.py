"""`campusgrid ledger`: run one authority's node, look at one, send it calls."""

from __future__ import annotations

import typer

from ledger.commands import (
    archiving,
    asking,
    authorities,
    backups,
    comparing,
    diagnosing,
    holding,
    measuring,
    running,
    serving,
    setup,
    simulating,
    snapshots,
    watching,
)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """Run and inspect a ledger node."""


for command in (
    running.run,
    serving.serve,
    diagnosing.status,
    asking.calls,
    asking.call,
    asking.query,
    simulating.simulate,
    snapshots.prune,
    diagnosing.why_stuck,
    comparing.diff_block,
    measuring.bench_call,
    backups.backup,
    backups.restore,
    backups.verify_db,
    archiving.archive,
    setup.init,
    setup.begin,
    watching.watch,
    watching.check_fork,
    watching.trust,
    watching.policy,
):
    app.command()(command)
app.add_typer(snapshots.app, name="snapshot")
app.command("genesis")(setup.make_genesis)
setup.keys.command("node")(holding.node_keys)
app.add_typer(setup.keys, name="keys")
app.add_typer(authorities.app, name="authority")
