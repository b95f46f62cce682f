"""The numbers for Prometheus: requests, failures of the store, and what is newest in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

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
from prometheus_client.registry import Collector

from snapshot_assets.dashboard.http.store_watch import FAILURES, StoreWatch, failure_kind
from snapshot_assets.errors import SnapshotAssetsError, StoreError

EXTENSION = "snapshot_dashboard"
_NAMESPACE = "snapshot_dashboard"
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def count_store_failure(error: SnapshotAssetsError) -> None:
    """Count a failure of the store that a page met, in the metrics of its application.

    Does nothing in an application without metrics.
    """
    metrics = flask.current_app.extensions.get(EXTENSION)
    if isinstance(metrics, Metrics) and isinstance(error, StoreError):
        metrics.count_failure(error)


class Metrics:
    """The counters of one application, in a registry of its own."""

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
            "Reads from Redis that failed: no answer (outage), or refused.",
            ("kind",),
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        for kind in FAILURES:
            self._failures.labels(kind)
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self.registry)

    def observe(self, server: flask.Flask) -> None:
        """Count this application's requests, including those that authentication rejects."""
        # Signals come before all hooks. They hold these methods weakly; the application holds this
        # object.
        signals.request_started.connect(self._started, server)
        signals.request_finished.connect(self._finished, server)

    def count_failure(self, error: StoreError) -> None:
        """Count one failure of the store."""
        self._failures.labels(failure_kind(error)).inc()

    def _started(self, server: flask.Flask, **_: object) -> None:
        flask.g.snapshot_started = time.perf_counter()

    def _finished(self, server: flask.Flask, response: flask.Response, **_: object) -> None:
        # The label is the endpoint: clients can invent any number of paths.
        endpoint = flask.request.endpoint or "none"
        self._requests.labels(endpoint, response.status_code).inc()
        started = flask.g.get("snapshot_started")
        if started is not None:
            self._durations.labels(endpoint).observe(time.perf_counter() - started)


class StoreCollector(Collector):
    """The state of the store at each scrape; an unknown value has no sample.

    Args:
        watch: of the store.
        clock: returns the epoch seconds now.
        allowed_seconds: how old the newest snapshot of a host in time may be.
    """

    def __init__(
        self, watch: StoreWatch, clock: Callable[[], float], allowed_seconds: float
    ) -> None:
        self._watch, self._clock, self._allowed_seconds = watch, clock, allowed_seconds

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
        states = news.count_hosts(self._clock(), self._allowed_seconds)
        yield _gauge("hosts_late", "Hosts whose rows come, but old.", states["late"])
        yield _gauge("hosts_silent", "Hosts that bring no rows.", states["silent"])


def _gauge(name: str, meaning: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_NAMESPACE}_{name}", meaning)
    if value is not None:
        family.add_metric([], value)
    return family
