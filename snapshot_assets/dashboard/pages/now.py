"""Right now: the newest bucket of each host, how old it is, and who is on it."""

from __future__ import annotations

from collections.abc import Mapping

from dash import Dash, dcc, html
from dash.development.base_component import Component

from snapshot_assets.dashboard.colours import Look, looks
from snapshot_assets.dashboard.figures import printable, swatch
from snapshot_assets.dashboard.pages.page import (
    Answer,
    Question,
    Site,
    answer_with,
    attributes,
    frame,
    number,
)
from snapshot_assets.dashboard.queries import Moment, Now, right_now
from snapshot_assets.dashboard.time_range import age_text, format_local
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start

NAME = "now"
_USERS_MOST = 6


def layout() -> Component:
    """The page's skeleton."""
    return frame(NAME, html.Div(id="now-body"))


def register(app: Dash, site: Site) -> None:
    """Register the page's callback."""

    def answer(asked: Question) -> Answer:
        bucket = bucket_start(asked.now)
        found = site.memo.of((NAME, bucket), lambda: right_now(site.reader, asked.now))
        return Answer({"now-body.children": body(found, asked, site)})

    answer_with(app, site, NAME, ["now-body.children"], answer)


def body(found: Now, asked: Question, site: Site) -> list[Component]:
    """The page."""
    if found.newest is None:
        return [
            html.H2("Nothing yet"),
            html.P(
                "No host has sent anything in the last day. Once rows arrive and the live path "
                "publishes them, they appear here by themselves."
            ),
        ]
    look = looks(user.name for one in found.hosts for user in one.users)
    by_load = sorted(found.hosts, key=lambda one: (-one.cores, one.host))
    return [
        html.H2(
            f"{len(found.hosts)} hosts, newest 5 minutes: {format_local(found.newest, asked.zone)}"
        ),
        html.Div(
            [
                *(_silent(host, at, asked) for host, at in found.silent),
                *(_host(one, asked, site, look) for one in by_load),
            ],
            className="hosts-now",
        ),
    ]


def _host(one: Moment, asked: Question, site: Site, look: Mapping[str, Look]) -> Component:
    age = asked.now - one.start - BUCKET_SECONDS
    capacity = site.capacities.of(one.host)
    view = asked.view
    prefix = site.options.url_prefix
    people = [
        html.Li(
            [
                html.Span(
                    className="mark",
                    style={"background": swatch(look[user.name])},
                    **attributes(aria_hidden="true"),
                ),
                dcc.Link(
                    printable(user.name),
                    href=view.at("users", user=user.name, hosts=(one.host,)).link(prefix),
                    className="who",
                ),
                html.Span(printable(", ".join(user.of[:3])), className="what"),
                html.Span(f"{number(user.cores)} cores", className="amount"),
                html.Span(f"{number(user.gb)} GB", className="amount"),
            ]
        )
        for user in one.users[:_USERS_MOST]
    ]
    more = len(one.users) - _USERS_MOST
    return html.Article(
        [
            html.Header(
                [
                    html.H3(
                        dcc.Link(
                            printable(one.host),
                            href=view.at("users", hosts=(one.host,), user=None).link(prefix),
                        )
                    ),
                    html.Span(
                        f"{age_text(max(age, 0))} old" if age > BUCKET_SECONDS else "fresh",
                        className="age late" if age > site.options.stale_seconds else "age",
                        title=format_local(one.start, asked.zone),
                    ),
                ]
            ),
            _meter("CPU", one.cores, capacity.cores, "cores"),
            _meter("Memory", one.gb, capacity.memory_gb, "GB"),
            html.Ul(people, className="people-now")
            if people
            else html.P("Nobody above the thresholds.", className="quiet"),
            html.P(f"and {more} more", className="quiet") if more > 0 else None,
        ],
        className="host-now",
    )


def _meter(label: str, value: float, limit: float | None, unit: str) -> Component:
    told = f"{number(value)} of {number(limit)} {unit}" if limit else f"{number(value)} {unit}"
    share = min(value / limit, 1) if limit else 0
    return html.Div(
        [
            html.Span(label, className="label"),
            html.Span(
                html.Span(style={"width": f"{share:.1%}"}, className="level"),
                className="bar" if limit else "bar unknown",
                **attributes(aria_hidden="true"),
            ),
            html.Span(told, className="amount"),
        ],
        className=f"meter meter-{unit}",
    )


def _silent(host: str, at: int | None, asked: Question) -> Component:
    told = (
        f"silent for {age_text(asked.now - at - BUCKET_SECONDS)}, since "
        f"{format_local(at + BUCKET_SECONDS, asked.zone)}"
        if at is not None
        else "silent"
    )
    return html.Article(
        [
            html.Header([html.H3(printable(host)), html.Span("silent", className="age late")]),
            html.P(told, className="quiet"),
        ],
        className="host-now silent",
    )
