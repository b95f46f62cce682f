"""The writer that everybody uses: snapshots, the live refresh, restoring a lost Redis.

Only the three put together; how each works is told in the modules it comes from.
"""

from __future__ import annotations

from typing import Any

from snapshot_assets.domain.rules import LiveRules
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.live import LiveReport, refresh
from snapshot_assets.pipeline.restore import RestoreReport, restore
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport

__all__ = ["LiveReport", "LiveRules", "RedisWriter", "RestoreReport", "WriteReport"]


class RedisWriter(SnapshotWriter):
    """Puts snapshots into Redis. Retries for up to about half a minute.

    Takes the arguments of :class:`~snapshot_assets.store.transport.server.RedisServer`.
    """

    def store_data(self, source: ProcessSource, **options: Any) -> LiveReport:
        """Fetch what is new of all hosts, account it and store it as ``live``.

        Fit for cron: it needs nothing but the source and Redis, doing it again is harmless, and
        after an outage it catches up. Options, report and errors are those of
        :func:`snapshot_assets.pipeline.live.refresh`.
        """
        return refresh(source, self, **options)

    def restore(self, lake: Lake, **options: Any) -> RestoreReport:
        """Put all settled days of the lake into this Redis, the newest first.

        Options, report and errors are those of :func:`snapshot_assets.pipeline.restore.restore`.
        """
        return restore(lake, self, **options)
