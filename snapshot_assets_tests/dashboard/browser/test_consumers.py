"""The pages of users, commands, statements and right now, in a headless Chromium."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets_tests.dashboard.browser.browsing import (
    documents,
    query,
    segment,
    wait_painted,
)
from snapshot_assets_tests.support.world import (
    HOSTILE_COMM,
    World,
)


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
    # A click on a chip that is drawn again at this moment would be lost.
    wait_painted(page, "consumers")
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
    reported = {row["Command"]: float(row["Core-hours"]) for row in rows}
    assert reported.pop("(other)") == pytest.approx(0.25 * 71 / 12)
    assert reported.pop("MATLAB") == 0
    assert reported.pop(f"'{HOSTILE_COMM}") == pytest.approx(hours.pop(HOSTILE_COMM), rel=1e-5)
    assert reported == pytest.approx(hours, rel=1e-5)
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
