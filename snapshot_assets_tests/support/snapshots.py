"""Shared by the tests of Redis: usage to write, every read of a reader, both readers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Self, TypeAlias, TypeVar

import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.measures import Measure, Stage
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import Usage, usage_from_aggregates
from snapshot_assets.errors import StoreError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.async_reader import AsyncRedisReader
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.domain.process_rows import DAY, GB, NOON, Row, raw_rows

WINDOW = Window.of_day(DAY)
NOW = NOON + 6 * 3600
UTC = dt.UTC
FIRST = dt.datetime.fromtimestamp(WINDOW.start, UTC)
# get_data includes its end, get_frame does not
END = dt.datetime.fromtimestamp(WINDOW.end, UTC)
LAST = dt.datetime.fromtimestamp(WINDOW.end - 300, UTC)
_Result = TypeVar("_Result")


def used(*rows: Row, window: Window = WINDOW, stage: Stage = "settled") -> Usage:
    """The usage of these processes in a window."""
    aggregates = account(raw_rows(rows), window, AccountingRules()).aggregates
    return usage_from_aggregates(aggregates, DocumentRules(), stage)


def worked_example(host: str = "alice") -> list[Row]:
    """The contract's example: 12:00 is 1.0 core over 300 s, 12:05 is 1.0 core over 240 s."""
    return [
        Row(host, NOON, cputimes=100, rss=5 * GB),
        Row(host, NOON + 240, cputimes=340, rss=5 * GB),
        Row(host, NOON + 540, cputimes=640, rss=5 * GB),
    ]


def busy(host: str, cores: float, buckets: int = 96, users: int = 4) -> list[Row]:
    """Rows of some users who each use so many cores, for 8 hours around noon."""
    return [
        Row(host, NOON - 4 * 3600 + t * 300, 10 + u, f"user{u}", "work", cores * t * 300, u * GB)
        for u in range(users)
        for t in range(buckets + 1)
    ]


def answers(reader: RedisReader | InOneLoop, hosts: list[str]) -> dict[str, Any]:
    """The results of all reads of the day that a reader offers; frames as columns of values."""
    found: dict[str, Any] = {
        "hosts": reader.hosts(FIRST, LAST),
        "last update": [reader.last_update(), *(reader.last_update(host) for host in hosts)],
        "data": [reader.get_data(host, FIRST, LAST) for host in (None, *hosts)],
    }
    for resolution in ("5min", "hour", "day"):
        for by in (None, "username", ("username", "comm"), "machine"):
            frame = reader.get_frame(None, FIRST, END, by=by, resolution=resolution)
            found[f"{resolution} by {by}"] = exact(frame)
    for measure, frame in reader.get_frames(hosts, FIRST, END, by="comm").items():
        found[f"{measure} with the other"] = exact(frame)
    found["mem"] = exact(reader.get_frame(hosts, FIRST, END, measure="mem", resolution="hour"))
    return found


def exact(frame: pd.DataFrame) -> Mapping[str, list[Any]]:
    """A frame's columns, comparable with ==; None where nothing is known."""
    known = frame.astype(object).where(frame.notna(), None)
    return {name: known[name].tolist() for name in known}


class InOneLoop:
    """The asynchronous reader with synchronous methods, for tests of both readers.

    Takes the arguments of the reader.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.reader = AsyncRedisReader(*arguments, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.reader.close())
        self._runner.close()

    def __repr__(self) -> str:
        return repr(self.reader)

    @property
    def base(self) -> Any:
        return self.reader.base

    def get_data(self, *arguments: Any) -> dict[int, dict[str, Any]]:
        return self._run(self.reader.get_data(*arguments))

    def get_frame(self, *arguments: Any, **options: Any) -> pd.DataFrame:
        return self._run(self.reader.get_frame(*arguments, **options))

    def get_frames(self, *arguments: Any, **options: Any) -> dict[Measure, pd.DataFrame]:
        return self._run(self.reader.get_frames(*arguments, **options))

    def hosts(self, *arguments: Any) -> list[str]:
        return self._run(self.reader.hosts(*arguments))

    def last_update(self, *arguments: Any) -> dt.datetime | None:
        return self._run(self.reader.last_update(*arguments))

    def _run(self, read: Coroutine[Any, Any, _Result]) -> _Result:
        return self._runner.run(read)


Reader: TypeAlias = RedisReader | InOneLoop
READERS: tuple[type[RedisReader] | type[InOneLoop], ...] = (RedisReader, InOneLoop)
both_readers = pytest.mark.parametrize("kind", READERS, ids=["threads", "asyncio"])


def round_trip(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settle a day, refresh it live, settle an hour of it again; return what both readers read."""
    hosts = ["alice", "bob"]
    noon = Window(NOON, NOON + 3600)
    with RedisWriter(clock=lambda: NOW, **options) as writer:
        whole = used(*busy("alice", 0.5), *busy("bob", 1.0))
        writer.replace(hosts, WINDOW, whole, "settled")
        late = busy("alice", 2.0, 120)
        writer.replace(["alice"], WINDOW, used(*late, stage="live"), "live")
        writer.replace(["bob"], noon, used(*busy("bob", 3.0), window=noon), "settled")
    found = []
    for kind in READERS:
        with kind(clock=lambda: NOW, **options) as reader:
            found.append(answers(reader, hosts))
    assert found[0] == found[1], "both readers say the same"
    return found[0]


@contextlib.contextmanager
def both_reading(
    look: Callable[[RedisReader | InOneLoop], bool], pause_seconds: float, **options: Any
) -> Iterator[list[int]]:
    """Both readers read all the time, each in a thread; a StoreError is not a failure.

    Args:
        look: reads, asserts that the result is allowed, and returns whether it is complete.
        pause_seconds: pause between two reads.
        options: arguments of the readers.

    Yields:
        How many complete results each reader had.
    """
    counts, failures, done = [0, 0], list[BaseException](), threading.Event()

    def read(which: int) -> None:
        try:
            with READERS[which](clock=lambda: NOW, **options) as reader:
                while not done.wait(pause_seconds):
                    with contextlib.suppress(StoreError):
                        counts[which] += look(reader)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
