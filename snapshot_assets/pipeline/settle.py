"""Settle host-days: keep the rows in the lake, account them to aggregates, publish those to Redis.

There are three steps: :class:`RowsKeeper`, :func:`account_day` and
:func:`~snapshot_assets.pipeline.publish.publish`. Each step reads what the step before it wrote to
the lake. :func:`settle` takes host-days through the steps one
after the other, so only a few host-days are in memory at a time. Which host-days are settled when,
and how that is recorded, is decided in :mod:`snapshot_assets.orchestration`.
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
from snapshot_assets.domain.accounting.rows import require_usable
from snapshot_assets.domain.fingerprint import accounting_recipe, aggregates_digest, reading_recipe
from snapshot_assets.domain.host_day import HostDay, batches
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    MachineRows,
    RawProcessRows,
    validate,
)
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.errors import LakeError, OutageError, SnapshotAssetsError, SourceError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import (
    AGGREGATES,
    MACHINE_ROWS,
    RAW_ROWS,
    AggregatesNote,
    RawNote,
)
from snapshot_assets.pipeline.publish import PublishedDay
from snapshot_assets.pipeline.reading import Read, read
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.timing import Timer

# Hosts read by one query. With an index on time alone, each query reads the rows of all hosts. The
# rows of four busy host-days take about 200 MB.
HOSTS_PER_READ: Final = 4

# The source counts as purged before a day if it has no older row, searched this far back.
_PURGE_LOOKBACK_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows of a host-day that the lake keeps.

    Attributes:
        rows: number of rows, those of the margins around the day included.
        snapshots: number of different snapshot times.
        newest_epoch: time of the newest row, epoch seconds; None without rows.
        file_bytes: size of the file in the lake.
        machine_rows: number of rows of the kernel's count.
        remarks: what is odd about the rows, one sentence each.
    """

    rows: int
    snapshots: int
    newest_epoch: float | None
    file_bytes: int
    machine_rows: int = 0
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountedDay:
    """The result of accounting a host-day.

    Attributes:
        window: the buckets of the day.
        rows: number of rows of the aggregates.
        cores: mean cores used in each bucket of the aggregates, by bucket start in epoch seconds.
        ledger: what became of every row read.
        file_bytes: size of the file in the lake.
    """

    window: Window
    rows: int
    cores: Mapping[int, float]
    ledger: Ledger
    file_bytes: int


Report: TypeAlias = KeptRows | AccountedDay | PublishedDay
Step: TypeAlias = Callable[[HostDay], Report]


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was done for a host-day.

    Attributes:
        host_day: the host-day.
        step: the step's name.
        report: what the step did.
        seconds: durations by part, such as ``read``; zero for a part that only earlier steps have.
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

    A defective host-day stops at the step that found the defect; then the next host-day begins.

    Args:
        host_days: the host-days, in the order in which they are settled.
        steps: the steps by name, in their order; each of them measures its parts with ``timer``.
        timer: has the seconds of read, validate, account, document and write.

    Yields:
        A :class:`Done` for each step as it is done, a :class:`Defect` for each defective host-day.

    Raises:
        OutageError: a server does not answer. Every step yielded before is done.
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

    One query reads several hosts. The next query runs while the pipeline works on their rows, so
    database and pipeline are busy at the same time.

    Args:
        source: where the rows are.
        lake: where to keep them.
        host_days: all host-days to keep; :meth:`keep` is called for each, in this order.
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
            SourceError: the source cannot be read, or its rows of the day were purged after the
                day was settled.
            SchemaError: the schema rejects the rows.
            RejectedRowsError: too many rows cannot be used.
            LakeError: the lake cannot be written.
            ValueError: another host-day is next.
        """
        with self._timer("read"):
            expected, read = next(self._reads)
            if expected != host_day:
                raise ValueError(f"the next host-day to keep is {expected}, not {host_day}")
            found = read()
            rows, machines = found.rows, found.machines
        with self._timer("validate"):
            validate(RawProcessRows, rows, str(host_day))
            validate(MachineRows, machines, str(host_day))
            capacities = self._rules.capacity_cores
            found.require_usable(host_day.window, str(host_day), capacities)
            remarks = found.remarks(capacities)
        self._require_unpurged(host_day, len(rows))
        table = self._source.table
        recipe = reading_recipe(table.rss_unit, table.renamed)
        made = self._rules.read_range(host_day.window), recipe
        with self._timer("write"):
            # The raw rows come last: whoever waits for them to change then finds both.
            if len(machines) or self._lake.entry(MACHINE_ROWS, *host_day) is not None:
                self._lake.write(MACHINE_ROWS, *host_day, machines, _raw_note(machines, *made))
            size = self._lake.write(RAW_ROWS, *host_day, rows, _raw_note(rows, *made))
        snapshots = int(rows["snapshot_time_epoch"].nunique())
        return KeptRows(len(rows), snapshots, _newest(rows), size, len(machines), remarks)

    def _read_ahead(
        self, host_days: Sequence[HostDay]
    ) -> Iterator[tuple[HostDay, Callable[[], Read]]]:
        """For each host-day, a function that returns its rows or raises the defect in them.

        If the rows of a query are defective, its hosts are read one by one, so that only the
        defective host-day fails.
        """
        groups = list(batches(host_days, HOSTS_PER_READ))

        def read_day(day: dt.date, hosts: list[str]) -> Read:
            return read(self._source, self._rules.read_range(Window.of_day(day)), hosts)

        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(read_day, *groups[0]) if groups else None
            for (day, hosts), following in zip(groups, [*groups[1:], None], strict=True):
                current = cast(Future[Read], coming)
                coming = ahead.submit(read_day, *following) if following else None
                try:
                    by_host = current.result().by_host(hosts)
                except OutageError:
                    raise
                except SnapshotAssetsError:
                    for host in hosts:
                        yield HostDay(day, host), partial(read_day, day, [host])
                else:
                    for host in hosts:
                        yield HostDay(day, host), partial(by_host.pop, host)

    def _require_unpurged(self, host_day: HostDay, rows: int) -> None:
        """Reject the rows if the source was purged after the day was settled.

        Raises:
            SourceError: there are fewer rows than the lake keeps, and the source has no row older
                than those that the day reads.
        """
        lake = self._lake
        try:
            settled = lake.entry(RAW_ROWS, *host_day)
        except LakeError:
            return  # a damaged file is replaced
        if settled is None or rows >= settled.rows:
            return
        # The search is limited, as one row with a wrong clock would hide that rows were purged.
        span = self._source.span(since=host_day.window.start - _PURGE_LOOKBACK_SECONDS)
        if span is None or span[0] >= self._rules.read_range(host_day.window)[0]:
            begins = "is empty" if span is None else f"begins at {bucket_iso(int(span[0]))}"
            raise SourceError(
                f"the source has {rows:,} rows of {host_day}, but {settled.rows:,} were settled. "
                f"The source {begins}, so its old rows were purged. The settled day is kept. To "
                f"replace it anyway, remove {lake.shown_path(RAW_ROWS, *host_day)}"
            )


def account_day(
    lake: Lake, host_day: HostDay, rules: AccountingRules, timer: Timer
) -> AccountedDay:
    """Account the rows that the lake keeps of a host-day, and keep the aggregates in the lake.

    If another run replaces the rows meanwhile, the new rows are accounted.

    Args:
        lake: where the rows are.
        host_day: the host-day to account.
        rules: gaps, slack, exclusions.
        timer: gets the seconds of read, validate, account and write.

    Raises:
        LakeError: the file of rows is missing, damaged, or holds a shorter range than the rules
            read; or the lake cannot be written.
        SchemaError: a schema rejects the rows or the aggregates.
        RejectedRowsError: too many rows cannot be used.
        LedgerError: rows or core-seconds were lost or counted twice.
    """

    def account_rows() -> AccountedDay:
        with timer("read"):
            rows, raw_note = lake.read(RAW_ROWS, *host_day)
            machines = _kept_machines(lake, host_day)
        if raw_note.reaches(*rules.read_range(host_day.window)) is False:
            raise LakeError(
                f"the rows of {host_day} in the lake were read with a smaller SNAPSHOT_MAX_GAP or "
                f"SNAPSHOT_PASS_SECONDS; materialize {RAW_ROWS}, too"
            )
        with timer("validate"):
            validate(RawProcessRows, rows, str(host_day))
            require_usable(rows, host_day.window, str(host_day))
        with timer("account"):
            result = account(rows, host_day.window, rules, machines)
        with timer("validate"):
            validate(FiveMinuteAggregates, result.aggregates, str(host_day))
            result.ledger.require_balance(len(rows), result.aggregates, str(host_day))
        with timer("write"):
            note = AggregatesNote(
                ledger=result.ledger,
                buckets=host_day.window.encode(result.bucket_starts()),
                raw_rows=len(rows),
                raw_newest_epoch=raw_note.newest_epoch,
                recipe={**accounting_recipe(rules, host_day.host), **raw_note.recipe},
                digest=aggregates_digest(result.aggregates),
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


def _raw_note(
    rows: pd.DataFrame, read_range: tuple[float, float], recipe: Mapping[str, str]
) -> RawNote:
    return RawNote(_newest(rows), *read_range, recipe)


def _newest(rows: pd.DataFrame) -> float | None:
    newest = rows["snapshot_time_epoch"].max()
    return None if pd.isna(newest) else float(newest)


def _kept_machines(lake: Lake, host_day: HostDay) -> pd.DataFrame | None:
    """The kernel's count of a host-day; None if the source had none when its rows were kept."""
    if lake.entry(MACHINE_ROWS, *host_day) is None:
        return None
    return lake.read(MACHINE_ROWS, *host_day)[0]


def _cores_by_bucket(aggregates: pd.DataFrame) -> dict[int, float]:
    cores = aggregates.groupby("bucket_start")["cpu_norm"].sum()
    starts = cores.index.as_unit("s").astype("int64")
    return dict(zip(starts.tolist(), cores.tolist(), strict=True))
