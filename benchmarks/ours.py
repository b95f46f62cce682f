"""The product's own functions, called one after the other as in the settled path.

The steps are read, validate, account, validate, build documents, validate and write, for one group
of hosts after the other, without Dagster and without the lake. With ``overlap`` a thread reads the
next group meanwhile; ``read`` is then only the time spent waiting for the thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from benchmarks.measure import Job, answer
from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    RawProcessRows,
    validate,
)
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets.timing import Timer

RULES = AccountingRules()


def settle(job: Job) -> dict[str, Any]:
    """Settle the day and check that no CPU was lost."""
    timer = Timer()
    rows_read = written = written_bytes = 0
    attributed = published = 0.0
    window = Window(job.start, job.end)
    with (
        timer("total"),
        ProcessSource(job.source_url, SourceTable(rss_unit="KiB")) as source,
        RedisWriter(url=job.redis_url) as writer,
    ):
        for hosts, rows in _groups(source, job, window, timer):
            subject = f"{len(hosts)} hosts"
            with timer("validate"):
                validate(RawProcessRows, rows, subject)
            with timer("account"):
                result = account(rows, window, RULES)
            rows_read += len(rows)
            del rows
            with timer("validate"):
                validate(FiveMinuteAggregates, result.aggregates, subject)
            with timer("document"):
                used = usage_from_aggregates(result.aggregates, DocumentRules(), "settled")
            report = writer.replace(hosts, window, used, "settled", timer)
            written += report.written
            written_bytes += report.written_bytes
            attributed += result.ledger.attributed_cpu_seconds
            published += _published_cpu_seconds(result.aggregates)
    if not math.isclose(attributed, published, rel_tol=1e-9):
        raise AssertionError(f"{attributed} core-seconds attributed, {published} published")
    return {
        "seconds": timer.seconds,
        "rows_read": rows_read,
        "documents": written,
        "document_bytes": written_bytes,
        "cpu_core_seconds": published,
    }


def _groups(
    source: ProcessSource, job: Job, window: Window, timer: Timer
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """The hosts of each group and their rows, read when they are needed or one group ahead."""
    step = job.hosts_per_group
    groups = [job.hosts[first : first + step] for first in range(0, len(job.hosts), step)]
    start, end = RULES.read_range(window)
    if not job.overlap:
        for hosts in groups:
            with timer("read"):
                rows = source.read_sql(start, end, hosts)
            yield hosts, rows
            del rows
        return
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(source.read_sql, start, end, groups[0])
        for hosts, following in zip(groups, [*groups[1:], None], strict=True):
            with timer("read"):
                rows = ahead.result()
            if following is not None:
                ahead = reader.submit(source.read_sql, start, end, following)
            yield hosts, rows
            del rows


def _published_cpu_seconds(aggregates: pd.DataFrame) -> float:
    return float((aggregates["cpu_norm"] * aggregates["covered_seconds"]).sum())


if __name__ == "__main__":
    answer(settle)
