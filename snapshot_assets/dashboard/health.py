"""How the dashboard and its store are: ``healthz`` for orchestrators, ``metrics`` for Prometheus,
``pulse`` for open pages.

All three ask through one :class:`StoreWatch`, so that however many ask, Redis is asked once a
second. What they say never holds an address, a password or a stack trace: those who may read it are
not always those who may read the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, TypeAlias

import flask
from flask import signals
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.errors import OutageError, SnapshotAssetsError, StoreError
from snapshot_assets.store.reading.reader import RedisReader

log = logging.getLogger(__name__)

Failure: TypeAlias = Literal["outage", "refused"]

_EXTENSION = "snapshot_dashboard"
_NAMESPACE = "snapshot_dashboard"
# How long an answer serves everybody.
_FRESH_SECONDS = 1.0
# Nobody is given an older one while the next is on its way; longer than the reader's patience.
_OLDEST_SECONDS = 5.0
_TOLD: dict[Failure, str] = {
    "outage": "the data store does not answer",
    "refused": "the data store refuses; the log has the reason",
}
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class News:
    """What the store has last.

    Attributes:
        newest: start of the newest bucket, epoch seconds; None if there is none.
        hosts: how many have a document in it.
        live_until: epoch second up to which the live path has published; None if never.
    """

    newest: int | None
    hosts: int
    live_until: float | None


def install_health(
    server: flask.Flask,
    reader: RedisReader,
    clock: Callable[[], float],
    options: DashboardOptions,
) -> StoreWatch:
    """Add ``healthz``, ``metrics`` and ``pulse`` under the prefix. Asks nothing yet.

    ``healthz`` is 200 as long as pages can be served and Redis answers, with the status ``ok``,
    ``stale`` or ``empty``: starting the dashboard again would bring no newer data. It is 503 with
    ``outage`` or ``refused`` otherwise.

    Returns:
        What all of them ask.
    """
    metrics = _Metrics()
    watch = StoreWatch(reader, metrics.count_failure)
    metrics.registry.register(_StoreCollector(watch))
    metrics.observe(server)
    server.extensions[_EXTENSION] = metrics

    def healthz() -> tuple[flask.Response, int]:
        news = watch.latest()
        if isinstance(news, StoreError):
            kind = _kind(news)
            return flask.jsonify(status=kind, detail=_TOLD[kind]), 503
        return flask.jsonify(_health(news, clock(), options.stale_seconds)), 200

    def pulse() -> tuple[flask.Response, int]:
        news = watch.latest()
        if isinstance(news, StoreError):
            return flask.jsonify(error=_TOLD[_kind(news)]), 503
        return flask.jsonify(
            newest=news.newest, hosts=news.hosts, live_until=news.live_until, now=clock()
        ), 200

    def told_metrics() -> flask.Response:
        return flask.Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    for name, view in (("healthz", healthz), ("pulse", pulse), ("metrics", told_metrics)):
        server.add_url_rule(f"{options.url_prefix}{name}", name, view)
    return watch


def count_store_failure(error: SnapshotAssetsError) -> None:
    """Count a failure of the store that a page has met, in the metrics of its application.

    Does nothing for an application without :func:`install_health`.
    """
    metrics = flask.current_app.extensions.get(_EXTENSION)
    if isinstance(metrics, _Metrics) and isinstance(error, StoreError):
        metrics.count_failure(error)


def _kind(error: StoreError) -> Failure:
    return "outage" if isinstance(error, OutageError) else "refused"


def _health(news: News, now: float, stale_seconds: float) -> dict[str, Any]:
    if news.newest is None:
        return {"status": "empty", "detail": "the data store holds no bucket"}
    age = now - (news.newest + BUCKET_SECONDS)
    if age > stale_seconds:
        told = f"the newest bucket ended {age:.0f} s ago; is the live path running?"
        return {"status": "stale", "detail": told, "newest": news.newest}
    return {"status": "ok", "newest": news.newest}


class StoreWatch:
    """What is new in the store; asked at most once a second, however many want to know.

    Threads share one. During an outage only one of them waits for Redis at a time; the others get
    what was known a moment ago.

    Args:
        reader: of the store.
        failed: is told each failure.
    """

    def __init__(self, reader: RedisReader, failed: Callable[[StoreError], None]) -> None:
        self._reader = reader
        self._failed = failed
        self._asking = Lock()
        self._known: tuple[News | StoreError, float] | None = None
        self._trouble: Failure | None = None

    def latest(self) -> News | StoreError:
        """The news, or why there is none."""
        known = self._known_since(_FRESH_SECONDS)
        if known is not None:
            return known
        recent = self._known_since(_OLDEST_SECONDS)
        if not self._asking.acquire(blocking=recent is None):
            assert recent is not None
            return recent
        try:
            # Another thread may have asked while this one waited.
            known = self._known_since(_FRESH_SECONDS)
            if known is None:
                known = self._ask()
                self._known = known, time.monotonic()
            return known
        finally:
            self._asking.release()

    def _known_since(self, seconds: float) -> News | StoreError | None:
        if self._known is None:
            return None
        known, at = self._known
        return known if time.monotonic() - at < seconds else None

    def _ask(self) -> News | StoreError:
        try:
            found = self._reader.last_update()
            newest = None if found is None else int(found.timestamp())
            hosts = 0
            if newest is not None:
                hosts = len(self._reader.holdings([newest])[newest].hosts)
            news = News(newest, hosts, self._reader.progress().live_until)
        except StoreError as error:
            self._failed(error)
            self._tell(_kind(error), error)
            return error.with_traceback(None)
        self._tell(None)
        return news

    def _tell(self, trouble: Failure | None, error: StoreError | None = None) -> None:
        """Into the log, once and not every second."""
        if trouble != self._trouble:
            self._trouble = trouble
            if error is None:
                log.warning("the data store answers again")
            else:
                log.warning("%s", error)


# --- metrics -------------------------------------------------------------------------------------


class _Metrics:
    """Counts requests and failures of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "requests",
            "Answered requests.",
            ("endpoint", "status"),
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._durations = Histogram(
            "request_duration_seconds",
            "Time from the request to its answer, without sending it.",
            ("endpoint",),
            namespace=_NAMESPACE,
            registry=self.registry,
            buckets=_DURATIONS,
        )
        self._failures = Counter(
            "store_failures",
            "Questions to Redis without an answer (outage), or refused.",
            ("kind",),
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        for kind in _TOLD:
            self._failures.labels(kind)
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self.registry)

    def observe(self, server: flask.Flask) -> None:
        """Count this application's requests, those that authentication refuses included."""
        # Signals come before all hooks. They hold these methods weakly; the application keeps us.
        signals.request_started.connect(self._started, server)
        signals.request_finished.connect(self._finished, server)

    def count_failure(self, error: StoreError) -> None:
        """Of the store."""
        self._failures.labels(_kind(error)).inc()

    def _started(self, server: flask.Flask, **_: object) -> None:
        flask.g.snapshot_started = time.perf_counter()

    def _finished(self, server: flask.Flask, response: flask.Response, **_: object) -> None:
        # The endpoint, not the path, of which there are as many as anybody likes.
        endpoint = flask.request.endpoint or "none"
        self._requests.labels(endpoint, response.status_code).inc()
        started = flask.g.get("snapshot_started")
        if started is not None:
            self._durations.labels(endpoint).observe(time.perf_counter() - started)


class _StoreCollector(Collector):
    """How the store is at the moment of a scrape; what is not known has no sample."""

    def __init__(self, watch: StoreWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Called by the registry."""
        news = self._watch.latest()
        up = not isinstance(news, StoreError)
        yield _gauge("redis_up", "Whether Redis answers (1) or not (0).", float(up))
        if isinstance(news, StoreError):
            return
        yield _gauge(
            "newest_bucket_timestamp_seconds", "Start of the newest 5-minute bucket.", news.newest
        )
        yield _gauge(
            "newest_bucket_hosts", "Hosts with a document in the newest bucket.", news.hosts
        )
        yield _gauge(
            "live_until_timestamp_seconds",
            "Up to when the live path has published.",
            news.live_until,
        )


def _gauge(name: str, told: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_NAMESPACE}_{name}", told)
    if value is not None:
        family.add_metric([], value)
    return family
