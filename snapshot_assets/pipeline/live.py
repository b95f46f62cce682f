"""The live refresh: publish the new buckets of all hosts.

It accounts rows with the same functions as the settled path. This module decides how far back a
refresh reaches: for late rows, after an outage, and for hosts that return with a backlog.
:mod:`snapshot_assets.store.writing.writer` writes to Redis. A refresh needs no Dagster: it keeps
its progress in Redis, beside the documents, so that both are lost together.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.fingerprint import (
    differences,
    live_recipe,
    reading_recipe,
    recipe_of_text,
    recipe_text,
)
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    MachineRows,
    RawProcessRows,
    SchemaError,
    validate,
)
from snapshot_assets.domain.time import BUCKET_SECONDS, Window, bucket_start
from snapshot_assets.domain.usage import MICRO, Usage, usage_from_aggregates
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.pipeline.lagging import lagging
from snapshot_assets.pipeline.reading import read
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport
from snapshot_assets.timing import Timer

log = logging.getLogger(__name__)

# A catch-up works through its window in parts of this length, so that memory stays bounded.
_SLICE_SECONDS = 7_200


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What a refresh found and did.

    Attributes:
        window: the buckets that were published for all hosts.
        hosts: the hosts with rows before the end of the window, margin included.
        new_hosts: the hosts of which no refresh of this Redis has published a row before.
        returned: hosts with a backlog; each with the epoch second from which it was read.
        late: hosts whose new rows were old already; each with the age of its newest row, seconds.
        days_left_out: UTC days not published after an outage, as they lie beyond the limit.
        live_until: epoch second up to which the refresh has published.
        newest_epoch: the newest snapshot read, epoch seconds; None without rows.
        ledger: of all rows read; a row in the margins of two parts counts twice.
        written: what happened in Redis.
        defects: the error of each host that was left out.
        remarks: what is odd about the rows that were read, one sentence each.
        rows_without_host: number of rows whose host is NULL or no text. They belong to no host.
        changes: what differs between the settings of now and those that made the live documents so
            far, such as ``max_gap 900 -> 600``; all of them were published again.
        coverage_now: mean coverage of the newest bucket, over the hosts that have it.
        seconds: durations by step.
    """

    window: Window
    hosts: tuple[str, ...]
    new_hosts: tuple[str, ...]
    returned: dict[str, float]
    late: dict[str, float]
    days_left_out: tuple[dt.date, ...]
    live_until: float
    newest_epoch: float | None
    ledger: Ledger
    written: WriteReport
    defects: dict[str, SnapshotAssetsError]
    remarks: tuple[str, ...]
    rows_without_host: int
    changes: tuple[str, ...]
    coverage_now: float
    seconds: dict[str, float] = field(default_factory=dict)


def refresh(
    source: ProcessSource,
    writer: SnapshotWriter,
    *,
    accounting: AccountingRules | None = None,
    documents_rules: DocumentRules | None = None,
    rules: LiveRules | None = None,
    settled_until: float | None = None,
    retired: Mapping[str, float] | None = None,
    timer: Timer | None = None,
) -> LiveReport:
    """Publish the buckets that are new or may have changed, as ``live``.

    The window starts one lookback before the end of the previous refresh. The first refresh of a
    Redis starts at the end of the settled days, and so does the first refresh after a change of the
    settings, so that live documents of two settings never stay side by side. None starts further
    back than the limit. A host that was silent for longer, or whose rows come late, is read from
    its own newest snapshot on.
    Settled documents stay as they are.

    Args:
        source: where the rows are.
        writer: the Redis to fill.
        accounting: gaps, slack, exclusions.
        documents_rules: which entries the documents list.
        rules: how far back to reach.
        settled_until: end of the newest settled day, epoch seconds; the first refresh of a Redis
            starts there.
        retired: hosts that are forgotten until they have rows after this epoch second.
        timer: gets the seconds of read, account, validate, document and write.

    Raises:
        SourceError: the source cannot be read.
        StoreError: Redis cannot be written.
    """
    rules = rules or LiveRules()
    timer = timer or Timer()
    accounting, documents_rules = (
        accounting or AccountingRules(),
        documents_rules or DocumentRules(),
    )
    publisher = _Publisher(source, writer, accounting, documents_rules, timer)
    recipe = live_recipe(
        accounting, documents_rules, reading_recipe(source.table.rss_unit, source.table.renamed)
    )
    filling = writer.begin_live()
    progress = writer.progress()
    known = {**(retired or {}), **progress.newest_epoch}
    now = writer.clock()
    oldest = now - max(rules.limit_seconds, rules.lookback_seconds)
    resumed = min(progress.live_until or 0.0, now)
    begin = min(max(oldest, settled_until or oldest), now - rules.lookback_seconds)
    changes: tuple[str, ...] = ()
    if progress.live_until is not None:
        changes = differences(recipe_of_text(progress.live_recipe), recipe)
        after_last = resumed - rules.lookback_seconds
        begin = min(begin, after_last) if changes else after_last
    window = Window.around(max(begin, oldest), now)
    left_out = Window.around(begin, oldest).days() if begin < oldest - BUCKET_SECONDS else []

    done = _Published()
    returned: dict[str, float] = {}
    newer: dict[str, float] = {}

    def record(published: _Published, until: float, made: str | None = None) -> _Published:
        # Recorded after each part, so that an interrupted refresh is continued here.
        found = {h: t for h, t in published.newest_epoch.items() if t > known.get(h, 0.0)}
        writer.record_live(until, found, filling, made, resumed)
        newer.update(found)
        return done + published

    if progress.live_until is not None:
        returned = lagging(
            source,
            progress.newest_epoch,
            oldest=oldest,
            before=window.start,
            now=now,
            last_look=progress.live_until,
        )
        if returned:
            done = record(publisher.publish_backlog(returned, window.start), progress.live_until)
    for part in window.slices(_SLICE_SECONDS):
        published = publisher.publish(part)
        if progress.live_until is not None:
            # A host that was silent until now may deliver rows that its collector kept.
            back = {
                host: max(known.get(host, oldest), oldest)
                for host, newest in published.newest_epoch.items()
                if known.get(host, oldest) < min(newest, window.start) and host not in returned
            }
            published += publisher.publish_backlog(back, window.start)
            returned |= back
        # The time never goes back: what was published before still is.
        until = max(min(part.end, now), resumed)
        done = record(published, until, recipe_text(recipe) if part.end >= window.end else None)
    allowed = publisher.accounting.max_gap_seconds + BUCKET_SECONDS
    log.info("live %s: %d hosts; %s", window, len(done.newest_epoch), timer)
    return LiveReport(
        window=window,
        hosts=tuple(
            sorted(h for h, t in done.newest_epoch.items() if t > (retired or {}).get(h, 0))
        ),
        new_hosts=tuple(sorted(done.newest_epoch.keys() - known.keys())),
        returned=returned,
        late={h: now - t for h, t in sorted(newer.items()) if now - t > allowed},
        days_left_out=tuple(left_out),
        live_until=now,
        newest_epoch=max(done.newest_epoch.values(), default=None),
        ledger=done.ledger,
        written=done.written,
        defects=done.defects,
        remarks=done.remarks,
        rows_without_host=done.without_host,
        changes=changes,
        coverage_now=done.newest_bucket[1],
        seconds=timer.seconds,
    )


def settled_until(lake: Lake) -> float | None:
    """The end of the newest settled day, epoch seconds; None if the lake has no day.

    Raises:
        LakeError: the lake cannot be listed.
    """
    days = lake.days(AGGREGATES)
    return Window.of_day(days[-1]).end if days else None


def notice_setback(writer: SnapshotWriter, published_until: float) -> float | None:
    """Detect a Redis that holds less than was published, such as one loaded from an old dump.

    Such a Redis is marked as incomplete, so that its settled days are restored.

    Args:
        writer: the Redis.
        published_until: epoch second up to which the live path has published.

    Returns:
        The epoch second up to which Redis holds what was published; None if it holds everything.

    Raises:
        StoreError: Redis cannot be read or written.
    """
    known_until = writer.progress().live_until or 0.0
    # Redis and Dagster keep the time as text: a difference below a second is rounding.
    if known_until >= published_until - 1:
        return None
    writer.record_complete(False)
    return known_until


@dataclass(frozen=True, slots=True)
class _Published:
    """The result of publishing one or more windows."""

    newest_epoch: dict[str, float] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    written: WriteReport = field(default_factory=WriteReport)
    defects: dict[str, SnapshotAssetsError] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    without_host: int = 0
    newest_bucket: tuple[int, float] = (0, 0.0)  # start and mean coverage

    def __add__(self, other: _Published) -> _Published:
        newest = dict(self.newest_epoch)
        for host, time in other.newest_epoch.items():
            newest[host] = max(time, newest.get(host, time))
        return _Published(
            newest,
            Ledger.total([self.ledger, other.ledger]),
            self.written + other.written,
            self.defects | other.defects,
            tuple(dict.fromkeys((*self.remarks, *other.remarks))),
            self.without_host + other.without_host,
            max(self.newest_bucket, other.newest_bucket),
        )


@dataclass(frozen=True, slots=True)
class _Publisher:
    """Reads, accounts and publishes any window as ``live``."""

    source: ProcessSource
    writer: SnapshotWriter
    accounting: AccountingRules
    documents_rules: DocumentRules
    timer: Timer

    def publish_backlog(self, since: Mapping[str, float], until: int) -> _Published:
        """Publish each host from its own epoch second up to the bucket start ``until``."""
        done = _Published()
        if since:
            start = min(bucket_start(min(since.values())), until)
            for part in Window(start, until).slices(_SLICE_SECONDS):
                hosts = sorted(host for host, epoch in since.items() if epoch < part.end)
                if hosts:
                    done += self.publish(part, hosts)
        return done

    def publish(self, window: Window, hosts: Sequence[str] | None = None) -> _Published:
        """Publish a window of these hosts, or of all hosts if None.

        A host with too many rows that cannot be used is left out, and so keeps its newest epoch: a
        refresh after the rows were corrected catches up. What a schema rejects is a defect of its
        host alone, too: the hosts are halved until only the culprits are left out.
        """
        read_range = self.accounting.read_range(window)
        try:
            return self._publish(window, read_range, hosts)
        except SchemaError as defect:
            suspects = sorted(self.source.hosts(*read_range) if hosts is None else hosts)
            if len(suspects) < 2 and hosts is not None:
                return _Published(defects=dict.fromkeys(suspects, defect))
            middle = (len(suspects) + 1) // 2
            done = _Published() if suspects else _Published(defects={"": defect})
            for half in (suspects[:middle], suspects[middle:]):
                if half:
                    done += self.publish(window, half)
            return done

    def _publish(
        self, window: Window, read_range: tuple[float, float], hosts: Sequence[str] | None
    ) -> _Published:
        timer, subject = self.timer, f"live {window}"
        with timer("read"):
            found = read(self.source, read_range, hosts)
        with timer("validate"):
            validate(RawProcessRows, found.rows, subject)
            validate(MachineRows, found.machines, subject)
            capacities = self.accounting.capacity_cores
            remarks = found.remarks(capacities)
            refused = found.refused(capacities)
            found = found.without(refused)
        rows = found.rows
        with timer("account"):
            result = account(rows, window, self.accounting, found.machines)
        with timer("validate"):
            validate(FiveMinuteAggregates, result.aggregates, subject)
        with timer("document"):
            used = usage_from_aggregates(result.aggregates, self.documents_rules, "live")
        past = rows[rows["snapshot_time_epoch"] < window.end]
        newest = past.groupby("host", observed=True)["snapshot_time_epoch"].max()
        written = self.writer.replace(
            list(rows["host"].cat.categories), window, used, "live", timer
        )
        return _Published(
            newest_epoch={str(host): float(time) for host, time in newest.items()},
            ledger=result.ledger,
            written=written,
            defects=refused,
            remarks=tuple(remarks),
            without_host=found.without_host,
            newest_bucket=_newest_bucket(used),
        )


def _newest_bucket(used: Usage) -> tuple[int, float]:
    """The start and the mean coverage of the newest bucket; zeros without buckets."""
    if not len(used):
        return (0, 0.0)
    newest = int(used.start.max())
    return newest, float(used.coverage[used.start == newest].mean()) / MICRO
