"""What the kernel counted, in a headless Chromium: the line, its colour, its words."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from snapshot_assets.domain.time import bucket_start
from snapshot_assets_tests.dashboard.browser.browsing import opened, wait_painted
from snapshot_assets_tests.support.world import NOW, World, counted, use

END = bucket_start(NOW)
STARTS = range(END - 3_600, END, 300)
PATHS = {"overview": "?range=1h", "consumers": "users?range=1h"}
WORDS = "whole machine (kernel)"


@pytest.fixture
def world(empty_world: World) -> World:
    """One host: 3 of 6 busy cores are in users' figures; for ten minutes the kernel is silent."""
    one = use({("ana", "R"): 2.0, ("ben", "R"): 1.0}, {("ana", "R"): 8.0})
    machines = {start: counted(6.0, 8, 8.5, 64) for start in STARTS if start not in STARTS[4:6]}
    empty_world.write("alice", dict.fromkeys(STARTS, one), machines)
    return empty_world


def lines(page: Page) -> list[str]:
    """The colour of each line of the kernel's count that is painted, as CSS tells it."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot [class*="tracemachine"] .js-line')]
        .filter(path => path.getBoundingClientRect().width > 20)
        .map(path => getComputedStyle(path).stroke)"""
    )
    return found


@pytest.mark.parametrize(("path", "count"), [("overview", 4), ("consumers", 2)])
@pytest.mark.parametrize(("theme", "ink"), [("light", (26, 33, 41)), ("dark", (230, 234, 239))])
def test_the_line_has_the_colour_of_text_and_stops_where_the_kernel_was_silent(
    site: str, chromium: Browser, path: str, count: int, theme: str, ink: tuple[int, ...]
) -> None:
    with opened(chromium, color_scheme=theme) as page:
        page.goto(f"{site}{PATHS[path]}")
        wait_painted(page, path)
        page.wait_for_selector('[class*="tracemachine"] .js-line', state="attached")
        assert lines(page) == [f"rgb({', '.join(map(str, ink))})"] * count
        expect(page.locator(f"#page-{path} .legend").last).to_contain_text(WORDS)


def test_the_tooltip_of_a_card_says_how_much_is_in_no_users_figures(site: str, page: Page) -> None:
    page.goto(f"{site}{PATHS['overview']}")
    wait_painted(page, "overview")
    expect(page.locator(".card .numbers")).to_contain_text("3 / 8 cores")
    expect(page.locator(".card .numbers")).to_contain_text("8 / 64 GB")
    page.locator(".card .chart").focus()
    tooltip = page.locator("#tooltip")
    page.keyboard.press("ArrowLeft")
    expect(tooltip).to_contain_text(f"{WORDS}: 6 cores, 8.5 GB")
    expect(tooltip).to_contain_text("3 cores in no user's figures: no snapshot saw it")
    expect(tooltip).not_to_contain_text("GB in no user's figures")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    expect(tooltip).to_contain_text("ana")
    expect(tooltip).not_to_contain_text("kernel")


def test_the_tooltip_of_a_stack_says_it_too(site: str, page: Page) -> None:
    page.goto(f"{site}{PATHS['consumers']}")
    wait_painted(page, "consumers")
    box = page.locator("#consumers-chart .nsewdrag").first.bounding_box()
    assert box is not None
    tooltip = page.locator("#tooltip")
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    expect(tooltip).to_contain_text(re.compile(r"together\s*3"))
    expect(tooltip).to_contain_text(re.compile(rf"{re.escape(WORDS)}\s*6"))
    expect(tooltip).to_contain_text("3 cores in no user's figures")
    page.mouse.move(box["x"] + box["width"] * 0.37, box["y"] + box["height"] / 2)
    expect(tooltip).not_to_contain_text("kernel")
    expect(tooltip).to_contain_text("together")


def test_right_now_marks_in_a_meter_what_the_kernel_counted(site: str, page: Page) -> None:
    page.goto(f"{site}now")
    mark = page.locator(".meter-cores .machine")
    expect(mark).to_have_count(1)
    place = mark.evaluate(
        """mark => {
        const bar = mark.parentNode.getBoundingClientRect();
        return (mark.getBoundingClientRect().right - bar.left) / bar.width; }"""
    )
    assert place == pytest.approx(6 / 8, abs=0.02)
    expect(page.locator(".host-now")).to_contain_text(f"{WORDS}: 6 cores, 8.5 GB")
    expect(page.locator("#page-now .legend")).to_contain_text(WORDS)
