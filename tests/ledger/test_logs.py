"""Log levels, a part at a time."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ledger
from ledger.logs import PARTS, parse_levels
from ledger.modules import MODULES


def test_a_level_is_meant_for_all_or_for_one_part() -> None:
    levels = parse_levels("warning,market=debug, consensus=error")
    assert (levels.of("peers"), levels.of("market"), levels.of("consensus")) == (
        logging.WARNING, logging.DEBUG, logging.ERROR,
    )  # fmt: skip
    assert levels.lowest == logging.DEBUG
    assert parse_levels("market=debug").of("node") == logging.INFO


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loud", "there is no log level 'loud': write one of debug, info"),
        ("", "there is no log level ''"),
        ("info,markt=debug", "nothing logs as 'markt': the parts are admission, "),
        ("market=", "there is no log level ''"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_levels(text)


def test_the_parts_are_those_that_log_and_the_modules() -> None:
    """`PARTS` is written by hand: to find them, every part would have to be loaded first."""
    called = re.compile(r"\bget_logger\((.*?)\)")
    sources = (path.read_text() for path in Path(ledger.__file__).parent.rglob("*.py"))
    found = {argument for source in sources for argument in called.findall(source)}
    modules = {module.name for module in MODULES}
    assert found - {"event.module"} == {f'"{part}"' for part in PARTS - modules}


def test_lines_that_cannot_be_written_are_lost_and_the_process_goes_on() -> None:
    program = """
import structlog
from ledger.logs import configure, parse_levels
configure(parse_levels("info"))
structlog.get_logger("node").warning("lost")
print("goes on")
"""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.stdout == b"goes on\n"


def test_lines_below_their_parts_level_are_not_written() -> None:
    program = """
import structlog
from ledger.logs import configure, parse_levels
from ledger.node.reporting.observing import Observer
from tests.ledger.chain_kit import make_chain
configure(parse_levels("warning,money=debug"))
structlog.get_logger("node").info("unwanted")
structlog.get_logger("node").warning("wanted", place=1)
chain = make_chain()
Observer().note_events(chain.block(chain.sign("user0", "money", "transfer", chain.people["user1"].id, 5)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert '"event": "wanted"' in first
    assert '"part": "node"' in first
    assert '"part": "money"' in second
    assert '"amount_aaip": 5' in second
