"""What is drawn: numbers to Plotly figures, as plain dictionaries. No Dash, no reader, no clock.

Points are sent once, as an origin, a step and rounded values, since what is drawn is what is sent.
The axis is true time (UTC milliseconds) with ticks named in the viewer's zone, so that the hour
which comes twice is drawn twice. Colours of text and grid are the style sheet's, for light and dark
alike. Names are escaped here: Plotly reads a few HTML tags in texts.
"""

from __future__ import annotations

import datetime as dt
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from snapshot_assets.dashboard.capacity import Capacity
from snapshot_assets.dashboard.colours import (
    CPU_COLOUR,
    MEMORY_COLOUR,
    OTHER_COLOUR,
    Look,
    looks,
)
from snapshot_assets.dashboard.queries import Bools, Consumers, Floats, Grid, HostUse, Known
from snapshot_assets.dashboard.time_range import TimeRange, ticks
from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.summary import OTHER

Figure: TypeAlias = dict[str, Any]
Interval: TypeAlias = tuple[int, int]

UNITS: dict[Measure, str] = {"cpu": "cores", "mem": "GB"}
# Steps of a 2000-pixel chart that a value may be rounded to.
_STEPS_OF_HEIGHT = 4_000
_FILL_OPACITY = 0.45
_GAP = {"shape": "/", "size": 7, "fgcolor": "#808890", "bgcolor": "rgba(128,136,144,0.14)"}
_NOT_KEPT = {"shape": "x", "size": 6, "fgcolor": "#808890", "bgcolor": "rgba(128,136,144,0.30)"}
_PROVISIONAL = "rgba(80,140,255,0.11)"
BANDS = ("gap", "not kept", "provisional")


def card(use: HostUse, grid: Grid, range_: TimeRange, capacity: Capacity) -> Figure:
    """One host: CPU above, memory below, each against its capacity.

    Goes together with :func:`card_base`, which is the same for all.
    """
    limits: dict[Measure, float | None] = {"cpu": capacity.cores, "mem": capacity.memory_gb}
    colours: dict[Measure, str] = {"cpu": CPU_COLOUR, "mem": MEMORY_COLOUR}
    axes: dict[Measure, str] = {"cpu": "y", "mem": "y2"}
    data: list[Figure] = []
    layout: Figure = {"shapes": []}
    for measure, axis in axes.items():
        highest = _highest([use.use[measure]])
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
    data += bands(use.known, grid, range_)
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
    """Users or commands on one another, the largest below; together they are the total.

    Args:
        found: what to draw.
        zone: of the axis.
        limit: the hosts' capacity together; None if it is not known.
        marks: about so many on the axis of time.
    """
    highest = _highest([found.total])
    look = looks(series.name for series in found.series)
    data: list[Figure] = []
    for series in found.series:
        mine = look[series.name]
        data.append(
            {
                **_points(found.grid, series.values, highest),
                "name": escaped("other" if series.name == OTHER else series.name),
                # What a click filters by; the rest is nobody.
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
    data += bands(found.known, found.grid, found.range)
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


def bands(known: Known, grid: Grid, range_: TimeRange) -> list[Figure]:
    """What is not simply a value: gaps, time that is no longer kept, provisional values."""
    starts = grid.start + np.arange(grid.count) * grid.step
    found = {
        "gap": runs(known.gaps(grid), grid),
        "not kept": runs(~known.covered & (starts + grid.step <= known.kept_from), grid),
        "provisional": runs(known.covered & ~known.settled, grid),
    }
    styles: dict[str, Figure] = {
        "gap": {"fillpattern": _GAP},
        "not kept": {"fillpattern": _NOT_KEPT},
        "provisional": {"fillcolor": _PROVISIONAL},
    }
    return [
        _band(name, intervals, styles[name], range_)
        for name, intervals in found.items()
        if intervals
    ]


def runs(chosen: Bools, grid: Grid) -> list[Interval]:
    """Consecutive chosen intervals as (start, end), epoch seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    moments = grid.start + edges * grid.step
    return [(int(a), int(b)) for a, b in zip(moments[::2], moments[1::2], strict=True)]


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
    """A name without characters that are invisible or turn the text around."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)


def moment(epoch_seconds: int) -> str:
    """A time as Plotly's date axes read it: UTC, as text.

    Milliseconds it would take for the browser's local time, in which an hour can be missing.
    """
    return dt.datetime.fromtimestamp(epoch_seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


# --- parts ------------------------------------------------------------------------------------


def _points(grid: Grid, values: Floats, highest: float) -> Figure:
    """A line of steps: each value lasts its interval; the last one too, hence the point after."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x0": moment(grid.start),
        "dx": grid.step * 1000,
        "y": [*_values(values, highest), None],
    }


def _values(values: Floats, highest: float) -> list[float | None]:
    """Rounded to less than a pixel; None for a gap."""
    decimals = max(0, math.ceil(-math.log10(highest / _STEPS_OF_HEIGHT))) if highest > 0 else 0
    rounded = np.round(values, decimals).tolist()
    if decimals == 0:
        return [None if math.isnan(value) else int(value) for value in rounded]
    # A zero without its decimals: most values of an idle host.
    return [None if math.isnan(value) else (value or 0) for value in rounded]


def _highest(many: Iterable[Floats]) -> float:
    """The highest value that is known; zero if there is none."""
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
        "range": [moment(range_.start), moment(range_.end)],
        "tickmode": "array",
        "tickvals": [moment(mark.at) for mark in marks],
        "ticktext": [mark.label for mark in marks],
    }


def _band_axis() -> Figure:
    return {"domain": [0, 1], "range": [0, 1], "visible": False, "fixedrange": True}


def _band(name: str, intervals: Sequence[Interval], style: Figure, range_: TimeRange) -> Figure:
    x: list[str | None] = []
    y: list[int | None] = []
    for start, end in intervals:
        first, last = moment(max(start, range_.start)), moment(min(end, range_.end))
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
