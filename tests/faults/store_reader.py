"""Asks the gateway's database from where its disk is mounted: `store_reader FILE` answers SQL from its standard input.

SQLite resolves /proc/PID/root to the reader's own root, so only a process in the mount namespace can open the file.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from hil.resources.small_disk import SmallDisk
from tests.gateway.plant import BOUND_S, ROOT

Rows = list[tuple[Any, ...]]


class StoreReader:
    """One such process; nothing is held open between two questions."""

    def __init__(self, disk: SmallDisk, store: Path) -> None:
        self._command = [*disk.within, sys.executable, "-m", "tests.faults.store_reader", str(store)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=BOUND_S)

    def ask(self, sql: str, values: tuple[object, ...]) -> Rows:
        """Return the answer; raises sqlite3.Error as the database does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((sql, values), self._process.stdin)
        self._process.stdin.flush()
        answer: Rows | sqlite3.Error = pickle.load(self._process.stdout)
        if isinstance(answer, sqlite3.Error):
            raise answer
        return answer


def _answer(store: str) -> None:
    while True:
        try:
            sql, values = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Rows | sqlite3.Error
        try:
            with closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True, timeout=BOUND_S)) as connection:
                answer = connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            answer = error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _answer(sys.argv[1])
