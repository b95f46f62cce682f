"""Figures as plain dictionaries: what is drawn, where, and that it is what was known."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.colours import Look
from snapshot_assets.dashboard.figures import (
    MACHINE_NAME,
    Figure,
    axis_time,
    bands,
    card,
    card_base,
    escaped,
    printable,
    runs,
    stack,
    swatch,
)
from snapshot_assets.dashboard.queries.consumers import Consumers, Series
from snapshot_assets.dashboard.queries.coverage import Coverage
from snapshot_assets.dashboard.queries.grid import Grid
from snapshot_assets.dashboard.queries.machine import MachineUse
from snapshot_assets.dashboard.queries.overview import HostUse
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import OTHER
from snapshot_assets.domain.measures import Measure

START = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp())
UTC = ZoneInfo("UTC")


def range_of(count: int) -> TimeRange:
    return TimeRange(START, START + count * 300)


def coverage(covered: list[bool], settled: list[bool] | None = None, **options: Any) -> Coverage:
    mask = np.array(covered)
    return Coverage(
        covered=mask,
        settled=np.array(covered if settled is None else settled),
        hosts=mask.astype(np.int64),
        kept_from=options.get("kept_from", 0),
        until=options.get("until", START + len(covered) * 300),
    )


NAN = float("nan")
UNKNOWN: Mapping[Measure, float | None] = {"cpu": None, "mem": None}


def machine(used: list[float], capacity: float | None) -> MachineUse:
    values = np.array(used)
    return MachineUse(used=values, nobodys=values * NAN, capacity={"alice": capacity})


def host(values: list[float], **options: Any) -> HostUse:
    cpu = np.array(values)
    return HostUse(
        host="alice",
        use={"cpu": cpu, "mem": cpu * 10},
        peaks={"cpu": 0.0, "mem": 0.0},
        machine={
            "cpu": machine(options.get("machine", [NAN] * len(values)), 64),
            "mem": machine([NAN] * len(values), None),
        },
        coverage=coverage((~np.isnan(cpu)).tolist(), **options),
        unit_seconds={"cpu": 0.0, "mem": 0.0},
        covered_seconds=300.0,
    )


def test_a_card_has_each_value_for_its_whole_interval() -> None:
    range_ = range_of(4)
    figure = card(host([1.0, 2.5, NAN, 0.0]), Grid.over(range_), range_, {"cpu": 8, "mem": 64})
    cpu, mem, gap = figure["data"]
    assert cpu["y"] == [1.0, 2.5, None, 0, None], "a gap is none, a zero is a zero"
    assert mem["y"] == [10.0, 25.0, None, 0, None]
    assert (cpu["x0"], cpu["dx"], cpu["line"]["shape"]) == ("2026-11-20 00:00", 300_000, "hv")
    assert gap["name"] == "gap"
    assert gap["x"][:4] == [axis_time(START + 600)] * 2 + [axis_time(START + 900)] * 2
    assert figure["layout"]["yaxis"]["range"] == [0, 8.48]
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == [8, 64]


def test_without_a_capacity_a_card_ends_at_its_highest_value() -> None:
    range_ = range_of(3)
    grid = Grid.over(range_)
    figure = card(host([1.0, 4.0, 2.0]), grid, range_, UNKNOWN)
    assert figure["layout"]["yaxis"]["range"] == [0, 4.24]
    assert figure["layout"]["shapes"] == []
    over = card(host([1.0, 4.0, 2.0]), grid, range_, {"cpu": 2, "mem": None})
    assert over["layout"]["yaxis"]["range"] == [0, 4.24], "more than there is, is shown too"
    nothing = card(host([NAN, NAN, NAN]), grid, range_, UNKNOWN)
    assert nothing["layout"]["yaxis"]["range"][1] > 0


@given(
    st.lists(st.one_of(st.just(NAN), st.just(0.0), st.floats(1e-6, 1e5)), min_size=1, max_size=40)
)
def test_rounding_is_less_than_a_pixel_and_everything_is_json(values: list[float]) -> None:
    range_ = range_of(len(values))
    figure = card(host(values), Grid.over(range_), range_, UNKNOWN)
    drawn = figure["data"][0]["y"]
    top = figure["layout"]["yaxis"]["range"][1]
    for value, shown in zip(values, drawn[:-1], strict=True):
        assert (shown is None) == np.isnan(value)
        if shown is not None:
            assert abs(shown - value) <= top / 2_000
    json.dumps(figure, allow_nan=False)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_runs_cover_what_was_chosen_and_nothing_else(chosen: list[bool]) -> None:
    grid = Grid(START, 300, len(chosen))
    found = runs(np.array(chosen), grid)
    again = [False] * len(chosen)
    for first, last in found:
        assert first < last
        for i in range((first - START) // 300, (last - START) // 300):
            again[i] = True
    assert again == chosen
    assert all(a[1] < b[0] for a, b in pairwise(found)), "apart, ascending"


def test_bands_tell_gap_live_and_what_is_not_kept_apart() -> None:
    range_ = range_of(6)
    mask = coverage(
        [False, False, True, False, True, False],
        [False, False, True, False, False, False],
        kept_from=START + 300,
        until=START + 1500,
    )
    found = {band["name"]: band["x"][::5] for band in bands(mask, Grid.over(range_), range_)}
    assert found == {
        "not kept": [axis_time(START)],
        "gap": [axis_time(START + 300), axis_time(START + 900)],
        "live": [axis_time(START + 1200)],
    }, "and what follows the newest is none of them"


def test_a_band_ends_where_the_range_ends() -> None:
    range_ = TimeRange(START + 1800, START + 3 * 86_400)
    grid = Grid.over(range_)
    assert grid.resolution == "hour"
    found = bands(coverage([False] * grid.count, until=grid.end), grid, range_)
    assert found[0]["x"][:4] == [axis_time(START + 1800)] * 2 + [axis_time(START + 3 * 86_400)] * 2


def lines(figure: Figure) -> list[Figure]:
    return [trace for trace in figure["data"] if trace.get("name") == MACHINE_NAME]


def test_the_kernels_count_is_a_line_that_ends_where_its_last_interval_ends() -> None:
    """Known, known, unknown, known alone: two lines, each a point longer than its values."""
    range_ = range_of(5)
    use = host([1.0, 2.0, 1.0, 1.0, NAN], machine=[3.0, 5.0, NAN, 4.0, NAN])
    figure = card(use, Grid.over(range_), range_, UNKNOWN)
    assert [line["x0"] for line in lines(figure)] == ["2026-11-20 00:00", "2026-11-20 00:15"]
    assert [line["y"] for line in lines(figure)] == [[3.0, 5.0, 5.0], [4.0, 4.0]]
    assert all(line["dx"] == 300_000 and line["yaxis"] == "y" for line in lines(figure))
    assert not any("stackgroup" in line for line in lines(figure))
    assert figure["layout"]["yaxis"]["range"] == [0, 5.3], "the line is inside"
    assert len({line["uid"] for line in lines(figure)}) == 2
    assert [trace["yaxis"] for trace in figure["data"][:2]] == ["y", "y2"], "layers come first"


def test_the_line_above_a_stack_is_neither_a_layer_nor_a_click() -> None:
    found = consumers({"ana": [3.0, NAN], OTHER: [0.5, NAN]}, [4.5, NAN])
    (line,) = lines(stack(found, UTC, None))
    assert line["y"] == [4.5, 4.5]
    assert "meta" not in line
    assert line["hoverinfo"] == "skip"
    assert stack(found, UTC, None)["layout"]["yaxis"]["range"] == [0, 4.77]
    assert lines(stack(consumers({OTHER: [1.0, 2.0]}), UTC, None)) == [], "unknown everywhere"


def consumers(layers: dict[str, list[float]], counted: list[float] | None = None) -> Consumers:
    count = len(next(iter(layers.values())))
    range_ = range_of(count)
    values = {name: np.array(each) for name, each in layers.items()}
    covered = (~np.isnan(values[OTHER])).tolist()
    series = [Series(name=name, values=each) for name, each in values.items()]
    return Consumers(
        range=range_,
        grid=Grid.over(range_),
        field="username",
        measure="cpu",
        series=series,
        table=[],
        machine=machine([NAN] * count if counted is None else counted, None),
        coverage=coverage(covered),
        hosts=1,
    )


def test_layers_keep_their_order_and_name_what_a_click_filters_by() -> None:
    hostile = "<b>x</b>"
    figure = stack(consumers({hostile: [3.0, NAN], "ana": [1.0, NAN], OTHER: [0.5, NAN]}), UTC, 4.0)
    layers = [trace for trace in figure["data"] if "stackgroup" in trace]
    assert [layer["meta"] for layer in layers] == [hostile, "ana", None]
    assert [layer["name"] for layer in layers] == ["&lt;b&gt;x&lt;/b&gt;", "ana", "other"]
    assert [layer["y"] for layer in layers] == [
        [3.0, None, None],
        [1.0, None, None],
        [0.5, None, None],
    ]
    assert figure["layout"]["yaxis"]["range"] == [0, 4.77]
    assert figure["layout"]["shapes"][0]["y0"] == 4.0
    far = stack(consumers({OTHER: [1.0, 2.0]}), UTC, 400.0)
    assert far["layout"]["shapes"] == [], "a line far above would flatten the chart"


def test_the_axis_is_true_time_named_in_the_zone() -> None:
    range_ = TimeRange(
        int(dt.datetime(2026, 10, 25, 0, tzinfo=dt.UTC).timestamp()),
        int(dt.datetime(2026, 10, 25, 3, tzinfo=dt.UTC).timestamp()),
    )
    axis = card_base(range_, ZoneInfo("Europe/Berlin"))["xaxis"]
    hours = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    assert hours["2026-10-25 00:00"].startswith("02:00 CEST")
    assert hours["2026-10-25 01:00"] == "02:00 CET"
    assert axis["range"] == ["2026-10-25 00:00", "2026-10-25 03:00"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ana", "ana"),
        ("<a href='x'>&", "&lt;a href='x'&gt;&amp;"),
        ("Zoë 😀", "Zoë 😀"),
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\nb\x00", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_names_are_shown_as_they_are(name: str, shown: str) -> None:
    assert escaped(name) == shown
    assert printable(name).count("\N{REPLACEMENT CHARACTER}") == shown.count(
        "\N{REPLACEMENT CHARACTER}"
    )


def test_each_pattern_has_a_swatch_of_its_own() -> None:
    patterns = ("", "/", ".", "x", "-", "\\", "|", "+")
    assert len({swatch(Look("#1890fc", pattern)) for pattern in patterns}) == len(patterns)
