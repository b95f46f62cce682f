"""The shell around the pages: heading, tabs, range and zone, banner, footer.

The layout always holds all controls, so that one function in the browser can keep them and the URL
equal.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from snapshot_assets.dashboard.browser import Installation, Viewer, register_browser_callbacks
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.dashboard.pages import consumers, now, overview, statement
from snapshot_assets.dashboard.pages.page import Site, attributes, known_zone
from snapshot_assets.dashboard.time.formats import quick_label
from snapshot_assets.dashboard.time.ranges import QUICK, TimeRange
from snapshot_assets.dashboard.time.typed import parse_local
from snapshot_assets.dashboard.time.zones import zone_names
from snapshot_assets.dashboard.view import (
    DEFAULT_QUICK,
    LONGEST_SECONDS,
    PATHS,
    Page,
    View,
    read_link,
)

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
        output={
            "search": Output("url", "search", allow_duplicate=True),
            "note": Output("custom-note", "children"),
        },
        inputs={
            "triggers": {
                "show": Input("custom-show", "n_clicks"),
                "from": Input("custom-from", "n_submit"),
                "to": Input("custom-to", "n_submit"),
            }
        },
        state={
            "start": State("custom-from", "value"),
            "end": State("custom-to", "value"),
            "pathname": State("url", "pathname"),
            "search": State("url", "search"),
            "viewer": State("viewer", "data"),
        },
        prevent_initial_call=True,
    )
    def _custom_range(
        triggers: dict[str, Any],
        start: str | None,
        end: str | None,
        pathname: str,
        search: str,
        viewer: Viewer,
    ) -> dict[str, Any]:
        if not ctx.triggered_id:
            return {"search": no_update, "note": no_update}
        view = read_link(pathname, search, site.options.url_prefix).view
        zone, _ = known_zone(view.zone or viewer["zone"])
        try:
            chosen = custom_range(start, end, zone, site.clock())
        except ValueError as error:
            return {"search": no_update, "note": str(error)}
        return {"search": view.at(view.page, custom=chosen).search() or "?", "note": ""}


def custom_range(start: str | None, end: str | None, zone: ZoneInfo, now: float) -> TimeRange:
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
