"""Pages in a headless Chromium, and what they show."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page

from snapshot_assets_tests.support.world import (
    World,
)

ZONE = "Europe/Berlin"
PATHS = ("", "users", "commands", "statement", "now")


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a context of its own; errors in its console fail the test."""
    expected = options.pop("expected", None)
    context = browser.new_context(
        timezone_id=ZONE, locale="en-GB", viewport={"width": 1280, "height": 900}, **options
    )
    # A loaded machine may need many seconds for a page.
    context.set_default_timeout(60_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    try:
        yield page
    finally:
        context.close()
    unexpected = [e for e in errors if not (expected and re.search(expected, e))]
    assert not unexpected, unexpected


def wait_painted(page: Page, what: str) -> None:
    page.wait_for_function("what => document.body.dataset.paintedPage === what", arg=what)


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def segment(page: Page, group: str, text: str) -> Any:
    return page.locator(f"#{group} label", has_text=re.compile(f"^{re.escape(text)}$"))


def drawn(page: Page, host: str) -> list[float | None]:
    """The CPU points that a card's chart holds."""
    found: list[float | None] = page.evaluate(
        """host => { const card = [...document.querySelectorAll('.card')]
        .find(card => card.querySelector('h2').textContent === host);
        return card.querySelector('.chart').data[0].y; }""",
        host,
    )
    return found


def hosts_shown(page: Page) -> list[str]:
    return page.locator(".card h2").all_inner_texts()


def documents(world: World, host: str, hours: float) -> dict[int, Any]:
    end = dt.datetime.fromtimestamp(world.clock.now, dt.UTC)
    with world.reader() as reader:
        return dict(reader.get_data(host, end - dt.timedelta(hours=hours), end))
