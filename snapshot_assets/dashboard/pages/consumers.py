"""The pages of users and of commands: a chart over time, and the table of all of them.

Both pages share one layout; the page and its filter decide what the chart stacks. With a user
chosen the page shows that user's commands; with a command chosen, its users.
"""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
from dash import Dash, dcc, html
from dash.development.base_component import Component

from snapshot_assets.dashboard.browser import ConsumersMeta
from snapshot_assets.dashboard.colours import looks
from snapshot_assets.dashboard.figures import (
    MACHINE_NAME,
    MACHINES_NAME,
    NOBODYS_WHY,
    UNITS,
    printable,
    short,
    stack,
    swatch,
)
from snapshot_assets.dashboard.pages.controls import segments, suggested_input
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
from snapshot_assets.dashboard.queries.consumers import Consumer, Consumers, Field, consumers
from snapshot_assets.dashboard.view import View, shown
from snapshot_assets.domain.frames import OTHER

NAME = "consumers"
# Of the table: the field, after a minus if descending.
DEFAULT_ORDER = "-core_hours"
MEASURES = {"cpu": "CPU", "mem": "Memory"}
# Nobody reads more rows; so many take a megabyte.
_ROWS_MOST = 5_000
_OUTPUTS = [
    "consumers-title.children",
    "consumers-chart.figure",
    "consumers-legend.children",
    "consumers-table.rowData",
    "consumers-table.columnDefs",
    "consumers-meta.data",
    "known-hosts.children",
]
_CHART_CONFIG: Any = {"displayModeBar": False, "doubleClick": False, "scrollZoom": False}


def layout() -> Component:
    """The section of the layout that both pages share."""
    return frame(
        NAME,
        html.Div(
            [
                html.Div(
                    segments("measure", MEASURES, "cpu"),
                    role="group",
                    **attributes(aria_label="Measure"),
                ),
                *suggested_input("Only host", "add-host", "known-hosts", "all hosts"),
                html.Div(id="chips", className="chips"),
            ],
            className="tools",
        ),
        html.H2(id="consumers-title"),
        dcc.Graph(
            id="consumers-chart",
            figure={
                "data": [],
                "layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}},
            },
            config=_CHART_CONFIG,
            responsive=True,
            style={"height": "var(--chart-height)"},
        ),
        html.Ul(id="consumers-legend", className="legend names"),
        legend(("machine", MACHINE_NAME), ("limit", "capacity, where it is near"), *BANDS),
        html.Div(
            [
                html.Label(
                    [
                        html.Span("Find in the table", className="label"),
                        dcc.Input(id="table-find", type="search", debounce=0.2, maxLength=200),
                    ]
                ),
                html.Button("Download CSV", id="table-download", type="button"),
            ],
            className="tools",
        ),
        dcc.Store(id="consumers-meta"),
        dag.AgGrid(
            id="consumers-table",
            columnDefs=[],
            rowData=[],
            defaultColDef={"sortable": True, "resizable": True, "minWidth": 112, "flex": 1},
            dashGridOptions={
                "domLayout": "autoHeight",
                "pagination": True,
                "paginationPageSize": 20,
                "paginationPageSizeSelector": [20, 100, 500],
                "suppressFieldDotNotation": True,
                "enableCellTextSelection": True,
                "animateRows": False,
            },
            getRowId="params.data.key",
            csvExportParams={"processCellCallback": {"function": "snapshotCell(params)"}},
            className="table",
        ),
    )


def register(app: Dash, site: Site) -> None:
    """Register the pages' callback."""

    def answer(question: Question) -> Answer:
        view = question.view
        field, only = subject(view)
        range_ = view.range(question.now)
        found, known = site.memo.answer(
            (NAME, range_, field, view.measure, view.hosts, only),
            lambda: (
                consumers(
                    site.reader,
                    range_,
                    field,
                    view.measure,
                    hosts=view.hosts,
                    only=only,
                    max_gap_seconds=site.options.max_gap_seconds,
                ),
                site.reader.hosts(*range_.bounds),
            ),
        )
        notes = unknown_hosts(view.hosts, known)
        if not found.hosts and not notes:
            notes.append(f"There is no data for this range ({question.range_text()}).")
        elif only and not found.table:
            notes.append(
                f"Nothing is listed under {shown(only[1])!r} in this range; use below the "
                "thresholds is not listed by name."
            )
        if len(found.table) > _ROWS_MOST:
            notes.append(f"The table has the first {_ROWS_MOST:,} of {len(found.table):,}.")
        return Answer(
            {
                "consumers-title.children": title(view, found, question.range_text()),
                "consumers-chart.figure": stack(
                    found,
                    question.zone,
                    _capacity(found, view, known, site),
                    marks=3 if question.narrow else 8,
                ),
                "consumers-legend.children": _names(found),
                "consumers-table.rowData": rows(found.table[:_ROWS_MOST]),
                "consumers-table.columnDefs": columns(field, site.options.url_prefix),
                "consumers-meta.data": _meta(found, question),
                "known-hosts.children": [html.Option(value=host) for host in known],
            },
            notes,
        )

    answer_with(app, site, NAME, _OUTPUTS, answer)


def subject(view: View) -> tuple[Field, tuple[Field, str] | None]:
    """Whether a view lists users or commands, and the user or command that restricts the list."""
    if view.page == "commands":
        if view.command is not None:
            return "username", ("comm", view.command)
        return "comm", None
    if view.user is not None:
        return "comm", ("username", view.user)
    return "username", None


def title(view: View, found: Consumers, range_text: str) -> str:
    """The page's heading."""
    _, only = subject(view)
    consumers_ = {"username": "Users", "comm": "Commands"}[found.field]
    if only:
        relation = "of user" if only[0] == "username" else "running"
        consumers_ = f"{consumers_} {relation} {printable(only[1])}"
    if len(view.hosts) == 1:
        where = f"on {printable(view.hosts[0])}"
    else:
        where = f"on {len(view.hosts)} hosts" if view.hosts else f"on all {found.hosts} hosts"
    return f"{consumers_} {where}, {range_text}"


def columns(field: Field, prefix: str) -> list[dict[str, Any]]:
    """The table's columns."""
    name = {
        "headerName": {"username": "User", "comm": "Command"}[field],
        "field": "key",
        "cellRenderer": "SnapshotName",
        "cellRendererParams": {"field": field, "prefix": prefix},
        "pinned": "left",
        "flex": None,
        "width": 180,
    }
    numbers = [
        ("core_hours", "Core-hours", "CPU used in the range"),
        ("cores_mean", "Mean cores", "mean over each host's covered time, added over the hosts"),
        ("cores_peak", "Peak cores", "highest 5 minutes on one host"),
        ("gb_mean", "Mean GB", "mean over each host's covered time, added over the hosts"),
        ("gb_peak", "Peak GB", "highest 5 minutes on one host"),
        ("gb_hours", "GB-hours", "memory times time"),
    ]
    return [
        name,
        *(
            {
                "headerName": heading,
                "headerTooltip": tooltip,
                "field": key,
                "type": "rightAligned",
                "valueFormatter": {"function": "snapshotNumber(params.value)"},
                **({"sort": "desc"} if f"-{key}" == DEFAULT_ORDER else {}),
            }
            for key, heading, tooltip in numbers
        ),
        {
            "headerName": "Hosts",
            "field": "hosts",
            "type": "rightAligned",
            "tooltipField": "on",
        },
        {
            "headerName": "On",
            "field": "on",
            "minWidth": 140,
            "flex": 2,
            "tooltipField": "on",
        },
    ]


def rows(table: list[Consumer]) -> list[dict[str, Any]]:
    """The table's rows; numbers have 6 decimals, as documents have."""
    return [
        {
            "key": row.name,
            "core_hours": round(row.core_hours, 6),
            "cores_mean": round(row.cores_mean, 6),
            "cores_peak": round(row.cores_peak, 6),
            "gb_mean": round(row.gb_mean, 6),
            "gb_peak": round(row.gb_peak, 6),
            "gb_hours": round(row.gb_hours, 6),
            "hosts": len(row.hosts),
            "on": ", ".join(row.hosts),
        }
        for row in table
    ]


def _names(found: Consumers) -> list[Component]:
    """A legend of names; a click on a name filters as a click on its layer does."""
    look = looks(series.name for series in found.series)
    return [
        html.Li(
            [
                html.Span(
                    className="mark",
                    style={"background": swatch(look[series.name])},
                    **attributes(aria_hidden="true"),
                ),
                "other, together"
                if series.name == OTHER
                else html.Button(
                    printable(series.name),
                    type="button",
                    className="name",
                    **attributes(data_field=found.field, data_name=series.name),
                ),
            ]
        )
        for series in found.series
        if series.name != OTHER or len(found.series) > 1
    ]


def _capacity(found: Consumers, view: View, known: list[str], site: Site) -> float | None:
    """The capacity of all hosts together; None if the capacity of a host is unknown."""
    each = [
        site.limit(host, found.measure, found.machine.capacity.get(host))
        for host in view.hosts or known
    ]
    if not each or any(one is None for one in each):
        return None
    return sum(one for one in each if one is not None)


def _meta(found: Consumers, question: Question) -> ConsumersMeta:
    look = looks(series.name for series in found.series)
    return {
        "field": found.field,
        "unit": UNITS[found.measure],
        "zone": question.zone.key,
        "start": found.grid.start,
        "step": found.grid.step,
        "covered_hosts": found.coverage.hosts.tolist(),
        "machine_name": MACHINE_NAME if found.hosts == 1 else MACHINES_NAME,
        "machine": short(found.machine.used),
        "nobodys": short(found.machine.nobodys),
        "nobodys_why": NOBODYS_WHY[found.measure],
        "hosts": found.hosts,
        "swatches": [swatch(look[series.name]) for series in found.series],
        "file": f"{found.field}-{question.view.range(question.now).start}",
    }
