"""A real Chromium without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's browser, or else the browser that `playwright install chromium` has fetched."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, path: Path, **settings: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page from a file, offline; yield it with its console messages, requests and errors."""
    context = browser.new_context(offline=True, **settings)
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: None if request.url.startswith("file:") else said.append(f"request: {request.url}"))
    page.goto(path.as_uri())
    yield page, said
    context.close()


def drawn(page: Page) -> None:
    """Draw every chart by its script, by scrolling through the page."""
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
    for place in page.locator(".plot[data-figure]").all():
        place.scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelectorAll('.plot[data-figure]').length === document.querySelectorAll('.plot[data-live]').length"
    )
