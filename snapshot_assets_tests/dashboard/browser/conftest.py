"""A page of Chromium, and the dashboard that it opens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from snapshot_assets_tests.dashboard.browser.browsing import opened
from snapshot_assets_tests.support.world import World

# As in opened(): a loaded machine needs more than the usual 5 s.
expect.set_options(timeout=60_000)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with opened(chromium) as found:
        yield found


@pytest.fixture
def site(world: World) -> Iterator[str]:
    with world.site() as address:
        yield address
