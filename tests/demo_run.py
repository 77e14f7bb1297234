"""One whole run of the demo, as a newcomer types it, for all tests that look at what it leaves."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hil.ports import free_port
from tests.kernels import compile_kernels

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("campusgrid")
LIMIT_S = 240.0
MARK = "CAMPUSGRID_TEST_RUN"
"""An environment variable that every child inherits: by it the children of one run are found again."""


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What `campusgrid demo --epochs 3 --exit --report report.json` said and left in `folder`, and what it cost."""

    folder: Path
    code: int
    output: str
    errors: str
    duration_s: float
    left: list[str]

    @property
    def report(self) -> dict[str, Any]:
        """The report that it wrote."""
        content: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return content

    @property
    def proof(self) -> Path:
        """The proof file that the report names."""
        return self.folder / str(self.report["proof"]["file"])

    @property
    def keys(self) -> Path:
        """The authorities' keys that the report names."""
        return self.folder / str(self.report["proof"]["authorities"])


class Started:
    """A demo under way; `mark` is in the environment of all its processes."""

    def __init__(self, arguments: Sequence[str], folder: Path, **environment: str) -> None:
        self.mark = secrets.token_hex(8)
        self.output = folder / "output.txt"
        compile_kernels()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(COMMAND), "demo", *arguments],
                cwd=folder,
                env={**os.environ, MARK: self.mark, "TMPDIR": str(folder), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            )

    def wait_for(self, text: str, limit_s: float = LIMIT_S) -> None:
        """Wait until the demo has said *text*."""
        deadline = time.monotonic() + limit_s
        while text not in self.output.read_text():
            if self.process.poll() is not None:
                code, errors = self.end()
                said = self.output.read_text()
                raise AssertionError(f"the demo ended with {code} before it said {text!r}: {errors or said}")
            assert time.monotonic() < deadline, f"the demo did not say {text!r}: {self.output.read_text()}"
            time.sleep(0.05)

    def end(self, limit_s: float = LIMIT_S) -> tuple[int, str]:
        """Wait for its end and return the exit code and what it complained of."""
        _, errors = self.process.communicate(timeout=limit_s)
        return self.process.returncode, errors

    def left(self, limit_s: float = 5.0) -> list[str]:
        """Return the command lines of its processes that are still there after *limit_s*."""
        deadline = time.monotonic() + limit_s
        while (found := list(marked(self.mark))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


def marked(mark: str) -> Iterator[str]:
    """Find the living processes whose environment holds *mark*."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                yield f"{folder.name} {(folder / 'cmdline').read_bytes().decode()}"
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


@contextmanager
def started(arguments: Sequence[str], folder: Path, **environment: str) -> Iterator[Started]:
    """Start a demo in *folder* and see to it that it is gone afterwards."""
    run = Started(arguments, folder, **environment)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo once for three settled epochs, from a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["--epochs", "3", "--exit", "--report", "report.json", "--port", str(free_port())]
    started_s = time.monotonic()
    with started(arguments, folder) as run:
        code, errors = run.end()
        duration_s = time.monotonic() - started_s
        return DemoRun(folder, code, run.output.read_text(), errors, duration_s, run.left())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test that needs the run the time that the run takes."""
    for item in items:
        if "demo_run" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_S + 60))
