"""Plotly figures of the answers to queries, as plain dictionaries. No Dash, no reader, no clock.

Points are an origin, a step and rounded values. The axis is true time (UTC) with labels in the
viewer's zone, so that an hour which the clocks show twice is drawn twice. The style sheet colours
text and grid, for light and dark pages. Names are escaped here: Plotly reads a few HTML tags in
texts.
"""

from __future__ import annotations

import datetime as dt
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from snapshot_assets.dashboard.colours import (
    CPU_COLOUR,
    MEMORY_COLOUR,
    OTHER_COLOUR,
    Look,
    looks,
)
from snapshot_assets.dashboard.queries.consumers import Consumers
from snapshot_assets.dashboard.queries.coverage import Coverage
from snapshot_assets.dashboard.queries.grid import Bools, Floats, Grid
from snapshot_assets.dashboard.queries.overview import HostUse
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.dashboard.time.ticks import ticks
from snapshot_assets.domain.frames import OTHER
from snapshot_assets.domain.measures import Measure

Figure: TypeAlias = dict[str, Any]
Interval: TypeAlias = tuple[int, int]

UNITS: dict[Measure, str] = {"cpu": "cores", "mem": "GB"}
# Values are rounded to half a pixel of a chart 2,000 pixels high.
_STEPS_OF_HEIGHT = 4_000
_FILL_OPACITY = 0.45
_GAP = {"shape": "/", "size": 7, "fgcolor": "#808890", "bgcolor": "rgba(128,136,144,0.14)"}
_NOT_KEPT = {"shape": "x", "size": 6, "fgcolor": "#808890", "bgcolor": "rgba(128,136,144,0.30)"}
_LIVE = "rgba(80,140,255,0.11)"
# The style sheet draws traces with this at the start of their uid in the colour of text.
MACHINE_UID = "machine"
MACHINE_NAME = "whole machine (kernel)"
MACHINES_NAME = "all machines (kernel)"
# Why the kernel counts more than all users together.
NOBODYS_WHY: dict[Measure, str] = {
    "cpu": "no snapshot saw it, or the account is excluded",
    "mem": "no snapshot saw it, or the kernel itself uses it",
}
BANDS = ("gap", "not kept", "live")


def card(
    use: HostUse, grid: Grid, range_: TimeRange, limits: Mapping[Measure, float | None]
) -> Figure:
    """One host: CPU above, memory below, each against the kernel's count and its capacity.

    The layout belongs on top of :func:`card_base`, which all cards share.

    Args:
        use: of the host.
        grid: of the use.
        range_: the time that is shown.
        limits: the capacity, by measure; None if it is unknown.
    """
    colours: dict[Measure, str] = {"cpu": CPU_COLOUR, "mem": MEMORY_COLOUR}
    axes: dict[Measure, str] = {"cpu": "y", "mem": "y2"}
    data: list[Figure] = []
    lines: list[Figure] = []
    layout: Figure = {"shapes": []}
    for measure, axis in axes.items():
        highest = _highest([use.use[measure], use.machine[measure].used])
        limit = limits[measure]
        data.append(
            {
                **_points(grid, use.use[measure], highest),
                "yaxis": axis,
                "stackgroup": measure,
                "line": {"shape": "hv", "width": 1.2, "color": colours[measure]},
                "fillcolor": _faded(colours[measure], _FILL_OPACITY),
            }
        )
        top = max(highest, limit or 0) or 1
        layout[f"yaxis{axis[1:]}"] = {"range": [0, _rounded(top * 1.06)], **_few_ticks(top)}
        if limit:
            layout["shapes"].append(_capacity_line(limit, axis))
        lines += _machine_lines(use.machine[measure].used, grid, highest, axis)
    data += [*lines, *bands(use.coverage, grid, range_)]
    return {"data": data, "layout": layout}


def card_base(range_: TimeRange, zone: ZoneInfo) -> Figure:
    """The layout that all cards share."""
    axis = _time_axis(range_, zone, 4)
    lines = 2 if any("<br>" in label for label in axis["ticktext"]) else 1
    return {
        "margin": {"l": 36, "r": 8, "t": 6, "b": 6 + 14 * lines},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": False,
        "dragmode": "zoom",
        "xaxis": {**axis, "anchor": "y2"},
        "yaxis": {"domain": [0.5, 1], "fixedrange": True},
        "yaxis2": {"domain": [0, 0.42], "fixedrange": True},
        "yaxis9": _band_axis(),
    }


def stack(found: Consumers, zone: ZoneInfo, limit: float | None, marks: int = 8) -> Figure:
    """Users or commands stacked, the largest at the bottom; together they are the total.

    A line above the stack is what the kernel counted.

    Args:
        found: the consumers to draw.
        zone: of the axis.
        limit: the capacity of the hosts together; None if unknown.
        marks: approximate number of labels on the time axis.
    """
    highest = _highest([found.total, found.machine.used])
    look = looks(series.name for series in found.series)
    data: list[Figure] = []
    for series in found.series:
        mine = look[series.name]
        data.append(
            {
                **_points(found.grid, series.values, highest),
                "name": escaped("other" if series.name == OTHER else series.name),
                # A click filters by this name; the rest has none.
                "meta": None if series.name == OTHER else series.name,
                "stackgroup": "all",
                "line": {"shape": "hv", "width": 0.5, "color": mine.colour},
                "fillcolor": _faded(mine.colour, 0.25 if mine.pattern else 0.75),
                **(
                    {
                        "fillpattern": {
                            "shape": mine.pattern,
                            "size": 7,
                            "fgcolor": mine.colour,
                            "bgcolor": _faded(mine.colour, 0.3),
                        }
                    }
                    if mine.pattern
                    else {}
                ),
                "hoverinfo": "none",
            }
        )
    data += _machine_lines(found.machine.used, found.grid, highest, "y")
    data += bands(found.coverage, found.grid, found.range)
    top = highest or 1
    shapes = [_capacity_line(limit, "y")] if limit and limit <= 2 * top else []
    if shapes and limit:
        top = max(top, limit)
    return {
        "data": data,
        "layout": {
            "margin": {"l": 48, "r": 12, "t": 8, "b": 40},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "hovermode": "x",
            "hoverdistance": -1,
            "dragmode": "zoom",
            "xaxis": {**_time_axis(found.range, zone, marks), "showspikes": True, **_SPIKE},
            "yaxis": {
                "range": [0, _rounded(top * 1.06)],
                "fixedrange": True,
                "title": {"text": UNITS[found.measure], "standoff": 6},
            },
            "yaxis9": {**_band_axis(), "overlaying": "y"},
            "shapes": shapes,
        },
    }


_SPIKE = {"spikemode": "across", "spikesnap": "data", "spikethickness": 1, "spikedash": "solid"}


def bands(coverage: Coverage, grid: Grid, range_: TimeRange) -> list[Figure]:
    """Marked intervals: gaps, intervals that Redis no longer keeps, live intervals."""
    starts = grid.start + np.arange(grid.count) * grid.step
    found = {
        "gap": runs(coverage.gaps(grid), grid),
        "not kept": runs(~coverage.covered & (starts + grid.step <= coverage.kept_from), grid),
        "live": runs(coverage.covered & ~coverage.settled, grid),
    }
    styles: dict[str, Figure] = {
        "gap": {"fillpattern": _GAP},
        "not kept": {"fillpattern": _NOT_KEPT},
        "live": {"fillcolor": _LIVE},
    }
    return [
        _band(name, intervals, styles[name], range_)
        for name, intervals in found.items()
        if intervals
    ]


def runs(chosen: Bools, grid: Grid) -> list[Interval]:
    """Consecutive chosen intervals as (start, end), epoch seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    times = grid.start + edges * grid.step
    return [(int(a), int(b)) for a, b in zip(times[::2], times[1::2], strict=True)]


def swatch(look: Look) -> str:
    """The CSS background of a look, for legends beside the chart."""
    if not look.pattern:
        return look.colour
    angles = {"/": [135], "\\": [45], "-": [0], "|": [90], "x": [45, 135], "+": [0, 90]}
    faded = _faded(look.colour, 0.3)
    if look.pattern == ".":
        dots = f"radial-gradient({look.colour} 1.5px, transparent 1.6px)"
        return f"{dots} 0 0 / 5px 5px, {faded}"
    stripes = [
        f"repeating-linear-gradient({angle}deg, {look.colour} 0 1.5px, transparent 1.5px 4.5px)"
        for angle in angles[look.pattern]
    ]
    return f"{', '.join(stripes)}, {faded}"


def escaped(name: str) -> str:
    """A name as Plotly shows it, whatever is in it; see :func:`printable`."""
    return html.escape(printable(name), quote=False)


def printable(name: str) -> str:
    """A name with each invisible or text-reversing character replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)


def short(values: Floats) -> list[float | None]:
    """Numbers with four digits, for texts; None for NaN."""
    return [None if math.isnan(value) else _rounded(value) for value in values.tolist()]


def axis_time(epoch_seconds: int) -> str:
    """A time as Plotly's date axes read it: UTC, as text.

    Plotly would convert milliseconds to the browser's local time, which can skip an hour.
    """
    return dt.datetime.fromtimestamp(epoch_seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


# --- parts ------------------------------------------------------------------------------------


def _points(grid: Grid, values: Floats, highest: float) -> Figure:
    """A line of steps: each value spans its interval. A point after the last value ends it."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x0": axis_time(grid.start),
        "dx": grid.step * 1000,
        "y": [*_values(values, highest), None],
    }


def _machine_lines(values: Floats, grid: Grid, highest: float, axis: str) -> list[Figure]:
    """What the kernel counted: a line for each run of known values, to the end of its last one."""
    found = []
    for start, end in runs(~np.isnan(values), grid):
        first, last = ((time - grid.start) // grid.step for time in (start, end))
        known = values[first:last]
        found.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": MACHINE_NAME,
                "uid": f"{MACHINE_UID}-{axis}-{start}",
                "x0": axis_time(start),
                "dx": grid.step * 1000,
                "y": _values(np.append(known, known[-1]), highest),
                "yaxis": axis,
                "line": {"shape": "hv", "width": 1.5, "color": OTHER_COLOUR},
                # The tooltip has its number from elsewhere; clicks are for the layers.
                "hoverinfo": "skip",
            }
        )
    return found


def _values(values: Floats, highest: float) -> list[float | None]:
    """Rounded to less than a pixel; None for a gap."""
    decimals = max(0, math.ceil(-math.log10(highest / _STEPS_OF_HEIGHT))) if highest > 0 else 0
    rounded = np.round(values, decimals).tolist()
    if decimals == 0:
        return [None if math.isnan(value) else int(value) for value in rounded]
    # A zero without its decimals: most values of an idle host.
    return [None if math.isnan(value) else (value or 0) for value in rounded]


def _highest(many: Iterable[Floats]) -> float:
    """The highest value; zero without values."""
    return max((float(np.nanmax(v)) for v in many if not np.isnan(v).all()), default=0.0)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _few_ticks(top: float) -> Figure:
    """Zero, half and the whole, at round values."""
    magnitude = 10 ** math.floor(math.log10(top))
    step = next(s * magnitude for s in (0.5, 1, 2, 5, 10) if top / (s * magnitude) <= 3)
    return {"dtick": step, "tick0": 0}


def _time_axis(range_: TimeRange, zone: ZoneInfo, count: int) -> Figure:
    marks = ticks(range_.start, range_.end, zone, count)
    return {
        "type": "date",
        "range": [axis_time(range_.start), axis_time(range_.end)],
        "tickmode": "array",
        "tickvals": [axis_time(mark.at) for mark in marks],
        "ticktext": [mark.label for mark in marks],
    }


def _band_axis() -> Figure:
    return {"domain": [0, 1], "range": [0, 1], "visible": False, "fixedrange": True}


def _band(name: str, intervals: Sequence[Interval], style: Figure, range_: TimeRange) -> Figure:
    x: list[str | None] = []
    y: list[int | None] = []
    for start, end in intervals:
        first, last = axis_time(max(start, range_.start)), axis_time(min(end, range_.end))
        x += [first, first, last, last, None]
        y += [0, 1, 1, 0, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "yaxis": "y9",
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
        **style,
    }


def _capacity_line(limit: float, axis: str) -> Figure:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis,
        "y0": limit,
        "y1": limit,
        "line": {"color": OTHER_COLOUR, "width": 1.5, "dash": "dash"},
    }


def _faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
