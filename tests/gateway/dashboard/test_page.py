"""The dashboard in a real browser: what is there, live, wide and narrow, and without the internet."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.gateway.plant import Plant, wait_for


def test_the_page_shows_live_readings_and_needs_no_other_server(
    plant: Plant, browser_page: Page, tmp_path: Path
) -> None:
    pen = plant.pens[0]
    foreign: list[str] = []
    own = f"http://127.0.0.1:{plant.api_port}/"
    browser_page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, own) else None)
    plant.start()
    line = plant.line(pen.meter_id.hex())
    browser_page.goto(own)
    expect(browser_page.get_by_text("campusgrid gateway")).to_be_visible()
    expect(_tile(browser_page, "Readings stored")).to_contain_text("0")
    expect(_tile(browser_page, "Ledger height")).to_contain_text("no node answers")

    line.send(pen.topic, pen.sign(r180=1_234_567), pen.sign(r180=1_234_567, r1670=-870), b"nonsense")
    wait_for(lambda: plant.stored() == 2, "two readings")

    expect(_tile(browser_page, "Readings stored")).to_contain_text("2")
    expect(_tile(browser_page, "Meters heard")).to_contain_text("of 2")
    expect(browser_page.get_by_role("cell", name="1\u202f234.567 kWh")).to_be_visible()
    expect(browser_page.get_by_role("cell", name="\u2212870 W")).to_be_visible()
    expect(browser_page.get_by_text("MALFORMED")).to_be_visible()
    browser_page.screenshot(path=tmp_path / "wide.png", full_page=True)
    browser_page.set_viewport_size({"width": 390, "height": 800})
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 390
    browser_page.screenshot(path=tmp_path / "narrow.png", full_page=True)
    assert foreign == []


def _tile(page: Page, title: str) -> Locator:
    return page.locator(".cg-tile", has_text=title)


def is_foreign(url: str, own: str) -> bool:
    return not url.startswith((own, own.replace("http", "ws"), "data:", "blob:"))
