"""Shared by the tests of settling: a source that records its reads, and the three steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.pipeline.settle import (
    Defect,
    Done,
    RowsKeeper,
    Step,
    account_day,
    settle,
)
from snapshot_assets.source.query import ProcessSource, Reading, SourceTable
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.timing import Timer
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, busy_host, load, row
from snapshot_assets_tests.support.servers import Redis

RULES, DOCUMENTS = AccountingRules(), DocumentRules()
NEXT_DAY = DAY + dt.timedelta(days=1)
ALICE = HostDay(DAY, "alice")
FIRST, LAST = (dt.datetime.fromtimestamp(MIDNIGHT + t, dt.UTC) for t in (0, 2 * 86_400))


class Source(ProcessSource):
    """Records which hosts were read of which day, and fails where a test chooses."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SourceTable(rss_unit="KiB"))
        self.reads: list[tuple[dt.date, list[str]]] = []
        self.unreadable: set[str] = set()
        self.fail: Callable[[Sequence[str]], bool] = lambda _: False

    def read(self, start: Any, end: Any, hosts: Any = None) -> Reading:
        day = dt.datetime.fromtimestamp(start + 43_200, dt.UTC).date()
        self.reads.append((day, list(hosts)))
        if self.unreadable & set(hosts):
            raise SourceError(f"the rows of {', '.join(self.unreadable)} cannot be read")
        if self.fail(hosts):
            raise SourceOutageError("gone")
        return super().read(start, end, hosts)


class Settling:
    """A source, a lake, a Redis, and the three steps on them."""

    def __init__(self, source: Source, lake: Lake, writer: RedisWriter, redis: Redis) -> None:
        self.source, self.lake, self.writer, self.redis = source, lake, writer, redis
        self.timer = Timer()

    def load(self, *hosts: str) -> None:
        """Load rows of each host: the first hour of the day, and the hour before it."""
        load(self.source, [r for host in hosts for r in busy_host(host, end=MIDNIGHT + 3600)])

    def load_more(self, host: str) -> None:
        """Load one more row, five minutes after the others."""
        load(self.source, [row(host, MIDNIGHT + 3900, 7, cputimes=9_000)], create=None)

    def steps(self, host_days: Sequence[HostDay]) -> dict[str, Step]:
        keeper = RowsKeeper(self.source, self.lake, host_days, RULES, self.timer)
        return {
            "keep": keeper.keep,
            "account": lambda host_day: account_day(self.lake, host_day, RULES, self.timer),
            "publish": lambda host_day: publish(
                self.lake, self.writer, host_day, DOCUMENTS, self.timer
            ),
        }

    def run(self, *host_days: HostDay) -> list[Done | Defect]:
        return list(settle(host_days, self.steps(host_days), self.timer))

    def rows(self, host: str) -> pd.DataFrame:
        """The rows that the source has for the day of a host, margins included."""
        return self.source.read_sql(*RULES.read_range(ALICE.window), [host])

    def documents(self, host: str) -> dict[int, Any]:
        with RedisReader(port=self.redis.port) as reader:
            return reader.get_data(host, FIRST, LAST)

    def files(self) -> dict[str, bytes]:
        """Every file of the lake."""
        folder = Path(self.lake.base)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.parquet")}
