"""Whatever comes in head, cookie and body, the answer is an answer: never a fault, never what is not allowed."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

import httpx
import pytest

from gateway.access.roles import Role
from tests.gateway.api.conftest import Guarded
from tests.gateway.plant import BOUND_S

ROUNDS = 150
PATHS = (
    "/", "/login", "/logout", "/enrol/x", "/api/session", "/api/people", "/api/keys", "/api/readings", "/api/stream",
    "/api/intervals.csv", "/_nicegui_ws/socket.io/", "/health", "/openapi.json", "/api/people/x/link", "/nothing",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "get", "X")
BITS = (
    b"\x00", b"\xff\xfe", b"\r", b"%00", b"%0d%0a", b"..%2f..", b"'; DROP TABLE people; --", b"<script>", b"{}", b"[",
    b'{"name": "x", "password": 1}', b'{"name": null}', b"cgk_" + b"0" * 12 + b"_" + b"A" * 43, b"A" * 3000,
    b"\xc3\x28",
    b"1e999", b"-1", b"99999999999999999999", b"NaN", "ﬀ".encode(), b"=", b";", b'"', b"Bearer", b"Basic Og==",
)  # fmt: skip
HEADERS = (
    b"Cookie", b"Authorization", b"Host", b"Origin", b"Content-Type", b"Content-Length", b"X-Forwarded-For",
    b"Last-Event-ID", b"Sec-Fetch-Site", b"Transfer-Encoding", b"Accept-Encoding", b"Upgrade", b"Forwarded",
)  # fmt: skip
LISTS = ("/api/readings", "/api/intervals", "/api/quarantine", "/api/audit", "/api/readings.csv")
PARAMETERS = ("meter", "after", "before", "limit", "from", "to", "epoch")
WRITES = ("/api/people", "/api/keys", "/api/people/x/link")


def test_a_thousand_mangled_requests_are_answered_or_hung_up_on_and_none_gets_in(guarded: Guarded) -> None:
    chance = random.Random(4)
    cookie = f"campusgrid-{guarded.plant.api_port}".encode()
    statuses = {
        exchange(guarded.plant.api_port, mangled(chance, cookie), f"127.0.4.{number % 200 + 1}")  # each with its limits
        for number in range(8 * ROUNDS)
    }
    assert {400, 401, 404} <= statuses
    assert {status for status in statuses if status is not None and status >= 500} == set()
    assert_nothing_broke(guarded)


def test_mangled_parameters_and_bodies_of_an_admin_are_refused_by_name(guarded: Guarded) -> None:
    chance = random.Random(5)
    with guarded.as_role(Role.ADMIN) as client:
        json = {"Content-Type": "application/json"}
        calls: list[Callable[[], httpx.Response]] = [
            lambda: client.get(chance.choice(LISTS), params={chance.choice(PARAMETERS): junk(chance)}),
            lambda: client.post(chance.choice(WRITES), content=junk(chance), headers=json),
            lambda: client.post("/api/people", json={"name": junk(chance).decode("latin1"), "role": "operator"}),
            lambda: client.delete("/api/keys/" + junk(chance).hex()[:80]),
        ]
        for _ in range(ROUNDS):
            answer = chance.choice(calls)()
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["detail"]
    assert_nothing_broke(guarded)


def test_text_that_is_no_text_is_refused(guarded: Guarded) -> None:
    half = '"\\ud800"'  # one half of a character, which no database stores
    json = {"Content-Type": "application/json"}
    with guarded.as_role(Role.ADMIN) as client:
        for path, body in (
            ("/api/session", f'{{"name": {half}, "password": {half}}}'),
            ("/api/people", f'{{"name": {half}, "role": "operator"}}'),
            ("/api/keys", f'{{"name": {half}}}'),
        ):
            assert client.post(path, content=body, headers=json).status_code == 422
        assert client.post("/api/people/%ED%A0%80/link").status_code == 404
    with guarded.client(address="127.0.5.1") as stranger:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for body in ("name=%ED%A0%80&password=%ED%A0%80", "&" * 50, "name", "=%00", "name=x&name=y&password=\x00"):
            assert stranger.post("/login", content=body, headers=form).status_code == 401
    assert_nothing_broke(guarded)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "٣", "99999999999999999999999", ""])
def test_a_length_that_is_none_is_refused(guarded: Guarded, length: str) -> None:
    request = b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Length: " + length.encode() + b"\r\n\r\n{}"
    assert exchange(guarded.plant.api_port, request) in {400, 413}


def mangled(chance: random.Random, cookie: bytes) -> bytes:
    """Return the bytes of a request in which anything may be wrong."""
    path = chance.choice(PATHS).encode() + (b"?" + junk(chance) if chance.random() < 0.3 else b"")
    lines = [chance.choice(METHODS).encode() + b" " + path + b" HTTP/1.1", b"Host: 127.0.0.1"]
    lines += [chance.choice(HEADERS) + b": " + junk(chance) for _ in range(chance.randrange(4))]
    if chance.random() < 0.5:
        lines.append(b"Cookie: " + cookie + b"=" + junk(chance))
    body = junk(chance)
    if chance.random() < 0.6:
        lines.append(b"Content-Length: " + str(len(body)).encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def junk(chance: random.Random) -> bytes:
    return b"".join(chance.choice(BITS) for _ in range(chance.randrange(4)))


def exchange(port: int, request: bytes, address: str = "127.0.4.1") -> int | None:
    """Send *request* and return the status of the answer, None where the line was hung up."""
    with socket.create_connection(("127.0.0.1", port), BOUND_S, source_address=(address, 0)) as line:
        try:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)  # ENOTCONN, too, where the server was quicker
            answer = line.recv(4096)
        except TimeoutError:
            raise
        except OSError:
            return None
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else None


def assert_nothing_broke(guarded: Guarded) -> None:
    log = guarded.plant.gateway_log()
    assert "Traceback" not in log
    assert "a request failed" not in log
    with guarded.as_role(Role.OPERATOR) as client:
        assert client.get("/api/status").status_code == 200
