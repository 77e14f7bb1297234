"""The same firmware gives the same, right answers on every interpreter; the summary at the end shows the matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.keys import PrivateKey
from tests.firmware import interpreters, summary
from tests.firmware.check_cases import CHECKS, Check, readings, right_answers
from tests.firmware.cose import open_with_library, open_with_libsodium
from tests.firmware.interpreters import BOARD, INTERPRETERS, Interpreter
from tests.firmware.vectors import SEED

MANY = 15


@pytest.mark.parametrize("interpreter", INTERPRETERS, ids=lambda interpreter: interpreter.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_firmware_answers_right(
    check: Check, interpreter: Interpreter, tmp_path: Path, record_property: Any
) -> None:
    pairs = check.pairs()[:: check.on_board_every if interpreter is BOARD else 1]
    answers = interpreter.ask(check.module, [case for case, _ in pairs], tmp_path)
    for (case, _), answer, right in zip(pairs, answers, right_answers(check, pairs), strict=True):
        assert answer == right, case
    record_property(summary.ASKED, [check.name, interpreter.name, len(answers)])


@pytest.mark.parametrize("interpreter", INTERPRETERS, ids=lambda interpreter: interpreter.name)
def test_its_frames_are_opened_by_a_cose_library_that_is_not_ours_and_by_libsodium(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    cases = [case for case, _ in readings()]
    key = PrivateKey(SEED).public_key
    for payload, sealed, _ in interpreter.ask("reading", cases, tmp_path):
        data = bytes.fromhex(sealed)
        assert open_with_library(data, key) == open_with_libsodium(data, key) == bytes.fromhex(payload)


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.pairs()[0][1] is None], ids=lambda check: check.name
)
def test_where_cpython_is_the_judge_its_answers_differ_from_case_to_case(check: Check) -> None:
    answers = right_answers(check, check.pairs())
    assert len({repr(answer) for answer in answers}) >= min(MANY, len(answers))


def test_sources_without_native_code_meet_the_compiler_as_on_aarch64(run_script: Any, tmp_path: Path) -> None:
    source = """
import sys
sys.path.insert(0, ARGUMENTS[0])
from meter import field, field_plain, sha512, sha512_plain
assert sha512.hash_blocks is sha512_plain.hash_blocks and field.multiply is field_plain.multiply
for name in ("sha512_viper", "field_viper"):
    try:
        __import__("meter." + name)
    except SyntaxError as error:
        print(error)
"""
    folder = interpreters.without_native_code(tmp_path)
    assert run_script(source, str(folder)).splitlines() == ["invalid micropython decorator"] * 2
