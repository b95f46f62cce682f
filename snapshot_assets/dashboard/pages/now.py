"""The page of right now: the newest bucket of each host, its age, its users."""

from __future__ import annotations

from collections.abc import Mapping

from dash import Dash, dcc, html
from dash.development.base_component import Component

from snapshot_assets.dashboard.colours import Look, looks
from snapshot_assets.dashboard.figures import MACHINE_NAME, UNITS, printable, swatch
from snapshot_assets.dashboard.pages.page import (
    Answer,
    Question,
    Site,
    answer_with,
    attributes,
    frame,
    legend,
    machine_texts,
    number,
)
from snapshot_assets.dashboard.queries.intervals import HostInterval
from snapshot_assets.dashboard.queries.now import Now, right_now
from snapshot_assets.dashboard.time.formats import age_text, format_local
from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start

NAME = "now"
_USERS_MOST = 6


def layout() -> Component:
    """The page's section of the layout."""
    return frame(NAME, html.Div(id="now-body"))


def register(app: Dash, site: Site) -> None:
    """Register the page's callback."""

    def answer(question: Question) -> Answer:
        bucket = bucket_start(question.now)
        found = site.memo.answer((NAME, bucket), lambda: right_now(site.reader, question.now))
        return Answer({"now-body.children": body(found, question, site)})

    answer_with(app, site, NAME, ["now-body.children"], answer)


def body(found: Now, question: Question, site: Site) -> list[Component]:
    """The content of the page."""
    if found.newest is None:
        return [
            html.H2("No data yet"),
            html.P(
                "The store holds no data of the last day. As soon as the live path publishes a "
                "bucket, it appears here."
            ),
        ]
    newest = format_local(found.newest, question.zone)
    look = looks(user.name for one in found.hosts for user in one.users)
    by_load = sorted(found.hosts, key=lambda one: (-one.cores, one.host))
    return [
        html.H2(f"{len(found.hosts)} hosts, newest 5 minutes: {newest}"),
        legend(("cpu", "CPU"), ("mem", "memory"), ("tick", MACHINE_NAME)),
        html.Div(
            [
                *(
                    _absent(host, at, "late" if host in found.late else "silent", question)
                    for host, at in found.silent
                ),
                *(_host(one, question, site, look) for one in by_load),
            ],
            className="hosts-now",
        ),
    ]


def _host(one: HostInterval, question: Question, site: Site, look: Mapping[str, Look]) -> Component:
    age = question.now - one.start - BUCKET_SECONDS
    meters: tuple[tuple[str, Measure, float], ...] = (
        ("CPU", "cpu", one.cores),
        ("Memory", "mem", one.gb),
    )
    view = question.view
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
                html.Span(printable(", ".join(user.counterparts[:3])), className="what"),
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
                        title=format_local(one.start, question.zone),
                    ),
                ]
            ),
            *(
                _meter(
                    label,
                    used,
                    one.machine[measure].used,
                    site.limit(one.host, measure, one.machine[measure].capacity),
                    UNITS[measure],
                )
                for label, measure, used in meters
            ),
            *(html.P(text, className="quiet machine-now") for text in machine_texts(one.machine)),
            html.Ul(people, className="people-now")
            if people
            else html.P("No user is above the thresholds.", className="quiet"),
            html.P(f"and {more} more", className="quiet") if more > 0 else None,
        ],
        className="host-now",
    )


def _meter(
    label: str, value: float, machine: float | None, limit: float | None, unit: str
) -> Component:
    """A bar of what users used, with a mark at what the kernel counted, and its numbers."""
    text = f"{number(value)} of {number(limit)} {unit}" if limit else f"{number(value)} {unit}"
    share = min(value / limit, 1) if limit else 0
    bar: list[Component] = [html.Span(style={"width": f"{share:.1%}"}, className="level")]
    if limit and machine is not None:
        place = min(machine / limit, 1)
        bar.append(html.Span(style={"left": f"{place:.1%}"}, className="machine"))
    return html.Div(
        [
            html.Span(label, className="label"),
            html.Span(
                bar,
                className="bar" if limit else "bar unknown",
                **attributes(aria_hidden="true"),
            ),
            html.Span(text, className="amount"),
        ],
        className=f"meter meter-{unit}",
    )


def _absent(host: str, at: int | None, state: str, question: Question) -> Component:
    """A host without a bucket of the last half hour: it is silent, or its rows come late."""
    text = state
    if at is not None:
        end = at + BUCKET_SECONDS
        age, when = age_text(question.now - end), format_local(end, question.zone)
        text = f"silent for {age}, since {when}"
        if state == "late":
            text = f"its data come {age} late; the newest are of {when}"
    return html.Article(
        [
            html.Header([html.H3(printable(host)), html.Span(state, className="age late")]),
            html.P(text, className="quiet"),
        ],
        className="host-now silent",
    )
