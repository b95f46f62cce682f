"""Publish a settled host-day to Redis, from the aggregates that the lake keeps.

Settling and restoring do it. What becomes of the rows before that is in
:mod:`snapshot_assets.pipeline.settle`.
"""

from __future__ import annotations

from dataclasses import dataclass

from snapshot_assets.domain.fingerprint import document_recipe, record
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import DocumentRules
from snapshot_assets.domain.schemas import FiveMinuteAggregates, validate
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.store.writing.writer import SnapshotWriter, WriteReport
from snapshot_assets.timing import Timer


@dataclass(frozen=True, slots=True)
class PublishedDay:
    """The result of publishing a host-day.

    Attributes:
        buckets: number of buckets of the aggregates, those past Redis' retention included.
        written: what happened in Redis.
        ledger: the ledger that the lake keeps with the aggregates.
    """

    buckets: int
    written: WriteReport
    ledger: Ledger


def publish(
    lake: Lake,
    writer: SnapshotWriter,
    host_day: HostDay,
    rules: DocumentRules,
    timer: Timer | None = None,
) -> PublishedDay:
    """Publish a host-day as ``settled``, from the aggregates that the lake keeps of it.

    This replaces exactly what Redis has of this host and day, the record included. If another run
    replaces the aggregates meanwhile, the new aggregates are published.

    Args:
        lake: where the aggregates are.
        writer: the Redis to fill.
        host_day: the host-day to publish.
        rules: which entries the documents list.
        timer: gets the seconds of read, validate, document and write.

    Raises:
        LakeError: the file of aggregates is missing or damaged.
        SchemaError: a schema rejects the aggregates or the documents.
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
        made = record(note.fingerprint, document_recipe(rules))
        written = writer.replace([host_day.host], host_day.window, used, "settled", timer, made)
        return PublishedDay(len(used), written, note.ledger)

    return lake.from_newest(AGGREGATES, *host_day, publish_aggregates)
