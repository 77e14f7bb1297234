from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from provisioning.toolchain.browser import find_chromium
from tests.gateway.plant import BOUND_S

expect.set_options(timeout=BOUND_S * 1000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A real browser for all tests of this folder."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(find_chromium()), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that knows nothing of earlier tests."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(BOUND_S * 1000)
    yield context.new_page()
    context.close()
