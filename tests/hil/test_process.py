"""No child outlives the rig, whatever happens to either of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hil.errors import ProcessError
from hil.readiness import until
from hil.resources.process import MAX_LINE_BYTES, ChildProcess

BOUND_S = 50.0
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + BOUND_S
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def python(code: str, tmp_path: Path, lines: list[bytes] | None = None) -> ChildProcess:
    on_line = None if lines is None else lines.append
    return ChildProcess("child", [sys.executable, "-c", code], tmp_path / "log", on_line)


async def first_line(child: ChildProcess, lines: list[bytes]) -> bytes:
    async def probe() -> bytes | None:
        return lines[0] if lines else None

    return await until("the first line", probe, BOUND_S, [child])


async def test_lines_come_in_whole_and_the_exit_code_is_told(tmp_path: Path) -> None:
    lines: list[bytes] = []
    child = python("import sys; print(input()); print('a\\nb'); sys.stdout.write('c'); sys.exit(3)", tmp_path, lines)
    child.start()
    child.write_line("said")
    assert await child.wait(BOUND_S) == 3
    assert lines == [b"said", b"a", b"b"]


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    lines: list[bytes] = []
    child = python(STUBBORN, tmp_path, lines)
    child.start()
    await first_line(child, lines)
    assert await child.stop(0.2) == -signal.SIGKILL
    assert not is_running(child.pid)
    assert await child.stop(0.2) == -signal.SIGKILL  # once more changes nothing


@pytest.mark.parametrize("ending", ["p.wait()", "sys.exit(0)"])
async def test_grandchildren_end_with_their_group(tmp_path: Path, ending: str) -> None:
    lines: list[bytes] = []
    start = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], stdout=-1); "
    child = python(f"{start} p.stdout.readline(); print(p.pid, flush=True); {ending}", tmp_path, lines)
    child.start()
    grandchild = int(await first_line(child, lines))
    await child.stop(BOUND_S)
    await asyncio.to_thread(wait_until_gone, grandchild)


async def test_a_program_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"cannot start ghost \(/no/such\): No such file"):
        ChildProcess("ghost", ["/no/such"], tmp_path / "log").start()


async def test_a_child_that_ended_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = python("import sys; sys.exit('the disk is full')", tmp_path)
    child.start()
    child.require_running()
    await child.wait(BOUND_S)
    with pytest.raises(ProcessError, match="ended with code 1: the disk is full"):
        child.require_running()


async def test_an_endless_line_does_not_fill_the_rig_and_closed_output_does_not_spin_it(tmp_path: Path) -> None:
    lines: list[bytes] = []
    endless = f"import os, time; os.write(1, b'x' * {3 * MAX_LINE_BYTES}); os.write(1, b'\\nend\\n')"
    child = python(endless + "; os.close(1); time.sleep(1)", tmp_path, lines)
    child.start()
    started_s = time.process_time()
    assert await child.wait(BOUND_S) == 0
    assert time.process_time() - started_s < 0.5
    assert lines[-1] == b"end"
    assert len(lines[0]) <= 2 * MAX_LINE_BYTES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_die_with_a_rig_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    rig = (
        "import asyncio, sys; from pathlib import Path; from hil.resources.process import ChildProcess\n"
        "async def main():\n"
        f"    child = ChildProcess('c', ['sleep', '99'], Path({str(tmp_path / 'log')!r}))\n"
        "    child.start(); print(child.pid, flush=True); await asyncio.sleep(99)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", rig], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert is_running(child)
        os.kill(process.pid, number)
    wait_until_gone(child)
