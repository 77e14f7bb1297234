"""The way in and what each role finds there, in a real browser."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.gateway.api.test_gate import enrolment_link, require_login
from tests.gateway.dashboard.test_page import is_foreign
from tests.gateway.plant import EPOCH_S, Plant, account, wait_for
from tests.gateway.test_run import run

PASSWORD = "correct horse battery"


def test_an_admin_enrols_logs_out_and_logs_in_again(plant: Plant, browser_page: Page, tmp_path: Path) -> None:
    require_login(plant)
    plant.start()
    page, base = browser_page, f"http://127.0.0.1:{plant.api_port}/"
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, base) else None)
    page.goto(base)
    expect(page).to_have_url(base + "login")
    page.goto(enrolment_link(plant))
    expect(page.get_by_text("no admin yet")).to_be_visible()
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.screenshot(path=tmp_path / "enrolment.png")
    page.get_by_role("button", name="Save and log in").click()
    expect(_tile(page, "Readings stored")).to_contain_text("0")
    expect(page.get_by_text("anna, admin")).to_be_visible()

    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(base + "login")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill("wrong horse battery")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("anna")
    page.screenshot(path=tmp_path / "wrong.png")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(_tile(page, "Readings stored")).to_contain_text("0")
    assert foreign == []


def test_a_tenants_page_shows_the_own_meter_and_ends_with_the_right_to_see_it(
    plant: Plant, browser_page: Page, tmp_path: Path
) -> None:
    require_login(plant)
    plant.start()
    epoch = int(time.time()) // EPOCH_S - 4
    for pen in plant.pens:
        sent = [pen.sign(epoch=epoch + number, r180=50_000 + 125 * number) for number in range(4)]
        plant.line(pen.meter_id.hex()).send(pen.topic, *sent)
    wait_for(lambda: plant.stored() == 8, "the readings")
    added = run("user", "add", "tom", "--role", "tenant", "--account", account(2).hex(), "--config", str(plant.config))
    page = browser_page
    page.goto(added.stdout.strip())
    expect(page.get_by_text("Welcome, tom. Your role here is tenant.")).to_be_visible()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Save and log in").click()

    expect(_tile(page, "Your meters heard")).to_contain_text("of 1")
    expect(_tile(page, "Imported")).to_contain_text("0.125 kWh")
    expect(page.get_by_role("cell", name="Room 2").first).to_be_visible()
    for absent in ("Room 1", "Readings stored", "Ledger nodes", "Needs attention", "matched"):
        expect(page.get_by_text(absent)).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="intervals").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 4
    assert all(line.startswith(plant.pens[1].meter_id.hex()) for line in lines[1:])
    page.screenshot(path=tmp_path / "tenant.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=tmp_path / "tenant-narrow.png", full_page=True)

    assert run("user", "disable", "tom", "--config", str(plant.config)).returncode == 0
    page.wait_for_url("**/login")


def test_a_page_without_a_login_says_so(plant: Plant, browser_page: Page) -> None:
    plant.start()
    browser_page.goto(f"http://127.0.0.1:{plant.api_port}/")
    expect(browser_page.get_by_text("No login: for this machine alone")).to_be_visible()
    expect(browser_page.get_by_role("button", name="Log out")).to_have_count(0)


def _tile(page: Page, title: str) -> Locator:
    return page.locator(".cg-tile", has_text=title)
