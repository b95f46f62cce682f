"""The frame that all pages share: from the browser's request to the page's answer or an error.

The browser puts a request into the store ``request-<page>``. The page's callback answers into the
page's components, and reports in ``outcome-<page>`` whether that worked. So only the open page
requests anything. After a failure the page keeps its content, and the browser sends the request
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, dcc, html, no_update
from dash.development.base_component import Component

from snapshot_assets.dashboard.browser import Outcome, PageRequest, split
from snapshot_assets.dashboard.capacity import Capacities
from snapshot_assets.dashboard.figures import MACHINE_NAME, NOBODYS_WHY, UNITS
from snapshot_assets.dashboard.http.metrics import count_store_failure
from snapshot_assets.dashboard.memo import Memo
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.dashboard.queries.machine import MachineShare
from snapshot_assets.dashboard.time.formats import format_range
from snapshot_assets.dashboard.time.zones import zone_named
from snapshot_assets.dashboard.view import View, read_link, shown
from snapshot_assets.domain.measures import Measure
from snapshot_assets.errors import OutageError, SnapshotAssetsError
from snapshot_assets.store.reading.reader import RedisReader

log = logging.getLogger(__name__)

UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages share.

    Attributes:
        reader: of the store.
        clock: epoch seconds now.
        options: of this installation.
        capacities: cores and memory of the hosts.
        memo: keeps recent answers of the reader.
    """

    reader: RedisReader
    clock: Callable[[], float]
    options: DashboardOptions
    capacities: Capacities
    memo: Memo

    def limit(self, host: str, measure: Measure, machine: float | None) -> float | None:
        """The capacity of a host, cores or GB; None if it is unknown.

        Args:
            host: name of the host.
            measure: the measure.
            machine: what the kernel says; without it, the file of capacities is asked.
        """
        if machine:
            return machine
        file = self.capacities.get(host)
        return file.cores if measure == "cpu" else file.memory_gb


@dataclass(frozen=True, slots=True)
class Question:
    """What a page should show.

    Attributes:
        view: of the link.
        zone: the viewer's.
        narrow: whether the window is narrow, as on a phone.
        now: epoch seconds.
        notes: errors of the link, as sentences for the viewer.
    """

    view: View
    zone: ZoneInfo
    narrow: bool
    now: float
    notes: tuple[str, ...]

    def range_text(self) -> str:
        """The range in the viewer's zone."""
        return format_range(self.view.range(self.now), self.zone)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page shows.

    Attributes:
        values: new values by ``component.property``.
        notes: sentences for the viewer, in addition to the question's.
    """

    values: Mapping[str, Any]
    notes: Sequence[str] = ()


def read_request(request: PageRequest, site: Site) -> Question:
    """The question that a request of the browser means."""
    link = read_link(request["pathname"], request["search"], site.options.url_prefix)
    zone, problem = known_zone(link.view.zone or request["zone"])
    return Question(
        view=link.view,
        zone=zone,
        narrow=bool(request["narrow"]),
        now=site.clock(),
        notes=link.notes if problem is None else (*link.notes, problem),
    )


def known_zone(name: str) -> tuple[ZoneInfo, str | None]:
    """The time zone of this name; UTC and a note for the viewer if there is no such zone."""
    try:
        return zone_named(name), None
    except ValueError:
        note = f"The browser's time zone {shown(name)} is not known here; times are shown in UTC."
        return UTC, note


def frame(name: str, *children: Any) -> Component:
    """A page's section of the layout, hidden until the page is opened."""
    return html.Section(
        [
            dcc.Store(id=f"request-{name}"),
            dcc.Store(id=f"outcome-{name}"),
            html.Div(id=f"notes-{name}", className="notes", role="status"),
            *children,
        ],
        id=f"page-{name}",
        className="page",
        hidden=True,
    )


def answer_with(
    app: Dash,
    site: Site,
    name: str,
    outputs: Sequence[str],
    answer: Callable[[Question], Answer],
) -> None:
    """Register a page's callback.

    Args:
        app: of the dashboard.
        site: what all pages share.
        name: of the page.
        outputs: each ``component.property`` that an answer may set.
        answer: computes the answer.
    """
    targets = {name: Output(*split(name)) for name in outputs}

    @app.callback(
        output={
            "values": targets,
            "notes": Output(f"notes-{name}", "children"),
            "outcome": Output(f"outcome-{name}", "data"),
        },
        inputs={"request": Input(f"request-{name}", "data")},
        prevent_initial_call=True,
    )
    def _respond(request: PageRequest | None) -> dict[str, Any]:
        nothing = dict.fromkeys(targets, no_update)
        if request is None:
            return {"values": nothing, "notes": no_update, "outcome": no_update}
        outcome: Outcome = {"revision": request["revision"], "failed": False}
        try:
            question = read_request(request, site)
            found = answer(question)
        except SnapshotAssetsError as error:
            count_store_failure(error)
            if not isinstance(error, OutageError):
                log.exception("page %s", name)
            outcome["failed"] = True
            message = (
                "The data store does not answer. What is shown may be old; this page tries again "
                "by itself."
                if isinstance(error, OutageError)
                else "The data store refuses to answer; the log of the dashboard has the reason."
            )
            return {"values": nothing, "notes": [trouble(message)], "outcome": outcome}
        except Exception:
            log.exception("page %s could not answer %r", name, request)
            outcome["failed"] = True
            message = "Something went wrong here; the log of the dashboard has the error."
            return {"values": nothing, "notes": [trouble(message)], "outcome": outcome}
        return {
            "values": nothing | dict(found.values),
            "notes": [note(text) for text in (*question.notes, *found.notes)],
            "outcome": outcome,
        }


def attributes(**given: str) -> Any:
    """HTML attributes with a hyphen: ``aria_label`` for ``aria-label``."""
    return {name.replace("_", "-"): value for name, value in given.items()}


def note(text: str) -> Component:
    """A sentence that the viewer should know."""
    return html.P(text, className="note")


def trouble(text: str) -> Component:
    """A sentence about a failure."""
    return html.P(text, className="note trouble")


BANDS = (
    ("gap", "gap: no data"),
    ("live", "live: more rows may arrive"),
    ("not-kept", "no longer kept"),
)


def legend(*marks: tuple[str, str]) -> Component:
    """A legend of a chart's marks: for each its CSS class and its meaning."""
    return html.Ul(
        [html.Li([_mark(name), text]) for name, text in marks],
        className="legend",
        **attributes(aria_label="Legend"),
    )


def _mark(name: str) -> Component:
    return html.Span(className=f"mark mark-{name}", **attributes(aria_hidden="true"))


def unknown_hosts(hosts: Sequence[str], known: Sequence[str]) -> list[str]:
    """A note for each host of a link without data."""
    return [
        f"There is no data of a host {shown(host)!r} in this range."
        for host in hosts
        if host not in set(known)
    ]


def machine_texts(machine: Mapping[Measure, MachineShare]) -> list[str]:
    """What the kernel counted in an interval, as sentences; empty if nothing is known."""
    known = [
        f"{number(share.used)} {UNITS[measure]}"
        for measure, share in machine.items()
        if share.used is not None
    ]
    return [
        *([f"{MACHINE_NAME}: {', '.join(known)}"] if known else []),
        *(
            f"{number(share.nobodys)} {UNITS[measure]} in no user's figures: {NOBODYS_WHY[measure]}"
            for measure, share in machine.items()
            if share.nobodys is not None
        ),
    ]


def number(value: float, digits: int = 3) -> str:
    """A number for people: ``1,234``, ``12.3``, ``0.04``; only a zero is shown as zero."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.005:
        return "<0.01" if value > 0 else "0"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}"
