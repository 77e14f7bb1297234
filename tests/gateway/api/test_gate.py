"""The gate: other sites, hosts, sizes, rates, log-ins and their failures, TLS and proxies, with a real server."""

from __future__ import annotations

import os
import re
import socket
import ssl
import warnings
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from gateway.access.audit import Actor
from gateway.access.doorkeeper import LOGIN_BURST, Doorkeeper
from gateway.access.keys import Scope
from gateway.access.limits import Limiter
from gateway.access.roles import AT_THIS_MACHINE, Role
from gateway.access.sessions import IDLE_S
from gateway.api.gate import MAX_BODY_BYTES, Gate, cookie_name
from gateway.settings import ApiSettings
from gateway.store.database import Database
from provisioning import certificates
from tests.gateway.api.conftest import PASSWORD, Guarded
from tests.gateway.plant import BOUND_S, Plant, wait_for
from tests.gateway.test_run import run


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_gets(guarded: Guarded) -> None:
    with guarded.enrolled("olga", Role.OPERATOR, "127.0.2.1") as browser:
        assert browser.get("/api/session").json()["name"] == "olga"
        assert browser.get("/", follow_redirects=False).status_code == 200
    with guarded.client(address="127.0.2.1") as browser:
        answer = browser.post("/api/session", json={"name": "Olga", "password": PASSWORD})
        assert answer.status_code == 201
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Max-Age=43200" in cookie
        token = browser.cookies[f"campusgrid-{guarded.plant.api_port}"]
        assert browser.delete("/api/session").status_code == 204
        assert browser.get("/api/session").status_code == 401
        browser.cookies.set(f"campusgrid-{guarded.plant.api_port}", token)
        assert browser.get("/api/session").status_code == 401  # it ended here, not only in the browser
    assert token not in Path(guarded.plant.store).read_bytes().decode("latin1")


def test_the_page_of_another_site_can_do_nothing_with_a_session(guarded: Guarded) -> None:
    with guarded.enrolled("rosa", Role.ADMIN, "127.0.2.2") as browser:
        body = {"name": "eve", "role": "admin"}
        for headers in (
            {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"},
            {"Origin": "null"}, {"Origin": f"https://127.0.0.1:{guarded.plant.api_port + 1}"},
        ):  # fmt: skip
            answer = browser.post("/api/people", json=body, headers=headers)
            assert (answer.status_code, "another site" in answer.text) == (403, True)
            assert browser.post("/logout", headers=headers).status_code == 403
            assert browser.post("/login", headers=headers).status_code == 403
        own = {"Origin": f"http://127.0.0.1:{guarded.plant.api_port}", "Sec-Fetch-Site": "same-origin"}
        assert browser.post("/api/people", json=body, headers=own).status_code == 201
        assert browser.post("/logout", headers=own).headers["location"] == "/login"
        assert browser.get("/api/session").status_code == 401


def test_a_websocket_wants_a_session_and_the_own_page(guarded: Guarded) -> None:
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with guarded.enrolled("wanda", Role.OPERATOR, "127.0.2.3") as browser:
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    own = f"http://127.0.0.1:{guarded.plant.api_port}"
    assert upgrade(guarded.plant, path, "") == 403
    assert upgrade(guarded.plant, path, f"Cookie: {cookie}\r\nOrigin: http://evil.example\r\n") == 403
    assert upgrade(guarded.plant, path, f"Cookie: {cookie}\r\nOrigin: {own}\r\n") == 101


def test_a_failed_log_in_tells_neither_by_words_nor_by_time_who_exists(guarded: Guarded) -> None:
    with guarded.enrolled("nina", Role.OPERATOR, "127.0.2.4"):
        pass
    took_s = {"nina": 0.0, "nobody": 0.0}
    answers = set()
    for turn in range(4):
        for name in took_s:
            with guarded.client(address=f"127.0.3.{turn + 1}") as client:
                before_s = worked_s(guarded.plant)
                answer = client.post("/api/session", json={"name": name, "password": "wrong horse battery"})
                took_s[name] += worked_s(guarded.plant) - before_s
                answers.add((answer.status_code, answer.text))
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    fast, slow = sorted(took_s.values())
    assert fast > 0.4 * slow, took_s


def test_log_ins_of_one_address_are_limited_and_others_go_on(guarded: Guarded) -> None:
    with guarded.client(address="127.0.2.5") as client:
        tries = [client.post("/login", data={"name": "eve", "password": "x"}) for _ in range(LOGIN_BURST + 1)]
        assert {answer.status_code for answer in tries[:-1]} == {401}
        assert tries[-1].status_code == 429
        assert "Too many tries" in tries[-1].text
        api = client.post("/api/session", json={"name": "eve", "password": "x"})
        assert (api.status_code, int(api.headers["retry-after"]) > 0) == (429, True)
    with guarded.client(address="127.0.2.6") as client:
        assert client.post("/login", data={"name": "eve", "password": "x"}).status_code == 401


def test_neither_log_ins_that_succeed_nor_a_program_with_an_old_key_keep_others_of_the_address_out(
    guarded: Guarded,
) -> None:
    with guarded.enrolled("early", Role.OPERATOR, "127.0.2.8"):
        pass
    with guarded.client(address="127.0.2.8") as client:
        for _ in range(LOGIN_BURST + 3):
            assert client.get("/api/meters", headers={"Authorization": "Bearer cgk_old"}).status_code == 401
            answer = client.post("/api/session", json={"name": "early", "password": PASSWORD})
            assert answer.status_code == 201


async def test_requests_are_limited_for_each_key_and_each_address(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "gateway.sqlite")
    door = await Doorkeeper.over(database)
    door.requests = Limiter(rate_per_s=1e-6, burst=3)
    keys = [await door.keys.add(Scope("k", Role.OPERATOR), None, Actor("test", "")) for _ in range(2)]
    served = httpx.ASGITransport(Gate(PlainTextResponse("welcome"), door, ApiSettings()))
    async with httpx.AsyncClient(transport=served, base_url="http://gateway") as client:
        for key in keys:
            headers = {"Authorization": f"Bearer {key}"}
            answers = [await client.get("/api/status", headers=headers) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert int(answers[-1].headers["retry-after"]) > 0
        assert [(await client.get("/login")).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert {door.must_wait(AT_THIS_MACHINE, "127.0.0.1") for _ in range(9)} == {0.0}
    await database.close()


async def test_a_request_is_a_use_of_the_session_and_what_an_open_page_asks_for_is_none(tmp_path: Path) -> None:
    now_s = [1_800_000_000.0]
    database = await Database.open(tmp_path / "gateway.sqlite")
    door = await Doorkeeper.over(database, lambda: now_s[0])
    invitation = await door.people.read_link(await door.people.add("anna", Role.OPERATOR, None, Actor("test", "")))
    assert invitation is not None
    token = await door.enrol(invitation, "", PASSWORD, "x")
    settings = ApiSettings()
    served = httpx.ASGITransport(Gate(PlainTextResponse("welcome"), door, settings))
    cookies = {cookie_name(settings): token}
    async with httpx.AsyncClient(transport=served, base_url="http://gateway", cookies=cookies) as client:
        for _ in range(3):
            now_s[0] += IDLE_S - 1
            assert (await client.get("/api/status")).status_code == 200
        now_s[0] += IDLE_S - 1
        assert (await client.get("/_nicegui_ws/socket.io/")).status_code == 200
        now_s[0] += 1
        assert (await client.get("/api/status")).status_code == 401
    await database.close()


def test_bodies_and_headers_are_bounded(guarded: Guarded) -> None:
    with guarded.as_role(Role.ADMIN) as client:
        large = b"x" * (MAX_BODY_BYTES + 1)
        assert client.post("/api/people", content=large).status_code == 413
        answer = client.post("/api/people", content=iter([large[:MAX_BODY_BYTES], b"x", b"y"]))  # of no told length
        assert (answer.status_code, answer.json()["status"]) == (413, 413)
        assert client.get("/api/meters", headers={"X-Long": "x" * 20_000}).status_code == 431
        assert client.get("/api/meters", params={"meter": "x" * 20_000}).status_code == 431
        assert client.get("/api/meters", headers={"X-Long": "x" * 200_000}).status_code in {400, 431}
        assert client.get("/api/status").status_code == 200


def test_an_answer_is_neither_kept_nor_framed_nor_sniffed(guarded: Guarded) -> None:
    with guarded.as_role(Role.ADMIN) as client:
        headers = client.get("/api/meters").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "server" not in headers
    with guarded.client() as client:
        assert "default-src 'none'" in client.get("/login").headers["content-security-policy"]


def test_nobody_is_sent_to_another_site_after_a_log_in(guarded: Guarded) -> None:
    with guarded.enrolled("ines", Role.OPERATOR, "127.0.2.7") as browser:
        for path in ("//evil.example", "https://evil.example", "/\\evil.example", "", "javascript:alert(1)"):
            assert browser.get("/login", params={"to": path}).headers["location"] == "/"
        assert browser.get("/login", params={"to": "/other"}).headers["location"] == "/other"


def test_the_first_start_prints_a_link_that_makes_one_admin(plant: Plant) -> None:
    require_login(plant)
    gateway = plant.start()
    first = enrolment_link(plant)
    assert gateway.stop() == 0
    plant.start()
    link = enrolment_link(plant)
    assert link != first
    form = {"name": "anna", "password": PASSWORD, "again": PASSWORD}
    with httpx.Client(trust_env=False) as browser:
        assert browser.get(first).status_code == 404  # a restart made a new one
        assert "no admin yet" in browser.get(link).text
        poor = browser.post(link, data={**form, "password": "short", "again": "short"})
        assert (poor.status_code, "fewer than 12" in poor.text) == (422, True)
        assert "differ" in browser.post(link, data={**form, "again": "other"}).text
        assert browser.post(link, data=form).headers["location"] == "/"
        assert browser.get(f"http://127.0.0.1:{plant.api_port}/api/session").json()["role"] == "admin"
        assert browser.post(link, data={**form, "name": "eve"}).status_code == 404
    plant.kill_all()
    said = plant.gateway_log().count("/enrol/")
    plant.start()
    assert plant.gateway_log().count("/enrol/") == said


def test_without_a_login_only_this_machine_by_its_own_name_is_answered(plant: Plant) -> None:
    plant.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{plant.api_port}", trust_env=False) as client:
        assert client.get("/api/meters").status_code == 200
        assert client.get("/api/meters", headers={"Host": "localhost:1"}).status_code == 200
        for headers in ({"Host": "evil.example"}, {"Host": "[::1"}, {"X-Forwarded-For": "127.0.0.1"}):
            assert client.get("/api/meters", headers=headers).status_code == 403
        assert client.get("/api/people").status_code == client.get("/api/audit").status_code == 403
        assert client.post("/api/keys", json={"name": "k"}).status_code == 403
    assert "/enrol/" not in plant.gateway_log()


def test_tls_is_served_with_the_given_certificate(plant: Plant) -> None:
    require_login(plant, *give_certificate(plant))
    plant.start()
    base = f"https://127.0.0.1:{plant.api_port}"
    assert enrolment_link(plant).startswith(base)
    trusted = ssl.create_default_context(cafile=plant.config.parent / "api-ca.crt")
    with httpx.Client(base_url=base, verify=trusted, trust_env=False) as browser:
        form = {"name": "anna", "password": PASSWORD, "again": PASSWORD}
        cookie = browser.post(enrolment_link(plant), data=form).headers["set-cookie"]
        assert cookie.startswith("__Host-campusgrid=")
        assert "Secure" in cookie
        assert browser.get("/api/session").json()["name"] == "anna"
        assert "max-age" in browser.get("/api/session").headers["strict-transport-security"]
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore"):  # that it is old is the point
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError), httpx.Client(base_url=base, verify=old, trust_env=False) as client:
        client.get("/login")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{plant.api_port}/login", trust_env=False)


def test_a_trusted_proxy_is_believed_and_nobody_else(plant: Plant) -> None:
    require_login(plant, "behind_proxy = true", 'trusted_proxy = "127.0.0.9"')
    plant.start()
    base = f"http://127.0.0.1:{plant.api_port}"
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.1.2.3"}
    with httpx.Client(base_url=base, headers=told, trust_env=False) as stranger:
        assert stranger.get("/login").status_code == 403
    with httpx.Client(
        base_url=base, headers=told, transport=httpx.HTTPTransport(local_address="127.0.0.9"), trust_env=False
    ) as proxy:
        assert proxy.get("/login").status_code == 200
        assert proxy.get("/health").status_code == 401
        assert proxy.get("/login", headers={"X-Forwarded-Proto": "http"}).status_code == 403
        tries = [proxy.post("/login", data={"name": "eve", "password": "x"}) for _ in range(LOGIN_BURST + 1)]
        assert tries[-1].status_code == 429
        other = proxy.post("/login", data={"name": "eve"}, headers={"X-Forwarded-For": "10.1.2.4"})
        assert other.status_code == 401
    assert '"origin": "10.1.2.3"' in plant.gateway_log()


def test_a_certificate_that_cannot_be_used_is_named_by_the_check(plant: Plant) -> None:
    require_login(plant, 'cert = "absent.crt"', 'key = "absent.key"')
    done = run("config", "check", "--config", str(plant.config))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "absent.key cannot be used: No such file or directory; give a certificate" in done.stderr


def require_login(plant: Plant, *lines: str) -> None:
    text = plant.config.read_text().replace('login = "none"\n', "\n".join(lines) + "\n")
    plant.config.write_text(text)


def give_certificate(plant: Plant) -> list[str]:
    folder = plant.config.parent
    authority = certificates.make_authority("test")
    issued = certificates.issue(authority, "gateway", ("127.0.0.1",))
    (folder / "api-ca.crt").write_bytes(authority.certificate_pem)
    (folder / "api.crt").write_bytes(issued.certificate_pem)
    (folder / "api.key").write_bytes(issued.key_pem)
    return ['cert = "api.crt"', 'key = "api.key"']


def enrolment_link(plant: Plant) -> str:
    """Return the newest enrolment link that the gateway printed."""
    return wait_for(lambda: re.findall(r"^  (http\S+/enrol/\S+)$", plant.gateway_log(), re.MULTILINE), "a link")[-1]


def worked_s(plant: Plant) -> float:
    """Return the CPU time of the gateway: how long it takes beside others on the machine is nothing that it tells."""
    fields = Path(f"/proc/{plant.newest.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def upgrade(plant: Plant, path: str, headers: str) -> int:
    """Ask for a websocket and return the status of the answer."""
    with socket.create_connection(("127.0.0.1", plant.api_port), BOUND_S) as line:
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{plant.api_port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n".encode()
        )
        return int(line.recv(64).split()[1])
