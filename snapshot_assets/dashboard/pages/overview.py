"""All hosts as small multiples. The browser draws the cards that are in sight, from one answer."""

from __future__ import annotations

from typing import Any

from dash import Dash, dcc, html
from dash.development.base_component import Component

from snapshot_assets.dashboard.figures import card, card_base
from snapshot_assets.dashboard.pages.page import (
    BANDS,
    Answer,
    Question,
    Site,
    answer_with,
    attributes,
    frame,
    legend,
    unknown_hosts,
)
from snapshot_assets.dashboard.queries import HostUse, Overview, overview
from snapshot_assets.domain.measures import MEASURES

NAME = "overview"
SORTS = {"load": "Load", "memory": "Memory", "name": "Name"}


def layout() -> Component:
    """The page's skeleton."""
    return frame(
        NAME,
        html.Div(
            [
                html.Div(
                    [
                        html.Span("Sort by", id="sort-label", className="label"),
                        dcc.RadioItems(
                            id="sort",
                            options=[{"label": v, "value": k} for k, v in SORTS.items()],
                            value="load",
                            className="segments",
                            labelClassName="segment",
                        ),
                    ],
                    role="group",
                    **attributes(aria_labelledby="sort-label"),
                ),
                html.Label(
                    [
                        html.Span("Find", className="label"),
                        dcc.Input(
                            id="find",
                            type="search",
                            placeholder="host name",
                            debounce=0.2,
                            maxLength=200,
                        ),
                    ]
                ),
                html.Span(id="overview-count", className="quiet"),
            ],
            className="tools",
        ),
        _legend(),
        dcc.Store(id="overview-data"),
        html.Div(id="cards", className="cards"),
        html.Div(id="cards-drawn", hidden=True),
    )


def _legend() -> Component:
    return legend(
        ("cpu", "CPU, cores"),
        ("mem", "memory, GB"),
        ("limit", "capacity"),
        ("idle", "line at zero: idle"),
        *BANDS,
    )


def register(app: Dash, site: Site) -> None:
    """Register the page's callback."""

    def answer(asked: Question) -> Answer:
        given = asked.view.range(asked.now), asked.view.hosts
        found = site.memo.of((NAME, *given), lambda: overview(site.reader, *given))
        notes = unknown_hosts(asked.view.hosts, [use.host for use in found.hosts])
        if site.capacities.problem:
            notes.append(f"Capacities: {site.capacities.problem}")
        if not found.hosts and not notes:
            notes.append(
                f"Nothing is known of this range ({asked.told_range()}): no host was looked at, "
                "or it is no longer kept."
            )
        return Answer({"overview-data.data": payload(found, asked, site)}, notes)

    answer_with(app, site, NAME, ["overview-data.data"], answer)


def payload(found: Overview, asked: Question, site: Site) -> dict[str, Any]:
    """What the browser draws: a layout for all cards, and for each its figure and its numbers."""
    return {
        "base": card_base(found.range, asked.zone),
        "start": found.grid.start,
        "step": found.grid.step,
        "range": [found.range.start, found.range.end],
        "told": asked.told_range(),
        "zone": asked.zone.key,
        "cards": [_card(use, found, site) for use in found.hosts],
    }


def _card(use: HostUse, found: Overview, site: Site) -> dict[str, Any]:
    capacity = site.capacities.of(use.host)
    limits = {"cpu": capacity.cores, "mem": capacity.memory_gb}
    numbers: dict[str, Any] = {
        measure: {
            "now": _short(use.newest(measure)),
            "mean": _short(use.mean(measure)),
            "peak": _short(use.peaks[measure]),
            "limit": limits[measure],
        }
        for measure in MEASURES
    }
    return {
        "host": use.host,
        **numbers,
        "figure": card(use, found.grid, found.range, capacity),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
