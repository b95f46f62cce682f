"""A small world for the dashboard's tests: a Redis with known usage, a clock, and pages."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dash
import flask
import waitress
from waitress import wasyncore

from snapshot_assets.cli.leash import free_port
from snapshot_assets.dashboard.app import create_app
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.domain.measures import Measure, Owner
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window, bucket_start
from snapshot_assets.domain.usage import MICRO
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.domain.usages import Bucket, Machine, usage_of
from snapshot_assets_tests.support.servers import Redis

# A Friday afternoon; the tests set the clock, so any hour would do.
NOW = int(dt.datetime(2026, 11, 20, 14, 32, tzinfo=dt.UTC).timestamp())
# Redis expires keys by its own clock, so the retention must last for years.
KEPT = Retention(*[20_000 * DAY_SECONDS] * 4)

HOSTILE_USER = "<img src=x onerror=document.title='owned'>"
HOSTILE_COMM = '=HYPERLINK("javascript:alert(1)")'
HOSTILE_HOST = 'we"b|01/<b>..'


class Clock:
    """Epoch seconds that move only when a test sets them."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class World:
    """A store with known usage, and pages on it.

    Attributes:
        redis: the server.
        clock: the clock of pages, reader and writer.
        prefix: prefix of the keys.
        written: the content written, by host and bucket, for comparisons.
    """

    redis: Redis
    clock: Clock = field(default_factory=Clock)
    prefix: str = ""
    written: dict[str, dict[int, Bucket]] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """The arguments of a reader or a writer."""
        return {
            "url": self.redis.url(),
            "prefix": self.prefix,
            "retention": KEPT,
            "clock": self.clock,
        }

    def reader(self) -> RedisReader:
        """A reader of the store."""
        return RedisReader(**self.options())

    def write(
        self,
        host: str,
        buckets: Mapping[int, Bucket],
        machines: Mapping[int, Machine] | None = None,
    ) -> None:
        """Write a host's buckets: the settled ones as whole days, the others as live.

        Args:
            host: name of the host.
            buckets: what users used.
            machines: what the kernel counted; unknown for all other buckets.
        """
        self.written.setdefault(host, {}).update(buckets)
        with RedisWriter(**self.options()) as writer:
            for settled in (True, False):
                chosen = {start: b for start, b in buckets.items() if b[2] is settled}
                if not chosen:
                    continue
                window = Window.around(min(chosen), max(chosen))
                if settled:
                    days = window.days()
                    window = Window(Window.of_day(days[0]).start, Window.of_day(days[-1]).end)
                stage: Any = "settled" if settled else "live"
                writer.replace([host], window, usage_of(host, chosen, machines), stage)

    @contextmanager
    def app(self, **options: Any) -> Iterator[dash.Dash]:
        """The application."""
        with self.reader() as reader:
            yield create_app(reader, self.clock, DashboardOptions(**options))

    @contextmanager
    def site(self, **options: Any) -> Iterator[str]:
        """Serve the application on a free port, and yield its address."""
        with self.app(**{"poll_seconds": 0.3, **options}) as app, served(app.server) as port:
            yield f"http://127.0.0.1:{port}{app.config.url_base_pathname}"


@contextmanager
def served(server: flask.Flask, threads: int = 8) -> Iterator[int]:
    """Serve an application with waitress, in a thread, and yield its port."""
    port = free_port()
    made: Any = waitress.create_server(server, host="127.0.0.1", port=port, threads=threads)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        # Closed in the server's own thread, so that open connections cannot keep it running.
        made.trigger.pull_trigger(lambda: wasyncore.close_all(made._map))
        thread.join(10)
        # Wait for threads that still answer, as they use the reader, which is closed next.
        made.task_dispatcher.shutdown()


def use(
    cpu: Mapping[Owner, float],
    mem: Mapping[Owner, float] | None = None,
    *,
    rest: float = 0.0,
    coverage: float = 1.0,
    settled: bool = False,
) -> Bucket:
    """The content of one bucket, from cores and GB."""
    parts: dict[Measure, tuple[int, Mapping[Owner, int]]] = {
        "cpu": (round(rest * MICRO), {owner: round(v * MICRO) for owner, v in cpu.items()}),
        "mem": (0, {owner: round(v * MICRO) for owner, v in (mem or {}).items()}),
    }
    return round(coverage * MICRO), 5, settled, parts


def counted(
    cores: float, of_cores: float, gb: float | None = None, of_gb: float | None = None
) -> Machine:
    """What the kernel counted in a bucket: cores busy of how many, and the same of memory."""
    cpu = round(cores * MICRO), round(of_cores * MICRO)
    if gb is None or of_gb is None:
        return {"cpu": cpu}
    return {"cpu": cpu, "mem": (round(gb * MICRO), round(of_gb * MICRO))}


def buckets(start: int, end: int) -> Iterable[int]:
    """The buckets that start in ``[start, end)``."""
    return range(bucket_start(start), end, BUCKET_SECONDS)


def fill(world: World, hours: int = 26) -> None:
    """Write three hosts: a steady one, one with a gap and an idle time, one with odd names."""
    end = bucket_start(world.clock.now)
    start = end - hours * 3_600
    midnight = end // DAY_SECONDS * DAY_SECONDS

    def at(start: int, *arguments: Any, **options: Any) -> Bucket:
        return use(*arguments, **options, settled=start < midnight)

    world.write(
        "alice",
        {
            b: at(
                b,
                {("ana", "python"): 8.0 + i % 7 / 8, ("ben", "R"): 2.5, ("chen", "julia"): 4.0},
                {("ana", "python"): 64.0, ("ben", "R"): 12.0, ("dora", "MATLAB"): 20.0},
                rest=0.25,
            )
            for i, b in enumerate(buckets(start, end))
        },
    )
    world.write(
        "bob",
        {
            b: at(b, {("ana", "bwa"): 16.0}, {("ana", "bwa"): 8.0})
            if b < end - 3 * 3_600
            else at(b, {})
            for b in buckets(start, end)
            if not end - 9 * 3_600 <= b < end - 7 * 3_600
        },
    )
    world.write(
        HOSTILE_HOST,
        {
            b: at(
                b,
                {(HOSTILE_USER, HOSTILE_COMM): 3.0, ("Zoë 😀 %s", "gcc"): 1.0},
                {(HOSTILE_USER, HOSTILE_COMM): 1.5},
                coverage=0.8,
            )
            for b in buckets(start, end)
        },
    )
