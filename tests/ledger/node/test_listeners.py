"""Where a node listens: defaults, the operator's own socket, and what a stranger may take of the public one."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from hil.ports import free_port
from ledger.api.app import make_app
from ledger.api.limits import MAX_QUERY_BYTES, MAX_RUNNING, Limits, Rates
from ledger.api.sockets import bind, reachable
from ledger.node import settings
from ledger.node.addresses import ApiSettings
from ledger.remote import operator
from ledger.remote.operator import OperatorError
from tests.ledger.node.network import Network, make_network


def written(tmp_path: Path, api: str) -> settings.NodeSettings:
    """Return the settings of a node whose [api], or `api = …`, is *api*."""
    file = make_network(tmp_path).directory(0) / "node.toml"
    before, _, after = file.read_text().partition("[api]")
    peers = after[after.index("[[peers]]") :]
    file.write_text(api + before + peers if api.startswith("api =") else before + api + peers)
    return settings.load(file)


def test_what_is_left_out_is_the_well_known_ports(tmp_path: Path) -> None:
    read = written(tmp_path, "")
    assert [str(address) for address in read.api.addresses] == ["127.0.0.1:9933", "127.0.0.1:9944"]
    assert read.operator == read.data_dir / "operator.sock"
    assert read.api.cors == ()
    assert settings.NodeSettings.model_fields["listen"].default.port == 30333


@pytest.mark.parametrize(
    ("api", "addresses"),
    [
        ('api = "127.0.0.1:7001"\n', ["127.0.0.1:7001"]),
        ("[api]\nport = 7001\n", ["127.0.0.1:7001"]),
        ('[api]\nport = 7001\nwebsocket = "127.0.0.1:7002"\n', ["127.0.0.1:7001", "127.0.0.1:7002"]),
        ('[api]\nhost = "::1"\n', ["::1:9933", "::1:9944"]),
    ],
)
def test_a_port_alone_serves_both(tmp_path: Path, api: str, addresses: list[str]) -> None:
    assert [str(address) for address in written(tmp_path, api).api.addresses] == addresses


@pytest.mark.parametrize(
    ("api", "fault"),
    [
        ('[api]\noperator = "0.0.0.0:7003"\n', "operator is a loopback address or unix:PATH"),
        ('[api]\ncors = ["*"]\n', "api.cors.0"),
        ('[api]\ncors = ["https://one.example/"]\n', "api.cors.0"),
        ("[api]\nrequests_per_s = 0\n", "api.requests_per_s"),
    ],
)
def test_what_would_open_too_much_is_refused(tmp_path: Path, api: str, fault: str) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        written(tmp_path, api)
    assert fault in str(caught.value)


def test_the_operator_alone_reaches_the_unsafe_methods(lone: Network) -> None:
    assert httpx.get(lone.urls[0] + "/v1/operator/peers").status_code == 404
    listener = settings.load(lone.directory(0) / "node.toml").operator
    assert isinstance(listener, Path)
    assert stat.S_IMODE(listener.stat().st_mode) == 0o600
    peers = operator.ask(listener, "GET", "peers")["peers"]
    assert [peer["name"] for peer in peers] == []
    with pytest.raises(OperatorError, match="not_found"):
        operator.ask(listener, "GET", "nothing")


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}, {"host": "x:1"}])
def test_the_operators_listener_answers_no_browser(lone: Network, headers: dict[str, str]) -> None:
    listener = settings.load(lone.directory(0) / "node.toml").operator
    assert isinstance(listener, Path)
    with reachable(listener) as name, httpx.Client(transport=httpx.HTTPTransport(uds=name)) as client:
        assert client.get("http://localhost/v1/status").status_code == 200
        refused = client.get("http://localhost/v1/operator/peers", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_for_browsers")


def test_a_socket_file_that_an_ended_process_left_is_no_hindrance_however_long_its_path(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 100) / "operator.sock"
    for _ in range(2):
        bind(path).close()
        assert path.is_socket()
    with pytest.raises(OperatorError, match="no node answers its operator"):
        operator.ask(path, "GET", "peers")


async def test_a_web_page_is_let_in_only_where_the_settings_name_it() -> None:
    source: Any = None  # the manual of calls needs none
    for origins, allowed in ((("https://campus.example",), "https://campus.example"), ((), None)):
        transport = httpx.ASGITransport(make_app(source, ApiSettings(cors=origins)))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            for origin, header in (("https://campus.example", allowed), ("https://evil.example", None)):
                answer = await client.get("/v1/calls", headers={"origin": origin})
                assert answer.status_code == 200
                assert answer.headers.get("access-control-allow-origin") == header


def test_a_rate_is_held_for_each_address_and_not_for_this_machine() -> None:
    rates = Rates(10)
    assert [rates.take("192.0.2.1", 0.0) for _ in range(25)] == [True] * 20 + [False] * 5
    assert rates.take("192.0.2.2", 0.0)
    assert [rates.take("192.0.2.1", 0.5) for _ in range(6)] == [True] * 5 + [False]
    assert all(rates.take("127.0.0.1", 0.0) for _ in range(1000))
    for number in range(5000):
        rates.take(f"198.51.{number // 250}.{number % 250}", 1.0)
    assert len(rates._buckets) <= 4096


async def test_more_requests_at_once_than_a_node_can_bear_are_refused_and_the_rest_goes_on() -> None:
    released = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        await released.wait()

    limits, sent = Limits(app, None, ()), []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    scope = {"type": "http", "path": "/v1/status", "query_string": b"", "headers": [], "client": ("127.0.0.1", 1)}
    running = [asyncio.ensure_future(limits(scope, receive, send)) for _ in range(MAX_RUNNING)]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await limits(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 503
    released.set()
    await asyncio.gather(*running)
    await limits(scope, receive, send)  # type: ignore[arg-type]
    assert len([message for message in sent if "status" in message]) == 1


def test_an_address_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = Limits(lambda *_: None, 1, ())  # type: ignore[arg-type, return-value]
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": [], "client": ("192.0.2.1", 1)}
    problems = [limits._refuse(scope) for _ in range(3)]
    assert problems[:2] == [None, None]
    assert problems[2] is not None
    assert (problems[2].code, problems[2].retry_after_s) == ("too_many_requests", 1)


def test_a_query_that_is_too_long_is_refused(lone: Network) -> None:
    answer = httpx.get(lone.urls[0] + "/v1/orders?epoch=" + "1" * MAX_QUERY_BYTES)
    assert (answer.status_code, answer.json()["code"]) == (414, "query_too_long")
    answer = httpx.get(lone.urls[0] + "/v1/" + "a" * 1000)
    assert (answer.status_code, answer.json()["code"]) == (414, "query_too_long")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_a_method_that_a_path_has_not_is_a_problem_that_says_which_it_has(lone: Network, method: str) -> None:
    answer = httpx.request(method, lone.urls[0] + "/v1/status")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with bind(ApiSettings(port=(port := free_port())).http), pytest.raises(settings.SettingsError, match=str(port)):
        bind(ApiSettings(port=port).http)
