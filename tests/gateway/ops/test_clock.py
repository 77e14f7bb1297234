"""The clock is held against those who know the time, and judged by the rule for bills."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.ops import clock
from gateway.ops.finding import Severity
from tests.gateway.ledger_node import LedgerNode, made_node
from tests.gateway.plant import Holder, wait_for


@pytest.mark.parametrize(
    ("offset_s", "severity"),
    [
        (0.0, Severity.WELL), (1.9, Severity.WELL), (-1.9, Severity.WELL), (2.0, Severity.WARNING),
        (-8.9, Severity.WARNING), (9.0, Severity.WARNING), (9.1, Severity.FAULT), (-3600, Severity.FAULT),
    ],
)  # fmt: skip
def test_two_seconds_are_an_alarm_and_nine_in_a_quarter_of_an_hour_are_no_base_for_a_bill(
    offset_s: float, severity: Severity
) -> None:
    found = clock.judge(offset_s, "by 1 time servers", 900)
    assert found.severity is severity
    assert ("nothing may be billed" in found.text) is (severity is Severity.FAULT)
    assert bool(found.mend) is (severity is not Severity.WELL)


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerNode]:
    with made_node(tmp_path_factory.mktemp("node") / "ledger", Holder()) as made:
        made.start()
        yield made


@pytest.mark.parametrize("step_s", [0, 5, -3600])
def test_a_clock_that_is_off_is_measured_against_a_ledger_node(
    running_node: LedgerNode, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + step_s)
    asked_s = time.monotonic()
    offset_s = clock.ask_node(running_node.url)
    took_s = time.monotonic() - asked_s  # which nobody can tell from a clock that is off
    assert offset_s == pytest.approx(step_s, abs=1.2 + took_s)


@pytest.mark.parametrize("step_s", [0, 5, -3600])
def test_a_clock_that_is_off_is_measured_against_a_time_server(
    time_server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + step_s)
    asked_s = time.monotonic()
    offset_s = clock.ask_ntp(time_server[0])
    assert offset_s == pytest.approx(step_s, abs=0.2 + time.monotonic() - asked_s)


def test_a_server_that_does_not_know_the_time_is_not_believed(time_server: tuple[str, list[int]]) -> None:
    address, stratum = time_server
    stratum[0] = 0
    with pytest.raises(ValueError, match="does not answer as an NTP server that knows the time"):
        clock.ask_ntp(address)
    assert "neither a time server nor a ledger node" in clock.check_offset([address], ["http://127.0.0.1:1"], 900).text


def test_a_time_server_comes_before_the_ledger(time_server: tuple[str, list[int]]) -> None:
    found = clock.check_offset([time_server[0]], ["http://127.0.0.1:1"], 900)
    assert found.severity is Severity.WELL
    assert "by 1 time servers" in found.text


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("ntp.campus", ("ntp.campus", 123)), ("ntp.campus:1123", ("ntp.campus", 1123)), ("::1", ("::1", 123)),
        ("[::1]", ("::1", 123)), ("[::1]:1123", ("::1", 1123)),
    ],
)  # fmt: skip
def test_a_time_server_is_named_with_or_without_a_port(server: str, address: tuple[str, int]) -> None:
    assert clock._split(server) == address


@pytest.fixture
def time_server() -> Iterator[tuple[str, list[int]]]:
    """The address of an NTP server on loopback that has this machine's time, and its stratum, to be changed."""
    stratum = [2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        serving = threading.Thread(target=serve, args=(line, stratum, time.time), daemon=True)
        serving.start()
        yield f"127.0.0.1:{line.getsockname()[1]}", stratum
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", line.getsockname())
        wait_for(lambda: not serving.is_alive(), "the time server to end")


def serve(line: socket.socket, stratum: list[int], now: Callable[[], float]) -> None:
    while (asked := line.recvfrom(100))[0] != b"end":
        seconds = now() + 2_208_988_800
        stamp = struct.pack(">II", int(seconds), int(seconds % 1 * 2**32))
        line.sendto(bytes([0x24, stratum[0], 0, 0]) + bytes(20) + asked[0][40:48] + stamp + stamp, asked[1])
