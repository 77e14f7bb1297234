"""A question by datagram: who may answer, how long it takes at most, and that a dead name server holds nobody up."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hil.resources.time_server import ServedTime, TimeFault, TimeServer
from tests.firmware.conftest import FIRMWARE, RunScript

Ask = Callable[..., Any]
PATIENCE_S = 20
"""What no answer takes, on however busy a machine."""
SHORT_S = 0.4
"""How long is waited for what does not come."""
ASK = """
import asyncio, json
from meter import sntp
from meter.board import linux
async def ask(host, port, timeout_s):
    nonce = linux.random_bytes(8)
    start = linux.ticks_ms()
    try:
        data, asked, heard = await linux.exchange(
            host, int(port), sntp.question(nonce), lambda data: sntp.is_answer(data, nonce), float(timeout_s),
            linux.ticks_ms,
        )
        sntp.parse(data, nonce)
        said = "answered"
    except asyncio.TimeoutError:
        said, asked, heard = "timeout", start, linux.ticks_ms()
    except OSError as error:
        said, asked, heard = "refused", start, linux.ticks_ms()
    return said, heard - asked
print(json.dumps(asyncio.run(ask(*ARGUMENTS))))
"""


@pytest.fixture(params=["MicroPython", "CPython"])
def ask(request: pytest.FixtureRequest, run_script: RunScript) -> Ask:
    """Return what asks "host:port" on one interpreter, and waits so many seconds: how it ended, after how many ms."""

    def run(address: str, timeout_s: float = SHORT_S) -> Any:
        host, _, port = address.rpartition(":")
        if request.param == "MicroPython":
            return json.loads(run_script(ASK, host, port, str(timeout_s)))
        source = (
            f"import sys\nsys.path.insert(0, {str(FIRMWARE)!r})\nARGUMENTS = {[host, port, str(timeout_s)]!r}\n{ASK}"
        )
        done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True, timeout=30)
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("fault", [None, TimeFault.WRONG_NONCE])
def test_the_answer_comes_at_once_whatever_came_before_it(ask: Ask, fault: TimeFault | None) -> None:
    with TimeServer(ServedTime(fault=fault)) as server:
        said, took_ms = ask(server.address, PATIENCE_S)
        assert said == "answered"
        assert took_ms < 1000 * PATIENCE_S / 2
        assert ask(server.address.replace("127.0.0.1", "localhost"), PATIENCE_S)[0] == "answered"


@pytest.mark.parametrize("fault", [TimeFault.DROP, TimeFault.FORGED, TimeFault.SHORT])
def test_nothing_but_the_answer_ends_the_wait_before_its_time(ask: Ask, fault: TimeFault) -> None:
    with TimeServer(ServedTime(fault=fault)) as server:
        said, took_ms = ask(server.address)
    assert said == "timeout"
    assert 1000 * SHORT_S - 5 <= took_ms < 1000 * PATIENCE_S


def test_a_true_answer_from_another_address_is_none(ask: Ask) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, socket.socket(type=socket.SOCK_DGRAM) as other:
        asked.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))

        def answer() -> None:
            question, asker = asked.recvfrom(512)
            other.sendto(ServedTime().answers(question, 1_795_000_000 * 10**9)[0], asker)

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask(f"127.0.0.1:{asked.getsockname()[1]}")[0] == "timeout"
        thread.join()


def test_a_port_where_nobody_listens_and_a_name_that_is_none_are_refused(ask: Ask) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert ask(f"127.0.0.1:{port}")[0] == "refused"
    assert ask("no.such.host.invalid:123")[0] in ("refused", "timeout")  # where even the name server is silent


def test_a_name_server_that_does_not_answer_holds_nothing_else_up(run_script: RunScript) -> None:
    printed = run_script("""
import asyncio, json, time
from meter.board import linux, lookup
class DeadNameServer:
    def getaddrinfo(self, *_):
        time.sleep(2)
        raise OSError(110)
lookup.socket = DeadNameServer()
async def ask():
    ends = []
    for _ in range(6):
        try:
            await linux.exchange("ntp.campus", 123, b"?", bool, 0.2, linux.ticks_ms)
        except asyncio.TimeoutError:
            ends.append("timeout")
        except OSError:
            ends.append("refused")
    return ends
async def main():
    asking = asyncio.create_task(ask())
    worst, last = 0, linux.ticks_ms()
    while not asking.done():
        await asyncio.sleep(0.005)
        worst, last = max(worst, linux.ticks_since(last)), linux.ticks_ms()
    print(json.dumps([worst, await asking]))
asyncio.run(main())
""")
    worst_ms, ends = json.loads(printed)
    assert worst_ms < 1500
    assert ends == ["timeout"] * 2 + ["refused"] * 4  # no more than two threads wait for it
