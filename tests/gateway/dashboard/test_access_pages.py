"""The pages of those who look after people, keys and meters, in a real browser, from the keyboard and on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from gateway.access.audit import Actor
from gateway.access.people import People
from gateway.access.roles import Role
from gateway.store.database import Database
from tests.gateway.api.test_gate import require_login
from tests.gateway.dashboard.test_page import is_foreign
from tests.gateway.plant import Plant, account, ended, wait_for

PASSWORD = "correct horse battery"
PHONE: ViewportSize = {"width": 390, "height": 800}
STAY = "window.open = () => null"
"""For a browser that does not go where it is sent."""


@pytest.fixture(scope="module")
def guarded_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A running gateway with a login, two meters, a refused message and two open alarms."""
    with ended(Plant(tmp_path_factory.mktemp("pages") / "plant", meters=2)) as plant:
        require_login(plant)
        plant.start()
        pen = plant.pens[0]
        epoch = 360_000_000
        too_much = [pen.sign(epoch=epoch + number, r180=1000 + number * 900_000) for number in range(2)]
        twin = pen.copy()
        line = plant.line(pen.meter_id.hex())
        line.send(pen.topic, *too_much, b"<script>alert(1)</script>", pen.sign())
        wait_for(lambda: plant.stored() == 3, "the readings")
        line.send(pen.topic, twin.sign(r180=1))
        wait_for(lambda: len(plant.rows("SELECT 1 FROM alarms")) == 2, "alarms of an interval and of a fork")
        wait_for(lambda: plant.rows("SELECT 1 FROM quarantine"), "a refusal")
        yield plant


def test_an_admin_invites_changes_a_role_and_shuts_out_with_the_keyboard_alone(
    guarded_plant: Plant, browser_page: Page, tmp_path: Path
) -> None:
    page = enter(guarded_plant, browser_page, "anna", Role.ADMIN)
    foreign: list[str] = []
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    base = f"http://127.0.0.1:{guarded_plant.api_port}/"
    page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, base) else None)
    page.get_by_role("link", name="People").press("Enter")
    page.get_by_label("Name", exact=True).fill("Olga")
    page.get_by_role("button", name="Invite").press("Enter")
    expect(page.get_by_text("Give this link to olga.")).to_be_visible()
    link = page.get_by_label("To copy").input_value()
    assert link.startswith(f"{base}enrol/cgl_")
    page.screenshot(path=tmp_path / "people.png", full_page=True)
    row = page.get_by_role("listitem").filter(has_text="olga")
    expect(row).to_contain_text("invited")
    with httpx.Client(trust_env=False) as browser:
        assert browser.post(link, data={"password": PASSWORD, "again": PASSWORD}).status_code == 303
        expect(row).to_contain_text("active")
        row.get_by_role("button", name="Change role: olga").press("Enter")
        page.get_by_role("dialog").get_by_label("Role").press("Enter")
        page.get_by_role("option", name="tenant").click()
        page.get_by_role("dialog").get_by_label("Whose meters").press("ArrowDown")
        page.get_by_role("option", name="Room 2").click()
        page.screenshot(path=tmp_path / "role.png")
        page.get_by_role("button", name="Save role").press("Enter")
        expect(row).to_contain_text("tenant of Room 2")
        assert browser.get(f"{base}api/session").status_code == 401
        assert browser.post(f"{base}api/session", json={"name": "olga", "password": PASSWORD}).status_code == 201
        row.get_by_role("button", name="Shut out: olga").press("Enter")
        page.get_by_role("button", name="Shut out", exact=True).press("Enter")
        expect(row).to_contain_text("disabled")
        assert browser.get(f"{base}api/session").status_code == 401
    row.get_by_role("button", name="Let in again: olga").press("Enter")
    expect(row).to_contain_text("active")
    expect(page.get_by_role("listitem").filter(has_text="anna")).to_contain_text("This is you.")
    done = [
        row[0] for row in guarded_plant.rows("SELECT action FROM audit WHERE subject = 'olga' AND who LIKE '%anna'")
    ]
    assert done == ["add person", "change role", "disable person", "enable person"]
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=tmp_path / "people-narrow.png", full_page=True)
    assert foreign == faults == []


def test_what_cannot_be_done_is_said_on_the_page(guarded_plant: Plant, browser_page: Page) -> None:
    page = enter(guarded_plant, browser_page, "berta", Role.ADMIN, "/people")
    page.get_by_label("Name", exact=True).fill("two words")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_role("alert")).to_contain_text("'two words' cannot be a name")


def test_an_admin_makes_and_revokes_a_key(guarded_plant: Plant, browser_page: Page, tmp_path: Path) -> None:
    page = enter(guarded_plant, browser_page, "clara", Role.ADMIN, "/keys")
    page.get_by_label("What it is for").fill("billing")
    page.get_by_label("Role").click()
    page.get_by_role("option", name="operator").click()
    page.get_by_label("Only these meters").fill("Room 2")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("It is shown here alone.")).to_be_visible()
    key = page.get_by_label("To copy").input_value()
    page.screenshot(path=tmp_path / "keys.png", full_page=True)
    assert [one["label"] for one in meters(guarded_plant, key).json()["meters"]] == ["Room 2"]
    row = page.get_by_role("listitem").filter(has_text="billing")
    expect(row).to_contain_text("operator, 1 meter, reads only, belongs to nobody")
    row.get_by_role("button", name="Revoke: billing").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_have_count(0)
    assert meters(guarded_plant, key).status_code == 401
    page.get_by_text("Show those that have ended").click()
    expect(row).to_contain_text("revoked")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=tmp_path / "keys-narrow.png", full_page=True)


def test_a_tenant_makes_a_key_for_the_own_meters_alone(guarded_plant: Plant, browser_page: Page) -> None:
    page = enter(guarded_plant, browser_page, "tom", Role.TENANT, "/keys", account(2))
    expect(page.get_by_role("link")).to_have_text(["Overview", "API keys"])
    page.get_by_label("What it is for").fill("my app")
    page.get_by_label("Only these meters").fill("Room 1")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_role("alert")).to_contain_text("'Room 1' is no meter that you see")
    page.get_by_label("Only these meters").fill("")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("It is shown here alone.")).to_be_visible()
    key = page.get_by_label("To copy").input_value()
    assert [one["label"] for one in meters(guarded_plant, key).json()["meters"]] == ["Room 2"]
    for path in ("/people", "/audit", "/alarms", "/quarantine", "/meters"):
        assert page.goto(f"http://127.0.0.1:{guarded_plant.api_port}{path}").status == 403  # type: ignore[union-attr]


def test_an_operator_sees_alarms_with_their_evidence_and_acknowledges_one(
    guarded_plant: Plant, browser_page: Page, tmp_path: Path
) -> None:
    page = enter(guarded_plant, browser_page, "otto", Role.OPERATOR)
    page.screenshot(path=tmp_path / "overview.png", full_page=True)
    page.get_by_role("link", name="Alarms").click()
    row = page.get_by_role("listitem").filter(has_text="rated_power")
    row.get_by_text("Evidence").click()
    expect(row).to_contain_text("import_wh")
    page.screenshot(path=tmp_path / "alarms.png", full_page=True)
    row.get_by_role("button", name="Acknowledge: Room 1").click()
    expect(row).to_contain_text("acknowledged")
    expect(row.get_by_role("button")).to_have_count(0)
    assert guarded_plant.rows("SELECT who FROM audit WHERE action = 'acknowledge alarm'") == [("person otto",)]
    fork = page.get_by_role("listitem").filter(has_text="fork")
    fork.get_by_role("button", name="Close: Room 1").click()
    page.get_by_role("button", name="Close it").click()
    expect(fork).to_have_count(0)
    assert guarded_plant.rows("SELECT who FROM audit WHERE action = 'close alarm'") == [("person otto",)]
    page.get_by_role("link", name="Refused").click()
    expect(page.get_by_role("cell", name="MALFORMED")).to_be_visible()
    page.screenshot(path=tmp_path / "quarantine.png", full_page=True)
    page.get_by_role("link", name="Meters").click()
    page.get_by_label("Find a meter").fill("room 2")
    expect(page.get_by_role("cell", name="Room 1")).to_have_count(0)
    expect(page.get_by_role("cell", name="Room 2")).to_be_visible()
    for place in ("alarms", "quarantine", "meters", ""):
        page.set_viewport_size(PHONE)
        page.goto(f"http://127.0.0.1:{guarded_plant.api_port}/{place}")
        expect(page.get_by_role("link", name="Alarms")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], place
        page.screenshot(path=tmp_path / f"narrow-{place}.png", full_page=True)


def test_facility_staff_see_meters_alarms_and_refusals_and_write_nothing(
    guarded_plant: Plant, browser_page: Page
) -> None:
    page = enter(guarded_plant, browser_page, "fritz", Role.FACILITY, "/alarms")
    expect(page.get_by_role("link")).to_have_text(["Overview", "Meters", "Alarms", "Refused"])
    expect(page.get_by_role("listitem").filter(has_text="rated_power")).to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_an_auditor_reads_and_checks_the_audit_log(guarded_plant: Plant, browser_page: Page, tmp_path: Path) -> None:
    page = enter(guarded_plant, browser_page, "ida", Role.AUDITOR, "/audit")
    expect(page.get_by_role("cell", name="person ida").first).to_be_visible()
    page.get_by_role("button", name="Check the log").click()
    expect(page.get_by_text("rows, whole. Note the head elsewhere")).to_be_visible()
    page.screenshot(path=tmp_path / "audit.png", full_page=True)


def test_a_page_whose_session_has_ended_shows_nothing_more_and_writes_nothing(
    guarded_plant: Plant, browser_page: Page
) -> None:
    page = enter(guarded_plant, browser_page, "vera", Role.ADMIN, "/people")
    page.evaluate(STAY)
    with_people(guarded_plant, "vera", "disable")
    page.get_by_label("Name", exact=True).fill("eve")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_label("Name", exact=True)).to_have_count(0)
    assert guarded_plant.rows("SELECT 1 FROM people WHERE name = 'eve'") == []
    with_people(guarded_plant, "vera", "enable")

    page = enter(guarded_plant, page, "vera", Role.ADMIN, "/")
    page.evaluate(STAY)
    expect(page.get_by_text("Readings stored")).to_be_visible()
    with_people(guarded_plant, "vera", "disable")
    expect(page.get_by_text("Readings stored")).to_have_count(0)


def enter(plant: Plant, page: Page, name: str, role: Role, path: str = "/", owner: bytes | None = None) -> Page:
    """Have *name* choose a password, where they have none yet, and open the page at *path*."""
    base = f"http://127.0.0.1:{plant.api_port}"
    token = with_people(plant, name, "invite", role, owner)
    page.goto(f"{base}/enrol/{token}")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Save and log in").click()
    expect(page.get_by_text(f"{name}, {role}")).to_be_visible()
    if path != "/":
        page.goto(base + path)
    return page


def with_people(
    plant: Plant, name: str, what: str, role: Role = Role.OPERATOR, owner: bytes | None = None
) -> str | None:
    """Do something to a person from the command line's side, and return their link if they got one."""

    async def work() -> str | None:
        database = await Database.open_beside(plant.store)
        try:
            people, actor = People(database), Actor("test", "")
            if what == "disable":
                await people.disable(name, actor)
                return None
            if what == "enable":
                await people.enable(name, actor)
                return None
            if await people.find(name) is not None:
                return await people.renew_link(name, actor)
            return await people.add(name, role, owner, actor)
        finally:
            await database.close()

    with ThreadPoolExecutor() as aside:  # the browser's own event loop runs in this thread
        return aside.submit(lambda: asyncio.run(work())).result()


def meters(plant: Plant, key: str) -> httpx.Response:
    base = f"http://127.0.0.1:{plant.api_port}"
    return httpx.get(f"{base}/api/meters", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
