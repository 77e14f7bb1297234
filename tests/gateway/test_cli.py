"""`campusgrid` tells every bad situation in one line, with the right exit code, and hides no fault from who asks."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import typer

from gateway import cli


class RefusedError(Exception):
    """Stands for an error of one of our packages."""

    user_message = True
    exit_code = 3


def refuse() -> None:
    """Raise an error that is meant for the user."""
    raise RefusedError("the port 8080 is taken: choose another with --port")


def fault() -> None:
    """Raise what nobody expected."""
    raise ZeroDivisionError("division by zero")


def leave() -> None:
    """End with an exit code of its own."""
    raise typer.Exit(5)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the parts by three that end in different ways."""
    module = ModuleType("stand_in")
    vars(module).update(refuse=refuse, fault=fault, leave=leave)
    monkeypatch.setitem(sys.modules, "stand_in", module)
    targets = {name: f"stand_in:{name}" for name in ("refuse", "fault", "leave")} | {"absent": "no_such_module:app"}
    monkeypatch.setattr(cli, "PARTS", {name: cli.Part(target, f"Part {name}.") for name, target in targets.items()})
    monkeypatch.delenv("CAMPUSGRID_DEBUG", raising=False)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (["refuse"], 3, "campusgrid: the port 8080 is taken: choose another with --port\n"),
        (["leave"], 5, ""),
        (["refus"], 2, "No such command 'refus'. Did you mean 'refuse'? (`campusgrid --help` explains)"),
        (["refuse", "--bogus"], 2, "No such option: --bogus (`campusgrid refuse --help` explains)"),
        (["--bogus"], 2, "No such option: --bogus"),
        (["absent"], 1, "`campusgrid absent` is not available: No module named 'no_such_module'"),
        (["fault"], 70, "ZeroDivisionError: division by zero at "),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    arguments: list[str], exit_code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == exit_code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert text in printed.err
    assert printed.err.count("\n") <= 1


@pytest.mark.usefixtures("parts")
def test_debug_shows_the_traceback_of_every_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPUSGRID_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.run(["fault"])
    with pytest.raises(RefusedError):
        cli.run(["refuse"])


def test_no_argument_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: campusgrid ")


def test_help_describes_every_part_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["--help"])
    out = capsys.readouterr().out
    assert [part.summary for part in cli.PARTS.values() if part.summary not in out] == []


@pytest.mark.parametrize("name", cli.PARTS)
def test_every_part_loads_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"Usage: campusgrid {name}" in capsys.readouterr().out
