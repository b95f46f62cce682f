"""The overview: one small chart for each host. The browser draws the visible ones."""

from __future__ import annotations

from dash import Dash, dcc, html
from dash.development.base_component import Component

from snapshot_assets.dashboard.browser import Card, CardNumbers, OverviewData
from snapshot_assets.dashboard.figures import MACHINE_NAME, card, card_base
from snapshot_assets.dashboard.pages.controls import labelled_input, segments
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
from snapshot_assets.dashboard.queries.overview import HostUse, Overview, overview
from snapshot_assets.domain.measures import MEASURES, Measure

NAME = "overview"
DEFAULT_SORT = "load"
SORTS = {"load": "Load", "memory": "Memory", "name": "Name"}


def layout() -> Component:
    """The page's section of the layout."""
    return frame(
        NAME,
        html.Div(
            [
                html.Div(
                    [
                        html.Span("Sort by", id="sort-label", className="label"),
                        segments("sort", SORTS, DEFAULT_SORT),
                    ],
                    role="group",
                    **attributes(aria_labelledby="sort-label"),
                ),
                labelled_input(
                    "Find",
                    id="find",
                    type="search",
                    placeholder="host name",
                    debounce=0.2,
                    maxLength=200,
                ),
                html.Span(id="overview-count", className="quiet"),
            ],
            className="tools",
        ),
        _legend(),
        dcc.Store(id="overview-data"),
        html.Div(id="cards", className="cards"),
    )


def _legend() -> Component:
    return legend(
        ("cpu", "CPU, cores"),
        ("mem", "memory, GB"),
        ("machine", MACHINE_NAME),
        ("limit", "capacity"),
        ("idle", "line at zero: idle"),
        *BANDS,
    )


def register(app: Dash, site: Site) -> None:
    """Register the page's callback."""

    def answer(question: Question) -> Answer:
        given = question.view.range(question.now), question.view.hosts
        found = site.memo.answer(
            (NAME, *given),
            lambda: overview(site.reader, *given, max_gap_seconds=site.options.max_gap_seconds),
        )
        notes = unknown_hosts(question.view.hosts, [use.host for use in found.hosts])
        if site.capacities.problem:
            notes.append(f"Capacities: {site.capacities.problem}")
        if not found.hosts and not notes:
            notes.append(
                f"There is no data for this range ({question.range_text()}): no host was sampled, "
                "or the data is no longer kept."
            )
        return Answer({"overview-data.data": payload(found, question, site)}, notes)

    answer_with(app, site, NAME, ["overview-data.data"], answer)


def payload(found: Overview, question: Question, site: Site) -> OverviewData:
    """What the browser draws."""
    return {
        "base": card_base(found.range, question.zone),
        "start": found.grid.start,
        "step": found.grid.step,
        "range": [found.range.start, found.range.end],
        "range_text": question.range_text(),
        "zone": question.zone.key,
        "cards": [_card(use, found, site) for use in found.hosts],
    }


def _card(use: HostUse, found: Overview, site: Site) -> Card:
    limits = {m: site.limit(use.host, m, use.machine[m].capacity[use.host]) for m in MEASURES}
    numbers: dict[Measure, CardNumbers] = {
        measure: {
            "now": _short(use.newest(measure)),
            "mean": _short(use.mean(measure)),
            "peak": _short(use.peaks[measure]),
            "machine": _short(use.newest_of_machine(measure)),
            "limit": limits[measure],
        }
        for measure in MEASURES
    }
    return {
        "host": use.host,
        "cpu": numbers["cpu"],
        "mem": numbers["mem"],
        "figure": card(use, found.grid, found.range, limits),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
