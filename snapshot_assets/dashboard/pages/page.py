"""What pages have in common: how they are asked, how they answer, and what they say when they
cannot.

The browser puts what a page is asked for into the store ``asked-<page>``; the page's callback
answers into its components and says how it went in ``outcome-<page>``. So only the page that is
open asks, and a failed answer leaves what is shown and is asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, dcc, html, no_update
from dash.development.base_component import Component

from snapshot_assets.dashboard.capacity import Capacities
from snapshot_assets.dashboard.health import count_store_failure
from snapshot_assets.dashboard.memo import Memo
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.dashboard.time_range import format_range, zone_named
from snapshot_assets.dashboard.view import View, asked, shown
from snapshot_assets.errors import OutageError, SnapshotAssetsError
from snapshot_assets.store.reading.reader import RedisReader

log = logging.getLogger(__name__)

UTC = ZoneInfo("UTC")


class Request(TypedDict):
    """What the browser puts into ``asked-<page>``."""

    pathname: str
    search: str
    zone: str
    narrow: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Site:
    """What pages are made with.

    Attributes:
        reader: of the store.
        clock: epoch seconds now.
        options: of this installation.
        capacities: how big the machines are.
        memo: keeps what was asked of the reader.
    """

    reader: RedisReader
    clock: Callable[[], float]
    options: DashboardOptions
    capacities: Capacities
    memo: Memo


@dataclass(frozen=True, slots=True)
class Question:
    """What a page is asked for, understood.

    Attributes:
        view: the link.
        zone: the viewer's.
        narrow: whether there is little room, as on a phone.
        now: epoch seconds.
        notes: what was not understood.
    """

    view: View
    zone: ZoneInfo
    narrow: bool
    now: float
    notes: tuple[str, ...]

    def told_range(self) -> str:
        """The range in the viewer's zone."""
        return format_range(self.view.range(self.now), self.zone)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page shows.

    Attributes:
        values: by ``component.property``.
        notes: for the viewer, beside those of the question.
    """

    values: Mapping[str, Any]
    notes: Sequence[str] = ()


def question(request: Request, site: Site) -> Question:
    """Understand what the browser asks for."""
    found = asked(request["pathname"], request["search"], site.options.url_prefix)
    notes = list(found.notes)
    zone = UTC
    wanted = found.view.zone or request["zone"]
    try:
        zone = zone_named(wanted)
    except ValueError:
        notes.append(f"The browser's time zone {shown(wanted)} is not known here; this is UTC.")
    return Question(found.view, zone, bool(request["narrow"]), site.clock(), tuple(notes))


def frame(name: str, *children: Any) -> Component:
    """A page's skeleton, hidden until it is opened."""
    return html.Section(
        [
            dcc.Store(id=f"asked-{name}"),
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
        site: what pages are made with.
        name: of the page.
        outputs: all that an answer may have, as ``component.property``.
        answer: makes it.
    """
    targets = {name: Output(*split(name)) for name in outputs}

    @app.callback(
        output={
            "values": targets,
            "notes": Output(f"notes-{name}", "children"),
            "outcome": Output(f"outcome-{name}", "data"),
        },
        inputs={"request": Input(f"asked-{name}", "data")},
        prevent_initial_call=True,
    )
    def _respond(request: Request | None) -> dict[str, Any]:
        nothing = dict.fromkeys(targets, no_update)
        if request is None:
            return {"values": nothing, "notes": no_update, "outcome": no_update}
        outcome: dict[str, Any] = {"revision": request["revision"], "failed": False}
        try:
            asked_for = question(request, site)
            found = answer(asked_for)
        except SnapshotAssetsError as error:
            count_store_failure(error)
            if not isinstance(error, OutageError):
                log.exception("page %s", name)
            outcome["failed"] = True
            told = (
                "The data store does not answer. What is shown may be old; this page tries again "
                "by itself."
                if isinstance(error, OutageError)
                else "The data store refuses; its operator finds the reason in the log."
            )
            return {"values": nothing, "notes": [trouble(told)], "outcome": outcome}
        except Exception:
            log.exception("page %s could not answer %r", name, request)
            outcome["failed"] = True
            told = "Something went wrong here; the operator finds it in the log."
            return {"values": nothing, "notes": [trouble(told)], "outcome": outcome}
        outcome |= {"zone": asked_for.zone.key, "now": asked_for.now}
        return {
            "values": nothing | dict(found.values),
            "notes": [note(text) for text in (*asked_for.notes, *found.notes)],
            "outcome": outcome,
        }


def split(name: str) -> tuple[str, str]:
    """The component and the property of ``component.property``."""
    component, _, property_ = name.partition(".")
    return component, property_


def attributes(**given: str) -> Any:
    """HTML attributes with a hyphen: ``aria_label`` for ``aria-label``."""
    return {name.replace("_", "-"): value for name, value in given.items()}


def note(text: str) -> Component:
    """Something that the viewer should know."""
    return html.P(text, className="note")


def trouble(text: str) -> Component:
    """Something that does not work."""
    return html.P(text, className="note trouble")


BANDS = (
    ("gap", "gap: nobody looked"),
    ("provisional", "provisional: rows may still come"),
    ("not-kept", "no longer kept"),
)


def legend(*marks: tuple[str, str]) -> Component:
    """What the charts' marks mean: class of the mark, and words."""
    return html.Ul(
        [html.Li([_mark(name), text]) for name, text in marks],
        className="legend",
        **attributes(aria_label="Legend"),
    )


def _mark(name: str) -> Component:
    return html.Span(className=f"mark mark-{name}", **attributes(aria_hidden="true"))


def unknown_hosts(hosts: Sequence[str], known: Sequence[str]) -> list[str]:
    """A note for each host of a link that has nothing."""
    return [
        f"There is nothing of a host {shown(host)!r} in this range."
        for host in hosts
        if host not in set(known)
    ]


def number(value: float, digits: int = 3) -> str:
    """A number for people: ``1,234``, ``12.3``, ``0.04``; what is not zero is not shown as zero."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.005:
        return "<0.01" if value > 0 else "0"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}"
