"""The page of statements: what one user used in one month, by host and command."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
from dash import Dash, dcc, html
from dash.development.base_component import Component

from snapshot_assets.dashboard.browser import StatementMeta
from snapshot_assets.dashboard.figures import printable
from snapshot_assets.dashboard.http.access import current_user
from snapshot_assets.dashboard.pages.controls import labelled_input
from snapshot_assets.dashboard.pages.page import (
    Answer,
    Question,
    Site,
    answer_with,
    attributes,
    frame,
    number,
)
from snapshot_assets.dashboard.queries.statement import Statement, StatementLine, statement
from snapshot_assets.dashboard.time.formats import format_range
from snapshot_assets.dashboard.time.months import local_month, month_label, months_back
from snapshot_assets.dashboard.view import View, shown
from snapshot_assets.domain.time import bucket_start

NAME = "statement"
_MONTHS = 13
_OUTPUTS = [
    "statement-users.children",
    "statement-months.children",
    "statement-summary.children",
    "statement-table.rowData",
    "statement-lines.hidden",
    "statement-meta.data",
]


def layout() -> Component:
    """The page's section of the layout."""
    return frame(
        NAME,
        html.Div(
            [
                labelled_input(
                    "User",
                    id="statement-user",
                    type="text",
                    list="statement-users",
                    placeholder="account name",
                    debounce=True,
                    maxLength=300,
                ),
                html.Datalist(id="statement-users"),
                html.Nav(
                    id="statement-months", className="months", **attributes(aria_label="Month")
                ),
            ],
            className="tools",
        ),
        html.Div(id="statement-summary"),
        dcc.Store(id="statement-meta"),
        html.Div(
            [
                html.Div(
                    html.Button("Download CSV", id="statement-download", type="button"),
                    className="tools",
                ),
                _table(),
            ],
            id="statement-lines",
            hidden=True,
        ),
    )


def _table() -> Component:
    return dag.AgGrid(
        id="statement-table",
        columnDefs=columns(),
        rowData=[],
        defaultColDef={"sortable": True, "resizable": True, "minWidth": 112, "flex": 1},
        dashGridOptions={
            "domLayout": "autoHeight",
            "pagination": True,
            "paginationPageSize": 100,
            "paginationPageSizeSelector": [20, 100, 500],
            "enableCellTextSelection": True,
            "animateRows": False,
        },
        csvExportParams={"processCellCallback": {"function": "snapshotCell(params)"}},
        className="table",
    )


def register(app: Dash, site: Site) -> None:
    """Register the page's callback."""

    def answer(question: Question) -> Answer:
        month = question.view.month or local_month(int(question.now), question.zone)
        given = question.view.user, month, question.zone
        bucket = bucket_start(question.now)
        found = site.memo.answer(
            (NAME, *given, bucket), lambda: statement(site.reader, *given, question.now)
        )
        notes = []
        if found.user is not None and found.user not in found.users:
            notes.append(
                f"Nothing is listed under the user {shown(found.user)!r} in {month_label(month)}."
            )
        if not found.kept:
            notes.append(
                "The store no longer keeps all of this month; the statement lacks the rest."
            )
        if found.zone.key != question.zone.key:
            notes.append(
                "The store keeps only whole UTC days of a month this old, so the month begins and "
                "ends at midnight UTC."
            )
        return Answer(
            {
                "statement-users.children": [html.Option(value=user) for user in found.users],
                "statement-months.children": month_links(question, site.options.url_prefix),
                "statement-summary.children": summary(
                    found, question.view, site.options.url_prefix, current_user()
                ),
                "statement-table.rowData": rows(found.lines),
                "statement-lines.hidden": not found.lines,
                "statement-meta.data": StatementMeta(file=f"statement-{found.user or ''}-{month}"),
            },
            notes,
        )

    answer_with(app, site, NAME, _OUTPUTS, answer)


def month_links(question: Question, prefix: str) -> list[Component]:
    """Links to the months that a statement can have, newest first."""
    chosen = question.view.month or local_month(int(question.now), question.zone)
    months = months_back(int(question.now), question.zone, _MONTHS)
    if chosen not in months:
        months = [chosen, *months]
    return [
        dcc.Link(
            month_label(month),
            href=question.view.at("statement", month=month).link(prefix),
            className="month chosen" if month == chosen else "month",
        )
        for month in months
    ]


def columns() -> list[dict[str, Any]]:
    """The table's columns."""
    numbers = [
        ("core_hours", "Core-hours", "CPU used", "snapshotHours"),
        ("cores_peak", "Peak cores", "highest 5 minutes", "snapshotNumber"),
        ("gb_hours", "GB-hours", "memory times time", "snapshotHours"),
        ("gb_peak", "Peak GB", "highest 5 minutes", "snapshotNumber"),
    ]
    return [
        {"headerName": "Host", "field": "host"},
        {"headerName": "Command", "field": "command"},
        *(
            {
                "headerName": heading,
                "headerTooltip": tooltip,
                "field": key,
                "type": "rightAligned",
                "valueFormatter": {"function": f"{function}(params.value)"},
                **({"sort": "desc"} if key == "core_hours" else {}),
            }
            for key, heading, tooltip, function in numbers
        ),
    ]


def rows(lines: list[StatementLine]) -> list[dict[str, Any]]:
    """The table's rows."""
    return [
        {
            "host": line.host,
            "command": line.command,
            "core_hours": round(line.core_hours, 6),
            "cores_peak": round(line.cores_peak, 6),
            "gb_hours": round(line.gb_hours, 6),
            "gb_peak": round(line.gb_peak, 6),
        }
        for line in lines
    ]


def summary(
    found: Statement, view: View, prefix: str, viewer: str | None = None
) -> list[Component]:
    """The sums of a user's statement; without a user, links to all users, the viewer first."""
    if found.user is None:
        people = [
            html.Li(dcc.Link(printable(user), href=view.at("statement", user=user).link(prefix)))
            for user in sorted(found.users, key=lambda user: user != viewer)
        ]
        heading = html.H2(f"Choose a user of {month_label(found.month)}")
        return (
            [heading, html.Ul(people, className="people")]
            if people
            else [html.H2(f"No user is listed in {month_label(found.month)}")]
        )
    core_hours = sum(line.core_hours for line in found.lines)
    gb_hours = sum(line.gb_hours for line in found.lines)
    hosts = len({line.host for line in found.lines})
    return [
        html.H2(f"{printable(found.user)}, {month_label(found.month)}"),
        html.Dl(
            [
                html.Div([html.Dt("core-hours"), html.Dd(f"{core_hours:,.1f}")]),
                html.Div([html.Dt("GB-hours"), html.Dd(f"{gb_hours:,.1f}")]),
                html.Div([html.Dt("hosts"), html.Dd(number(hosts))]),
            ],
            className="figures",
        ),
        html.P(
            [
                f"{format_range(found.range, found.zone)}, ",
                "final. "
                if found.settled
                else "so far: the month is not over, or a part of it is not settled. ",
                "A statement lists use above the thresholds; use below them is in no statement.",
            ],
            className="quiet",
        ),
    ]
