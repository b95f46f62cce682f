"""The pages' answers about whole machines: the line, the capacity, the tooltip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snapshot_assets.dashboard.figures import MACHINE_NAME
from snapshot_assets.domain.time import bucket_start
from snapshot_assets_tests.dashboard.test_pages import ask, texts
from snapshot_assets_tests.support.world import NOW, World, counted, use

END = bucket_start(NOW)
STARTS = range(END - 3_600, END, 300)


@pytest.fixture
def counted_world(empty_world: World) -> World:
    """``alice``: 3 of 6 cores seen. ``bob``: no count of the kernel."""
    one = use({("ana", "R"): 2.0, ("ben", "R"): 1.0}, {("ana", "R"): 8.0})
    empty_world.write(
        "alice", dict.fromkeys(STARTS, one), dict.fromkeys(STARTS, counted(6.0, 8, 20.0, 64))
    )
    empty_world.write("bob", dict.fromkeys(STARTS, one))
    return empty_world


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Other sizes than the kernel's, and that of the host which the kernel did not count."""
    found = tmp_path / "capacity.csv"
    found.write_text("host,cores,memory_gb\nalice,1000,2000\nbob,4,16\n")
    return found


def line_values(figure: dict[str, Any]) -> list[Any]:
    return [trace["y"] for trace in figure["data"] if trace.get("name") == MACHINE_NAME]


def limits(figure: dict[str, Any]) -> list[Any]:
    return [shape["y0"] for shape in figure["layout"]["shapes"]]


def test_a_card_has_the_kernels_count_and_its_capacities_without_a_file(
    counted_world: World,
) -> None:
    with counted_world.app() as app:
        data = ask(app, "/", "?range=1h")["overview-data.data"]
    alice, bob = data["cards"]
    assert line_values(alice["figure"]) == [[6.0] * 12, [20.0] * 12]
    assert limits(alice["figure"]) == [8.0, 64.0]
    assert (alice["cpu"]["limit"], alice["cpu"]["machine"]) == (8.0, 6.0)
    assert (alice["mem"]["limit"], alice["mem"]["machine"]) == (64.0, 20.0)
    assert line_values(bob["figure"]) == []
    assert limits(bob["figure"]) == []
    assert (bob["cpu"]["limit"], bob["cpu"]["machine"]) == (None, None)


def test_a_file_of_capacities_stands_in_for_what_the_kernel_does_not_say(
    counted_world: World, file: Path
) -> None:
    with counted_world.app(capacity_file=file) as app:
        cards = ask(app, "/", "?range=1h")["overview-data.data"]["cards"]
        both = ask(app, "/users", "?range=1h")["consumers-chart.figure"]
        now = texts(ask(app, "/now")["now-body.children"])
    assert [limits(card["figure"]) for card in cards] == [[8.0, 64.0], [4.0, 16.0]]
    assert limits(both) == [12.0]
    assert "3 of 8 cores" in now
    assert "3 of 4 cores" in now


def test_a_stack_has_the_line_only_where_it_is_the_whole_of_all_hosts(
    counted_world: World,
) -> None:
    with counted_world.app() as app:
        figures = {
            search: ask(app, "/users", f"?range=1h{search}")["consumers-chart.figure"]
            for search in ("&host=alice", "", "&host=alice&user=ana", "&host=alice&measure=mem")
        }
    assert {search: line_values(figure) for search, figure in figures.items()} == {
        "&host=alice": [[6.0] * 12],
        "": [],
        "&host=alice&user=ana": [],
        "&host=alice&measure=mem": [[20.0] * 12],
    }
    assert limits(figures["&host=alice"]) == [8.0]


def test_the_tooltips_say_how_much_is_in_no_users_figures(counted_world: World) -> None:
    with counted_world.app() as app:
        meta = ask(app, "/users", "?range=1h&host=alice")["consumers-meta.data"]
        client = app.server.test_client()
        alice, bob = (
            client.get(f"/bucket?host={host}&at={STARTS[3]}&step=300").get_json()
            for host in ("alice", "bob")
        )
    assert alice["machine"] == [
        "whole machine (kernel): 6 cores, 20 GB",
        "3 cores in no user's figures: no snapshot saw it, or the account is excluded",
        "12 GB in no user's figures: no snapshot saw it, or the kernel itself uses it",
    ]
    assert bob["machine"] == []
    assert meta["machine_name"] == MACHINE_NAME
    assert meta["machine"] == [*[6.0] * 11, None], "the newest bucket is on its way"
    assert meta["nobodys"] == [*[3.0] * 11, None]


def test_right_now_says_what_the_whole_machine_does(counted_world: World) -> None:
    with counted_world.app() as app:
        reported = texts(ask(app, "/now")["now-body.children"])
    assert reported.count("whole machine (kernel): 6 cores, 20 GB") == 1
    assert "3 of 8 cores" in reported
    assert "3 cores" in reported, "bob's, of whose machine nothing is known"
