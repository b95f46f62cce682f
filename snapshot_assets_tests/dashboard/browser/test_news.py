"""New data, old data, no data and outages, in a headless Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start
from snapshot_assets_tests.dashboard.browser.browsing import (
    PATHS,
    drawn,
    opened,
    wait_painted,
)
from snapshot_assets_tests.support.world import (
    NOW,
    World,
    fill,
    use,
)


def test_a_new_bucket_appears_by_itself_and_takes_nothing_away(
    world: World, site: str, page: Page
) -> None:
    page.goto(f"{site}?range=1h")
    wait_painted(page, "overview")
    page.locator("#find").fill("al")
    expect(page.locator(".card")).to_have_count(1)
    before = drawn(page, "alice")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(1_500)
    assert requests, "it polls"
    assert all(url.endswith("/pulse") for url in requests), "and asks nothing else without news"
    world.clock.now = NOW + BUCKET_SECONDS
    world.write("alice", {bucket_start(NOW): use({("ana", "python"): 33.0})})
    page.wait_for_function(
        """() => document.querySelector('.card .chart').data[0].y.includes(33)"""
    )
    after = drawn(page, "alice")
    assert after[:-3] == before[1:-2]
    expect(page.locator("#freshness")).to_have_text("data up to 15:35 CET")
    expect(page.locator("#find")).to_be_focused()
    expect(page.locator("#find")).to_have_value("al")


def test_a_lost_redis_is_reported_and_comes_back_by_itself(world: World, chromium: Browser) -> None:
    with (
        world.site() as site,
        opened(chromium, expected="503|Failed to load resource") as page,
    ):
        page.goto(f"{site}?range=6h")
        wait_painted(page, "overview")
        before = drawn(page, "alice")
        with world.redis.stopped():
            expect(page.locator("#banner")).to_contain_text("does not answer")
            assert drawn(page, "alice") == before, "the charts stay"
            page.get_by_role("link", name="Users").click()
            expect(page.locator("#notes-consumers")).to_contain_text("does not answer")
        fill(world)
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("#consumers-title")).to_contain_text("Users on all 3 hosts")
        expect(page.locator("#notes-consumers")).to_be_empty()


def test_old_data_is_shown_as_old(world: World, site: str, page: Page) -> None:
    world.clock.now = NOW + 3 * 3600
    page.goto(f"{site}now")
    expect(page.locator("#banner")).to_contain_text("No new data for 3 h 2 min")
    expect(page.locator(".host-now.silent")).to_have_count(3)


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_store_is_a_page_that_says_so(
    empty_world: World, chromium: Browser, path: str
) -> None:
    # The page closes before the site: its next poll would fail.
    with empty_world.site() as site, opened(chromium) as page:
        page.goto(site + path)
        said = re.compile("There is no data|No data yet|No user is listed")
        expect(page.locator("main")).to_contain_text(said)
        expect(page.locator("#freshness")).to_have_text("no data yet")
