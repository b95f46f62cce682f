"""What the scripts in ``assets/`` and Python agree on, by name.

A :class:`BrowserCallback` declares which properties a function of ``assets/90-callbacks.js`` reads
and writes. The function gets an object with the values under these names, and returns an object
with new values under these names; an undeclared name is an error in the browser. The typed
dictionaries are the data that scripts and Python exchange in stores.

Two answers of the server outside of Dash are documented where they are made: ``pulse`` in
:mod:`~snapshot_assets.dashboard.http.health`, ``bucket`` in
:mod:`~snapshot_assets.dashboard.tooltip`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from dash import ClientsideFunction, Dash, Input, Output, State


class Installation(TypedDict):
    """The store ``installation``: what differs between installations, and the pages.

    Keys:
        prefix: path under which the pages are, with a slash at both ends.
        stale_seconds: age of the newest bucket from which a page warns.
        pages: name of each page, by its path under the prefix.
        sections: section of the layout that shows a page, by the name of the page.
        defaults: value of each parameter that a link leaves out.
    """

    prefix: str
    stale_seconds: float
    pages: dict[str, str]
    sections: dict[str, str]
    defaults: dict[str, str]


class Viewer(TypedDict):
    """The store ``viewer``: the time zone of the browser."""

    zone: str


class PageRequest(TypedDict):
    """The store ``request-<section>``: what the open page should show.

    Keys:
        pathname: path of the URL.
        search: query of the URL, without the parameters that only the browser uses.
        zone: time zone of the browser.
        narrow: whether the window is narrow, as on a phone.
        revision: number of times that the browser has noticed new data.
    """

    pathname: str
    search: str
    zone: str
    narrow: bool
    revision: int


class Outcome(TypedDict):
    """The store ``outcome-<section>``: whether a page could answer the request of a revision."""

    revision: int
    failed: bool


class CardNumbers(TypedDict):
    """One measure of a host, cores or GB; None for an unknown number.

    Keys:
        now, mean, peak: what users used: newest, on average, and the highest 5 minutes.
        machine: what the kernel counted, the newest.
        limit: the capacity.
    """

    now: float | None
    mean: float | None
    peak: float | None
    machine: float | None
    limit: float | None


class Card(TypedDict):
    """One host of the overview; ``figure`` is what differs from the ``base`` of all cards."""

    host: str
    cpu: CardNumbers
    mem: CardNumbers
    figure: dict[str, Any]


class OverviewData(TypedDict):
    """The store ``overview-data``.

    Keys:
        base: layout of all cards.
        start: epoch second at which the first interval starts.
        step: length of an interval, seconds.
        range: start and end of the shown time, epoch seconds.
        range_text: the same for people.
        zone: time zone of the page.
        cards: the hosts.
    """

    base: dict[str, Any]
    start: int
    step: int
    range: list[int]
    range_text: str
    zone: str
    cards: list[Card]


class ConsumersMeta(TypedDict):
    """The store ``consumers-meta``, for the stacked chart's tooltip, clicks and download.

    Keys:
        field: ``username`` or ``comm``: what a layer of the chart is.
        unit: of the values.
        zone: time zone of the page.
        start: epoch second at which the first interval starts.
        step: length of an interval, seconds.
        covered_hosts: number of hosts with cover, for each interval.
        hosts: number of hosts with cover in the range.
        machine_name: what the line above the stack is called.
        machine: what the kernel counted in each interval; None if it is unknown.
        nobodys: how much of it is in no user's figures; None also if that is little.
        nobodys_why: the reason.
        swatches: CSS background of each layer.
        file: name of the download, without its ending.
    """

    field: str
    unit: str
    zone: str
    start: int
    step: int
    covered_hosts: list[int]
    hosts: int
    machine_name: str
    machine: list[float | None]
    nobodys: list[float | None]
    nobodys_why: str
    swatches: list[str]
    file: str


class StatementMeta(TypedDict):
    """The store ``statement-meta``: the name of the download, without its ending."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserCallback:
    """One function of ``assets/90-callbacks.js``. All names are ``component.property``.

    Attributes:
        function: its name.
        triggers: properties that it reads; a change calls it.
        reads: properties that it reads besides.
        writes: properties that it may write.
        initial: whether it is called when the page is loaded.
    """

    function: str
    triggers: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    initial: bool = True


def browser_callbacks(
    pages: tuple[str, ...], sections: tuple[str, ...]
) -> tuple[BrowserCallback, ...]:
    """All functions.

    Args:
        pages: names of the pages.
        sections: names of the layout's sections.
    """
    requests = tuple(f"request-{section}.data" for section in sections)
    controls = (
        "quick.value",
        "zone.value",
        "measure.value",
        "sort.value",
        "find.value",
        "table-find.value",
        "statement-user.value",
        "add-host.value",
    )
    return (
        BrowserCallback(
            function="link",
            triggers=("url.pathname", "url.search", *controls, "add-host.n_submit"),
            reads=("installation.data",),
            writes=(
                "url.search",
                *controls,
                "custom-from.value",
                "custom-to.value",
                "chips.children",
            ),
        ),
        BrowserCallback(
            function="open",
            triggers=("url.pathname", "url.search", "news.data"),
            reads=("installation.data", "viewer.data", *requests),
            writes=(
                "viewer.data",
                *requests,
                *(f"tab-{page}.href" for page in pages),
                *(f"page-{section}.hidden" for section in sections),
                "controls.hidden",
            ),
        ),
        BrowserCallback(
            function="poll",
            triggers=("poll.n_intervals",),
            reads=(
                "news.data",
                "installation.data",
                *(f"outcome-{section}.data" for section in sections),
            ),
            writes=("news.data", "banner.children", "banner.hidden", "freshness.children"),
        ),
        BrowserCallback(
            function="cards",
            triggers=("overview-data.data", "url.search", "find.value", "sort.value"),
            writes=("overview-count.children",),
        ),
        BrowserCallback(function="chart", triggers=("consumers-meta.data",)),
        BrowserCallback(function="ordered", triggers=("consumers-table.columnState",)),
        BrowserCallback(function="zoom", triggers=("consumers-chart.relayoutData",), initial=False),
        BrowserCallback(
            function="pick",
            triggers=("consumers-chart.clickData",),
            reads=("consumers-meta.data",),
            writes=("consumers-chart.clickData",),
            initial=False,
        ),
        BrowserCallback(function="theme", triggers=("theme.n_clicks",), writes=("theme.children",)),
        *(
            BrowserCallback(
                function=f"download_{section}",
                triggers=(f"{button}.n_clicks",),
                reads=(f"{section}-table.csvExportParams", f"{section}-meta.data"),
                writes=(f"{section}-table.exportDataAsCsv", f"{section}-table.csvExportParams"),
                initial=False,
            )
            for section, button in (
                ("consumers", "table-download"),
                ("statement", "statement-download"),
            )
        ),
        BrowserCallback(
            function="find_in_table",
            triggers=("table-find.value",),
            reads=("consumers-table.dashGridOptions",),
            writes=("consumers-table.dashGridOptions",),
        ),
    )


def register_browser_callbacks(
    app: Dash, pages: tuple[str, ...], sections: tuple[str, ...]
) -> None:
    """Register all functions with Dash."""
    for callback in browser_callbacks(pages, sections):
        app.clientside_callback(
            ClientsideFunction("snapshot", callback.function),
            [Output(*split(name)) for name in callback.writes],
            [Input(*split(name)) for name in callback.triggers],
            [State(*split(name)) for name in callback.reads],
            prevent_initial_call=not callback.initial,
        )


def split(name: str) -> tuple[str, str]:
    """The component and the property of ``component.property``."""
    component, _, property_ = name.partition(".")
    return component, property_
