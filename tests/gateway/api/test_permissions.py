"""Every operation of the API, asked by every role, and by nobody: what is not allowed is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.keys import Scope
from gateway.access.roles import PERSONAL_ROLES, Permission, Role
from gateway.api.application import METHODS, make_application
from gateway.api.doors import permission_of
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings
from tests.gateway.access.test_roles import expected
from tests.gateway.api.conftest import TENANT, Guarded
from tests.gateway.plant import account

P = Permission
OPERATIONS: dict[tuple[str, str], Permission] = {
    ("GET", "/api/status"): P.STATUS,
    ("GET", "/api/faults"): P.FAULTS,
    ("GET", "/api/alarms"): P.ALARMS,
    ("POST", "/api/alarms/{number}/acknowledge"): P.ACKNOWLEDGE,
    ("POST", "/api/alarms/{number}/close"): P.ACKNOWLEDGE,
    ("GET", "/api/meters"): P.METERS,
    ("GET", "/api/readings"): P.READINGS,
    ("GET", "/api/readings.csv"): P.READINGS,
    ("GET", "/api/readings/{meter}/{sequence}/anchor"): P.READINGS,
    ("GET", "/api/intervals"): P.INTERVALS,
    ("GET", "/api/intervals.csv"): P.INTERVALS,
    ("GET", "/api/stream"): P.READINGS,
    ("GET", "/api/quarantine"): P.QUARANTINE,
    ("GET", "/api/evidence"): P.EVIDENCE,
    ("GET", "/api/people"): P.PEOPLE,
    ("POST", "/api/people"): P.PEOPLE,
    ("POST", "/api/people/{name}/link"): P.PEOPLE,
    ("POST", "/api/people/{name}/disable"): P.PEOPLE,
    ("POST", "/api/people/{name}/enable"): P.PEOPLE,
    ("POST", "/api/people/{name}/role"): P.PEOPLE,
    ("GET", "/api/keys"): P.KEYS,
    ("POST", "/api/keys"): P.KEYS,
    ("DELETE", "/api/keys/{key_id}"): P.KEYS,
    ("GET", "/api/audit"): P.AUDIT,
    ("GET", "/metrics"): P.METRICS,
    ("GET", "/health"): P.METRICS,
}
FOR_EVERYBODY = {
    ("GET", "/login"), ("POST", "/login"), ("POST", "/logout"), ("GET", "/enrol/{link}"), ("POST", "/enrol/{link}"),
    ("GET", "/api/session"), ("POST", "/api/session"), ("DELETE", "/api/session"),
    *((method, "/api/{rest:path}") for method in METHODS),
}  # fmt: skip
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/people"): {"name": "eve", "role": "admin"},
    ("POST", "/api/people/{name}/role"): {"role": "operator"},
    ("POST", "/api/keys"): {"name": "k"},
}
KEYS_PATHS = {"/api/keys", "/api/keys/{key_id}"}


def test_no_operation_is_without_a_permission() -> None:
    application = make_application(
        cast("Overview", SimpleNamespace(meters=None)),
        cast("Doorkeeper", SimpleNamespace(secret=bytes(32))),
        ApiSettings(),
    )
    found = {
        (method, route.path): permission_of(route)
        for route in application.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert found == OPERATIONS | dict.fromkeys(FOR_EVERYBODY)


@pytest.mark.parametrize("role", Role)
def test_a_role_gets_what_its_permissions_open_and_403_for_all_else(guarded: Guarded, role: Role) -> None:
    with guarded.as_role(role) as client:
        for (method, path), permission in OPERATIONS.items():
            address = path.replace("{name}", "nobody").replace("{key_id}", "0" * 12).replace("{number}", "0")
            address = address.replace("{meter}", "0" * 16).replace("{sequence}", "1")
            with client.stream(method, address, json=BODIES.get((method, path))) as answer:
                status = answer.status_code
                if not expected(role, permission):
                    answer.read()
                    assert (status, answer.json()["status"]) == (403, 403), (method, path)
                    assert role in answer.json()["detail"]
                elif permission is P.KEYS and (role is not Role.ADMIN or method == "POST"):
                    assert status == 403, path  # a key makes no keys, and has none
                else:
                    assert status == (404 if "{" in path else 201 if method == "POST" else 200), (method, path)
                assert status < 400 or answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", PERSONAL_ROLES)
def test_a_person_makes_keys_of_the_own_role_where_it_has_any(guarded: Guarded, role: Role) -> None:
    owner = account(TENANT) if role is Role.TENANT else None
    with guarded.enrolled(f"keen-{role}", role, f"127.0.4.{list(Role).index(role) + 1}", owner) as browser:
        made = browser.post("/api/keys", json={"name": "mine"})
        listed = browser.get("/api/keys")
        if not expected(role, P.KEYS):
            assert (made.status_code, listed.status_code) == (403, 403)
            return
        assert made.status_code == 201
        with guarded.client(made.json()["key"]) as program:
            assert program.get("/api/session").json()["role"] == role
        (own,) = [key for key in listed.json()["keys"] if key["name"] == "mine" and key["role"] == role]
        assert own["owner"] == (None if role is Role.ADMIN else f"keen-{role}")
        assert browser.delete(f"/api/keys/{own['id']}").status_code == 204
        with guarded.client(made.json()["key"]) as program:
            assert program.get("/api/session").status_code == 401


def test_an_admin_does_nothing_to_themselves_that_shuts_them_out(guarded: Guarded) -> None:
    with guarded.enrolled("ada", Role.ADMIN, "127.0.4.9") as browser:
        for path, body in (("disable", {}), ("role", {"role": "operator"})):
            answer = browser.post(f"/api/people/Ada/{path}", json=body)
            assert (answer.status_code, "another admin" in answer.text) == (403, True)
        assert browser.get("/api/people").status_code == 200


def test_a_stranger_gets_nothing_but_the_ways_in(guarded: Guarded) -> None:
    with guarded.client() as client:
        for method, path in OPERATIONS:
            if path in {"/metrics", "/health"}:
                continue  # this machine watches itself without a key
            answer = client.request(method, path.replace("{name}", "n").replace("{key_id}", "k"), json={})
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/api/nonsense", "/openapi.json", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
            assert client.get(path).status_code == 401
        assert client.get("/").headers["location"] == "/login"
        assert client.get("/other?a=b").headers["location"] == "/login?to=/other"


def test_a_key_that_reads_only_writes_nothing(guarded: Guarded) -> None:
    with guarded.client(guarded.add_key(Scope("reader", Role.ADMIN))) as client:
        assert client.get("/api/people").status_code == 200
        answer = client.post("/api/people", json={"name": "eve", "role": "admin"})
        assert (answer.status_code, answer.json()["detail"].endswith("may read only")) == (403, True)


def test_watching_needs_no_key_on_this_machine_and_none_of_another_role_will_do(guarded: Guarded) -> None:
    with guarded.client() as client:
        assert client.get("/health").status_code == 200
        assert "campusgrid_gateway_login_failures_total" in client.get("/metrics").text
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):  # a proxy that we do not know stands before us
            assert client.get("/metrics", headers={header: "1.2.3.4"}).status_code == 401
        assert client.get("/metrics", headers={"Host": "evil.example"}).status_code == 401
    with guarded.as_role(Role.METRICS) as client:
        assert client.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 200
        assert client.get("/api/session").json()["permissions"] == ["METRICS"]
    with guarded.as_role(Role.TENANT) as client:
        assert client.get("/metrics").status_code == 403


def test_a_key_opens_no_page_for_people(guarded: Guarded) -> None:
    with guarded.as_role(Role.ADMIN) as client:
        for path in ("/", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/login"):
            assert client.get(path).status_code == 403


def test_openapi_describes_every_operation_its_errors_and_the_two_ways_to_log_in(guarded: Guarded) -> None:
    with guarded.as_role(Role.OPERATOR) as client:
        document = client.get("/openapi.json").json()
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == set(OPERATIONS) | {(method, "/api/session") for method in ("GET", "POST", "DELETE")}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            needed = OPERATIONS.get((method.upper(), path))
            roles = [role for role in Role if needed is None or expected(role, needed)]
            assert operation["x-roles"] == roles, path
            assert operation["description"].endswith(f"For: {', '.join(roles) if needed else 'everybody'}.")
            for status in ("401", "403", "404", "408", "413", "422", "429", "431", "500", "503"):
                assert "application/problem+json" in operation["responses"][status]["content"]
    assert set(document["components"]["securitySchemes"]) == {"session", "key"}
    assert document["security"] == [{"session": []}, {"key": []}]
