"""Settling: the rows of a host-day into the lake, the lake to aggregates, those into Redis.

Three steps, each of which reads what the step before it kept: :class:`RowsKeeper`,
:func:`account_day` and :func:`publish`. :func:`settle` takes host-days through the steps one after
the other, so a few host-days are in memory at a time however many there are. Which host-days are
settled when, and how that is recorded, is decided in :mod:`snapshot_assets.orchestration`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, cast

import pandas as pd

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.host_day import HostDay, batches
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, RawProcessRows, validate
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.errors import LakeError, OutageError, SnapshotAssetsError, SourceError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS, AggregatesNote, RawNote
from snapshot_assets.source.columns import split_by_host
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport
from snapshot_assets.timing import Timer

# Hosts read by one query. A table with an index on time alone is scanned once per query; a frame
# of four busy host-days is about 200 MB.
HOSTS_PER_READ: Final = 4

# The source counts as purged if it has no row between so long before a settled day and the day.
_PURGE_LOOKBACK_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What was kept of a host-day's rows.

    Attributes:
        rows: how many, those of the margins around the day included.
        snapshots: how many different times they have.
        newest_epoch: time of the newest, epoch seconds; None without rows.
        file_bytes: size of the file in the lake.
    """

    rows: int
    snapshots: int
    newest_epoch: float | None
    file_bytes: int


@dataclass(frozen=True, slots=True)
class AccountedDay:
    """What the accounting of a host-day made.

    Attributes:
        window: the buckets of the day.
        rows: rows of the aggregates.
        cores: cores busy in each covered bucket, by its start in epoch seconds.
        ledger: what became of every row read.
        file_bytes: size of the file in the lake.
    """

    window: Window
    rows: int
    cores: Mapping[int, float]
    ledger: Ledger
    file_bytes: int


@dataclass(frozen=True, slots=True)
class PublishedDay:
    """What was put into Redis of a host-day.

    Attributes:
        buckets: how many buckets the aggregates have, those past Redis' retention included.
        written: what happened in Redis.
        ledger: of the aggregates.
    """

    buckets: int
    written: WriteReport
    ledger: Ledger


Report: TypeAlias = KeptRows | AccountedDay | PublishedDay
Step: TypeAlias = Callable[[HostDay], Report]


@dataclass(frozen=True, slots=True)
class Done:
    """A step of a host-day that was done.

    Attributes:
        host_day: whose.
        step: its name.
        report: what it did.
        seconds: durations by part, such as ``read``; zero for parts of other steps before it.
    """

    host_day: HostDay
    step: str
    report: Report
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Defect:
    """A host-day that stopped at a step, and why."""

    host_day: HostDay
    error: SnapshotAssetsError


def settle(
    host_days: Iterable[HostDay], steps: Mapping[str, Step], timer: Timer
) -> Iterator[Done | Defect]:
    """Take every host-day through the steps.

    A defective host-day stops at the step that found the defect, and the next host-day goes on.

    Args:
        host_days: in the order in which they are settled.
        steps: by name, in their order; all of them are timed by the timer.
        timer: gets the seconds of read, validate, account, document and write.

    Yields:
        Each step as it is done, and each host-day that is defective.

    Raises:
        OutageError: a server does not answer. All that was yielded before is done.
    """
    for host_day in host_days:
        try:
            for name, step in steps.items():
                before = dict(timer.seconds)
                report = step(host_day)
                seconds = {p: s - before.get(p, 0.0) for p, s in timer.seconds.items()}
                yield Done(host_day, name, report, seconds)
        except OutageError:
            raise
        except SnapshotAssetsError as error:
            yield Defect(host_day, error)


class RowsKeeper:
    """Reads the rows of host-days from the source and keeps them in the lake.

    Several hosts are read by one query, and the next query runs while their rows are worked on: the
    database and the pipeline are busy at the same time.

    Args:
        source: where the rows are.
        lake: where they are kept.
        host_days: all that will be kept; :meth:`keep` is called for each, in this order.
        rules: how far around a day its rows are read.
        timer: gets the seconds of read, validate and write.
    """

    def __init__(
        self,
        source: ProcessSource,
        lake: Lake,
        host_days: Sequence[HostDay],
        rules: AccountingRules,
        timer: Timer,
    ) -> None:
        self._source, self._lake, self._rules, self._timer = source, lake, rules, timer
        self._reads = self._read_ahead(host_days)

    def keep(self, host_day: HostDay) -> KeptRows:
        """Keep the rows of the next host-day.

        Raises:
            SourceOutageError: the database does not answer.
            SourceError: the source cannot be read, or the day's rows were purged since they were
                settled.
            SchemaError: the rows are not what they should be.
            LakeError: the lake cannot be written.
            ValueError: it is not the turn of this host-day.
        """
        with self._timer("read"):
            expected, read = next(self._reads)
            if expected != host_day:
                raise ValueError(f"the next host-day to keep is {expected}, not {host_day}")
            rows = read()
        with self._timer("validate"):
            validate(RawProcessRows, rows, str(host_day))
        self._require_unpurged(host_day, len(rows))
        newest = float(rows["snapshot_time_epoch"].max()) if len(rows) else None
        with self._timer("write"):
            size = self._lake.write(RAW_ROWS, *host_day, rows, RawNote(newest))
        return KeptRows(len(rows), int(rows["snapshot_time_epoch"].nunique()), newest, size)

    def _read_ahead(
        self, host_days: Sequence[HostDay]
    ) -> Iterator[tuple[HostDay, Callable[[], pd.DataFrame]]]:
        """For each host-day a call that gives its rows, or raises what is wrong with them.

        If the rows of a query are defective, its hosts are read one by one, so that only the
        culprit fails.
        """
        groups = list(batches(host_days, HOSTS_PER_READ))

        def read(day: dt.date, hosts: list[str]) -> pd.DataFrame:
            return self._source.read_sql(*self._rules.read_range(Window.of_day(day)), hosts)

        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(read, *groups[0]) if groups else None
            for (day, hosts), following in zip(groups, [*groups[1:], None], strict=True):
                arrived = cast(Future[pd.DataFrame], coming)
                coming = ahead.submit(read, *following) if following else None
                try:
                    frames = split_by_host(arrived.result(), hosts)
                except OutageError:
                    raise
                except SnapshotAssetsError:
                    for host in hosts:
                        yield HostDay(day, host), partial(read, day, [host])
                else:
                    for host in hosts:
                        yield HostDay(day, host), partial(frames.pop, host)

    def _require_unpurged(self, host_day: HostDay, rows: int) -> None:
        """Keep a settled day whose rows the source has thrown away since.

        Raises:
            SourceError: there are fewer rows than were settled, and the source begins after them.
        """
        lake = self._lake
        try:
            settled = lake.entry(RAW_ROWS, *host_day)
        except LakeError:
            return  # a damaged file is replaced
        if settled is None or rows >= settled.rows:
            return
        # A row with a clock from another age says nothing of what was purged.
        span = self._source.span(since=host_day.window.start - _PURGE_LOOKBACK_SECONDS)
        if span is None or span[0] >= self._rules.read_range(host_day.window)[0]:
            begins = "is empty" if span is None else f"begins at {bucket_iso(int(span[0]))}"
            raise SourceError(
                f"the source has {rows:,} rows of {host_day}, {settled.rows:,} were settled, and "
                f"it {begins}: its old rows were purged. The settled day is kept; to replace it "
                f"all the same, remove {lake.path(RAW_ROWS, *host_day)}"
            )


def account_day(
    lake: Lake, host_day: HostDay, rules: AccountingRules, timer: Timer
) -> AccountedDay:
    """Account the rows that the lake keeps of a host-day, and keep the aggregates there.

    If the rows are replaced meanwhile, the new ones are accounted.

    Args:
        lake: where the rows are.
        host_day: which.
        rules: gaps, slack, exclusions.
        timer: gets the seconds of read, validate, account and write.

    Raises:
        LakeError: there is no file of rows, it is damaged, or the lake cannot be written.
        SchemaError: rows or aggregates are not what they should be.
        LedgerError: rows or core-seconds were lost or counted twice.
    """

    def account_rows() -> AccountedDay:
        with timer("read"):
            rows, raw_note = lake.read(RAW_ROWS, *host_day)
        with timer("validate"):
            validate(RawProcessRows, rows, str(host_day))
        with timer("account"):
            result = account(rows, host_day.window, rules)
        with timer("validate"):
            validate(FiveMinuteAggregates, result.aggregates, str(host_day))
            result.ledger.require_balance(len(rows), result.aggregates, str(host_day))
        with timer("write"):
            note = AggregatesNote(
                ledger=result.ledger,
                buckets=host_day.window.encode(result.bucket_starts()),
                raw_rows=len(rows),
                raw_newest_epoch=raw_note.newest_epoch,
            )
            size = lake.write(AGGREGATES, *host_day, result.aggregates, note)
        return AccountedDay(
            window=host_day.window,
            rows=len(result.aggregates),
            cores=_cores_by_bucket(result.aggregates),
            ledger=result.ledger,
            file_bytes=size,
        )

    return lake.from_newest(RAW_ROWS, *host_day, account_rows)


def publish(
    lake: Lake,
    writer: SnapshotWriter,
    host_day: HostDay,
    rules: DocumentRules,
    timer: Timer | None = None,
) -> PublishedDay:
    """Put a host-day into Redis, as ``settled``, from the aggregates that the lake keeps of it.

    Replaces exactly what Redis has of this host and day. If the aggregates are replaced meanwhile,
    the new ones are published.

    Args:
        lake: where the aggregates are.
        writer: the Redis to fill.
        host_day: which.
        rules: which entries are listed.
        timer: gets the seconds of read, validate, document and write.

    Raises:
        LakeError: there is no file of aggregates, or it is damaged.
        SchemaError: aggregates or documents are not what they should be.
        StoreError: Redis cannot be written.
    """
    timer = timer or Timer()

    def publish_aggregates() -> PublishedDay:
        with timer("read"):
            aggregates, note = lake.read(AGGREGATES, *host_day)
        with timer("validate"):
            validate(FiveMinuteAggregates, aggregates, str(host_day))
        with timer("document"):
            used = usage_from_aggregates(aggregates, rules, "settled")
        written = writer.replace([host_day.host], host_day.window, used, "settled", timer)
        return PublishedDay(len(used), written, note.ledger)

    return lake.from_newest(AGGREGATES, *host_day, publish_aggregates)


def _cores_by_bucket(aggregates: pd.DataFrame) -> dict[int, float]:
    cores = aggregates.groupby("bucket_start")["cpu_norm"].sum()
    starts = cores.index.as_unit("s").astype("int64")
    return dict(zip(starts.tolist(), cores.tolist(), strict=True))
