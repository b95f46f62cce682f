"""Ranges, zones and links, in a headless Chromium."""

from __future__ import annotations

import datetime as dt
import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from snapshot_assets_tests.dashboard.browser.browsing import (
    drawn,
    query,
    segment,
    wait_painted,
)
from snapshot_assets_tests.support.world import (
    World,
    use,
)


def test_ranges_zones_and_the_way_back(site: str, page: Page) -> None:
    page.goto(site)
    wait_painted(page, "overview")
    count = page.locator("#overview-count")
    expect(count).to_have_text("3 hosts, 19 Nov, 15:35 – 20 Nov 2026, 15:35 CET")
    expect(page.locator("#zone")).to_have_attribute("placeholder", "Europe/Berlin")
    segment(page, "quick", "1 h").click()
    expect(count).to_have_text("3 hosts, 20 Nov 2026, 14:35 – 15:35 CET")
    page.locator("#zone").fill("Asia/Kathmandu")
    page.locator("#zone").press("Enter")
    expect(count).to_have_text("3 hosts, 20 Nov 2026, 19:20 – 20:20 UTC+05:45")
    assert query(page) == {"range": ["1h"], "tz": ["Asia/Kathmandu"]}
    page.go_back()
    expect(count).to_have_text("3 hosts, 20 Nov 2026, 14:35 – 15:35 CET")
    expect(page.locator("#zone")).to_have_value("")
    page.go_back()
    expect(segment(page, "quick", "24 h")).to_have_class(re.compile("selected"))
    page.go_forward()
    expect(segment(page, "quick", "1 h")).to_have_class(re.compile("selected"))
    expect(count).to_contain_text("14:35 – 15:35 CET")
    segment(page, "quick", "7 d").click()
    expect(count).to_contain_text("13 Nov, 15:35")
    assert page.evaluate("document.querySelector('.card .chart').data[0].dx") == 3_600_000


def test_a_custom_range_is_typed_in_the_viewers_zone(site: str, page: Page) -> None:
    page.goto(site)
    wait_painted(page, "overview")
    page.locator("#custom summary").click()
    page.locator("#custom-from").fill("2026-11-20 25:00")
    page.locator("#custom-show").click()
    expect(page.locator("#custom-note")).to_contain_text("25:00")
    page.locator("#custom-from").fill("2026-11-20 12:00")
    page.locator("#custom-to").fill("2026-11-20 14:30")
    page.locator("#custom-to").press("Enter")
    expect(page.locator("#overview-count")).to_have_text("3 hosts, 20 Nov 2026, 12:00 – 14:30 CET")
    assert query(page) == {"from": ["2026-11-20T11:00Z"], "to": ["2026-11-20T13:30Z"]}
    expect(page.locator("#quick .selected")).to_have_count(0)
    expect(page.locator("#custom-note")).to_be_empty()
    page.reload()
    expect(page.locator("#custom-from")).to_have_value("2026-11-20 12:00")
    expect(page.locator("#custom-to")).to_have_value("2026-11-20 14:30")
    segment(page, "quick", "6 h").click()
    expect(page.locator("#overview-count")).to_contain_text("09:35 – 15:35 CET")
    assert query(page) == {"range": ["6h"]}


def test_errors_in_a_hand_edited_link_are_reported(site: str, page: Page) -> None:
    page.goto(f"{site}users?range=1y&tz=Mars&host=nobody&from=x")
    notes = page.locator("#notes-consumers")
    for reported in ("range=1y", "tz=Mars", "'nobody'", "from=x"):
        expect(notes).to_contain_text(reported)
    page.goto(f"{site}no/such/page")
    expect(page.locator("#notes-overview")).to_contain_text("There is no page")


@pytest.mark.parametrize(
    ("day", "first", "labels"),
    [
        ("2026-10-25", "2026-10-24T22:00Z", ["02:30 CEST", "02:00 CET", "03:00"]),
        ("2026-03-29", "2026-03-28T23:00Z", ["01:30", "03:00 CEST"]),
    ],
)
def test_the_days_on_which_clocks_change(
    world: World, site: str, page: Page, day: str, first: str, labels: list[str]
) -> None:
    start = int(dt.datetime.fromisoformat(first).timestamp())
    hours = 25 if day == "2026-10-25" else 23
    world.write(
        "clock",
        {
            start + i * 300: use({("ana", "tick"): 1.0 + i // 12}, settled=True)
            for i in range(hours * 12)
        },
    )
    page.goto(f"{site}?{urlencode({'from': f'{day}T00:00Z', 'to': f'{day}T02:30Z'})}&find=clock")
    wait_painted(page, "overview")
    axis = page.locator(".card .xtick").all_text_contents()
    assert [label for label in axis if label in labels] == labels, axis
    page.goto(f"{site}?{urlencode({'from': first, 'to': f'{day}T22:00Z'})}&find=clock")
    wait_painted(page, "overview")
    values = drawn(page, "clock")
    written = [1.0 + i // 12 for i in range(hours * 12)]
    assert values == [*written[: len(values) - 1], None]
    page.locator("#custom summary").click()
    page.locator("#custom-from").fill(f"{day} 02:30")
    page.locator("#custom-to").fill(f"{day} 05:00")
    page.locator("#custom-show").click()
    if hours == 23:
        expect(page.locator("#custom-note")).to_contain_text("does not exist")
    else:
        page.wait_for_url(re.compile("from=2026-10-25T00%3A30Z&to=2026-10-25T04%3A00Z"))
