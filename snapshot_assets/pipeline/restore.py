"""Putting the settled days back into a Redis that lost them, from the lake alone.

The source is not read: what was settled once is in the lake. Today is the live path's business.
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
from snapshot_assets.pipeline.settle import publish
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restoration did.

    Attributes:
        days: the UTC days gone through, newest first.
        host_days: those that were put into Redis; a day that a host has no row in is none.
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

    Safe beside everything else that writes: it puts there what the lake says at that time.
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
    rules = documents_rules or DocumentRules()
    horizon = writer.clock() - writer.keys.retention.longest
    alive = [day for day in lake.days(AGGREGATES) if Window.of_day(day).end > horizon]
    total, host_days = WriteReport(), 0
    defects: dict[str, str] = {}
    if not alive:
        # A lake that is not mounted yet looks like this too: nothing is called complete.
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
                    # A file without a row of the day still removes what is stale in Redis.
                    restored += published.ledger.touches_window
            host_days += restored
            log.info("restored %s: %d hosts", day, restored)
            if progress is not None:
                progress(day, restored)
    return RestoreReport(tuple(reversed(alive)), host_days, total, defects)
