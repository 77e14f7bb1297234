"""`campusgrid ledger bench-call`: which calls it measures, what it counts, and what it says of the others."""

from __future__ import annotations

import json

import pytest

from gateway.cli import run as run_campusgrid
from ledger.costing import samples
from ledger.costing.campus import CannotMakeError
from ledger.costing.measure import choose_sizes, measure
from ledger.modules import MODULES, find_call
from ledger.modules.module import CallDefinition

CALLS = {f"{module.name}.{call.name}": call for module in MODULES for call in module.calls.values()}
BEYOND_IT = {
    "authorities.join", "authorities.rotate_keys", "market.match_orders", "market.approve_correction",
    "market.release_energy", "oracle.perform_upkeep", "resumption.record",
}  # fmt: skip
"""Calls that need a state which its chain is not brought to: a held reading, an overdue book, a stopped chain."""


def find(module: str, name: str) -> CallDefinition:
    found = find_call(module, name)
    assert isinstance(found, CallDefinition)
    return found


def test_every_call_is_measured_or_known_not_to_be() -> None:
    failed = {}
    for name, definition in CALLS.items():
        try:
            (run,) = measure(definition, 1, 1)
        except CannotMakeError as error:
            failed[name] = str(error)
        else:
            assert run.writes > 0, name
            assert run.check_us > 0, name
            assert run.signatures >= 1, name
    assert failed.keys() == BEYOND_IT, failed
    assert all(failed.values())


def test_what_is_said_of_calls_names_calls_that_there_are() -> None:
    named = {name.partition(":")[0] for name in samples._VALUES if ":" in name}
    assert named | samples._BEFORE.keys() | samples._SENT_BY.keys() | samples._NEWCOMERS <= CALLS.keys()
    labels = {label for call in CALLS.values() for label, _ in call.arguments}
    assert {name.rpartition(":")[2] for name in samples._VALUES} <= labels


def test_a_list_is_measured_from_one_item_to_its_longest() -> None:
    anchors = find("anchors", "submit_anchors")
    assert choose_sizes(anchors, 3) == [1, 33, 64]
    assert choose_sizes(find("money", "transfer"), 3) == [1, 1, 1]
    runs = list(measure(find("registry", "delegate"), 2, 2))
    assert [run.size for run in runs] == [1, 1, 10, 10]
    assert runs[-1].transaction_bytes > runs[0].transaction_bytes


def test_a_report_of_one_reading_checks_two_signatures() -> None:
    (run,) = measure(find("market", "report_intervals"), 1, 1)
    assert (run.size, run.signatures) == (1, 2)


def test_the_command_prints_medians_or_why_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--steps", "2", "--repeat", "2"]
    assert run_campusgrid(["ledger", "bench-call", "money", "transfer", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "money.transfer, 4 runs"
    assert lines[1].split() == ["µs", "median", "middle", "half"]
    assert [line.split()[0] for line in lines[2:5]] == ["check", "execute", "total"]
    assert lines[5].startswith("1 signatures, ")
    assert run_campusgrid(["ledger", "bench-call", "registry", "delegate", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["longest_list"]) == (4, 10)
    assert {"median", "iqr", "base", "per_item"} == told["total_us"].keys()
    assert run_campusgrid(["ledger", "bench-call", "market", "match_orders", *options]) == 1
    assert "market.match_orders cannot be measured: it is refused with nothing_due" in capsys.readouterr().err
    assert run_campusgrid(["ledger", "bench-call", "money", "print"]) != 0
    assert "`campusgrid ledger calls` lists them" in capsys.readouterr().err
