"""The pages as people use them: in a headless Chromium, on a real Redis, through waitress."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start
from snapshot_assets_tests.dashboard.world import (
    HOSTILE_COMM,
    HOSTILE_HOST,
    HOSTILE_USER,
    NOW,
    World,
    fill,
    use,
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
    context.set_default_timeout(15_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    try:
        yield page
    finally:
        context.close()
    assert [e for e in errors if not (expected and re.search(expected, e))] == []


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with opened(chromium) as found:
        yield found


@pytest.fixture
def site(world: World) -> Iterator[str]:
    with world.site() as address:
        yield address


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


def test_the_tooltip_tells_who_it_was(world: World, site: str, page: Page) -> None:
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
    told = {row[0]: float(row[1]) for row in rows[1:]}
    assert told == {
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
    expect(page.locator("#tooltip")).to_contain_text("Nobody above the thresholds")
    first = page.locator("#tooltip strong").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tooltip strong")).not_to_have_text(first)
    page.keyboard.press("Escape")
    expect(page.locator("#tooltip")).to_be_hidden()


def test_gaps_idle_and_provisional_are_drawn_differently(site: str, page: Page) -> None:
    page.goto(site)
    wait_painted(page, "overview")
    traces = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('.card')].map(card => [
        card.querySelector('h2').textContent,
        card.querySelector('.chart').data.map(trace => trace.name).filter(Boolean)]))"""
    )
    assert traces == {
        "bob": ["gap", "provisional"],
        "alice": ["provisional"],
        HOSTILE_HOST: ["provisional"],
    }
    legend = page.locator("#page-overview .legend")
    for word in ("gap", "idle", "provisional", "no longer kept", "capacity"):
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


def test_users_are_filtered_by_clicks_and_by_links(site: str, page: Page) -> None:
    page.goto(f"{site}users?range=6h")
    wait_painted(page, "consumers")
    title = page.locator("#consumers-title")
    expect(title).to_have_text("Users on all 3 hosts, 20 Nov 2026, 09:35 – 15:35 CET")
    page.locator("#consumers-table a", has_text="ana").click()
    expect(title).to_contain_text("Commands of user ana on all 3 hosts")
    assert query(page) == {"range": ["6h"], "user": ["ana"]}
    page.locator("#consumers-legend button", has_text="bwa").click()
    expect(title).to_contain_text("Users running bwa on all 3 hosts")
    assert urlsplit(page.url).path.endswith("/commands")
    page.locator("#chips button", has_text="command bwa").click()
    expect(title).to_contain_text("Commands on all 3 hosts")
    page.locator("#add-host").fill("bob")
    page.locator("#add-host").press("Enter")
    expect(title).to_contain_text("Commands on bob")
    expect(page.locator("#add-host")).to_have_value("")
    page.locator("#chips button", has_text="bob").click()
    expect(title).to_contain_text("on all 3 hosts")
    segment(page, "measure", "Memory").click()
    expect(page.locator("#consumers-chart .ytitle")).to_have_text("GB")
    page.go_back()
    page.go_back()
    expect(title).to_contain_text("Commands on bob")


def test_a_click_into_the_chart_filters(site: str, page: Page) -> None:
    page.goto(f"{site}users?range=6h&host=alice")
    wait_painted(page, "consumers")
    box = page.locator("#consumers-chart .nsewdrag").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 12
    page.mouse.move(x, y)
    tooltip = page.locator("#tooltip")
    expect(tooltip).to_contain_text("together")
    page.mouse.click(x, y)
    expect(page.locator("#consumers-title")).to_contain_text("Commands of user ana on alice")


def test_the_table_is_the_readers_and_downloads_without_formulas(
    world: World, site: str, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{site}commands?range=6h")
    wait_painted(page, "consumers")
    hours: dict[str, float] = {}
    for host in world.written:
        for document in documents(world, host, 6).values():
            share = document["meta"]["coverage"] * BUCKET_SECONDS / 3600
            for entry in document["cpu"]["user"]:
                hours[entry["comm"]] = hours.get(entry["comm"], 0) + entry["cpu_norm"] * share
    table = page.locator("#consumers-table")
    expect(table.locator(".ag-center-cols-container .ag-row")).to_have_count(len(hours) + 2)
    with page.expect_download() as downloading:
        page.locator("#table-download").click()
    file = tmp_path / "table.csv"
    downloading.value.save_as(file)
    rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    told = {row["Command"]: float(row["Core-hours"]) for row in rows}
    assert told.pop("(other)") == pytest.approx(0.25 * 71 / 12)
    assert told.pop("MATLAB") == 0
    assert told.pop(f"'{HOSTILE_COMM}") == pytest.approx(hours.pop(HOSTILE_COMM), rel=1e-5)
    assert told == pytest.approx(hours, rel=1e-5)
    page.locator("#table-find").fill("jul")
    expect(table.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    expect(table.locator("a")).to_have_text("julia")
    page.locator("#table-find").fill("")
    expect(table.locator(".ag-center-cols-container .ag-row")).to_have_count(8)
    table.locator(".ag-header-cell", has_text="Peak GB").click()
    first = table.locator(".ag-pinned-left-cols-container .ag-row[row-index='0']")
    expect(first).to_have_text("julia")
    assert query(page) == {"range": ["6h"], "order": ["gb_peak"]}
    table.locator(".ag-header-cell", has_text="Peak GB").click()
    expect(first).to_have_text("python")
    page.locator("#table-find").fill("r")
    page.wait_for_url(re.compile("search=r"))
    page.reload()
    expect(table.locator(".ag-center-cols-container .ag-row")).to_have_count(3)
    expect(page.locator("#table-find")).to_have_value("r")
    assert query(page) == {"range": ["6h"], "order": ["-gb_peak"], "search": ["r"]}
    expect(table.locator(".ag-header-cell", has_text="Peak GB")).to_have_attribute(
        "aria-sort", "descending"
    )


def test_a_statement_is_chosen_and_adds_up(
    world: World, site: str, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{site}statement")
    page.locator("#statement-summary a", has_text="ana").click()
    expect(page.locator("#statement-summary h2")).to_have_text("ana, November 2026")
    total = 0.0
    for host in ("alice", "bob"):
        for document in documents(world, host, 27).values():
            total += sum(
                entry["cpu_norm"] * document["meta"]["coverage"] / 12
                for entry in document["cpu"]["user"]
                if entry["username"] == "ana"
            )
    expect(page.locator("#statement-summary dd").first).to_have_text(f"{total:,.1f}")
    assert query(page) == {"user": ["ana"]}
    with page.expect_download() as downloading:
        page.locator("#statement-download").click()
    file = tmp_path / "statement.csv"
    downloading.value.save_as(file)
    assert downloading.value.suggested_filename == "statement-ana-2026-11.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    assert sum(float(row["Core-hours"]) for row in rows) == pytest.approx(total)
    assert {(row["Host"], row["Command"]) for row in rows} == {("alice", "python"), ("bob", "bwa")}
    page.get_by_role("link", name="October 2026").click()
    expect(page.locator("#notes-statement")).to_contain_text("Nothing is listed")
    page.locator("#statement-user").fill("ben")
    page.locator("#statement-user").press("Enter")
    expect(page.locator("#statement-summary h2")).to_have_text("ben, October 2026")
    page.get_by_role("link", name="November 2026").click()
    expect(page.locator("#statement-table .ag-center-cols-container .ag-row")).to_have_count(1)


def test_right_now_leads_to_who_it_is(site: str, page: Page) -> None:
    page.goto(f"{site}now")
    alice = page.locator(".host-now", has=page.locator("h3", has_text="alice"))
    expect(alice).to_contain_text("96 GB")
    expect(alice.locator("li").first).to_contain_text("python")
    alice.get_by_role("link", name="chen").click()
    expect(page.locator("#consumers-title")).to_contain_text("Commands of user chen on alice")


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


def test_a_lost_redis_is_told_and_comes_back_by_itself(world: World, chromium: Browser) -> None:
    with (
        world.site() as site,
        opened(chromium, expected="503|Failed to load resource") as page,
    ):
        page.goto(f"{site}?range=6h")
        wait_painted(page, "overview")
        before = drawn(page, "alice")
        world.redis.stop()
        try:
            expect(page.locator("#banner")).to_contain_text("does not answer")
            assert drawn(page, "alice") == before, "the charts stay"
            page.get_by_role("link", name="Users").click()
            expect(page.locator("#notes-consumers")).to_contain_text("does not answer")
        finally:
            world.redis.start()
        fill(world)
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("#consumers-title")).to_contain_text("Users on all 3 hosts")
        expect(page.locator("#notes-consumers")).to_be_empty()


def test_old_data_is_told_as_old(world: World, site: str, page: Page) -> None:
    world.clock.now = NOW + 3 * 3600
    page.goto(f"{site}now")
    expect(page.locator("#banner")).to_contain_text("Nothing new for 3 h 2 min")
    expect(page.locator(".host-now.silent")).to_have_count(3)


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_store_is_a_page_that_says_so(empty_world: World, page: Page, path: str) -> None:
    with empty_world.site() as site:
        page.goto(site + path)
        said = re.compile("Nothing is known|Nothing yet|Nobody is listed")
        expect(page.locator("main")).to_contain_text(said)
        expect(page.locator("#freshness")).to_have_text("no data yet")


def test_a_hand_edited_link_says_what_it_does_not_understand(site: str, page: Page) -> None:
    page.goto(f"{site}users?range=1y&tz=Mars&host=nobody&from=x")
    notes = page.locator("#notes-consumers")
    for told in ("range=1y", "tz=Mars", "'nobody'", "from=x"):
        expect(notes).to_contain_text(told)
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


def test_hostile_names_are_shown_as_text(site: str, page: Page) -> None:
    for path in ("", "users", f"users?{urlencode({'user': HOSTILE_USER})}", "now", "statement"):
        page.goto(site + path)
        shown = HOSTILE_HOST if path == "" else HOSTILE_USER
        expect(page.locator("main")).to_contain_text(shown)
        assert page.title() == "Who uses which machine"
        assert page.locator("main img").count() == 0
    page.goto(f"{site}?find=web&range=1h".replace("web", "we%22b"))
    wait_painted(page, "overview")
    box = page.locator(".card .chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    expect(page.locator("#tooltip")).to_contain_text(HOSTILE_USER)
    expect(page.locator("#tooltip")).to_contain_text("looked at 80 %")
    assert page.locator("#tooltip img").count() == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(world: World, chromium: Browser, path: str, scheme: Any) -> None:
    with world.site() as site, opened(chromium, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(site + path)
        expect(page.locator("main")).to_contain_text(re.compile("alice|ana|python"))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.locator("#theme").click()
        other = {"light": "dark", "dark": "light"}[scheme]
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == other


def test_texts_have_contrast_and_controls_have_names(site: str, page: Page) -> None:
    for path in PATHS:
        page.goto(site + path)
        expect(page.locator("main")).to_contain_text(re.compile("alice|ana|python"))
        for _ in ("light", "dark"):
            page.locator("#theme").click()
            theme = page.evaluate("document.documentElement.dataset.theme")
            assert page.evaluate(_LOW_CONTRAST) == [], f"{path} {theme}"
        assert page.evaluate(_NAMELESS) == [], path


# Of each element with text of its own: its colour against the first opaque one behind it.
_LOW_CONTRAST = """() => {
  const parse = (text) => {
    const scale = text.startsWith('color') ? 255 : 1;  // color(srgb 0.1 0.2 0.3)
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b].map((v) => v * scale / 255), a };
  };
  const light = ({ rgb }) => rgb
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const left_out = 'svg, [hidden], noscript, .pin, .skip';
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(left_out)) continue;
    let behind = element, back;
    do { back = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
    while (back.a < 1 && behind);
    const both = [light(parse(getComputedStyle(element).color)), light(back)];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    const what = `${element.className} ${element.textContent.slice(0, 30)}`;
    if (ratio < 4.5) found.push(`${what} ${ratio.toFixed(1)}`);
  }
  return found;
}"""
_NAMELESS = """() => {
  const name = (e) => e.textContent.trim() || e.getAttribute('aria-label')
    || e.labels?.[0]?.textContent.trim();
  return [...document.querySelectorAll('button, input:not([type=radio]), a[href]')]
    .filter((e) => e.checkVisibility() && !e.closest('.ag-root-wrapper') && !name(e))
    .map((e) => e.outerHTML);
}"""
