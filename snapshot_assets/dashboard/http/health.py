"""The answers for monitors and open pages: ``healthz``, ``metrics`` and ``pulse``.

No answer holds an address, a password or a stack trace: not everybody who may read an answer may
read the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from snapshot_assets.dashboard.http.metrics import EXTENSION, Metrics, StoreCollector
from snapshot_assets.dashboard.http.store_watch import Failure, News, StoreWatch, failure_kind
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.errors import StoreError
from snapshot_assets.store.reading.reader import RedisReader

_DETAILS: dict[Failure, str] = {
    "outage": "the data store does not answer",
    "refused": "the data store refuses; the log has the reason",
}


def install_health(
    server: flask.Flask,
    reader: RedisReader,
    clock: Callable[[], float],
    options: DashboardOptions,
) -> StoreWatch:
    """Add ``healthz``, ``metrics`` and ``pulse`` under the prefix. Nothing is read yet.

    ``healthz`` is 200 as long as Redis answers, with the status ``ok``, ``stale`` or ``empty``:
    restarting the dashboard would not bring newer data. Otherwise it is 503 with ``outage`` or
    ``refused``. It counts the hosts whose rows come late, and those that are silent, if any are.

    Returns:
        The watch that all three read.
    """
    metrics = Metrics()
    watch = StoreWatch(reader, metrics.count_failure)
    allowed = options.max_gap_seconds + BUCKET_SECONDS
    metrics.registry.register(StoreCollector(watch, clock, allowed))
    metrics.observe(server)
    server.extensions[EXTENSION] = metrics

    def healthz() -> tuple[flask.Response, int]:
        news = watch.latest()
        if isinstance(news, StoreError):
            kind = failure_kind(news)
            return flask.jsonify(status=kind, detail=_DETAILS[kind]), 503
        return flask.jsonify(_health(news, clock(), options)), 200

    def pulse() -> tuple[flask.Response, int]:
        news = watch.latest()
        if isinstance(news, StoreError):
            return flask.jsonify(error=_DETAILS[failure_kind(news)]), 503
        return flask.jsonify(
            newest=news.newest, hosts=news.hosts, live_until=news.live_until, now=clock()
        ), 200

    def metrics_page() -> flask.Response:
        return flask.Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    for name, view in (("healthz", healthz), ("pulse", pulse), ("metrics", metrics_page)):
        server.add_url_rule(f"{options.url_prefix}{name}", name, view)
    return watch


def _health(news: News, now: float, options: DashboardOptions) -> dict[str, Any]:
    if news.newest is None:
        return {"status": "empty", "detail": "the data store holds no bucket"}
    states = news.count_hosts(now, options.max_gap_seconds + BUCKET_SECONDS)
    absent: dict[str, Any] = {f"hosts_{s}": states[s] for s in ("late", "silent") if states[s]}
    age = now - (news.newest + BUCKET_SECONDS)
    if age > options.stale_seconds:
        why = (
            f"the rows of {states['late']} hosts come late; do their clocks, their collectors or a "
            "replica lag?"
            if states["late"]
            else "is the live path running?"
        )
        detail = f"the newest bucket ended {age:.0f} s ago; {why}"
        return {"status": "stale", "detail": detail, "newest": news.newest, **absent}
    return {"status": "ok", "newest": news.newest, **absent}
