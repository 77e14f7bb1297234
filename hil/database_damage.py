"""A damaged page in a SQLite file: what a dying disk, or a wrong write of another program, leaves behind.

python -m hil.database_damage FILE SEED       # a page of FILE by chance
"""

from __future__ import annotations

import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def damage_page(path: Path, source: random.Random) -> int:
    """Overwrite one page of the database at *path*, which no process holds, with noise; return its number, from 1.

    The log is written back first: it may hold a newer copy of the page, which would mend it.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (count,) = connection.execute("PRAGMA page_count").fetchone()
    number = source.randint(1, count)
    with path.open("r+b") as file:
        file.seek((number - 1) * size)
        file.write(source.randbytes(size))
    return number


if __name__ == "__main__":
    print(f"page {damage_page(Path(sys.argv[1]), random.Random(int(sys.argv[2])))}")
