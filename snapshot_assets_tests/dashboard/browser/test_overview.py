"""The overview as people use it: in a headless Chromium, on a real Redis, through waitress."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets_tests.dashboard.browser.browsing import (
    documents,
    drawn,
    hosts_shown,
    opened,
    query,
    segment,
    wait_painted,
)
from snapshot_assets_tests.support.world import (
    HOSTILE_HOST,
    World,
)


def test_the_overview_shows_what_the_reader_says(world: World, site: str, page: Page) -> None:
    page.goto(f"{site}?range=6h")
    wait_painted(page, "overview")
    assert sorted(hosts_shown(page)) == sorted([HOSTILE_HOST, "alice", "bob"])
    found = documents(world, "alice", 6)
    values = drawn(page, "alice")
    first = page.evaluate("document.querySelector('.card .chart').data[0].x0")
    start = int(dt.datetime.fromisoformat(first + "Z").timestamp())
    for i, value in enumerate(values[:-1]):
        document = found.get(start + i * BUCKET_SECONDS)
        if document is None:
            assert value is None
        else:
            assert value == pytest.approx(document["cpu"]["command"]["cpu_norm"], abs=0.01)
    assert sum(value is not None for value in values) == len(found) == 71
    newest = found[max(found)]
    cores = f"{newest['cpu']['command']['cpu_norm']:.3g} cores"
    expect(page.locator(".card", has_text="alice").locator(".numbers")).to_contain_text(cores)
    expect(page.locator("#freshness")).to_have_text("data up to 15:30 CET")


def test_the_tooltip_shows_who_used_the_host(world: World, site: str, page: Page) -> None:
    page.goto(f"{site}?range=6h")
    wait_painted(page, "overview")
    chart = page.locator(".card", has_text="alice").locator(".chart")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    tooltip = page.locator("#tooltip")
    expect(tooltip).to_contain_text("dora")
    heading = tooltip.locator("strong").inner_text()
    clock = re.search(r"(\d\d):(\d\d) –", heading)
    assert clock, heading
    start = dt.datetime(2026, 11, 20, int(clock[1]) - 1, int(clock[2]), tzinfo=dt.UTC)
    document = documents(world, "alice", 7)[int(start.timestamp())]
    rows = [row.split("\t") for row in tooltip.locator("table").first.inner_text().splitlines()]
    reported = {row[0]: float(row[1]) for row in rows[1:]}
    assert reported == {
        "dora": 0,
        **{
            entry["username"]: pytest.approx(entry["cpu_norm"], abs=0.05)
            for entry in document["cpu"]["user"]
        },
    }
    page.mouse.move(5, 5)
    expect(tooltip).to_be_hidden()


def test_cards_are_read_by_keyboard(site: str, page: Page) -> None:
    page.goto(f"{site}?range=6h&find=bob")
    wait_painted(page, "overview")
    page.locator(".card .chart").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tooltip")).to_contain_text("0 cores")
    expect(page.locator("#tooltip")).to_contain_text("No user is above the thresholds")
    first = page.locator("#tooltip strong").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tooltip strong")).not_to_have_text(first)
    page.keyboard.press("Escape")
    expect(page.locator("#tooltip")).to_be_hidden()


def test_gaps_idle_and_live_are_drawn_differently(site: str, page: Page) -> None:
    page.goto(site)
    wait_painted(page, "overview")
    traces = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('.card')].map(card => [
        card.querySelector('h2').textContent,
        card.querySelector('.chart').data.map(trace => trace.name).filter(Boolean)]))"""
    )
    assert traces == {
        "bob": ["gap", "live"],
        "alice": ["live"],
        HOSTILE_HOST: ["live"],
    }
    legend = page.locator("#page-overview .legend")
    for word in ("gap", "idle", "live", "no longer kept", "capacity"):
        expect(legend).to_contain_text(word)


def test_sort_find_and_pin_are_in_the_link(site: str, page: Page, chromium: Browser) -> None:
    page.goto(site)
    wait_painted(page, "overview")
    assert hosts_shown(page) == ["alice", "bob", HOSTILE_HOST], "by load"
    segment(page, "sort", "Name").click()
    expect(page.locator(".card h2").first).to_have_text("alice")
    assert query(page) == {"sort": ["name"]}
    page.get_by_role("button", name="Pin bob").click()
    expect(page.locator(".card h2").first).to_have_text("bob")
    page.locator("#find").press_sequentially("B")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#overview-count")).to_contain_text("2 of 3 hosts")
    expect(page.locator("#find")).to_be_focused()
    assert query(page) == {"sort": ["name"], "pin": ["bob"], "find": ["B"]}
    with opened(chromium) as other:
        other.goto(page.url)
        wait_painted(other, "overview")
        assert hosts_shown(other) == hosts_shown(page) == ["bob", HOSTILE_HOST]
        expect(other.locator("#find")).to_have_value("B")
        expect(segment(other, "sort", "Name")).to_have_class(re.compile("selected"))
    page.get_by_role("button", name="Pin bob").click()
    expect(page.get_by_role("button", name="Pin bob")).to_have_attribute("aria-pressed", "false")


def test_a_drag_over_a_chart_zooms_and_back_leaves(site: str, page: Page) -> None:
    page.goto(site)
    wait_painted(page, "overview")
    box = page.locator(".card .chart").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 52, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile("from="))
    zoomed = query(page)
    start, end = (dt.datetime.fromisoformat(zoomed[name][0]).timestamp() for name in ("from", "to"))
    assert 5 * 3600 < end - start < 8 * 3600
    expect(page.locator("#overview-count")).not_to_contain_text("19 Nov, 15:35")
    page.go_back()
    expect(page.locator("#overview-count")).to_contain_text("19 Nov, 15:35")
