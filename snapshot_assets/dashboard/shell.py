"""The shell around the pages: heading, tabs, range and zone, banner, footer.

The layout always holds all controls, so that one function in the browser can keep them and the URL
equal.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from snapshot_assets.dashboard.browser import Installation, PageRequest, register_browser_callbacks
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.dashboard.pages import consumers, now, overview, statement
from snapshot_assets.dashboard.pages.page import Site, attributes, read_request
from snapshot_assets.dashboard.time.formats import quick_label
from snapshot_assets.dashboard.time.ranges import QUICK, TimeRange
from snapshot_assets.dashboard.time.typed import parse_local
from snapshot_assets.dashboard.time.zones import zone_names
from snapshot_assets.dashboard.view import DEFAULT_QUICK, LONGEST_SECONDS, PATHS, Page, View

PAGES = (overview, consumers, statement, now)
TABS: dict[Page, str] = {
    "overview": "Overview",
    "users": "Users",
    "commands": "Commands",
    "statement": "Statement",
    "now": "Right now",
}
# The section of the layout that shows each page.
SECTIONS: dict[Page, str] = {
    "overview": overview.NAME,
    "users": consumers.NAME,
    "commands": consumers.NAME,
    "statement": statement.NAME,
    "now": now.NAME,
}
_MILLISECONDS = 1_000


def layout(options: DashboardOptions) -> Component:
    """The whole page, without data."""
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="viewer"),
            dcc.Store(id="news"),
            dcc.Store(id="installation", data={**_installation(options)}),
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
                "1 core-hour is one core busy for an hour. 1 GB is 10⁹ bytes. Charts show means of "
                "5 minutes; over more than two days, of hours; over more than 45 days, of days.",
                className="quiet",
            ),
            html.Div(id="tooltip", className="tooltip", role="tooltip", hidden=True),
        ]
    )


def _installation(options: DashboardOptions) -> Installation:
    return {
        "prefix": options.url_prefix,
        "stale_seconds": options.stale_seconds,
        "pages": {path: page for page, path in PATHS.items()},
        "sections": {str(page): section for page, section in SECTIONS.items()},
        "defaults": {
            "range": DEFAULT_QUICK,
            "measure": View().measure,
            "sort": overview.DEFAULT_SORT,
            "order": consumers.DEFAULT_ORDER,
        },
    }


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
                        _time_input("from", "From"),
                        _time_input("to", "To"),
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


def _time_input(name: str, label: str) -> Component:
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
    """Register the callbacks that connect controls, URL and pages."""
    register_browser_callbacks(app, tuple(PATHS), tuple(page.NAME for page in PAGES))
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
        question = read_request(
            PageRequest(
                pathname=pathname, search=search, zone=viewer["zone"], narrow=False, revision=0
            ),
            site,
        )
        try:
            chosen = custom_range(start, end, question.zone, question.now)
        except ValueError as error:
            return no_update, str(error)
        return question.view.at(question.view.page, custom=chosen).search() or "?", ""


def custom_range(start: str | None, end: str | None, zone: Any, now: float) -> TimeRange:
    """The range between two typed times; an empty end means now.

    Raises:
        ValueError: a time or the range has an error; the message is for the viewer.
    """
    if not start or not start.strip():
        raise ValueError("Write the start of the range, such as 2026-11-22 14:30.")
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
