"""The writer that the package offers: for cron and notebooks, without Dagster.

It adds to the store's writer the use cases that fill Redis; how they work must stay out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.live import LiveReport, refresh
from snapshot_assets.pipeline.restore import RestoreReport, restore
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.writing.writer import SnapshotWriter
from snapshot_assets.timing import Timer


class RedisWriter(SnapshotWriter):
    """Fills Redis from the source or from the lake. Retries for up to about half a minute.

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
        timer: Timer | None = None,
    ) -> LiveReport:
        """Fetch what is new of all hosts, account it and store it as ``live``.

        Fit for cron: it needs nothing but the source and Redis, doing it again is harmless, and
        after an outage it catches up.

        Args:
            source: where the rows are.
            accounting: gaps, slack, exclusions.
            documents_rules: which entries are listed.
            rules: how far back to reach.
            settled_until: end of the newest settled day, epoch seconds; a first refresh of this
                Redis starts there.
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
            timer=timer,
        )

    def restore(
        self,
        lake: Lake,
        *,
        documents_rules: DocumentRules | None = None,
        progress: Callable[[dt.date, int], None] | None = None,
    ) -> RestoreReport:
        """Put all settled days of the lake into this Redis, the newest first.

        Args:
            lake: where the aggregates are.
            documents_rules: which entries are listed.
            progress: called after each day with the day and how many hosts it has.

        Raises:
            StoreError: Redis cannot be written.
            LakeError: the lake cannot be listed.
        """
        return restore(lake, self, documents_rules=documents_rules, progress=progress)
