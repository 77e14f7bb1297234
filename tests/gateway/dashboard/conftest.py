from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from provisioning.toolchain.browser import find_chromium


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
    yield context.new_page()
    context.close()
