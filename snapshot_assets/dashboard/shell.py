"""What surrounds the pages: heading, tabs, the choice of range and zone, the banner, the footer.

All controls are always there, so that one function in the browser can keep them and the URL equal.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.dashboard.pages import consumers, now, overview, statement
from snapshot_assets.dashboard.pages.page import Request, Site, attributes, question, split
from snapshot_assets.dashboard.time_range import (
    QUICK,
    TimeRange,
    parse_local,
    quick_label,
    zone_names,
)
from snapshot_assets.dashboard.view import LONGEST_SECONDS, Page

PAGES = (overview, consumers, statement, now)
TABS: dict[Page, str] = {
    "overview": "Overview",
    "users": "Users",
    "commands": "Commands",
    "statement": "Statement",
    "now": "Right now",
}
_MILLISECONDS = 1_000


def layout(options: DashboardOptions) -> Component:
    """The whole page, without data."""
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="viewer"),
            dcc.Store(id="news"),
            dcc.Store(id="installation", data=_installation(options)),
            dcc.Interval(id="poll", interval=round(options.poll_seconds * _MILLISECONDS)),
            html.A("Skip to the page", href="#main", className="skip"),
            html.Header(
                [
                    html.H1(options.title),
                    html.Nav(
                        [dcc.Link(text, id=f"tab-{page}", href="") for page, text in TABS.items()],
                        className="tabs",
                        **attributes(aria_label="Pages"),
                    ),
                    html.Span(id="freshness", className="quiet"),
                    html.Button("Dark", id="theme", type="button"),
                ],
                className="top",
            ),
            html.Div(id="banner", className="banner", role="alert", hidden=True),
            html.Div(_controls(), id="controls", className="controls"),
            html.Main([page.layout() for page in PAGES], id="main", tabIndex=-1),
            html.Footer(
                "1 core-hour is one core busy for an hour. GB are 10⁹ bytes. Charts show averages "
                "of 5 minutes, over two days of hours, over 45 of days.",
                className="quiet",
            ),
            html.Div(id="tooltip", className="tooltip", role="tooltip", hidden=True),
        ]
    )


def _installation(options: DashboardOptions) -> dict[str, Any]:
    """What the browser's functions need to know."""
    return {"prefix": options.url_prefix, "stale_seconds": options.stale_seconds}


def _controls() -> list[Component]:
    return [
        html.Div(
            dcc.RadioItems(
                id="quick",
                options=[
                    {"label": html.Span(_short(name), title=quick_label(name)), "value": name}
                    for name in QUICK
                ],
                value=None,
                className="segments",
                labelClassName="segment",
            ),
            role="group",
            **attributes(aria_label="Range up to now"),
        ),
        html.Details(
            [
                html.Summary("Custom", id="custom-summary"),
                html.Div(
                    [
                        _moment_input("from", "From"),
                        _moment_input("to", "To"),
                        html.Button("Show", id="custom-show", type="button"),
                        html.P(id="custom-note", className="note", role="status"),
                    ],
                    className="custom",
                ),
            ],
            id="custom",
        ),
        html.Label(
            [
                html.Span("Time zone", className="label"),
                dcc.Input(
                    id="zone",
                    type="text",
                    list="zones",
                    debounce=True,
                    maxLength=64,
                    placeholder="yours",
                ),
            ]
        ),
        html.Datalist([html.Option(value=name) for name in zone_names()], id="zones"),
    ]


def _moment_input(name: str, label: str) -> Component:
    return html.Label(
        [
            html.Span(label, className="label"),
            dcc.Input(
                id=f"custom-{name}",
                type="text",
                placeholder="2026-11-22 14:30",
                maxLength=64,
                autoComplete="off",
            ),
        ]
    )


def _short(name: str) -> str:
    return f"{name[:-1]} {name[-1]}"


def register(app: Dash, site: Site) -> None:
    """Register what keeps controls, URL and pages together."""
    for function, outputs, inputs, states in _IN_THE_BROWSER:
        app.clientside_callback(
            ClientsideFunction("snapshot", function),
            [Output(*split(name)) for name in outputs],
            [Input(*split(name)) for name in inputs],
            [State(*split(name)) for name in states],
            prevent_initial_call=function in _ONLY_WHEN_ASKED,
        )
    for page in PAGES:
        page.register(app, site)

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Output("custom-note", "children"),
        Input("custom-show", "n_clicks"),
        Input("custom-from", "n_submit"),
        Input("custom-to", "n_submit"),
        State("custom-from", "value"),
        State("custom-to", "value"),
        State("url", "pathname"),
        State("url", "search"),
        State("viewer", "data"),
        prevent_initial_call=True,
    )
    def _custom_range(*given: Any) -> tuple[Any, Any]:
        start, end, pathname, search, viewer = given[3:]
        if not ctx.triggered_id:
            return no_update, no_update
        asked = question(
            Request(
                pathname=pathname, search=search, zone=viewer["zone"], narrow=False, revision=0
            ),
            site,
        )
        try:
            chosen = custom_range(start, end, asked.zone, asked.now)
        except ValueError as error:
            return no_update, str(error)
        return asked.view.at(asked.view.page, custom=chosen).search() or "?", ""


def custom_range(start: str | None, end: str | None, zone: Any, now: float) -> TimeRange:
    """What was typed as a range; an empty end is now.

    Raises:
        ValueError: it is none, with what is wrong.
    """
    if not start or not start.strip():
        raise ValueError("Write when the range begins, such as 2026-11-22 14:30.")
    today = dt.datetime.fromtimestamp(now, zone).date()
    first = parse_local(start, zone, today=today)
    if end and end.strip():
        last = parse_local(end, zone, today=today)
    else:
        last = TimeRange.latest(300, now).end
    if last <= first:
        raise ValueError("The range ends before it begins.")
    if last - first > LONGEST_SECONDS:
        raise ValueError("The range is longer than ten years.")
    return TimeRange(first, last)


_ASKED = [f"asked-{page.NAME}.data" for page in PAGES]
_LINKED = [
    "quick.value",
    "zone.value",
    "measure.value",
    "sort.value",
    "find.value",
    "table-find.value",
]
_TABS = [f"tab-{page}.href" for page in TABS]

# function, outputs, inputs, states; all in assets/dashboard.js
_IN_THE_BROWSER: list[tuple[str, list[str], list[str], list[str]]] = [
    (
        "link",
        [
            "url.search",
            *_LINKED,
            "statement-user.value",
            "add-host.value",
            "custom-from.value",
            "custom-to.value",
            "chips.children",
        ],
        [
            "url.pathname",
            "url.search",
            *_LINKED,
            "statement-user.value",
            "add-host.value",
            "add-host.n_submit",
        ],
        ["installation.data"],
    ),
    (
        "open",
        [
            "viewer.data",
            *_ASKED,
            *_TABS,
            *(f"page-{page.NAME}.hidden" for page in PAGES),
            "controls.hidden",
        ],
        ["url.pathname", "url.search", "news.data"],
        ["installation.data", "viewer.data", *_ASKED],
    ),
    (
        "poll",
        ["news.data", "banner.children", "banner.hidden", "freshness.children"],
        ["poll.n_intervals"],
        ["news.data", "installation.data", *(f"outcome-{page.NAME}.data" for page in PAGES)],
    ),
    (
        "cards",
        ["overview-count.children"],
        ["overview-data.data", "url.search", "find.value", "sort.value"],
        [],
    ),
    ("chart", ["consumers-legend.title"], ["consumers-meta.data"], []),
    ("ordered", ["consumers-legend.dir"], ["consumers-table.columnState"], []),
    ("zoom", ["consumers-chart.relayoutData"], ["consumers-chart.relayoutData"], []),
    ("pick", ["consumers-chart.clickData"], ["consumers-chart.clickData"], ["consumers-meta.data"]),
    ("theme", ["theme.children"], ["theme.n_clicks"], []),
    (
        "download",
        ["consumers-table.exportDataAsCsv", "consumers-table.csvExportParams"],
        ["table-download.n_clicks"],
        ["consumers-table.csvExportParams", "consumers-meta.data"],
    ),
    (
        "download",
        ["statement-table.exportDataAsCsv", "statement-table.csvExportParams"],
        ["statement-download.n_clicks"],
        ["statement-table.csvExportParams", "statement-meta.data"],
    ),
    (
        "find_in_table",
        ["consumers-table.dashGridOptions"],
        ["table-find.value"],
        ["consumers-table.dashGridOptions"],
    ),
]
_ONLY_WHEN_ASKED = {"download", "zoom", "pick"}
