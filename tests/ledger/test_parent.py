"""`--exit-with-parent`; real nodes and gateways do it in `node/test_process.py` and `gateway/test_run.py`."""

from __future__ import annotations

import subprocess
import sys

EXIT_TIMEOUT_S = 30


def test_a_process_whose_parent_ended_before_it_could_ask_ends_too() -> None:
    orphan = (
        "import os, sys, time\n"
        "from ledger import parent\n"
        "while os.getppid() == int(sys.argv[1]): time.sleep(0.01)\n"
        "parent._INIT = os.getppid()  # in a session with a reaper of its own it is not process 1\n"
        "try: parent.die_with_parent()\n"
        "except parent.ParentEndedError: print('ends')\n"
    )
    parent = "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())])"
    ended = subprocess.run(
        [sys.executable, "-c", parent, orphan], capture_output=True, text=True, timeout=EXIT_TIMEOUT_S, check=True
    )
    assert ended.stdout == "ends\n", ended.stderr
