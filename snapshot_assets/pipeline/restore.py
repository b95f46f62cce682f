"""Putting the settled days back into a Redis that lost them, from the lake alone.

The source is not read: what was settled once is in the lake. Today is the live path's business.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from snapshot_assets.domain.rules import DocumentRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, validate
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.errors import LakeError, OutageError, SnapshotAssetsError
from snapshot_assets.lake.lake import Dataset, Lake
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport

log = logging.getLogger(__name__)

_AGGREGATES: Dataset = "five_minute_aggregates"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restoration did.

    Attributes:
        days: the UTC days gone through, newest first.
        host_days: files of the lake that were put into Redis.
        written: what happened in Redis.
        defects: what could not be read, by day and host.
    """

    days: tuple[dt.date, ...]
    host_days: int
    written: WriteReport
    defects: dict[str, str] = field(default_factory=dict)


def restore(
    lake: Lake,
    writer: SnapshotWriter,
    *,
    documents_rules: DocumentRules | None = None,
    progress: Callable[[dt.date, int], None] | None = None,
) -> RestoreReport:
    """Put all settled days that are within the retention into Redis, the newest first.

    Safe beside everything else that writes: it puts there what the lake says at that moment.
    Live buckets are left alone, settled ones are replaced by their equals. A day past the
    documents' retention still gets the frames that are kept longer.

    Args:
        lake: where the aggregates are.
        writer: the Redis to fill.
        documents_rules: which entries are listed.
        progress: called after each day with the day and its hosts.

    Raises:
        StoreError: Redis cannot be written.
        LakeError: the lake cannot be listed.
    """
    horizon = writer.clock() - writer.keys.retention.longest
    alive = [day for day in lake.days(_AGGREGATES) if Window.of_day(day).end > horizon]
    total, host_days = WriteReport(), 0
    defects: dict[str, str] = {}
    if not alive:
        # A lake that is not mounted yet looks like this too: nothing is called complete.
        return RestoreReport((), 0, total)
    with writer.restoring():
        for day in reversed(alive):
            damaged: list[LakeError] = []
            hosts = [entry.host for entry in lake.entries(_AGGREGATES, day, damaged.append)]
            defects |= {f"a file of {day} ({i})": str(told) for i, told in enumerate(damaged, 1)}
            for host in hosts:
                try:
                    total += _restore(lake, writer, documents_rules or DocumentRules(), day, host)
                    host_days += 1
                except OutageError:
                    raise
                except SnapshotAssetsError as defect:
                    defects[f"{host} on {day}"] = str(defect)
            log.info("restored %s: %d hosts", day, len(hosts))
            if progress is not None:
                progress(day, len(hosts))
    return RestoreReport(tuple(reversed(alive)), host_days, total, defects)


def _restore(
    lake: Lake, writer: SnapshotWriter, rules: DocumentRules, day: dt.date, host: str
) -> WriteReport:
    window = Window.of_day(day)

    def put() -> WriteReport:
        aggregates, _ = lake.read(_AGGREGATES, day, host)
        validate(FiveMinuteAggregates, aggregates, f"{host} on {day}")
        return writer.replace(
            [host], window, usage_from_aggregates(aggregates, rules, "settled"), "settled"
        )

    return lake.from_newest(_AGGREGATES, day, host, put)
