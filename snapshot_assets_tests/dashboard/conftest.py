"""A world on the shared Redis, and one headless Chromium for each module that wants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from snapshot_assets_tests.support.servers import Redis, find_program
from snapshot_assets_tests.support.world import World, fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def world(redis_server: Redis) -> World:
    """Three hosts, 26 hours."""
    made = World(redis_server)
    fill(made)
    return made


@pytest.fixture
def empty_world(redis_server: Redis) -> World:
    """A Redis without anything."""
    return World(redis_server)


# Of a module, not of the session: while it lives, the thread has a running event loop, in which
# other tests could not run theirs.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium", "chromium-browser", "google-chrome"),
            # Root, as in a container, has no sandbox.
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()
