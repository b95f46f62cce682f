"""The writer that the package offers: for cron and notebooks, without Dagster.

It adds to the store's writer the use cases that fill Redis. How the use cases work must stay out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.live import LiveReport, refresh
from snapshot_assets.pipeline.restore import RestoreReport, restore
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.writing.writer import SnapshotWriter
from snapshot_assets.timing import Timer


class RedisWriter(SnapshotWriter):
    """Fills Redis from the source or from the lake. Retries a command for about half a minute.

    Takes the arguments of :class:`~snapshot_assets.store.writing.writer.SnapshotWriter`.
    """

    def store_data(
        self,
        source: ProcessSource,
        *,
        accounting: AccountingRules | None = None,
        documents_rules: DocumentRules | None = None,
        rules: LiveRules | None = None,
        settled_until: float | None = None,
        retired: Mapping[str, float] | None = None,
        timer: Timer | None = None,
    ) -> LiveReport:
        """Read the new rows of all hosts, account them and publish the result as ``live``.

        Cron can run it: it needs only the source and Redis, a second call does no harm, and the
        first call after an outage catches up.

        Args:
            source: where the rows are.
            accounting: gaps, slack, exclusions.
            documents_rules: which entries the documents list.
            rules: how far back to reach.
            settled_until: end of the newest settled day, epoch seconds; the first refresh of this
                Redis starts there.
            retired: hosts that are forgotten until they have rows after this epoch second.
            timer: gets the seconds of read, account, validate, document and write.

        Raises:
            SourceError: the source cannot be read.
            StoreError: Redis cannot be written.
        """
        return refresh(
            source,
            self,
            accounting=accounting,
            documents_rules=documents_rules,
            rules=rules,
            settled_until=settled_until,
            retired=retired,
            timer=timer,
        )

    def restore(
        self,
        lake: Lake,
        *,
        documents_rules: DocumentRules | None = None,
        progress: Callable[[dt.date, int], None] | None = None,
    ) -> RestoreReport:
        """Publish all settled days of the lake to this Redis, the newest first.

        Args:
            lake: where the aggregates are.
            documents_rules: which entries the documents list.
            progress: called after each day with the day and the number of hosts restored.

        Raises:
            StoreError: Redis cannot be written.
            LakeError: the lake cannot be listed.
        """
        return restore(lake, self, documents_rules=documents_rules, progress=progress)
