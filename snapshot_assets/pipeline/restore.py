"""Restore: publish the settled days again, from the lake alone, to a Redis that lost them.

It does not read the source, as the lake holds every settled day. The live refresh publishes today.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError, OutageError, SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restoration did.

    Attributes:
        days: the UTC days processed, newest first.
        host_days: number of host-days published; a file without a row of its day does not count.
        written: what happened in Redis.
        defects: the error of each host-day or file that could not be restored.
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
    """Publish all settled days within the retention to Redis, the newest first.

    Other writers may run at the same time: a restore publishes what the lake holds at that time.
    It replaces what Redis has of a settled host-day, and leaves other host-days alone. A day past
    the documents' retention still gets its frames, which Redis keeps longer.

    Args:
        lake: where the aggregates are.
        writer: the Redis to fill.
        documents_rules: which entries the documents list.
        progress: called after each day with the day and the number of hosts restored.

    Raises:
        StoreError: Redis cannot be written.
        LakeError: the lake cannot be listed.
    """
    rules = documents_rules or DocumentRules()
    now = writer.clock()
    alive = [d for d in lake.days(AGGREGATES) if writer.keys.retains(Window.of_day(d).end, now)]
    total, host_days = WriteReport(), 0
    defects: dict[str, str] = {}
    if not alive:
        # A lake that is not mounted looks empty too, so Redis is not marked as complete.
        return RestoreReport((), 0, total)
    with writer.restoring():
        for day in reversed(alive):
            damaged: list[LakeError] = []
            hosts = [entry.host for entry in lake.entries(AGGREGATES, day, damaged.append)]
            defects |= {f"a file of {day} ({i})": str(error) for i, error in enumerate(damaged, 1)}
            restored = 0
            for host_day in (HostDay(day, host) for host in hosts):
                try:
                    published = publish(lake, writer, host_day, rules)
                except OutageError:
                    raise
                except SnapshotAssetsError as defect:
                    defects[str(host_day)] = str(defect)
                else:
                    total += published.written
                    # Publishing a file without a row of its day still removes stale documents.
                    restored += published.ledger.touches_window
            host_days += restored
            log.info("restored %s: %d hosts", day, restored)
            if progress is not None:
                progress(day, restored)
    return RestoreReport(tuple(reversed(alive)), host_days, total, defects)
