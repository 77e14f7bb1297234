"""`campusgrid`: the one command. It names the parts by entry-point strings and loads only the one that is asked for.

How an exception ends the command:

* An exception class with a true class attribute `user_message` (each package's error tree has one at its root) is
  meant for the user: its text is printed as one line, the exit code is its `exit_code` attribute, else 1. The
  attribute takes the place of a shared base class, which the import arrows forbid.
* Wrong arguments are one line and exit code 2; Ctrl-C is one line and exit code 130.
* Anything else is a fault in campusgrid: one line with its place, exit code 70.

With CAMPUSGRID_DEBUG=1 every exception shows its traceback instead.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

EXIT_USAGE = 2
EXIT_FAULT = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # what a shell reports for SIGINT


@dataclass(frozen=True, slots=True)
class Part:
    """One subcommand: `target` is "module:attribute" of a typer app or of a function that is one command."""

    target: str
    summary: str


PARTS = {
    "demo": Part("hil.demo:demo", "Run a virtual campus, from Modbus registers to proofs."),
    "gateway": Part("gateway.commands:app", "Run and inspect the campus gateway."),
    "ledger": Part("ledger.cli:app", "Run and inspect a ledger node."),
    "market": Part("hil.market:app", "Clear order books, explain orders, replay measured days."),
    "bill": Part("ledger.bill:bill", "Print an account's bill, each line with its proof."),
    "provision": Part("provisioning.cli:app", "Make keys, rosters, brokers and meters."),
    "hil": Part("hil.cli:app", "Test firmware on virtual and real bench hardware."),
    "verify": Part("ledger.verify:verify", "Check a settlement proof off-line."),
    "doctor": Part("gateway.ops.doctor:doctor", "Find what is wrong here, and the command to mend it."),
}


class MissingPartError(Exception):
    """A subcommand whose module cannot be loaded."""

    user_message = True


def main() -> None:
    """Run the command line and exit: the console script `campusgrid`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error is already printed to stderr."""
    try:
        command = typer.main.get_command(root(_part_named(arguments)))
        result = command.main(list(arguments) or ["--help"], prog_name="campusgrid", standalone_mode=False)
    except KeyboardInterrupt:
        return _complain("interrupted", EXIT_INTERRUPTED)
    except typer.Abort:
        return _complain("aborted", 1)
    except Exception as error:
        if os.environ.get("CAMPUSGRID_DEBUG") == "1":
            raise
        return _explain(error)
    return result if isinstance(result, int) else 0  # typer hands an Exit's code back as the result


def root(loaded: str | None = None) -> typer.Typer:
    """Build the root command, with the part named `loaded` in full and the others as their summaries.

    Raises MissingPartError when the part's module or a module that it imports does not exist.
    """
    app = typer.Typer(
        name="campusgrid",
        help="A campus full of smart meters as an energy market that anyone can check.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, part in PARTS.items():
        if name == loaded:
            _attach(app, name, _load(name, part))
        else:
            app.command(name, help=part.summary)(_unloaded)
    return app


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"campusgrid {importlib.metadata.version('campusgrid')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Read the options of the root command, which come before any part."""


def _part_named(arguments: Sequence[str]) -> str | None:
    # the root's own options take no values, so that the first other word is the part
    first = next((argument for argument in arguments if not argument.startswith("-")), None)
    return first if first in PARTS else None


def _unloaded() -> None:
    """Stand for a part in the root's help."""


def _load(name: str, part: Part) -> Callable[..., Any]:
    module, _, attribute = part.target.partition(":")
    try:
        loaded: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if os.environ.get("CAMPUSGRID_DEBUG") == "1":
            raise
        raise MissingPartError(f"`campusgrid {name}` is not available: {error}. Run `make setup` again.") from error
    return loaded


def _attach(app: typer.Typer, name: str, target: Callable[..., Any]) -> None:
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=name)
    else:
        app.command(name)(target)


def _explain(error: Exception) -> int:
    if getattr(error, "user_message", False):
        return _complain(str(error), int(getattr(error, "exit_code", 1)))
    if callable(format_message := getattr(error, "format_message", None)):  # wrong arguments, found by typer
        return _explain_usage(format_message(), getattr(error, "ctx", None))
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename}:{place.lineno}"
    text = f"{type(error).__name__}: {error} at {where} (CAMPUSGRID_DEBUG=1 shows the way there)"
    return _complain(text, EXIT_FAULT)


def _explain_usage(message: str, context: Any) -> int:
    command = context.command_path if context else "campusgrid"
    if "\n" in message:  # a group without a subcommand: typer's message is the group's whole help
        print(message, file=sys.stderr)
        return _complain(f"`{command}` needs one of these commands", EXIT_USAGE)
    return _complain(f"{message} (`{command} --help` explains)", EXIT_USAGE)


def _complain(text: str, exit_code: int) -> int:
    print(f"campusgrid: {text}", file=sys.stderr)
    return exit_code
