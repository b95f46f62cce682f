"""The pages' callbacks over HTTP, as the browser calls them, on a real Redis."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import dash
import pytest

from snapshot_assets.dashboard.options import AccessOptions
from snapshot_assets.dashboard.shell import PAGES
from snapshot_assets.domain.time import bucket_start
from snapshot_assets_tests.support.world import (
    HOSTILE_COMM,
    HOSTILE_HOST,
    HOSTILE_USER,
    NOW,
    World,
    use,
)

SECTIONS = {"users": "consumers", "commands": "consumers"}


def ask(
    app: dash.Dash, path: str, search: str = "", zone: str = "UTC", **options: Any
) -> dict[str, Any]:
    """What a page answers: ``component.property`` to value, with notes and outcome."""
    prefix = app.config.url_base_pathname
    page = path.strip("/") or "overview"
    section = SECTIONS.get(page, page)
    client = app.server.test_client()
    dependencies = client.get(f"{prefix}_dash-dependencies", **options).get_json()
    (dependency,) = [
        found
        for found in dependencies
        if found["inputs"] == [{"id": f"request-{section}", "property": "data"}]
    ]
    request = {
        "pathname": f"{prefix}{path.strip('/')}",
        "search": search,
        "zone": zone,
        "narrow": False,
    }
    outputs = dependency["output"].strip(".").split("...")
    body = {
        "output": dependency["output"],
        "outputs": [dict(zip(("id", "property"), o.split("."), strict=True)) for o in outputs],
        "inputs": [{**dependency["inputs"][0], "value": {**request, "revision": 7}}],
        "changedPropIds": [f"request-{section}.data"],
    }
    answer = client.post(f"{prefix}_dash-update-component", json=body, **options)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    reported = answer.get_json()["response"]
    return {
        f"{component}.{name}": value
        for component, values in reported.items()
        for name, value in values.items()
    }


def notes(reported: Mapping[str, Any]) -> list[str]:
    (found,) = [value for key, value in reported.items() if key.startswith("notes-")]
    return [note["props"]["children"] for note in found]


def iso(epoch_seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(epoch_seconds, dt.UTC):%Y-%m-%dT%H:%MZ}"


def texts(component: Any) -> list[str]:
    """All texts in a tree of components, and nothing else."""
    if isinstance(component, list):
        return [text for each in component for text in texts(each)]
    if isinstance(component, dict):
        return texts(component.get("props", {}).get("children"))
    return [] if component is None else [str(component)]


def test_the_overview_draws_each_host_on_an_even_grid(world: World) -> None:
    with world.app() as app:
        reported = ask(app, "/", "?range=6h", "Europe/Berlin")
    data = reported["overview-data.data"]
    assert [card["host"] for card in data["cards"]] == sorted(world.written)
    alice = next(card for card in data["cards"] if card["host"] == "alice")
    cpu = alice["figure"]["data"][0]
    assert (cpu["x0"], cpu["dx"]) == ("2026-11-20 08:35", 300_000)
    assert data["start"] == int(dt.datetime(2026, 11, 20, 8, 35, tzinfo=dt.UTC).timestamp())
    assert len(cpu["y"]) == 72 + 1
    assert cpu["y"][-1] is None
    written = world.written["alice"]
    for i, value in enumerate(cpu["y"][:-2]):
        _, _, _, parts = written[data["start"] + 300 * i]
        rest, each = parts["cpu"]
        assert value == pytest.approx((rest + sum(each.values())) / 1e6, abs=0.01)
    assert data["zone"] == "Europe/Berlin"
    assert data["range_text"] == "20 Nov 2026, 09:35 – 15:35 CET"
    assert notes(reported) == []
    assert reported["outcome-overview.data"] == {
        "revision": 7,
        "failed": False,
    }


@pytest.mark.parametrize(("max_gap_seconds", "drawn"), [(900, True), (1_800, False)])
@pytest.mark.parametrize("path", ["/", "/users"])
def test_a_gap_is_drawn_once_no_snapshot_can_cover_it_any_more(
    empty_world: World, path: str, max_gap_seconds: float, drawn: bool
) -> None:
    newest = bucket_start(NOW)
    empty_world.write("alice", {b: use({}) for b in (newest - 1_800, newest)})
    with empty_world.app(max_gap_seconds=max_gap_seconds) as app:
        answer = ask(app, path, f"?from={iso(newest - 1_800)}&to={iso(newest + 300)}")
    if path == "/":
        (card,) = answer["overview-data.data"]["cards"]
        figure = card["figure"]
    else:
        figure = answer["consumers-chart.figure"]
    assert ("gap" in [trace.get("name") for trace in figure["data"]]) is drawn


def test_users_and_commands_filter_each_other(world: World) -> None:
    with world.app() as app:
        users = ask(app, "/users")
        ana = ask(app, "/users", "?user=ana")
        bwa = ask(app, "/commands", "?command=bwa&host=bob&measure=mem")
    assert users["consumers-title.children"].startswith("Users on all 3 hosts, ")
    assert {row["key"] for row in users["consumers-table.rowData"]} >= {"ana", "ben", HOSTILE_USER}
    assert ana["consumers-title.children"].startswith("Commands of user ana on all 3 hosts, ")
    assert [row["key"] for row in ana["consumers-table.rowData"]] == ["bwa", "python"]
    assert bwa["consumers-title.children"].startswith("Users running bwa on bob, ")
    (layer, *_) = bwa["consumers-chart.figure"]["data"]
    assert layer["meta"] == "ana"
    assert 8.0 in layer["y"]


def test_layers_drawn_add_up_to_what_the_host_is_drawn_with(world: World) -> None:
    with world.app() as app:
        overview = ask(app, "/")["overview-data.data"]
        users = ask(app, "/users", "?host=alice")["consumers-chart.figure"]
    (alice,) = [card for card in overview["cards"] if card["host"] == "alice"]
    total = alice["figure"]["data"][0]["y"]
    layers = [trace["y"] for trace in users["data"] if "stackgroup" in trace]
    for i, value in enumerate(total):
        each = [layer[i] for layer in layers]
        if value is None:
            assert each == [None] * len(layers)
        else:
            assert sum(each) == pytest.approx(value, abs=0.03)


@pytest.mark.parametrize(
    ("path", "search", "reported"),
    [
        ("/", "?host=nobody", "no data of a host 'nobody'"),
        ("/", "?from=2020-01-01&to=2020-01-02", "There is no data for this range"),
        ("/users", "?host=nobody", "no data of a host 'nobody'"),
        ("/users", "?user=nobody", "Nothing is listed under 'nobody'"),
        ("/users", "?from=2020-01-01&to=2020-01-02", "There is no data for this range"),
        ("/commands", "?command=nothing", "Nothing is listed under 'nothing'"),
        ("/statement", "?user=nobody", "Nothing is listed under the user 'nobody'"),
        ("/statement", "?month=2026-99", "month=2026-99 is not used"),
        ("/", "?range=x", "range=x is not used"),
    ],
)
def test_missing_data_is_reported(world: World, path: str, search: str, reported: str) -> None:
    with world.app() as app:
        found = ask(app, path, search)
    assert reported in " ".join(notes(found))
    assert not found[
        f"outcome-{SECTIONS.get(path.strip('/'), path.strip('/') or 'overview')}.data"
    ]["failed"]


def test_a_zone_that_is_not_known_becomes_utc_and_says_so(world: World) -> None:
    with world.app() as app:
        found = ask(app, "/", "", "Mars/Olympus")
    assert "Mars/Olympus is not known here; times are shown in UTC" in notes(found)[0]
    assert found["overview-data.data"]["zone"] == "UTC"


def test_right_now_names_hosts_and_people(world: World) -> None:
    world.write("quiet", {NOW // 300 * 300 - 5 * 3600: use({("ana", "sleep"): 0.1})})
    with world.app() as app:
        reported = texts(ask(app, "/now")["now-body.children"])
    assert "3 hosts, newest 5 minutes: 2026-11-20 14:25 UTC" in reported
    assert "silent" in reported
    assert "96 GB" in reported
    assert "ana" in reported
    assert HOSTILE_USER in reported, "as text, in a property of its own"


def test_a_statement_has_the_sums_of_its_lines(world: World) -> None:
    with world.app() as app:
        reported = ask(app, "/statement", "?user=ana&month=2026-11")
    rows = reported["statement-table.rowData"]
    assert {(row["host"], row["command"]) for row in rows} == {("alice", "python"), ("bob", "bwa")}
    words = texts(reported["statement-summary.children"])
    assert f"{sum(row['core_hours'] for row in rows):,.1f}" in words
    assert f"{sum(row['gb_hours'] for row in rows):,.1f}" in words
    assert not reported["statement-lines.hidden"]


@pytest.mark.parametrize("path", ["/", "/users", "/commands", "/statement", "/now"])
def test_an_outage_is_reported_the_page_stays_and_recovers(
    world: World, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with world.app() as app:
        with world.redis.stopped():
            found = ask(app, path)
        section = SECTIONS.get(path.strip("/"), path.strip("/") or "overview")
        assert set(found) == {f"notes-{section}.children", f"outcome-{section}.data"}
        assert found[f"outcome-{section}.data"] == {"revision": 7, "failed": True}
        assert "does not answer" in notes(found)[0]
        again = ask(app, path)
        assert not again[f"outcome-{section}.data"]["failed"], "with an empty store"


def test_a_store_that_refuses_is_reported_without_its_words(world: World) -> None:
    with world.redis.client() as client:
        day = "2026-11-20"
        client.set(f"snapshot_assets:hosts:{day}", "not a set")
    with world.app() as app:
        found = ask(app, "/")
    assert notes(found) == [
        "The data store refuses to answer; the log of the dashboard has the reason."
    ]


@pytest.mark.parametrize("path", ["/", "/users", "/commands", "/statement", "/now"])
def test_an_empty_store_is_reported(empty_world: World, path: str) -> None:
    with empty_world.app() as app:
        found = ask(app, path)
    words = json.dumps(found)
    assert re.search("There is no data|No data yet|No user is listed", words)


def test_whoever_is_logged_in_is_first_in_the_list(world: World) -> None:
    access = AccessOptions(user_header="X-User", trusted_proxies=(ip_network("127.0.0.1/32"),))
    with world.app(access=access) as app:
        reported = ask(app, "/statement", headers={"X-User": "chen"})
    people = [text for text in texts(reported["statement-summary.children"]) if len(text) < 6]
    assert people[:3] == ["chen", "ana", "ben"]


def test_failures_of_the_store_are_counted(world: World) -> None:
    with world.app() as app:
        world.redis.stop()
        try:
            ask(app, "/now")
            assert (
                app.server.test_client().get(f"/bucket?host=a&at={NOW}&step=300").status_code == 503
            )
        finally:
            world.redis.start()
        reported = app.server.test_client().get("/metrics").get_data(as_text=True)
    (count,) = re.findall(r'store_failures_total\{kind="outage"\} (\S+)', reported)
    assert float(count) >= 2


def test_hostile_names_are_data(world: World) -> None:
    with world.app() as app:
        overview = ask(app, "/")["overview-data.data"]
        users = ask(app, "/users", f"?command={HOSTILE_COMM}")
        chart = users["consumers-chart.figure"]
    assert HOSTILE_HOST in [card["host"] for card in overview["cards"]]
    names = [trace["name"] for trace in chart["data"]]
    # Plotly reads a few tags in names, so they are escaped there and there only.
    assert not any("<" in name for name in names)


def test_the_layout_names_each_component_once(world: World) -> None:
    with world.app() as app:
        layout: Any = app.layout
        found = [component.id for component in layout._traverse_ids()]
    assert len(found) == len(set(found))
    assert {f"page-{page.NAME}" for page in PAGES} <= set(found)


def test_nothing_is_read_before_a_page_is_opened(world: World) -> None:
    world.redis.stop()
    try:
        with world.app() as app:
            client = app.server.test_client()
            assert client.get("/").status_code == 200
            assert client.get("/_dash-layout").status_code == 200
    finally:
        world.redis.start()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("host=alice&at=now&step=300", 400),
        ("host=alice&at=1&step=7", 400),
        ("host=alice&at=99999999999999999999&step=300", 400),
        (f"host=alice&at={NOW - 700}&step=300", 200),
        (f"host=nobody&at={NOW - 700}&step=300", 200),
    ],
)
def test_a_tooltip_answers_or_says_what_it_needs(world: World, query: str, status: int) -> None:
    with world.app() as app:
        answer = app.server.test_client().get(f"/bucket?{query}")
    assert answer.status_code == status
    reported = answer.get_json()
    if status == 200 and "alice" in query:
        assert [share["name"] for share in reported["users"]] == ["ana", "chen", "ben", "dora"]
    elif status == 200:
        assert reported["covered"] is False
    else:
        assert reported["error"]
