"""Reports as Dagster's metadata, which its UI shows and plots.

The numbers come from the reports of :mod:`snapshot_assets.pipeline`. Counting belongs there.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandera.pandas as pa

from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.time import BUCKET_SECONDS, Window, bucket_iso, bucket_start
from snapshot_assets.pipeline.live import LiveReport
from snapshot_assets.pipeline.publish import PublishedDay
from snapshot_assets.pipeline.restore import RestoreReport
from snapshot_assets.pipeline.settle import AccountedDay, Done, KeptRows, Report

_CHART_WIDTH = 720
_CHART_HEIGHT = 120

# Sentences about the rows that were read.
REMARKS = "remarks"
_REMARKS_SHOWN = 100

# The time up to which a live run has published. The next run compares it with Redis.
LIVE_UNTIL = "live_until_epoch"


def column_schema(model: type[pa.DataFrameModel]) -> dg.TableSchema:
    """A schema as Dagster shows columns: type, meaning, constraints."""
    schema = model.to_schema()
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=str(name),
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, other=[str(check.name) for check in column.checks]
                ),
            )
            for name, column in schema.columns.items()
        ],
        constraints=dg.TableConstraints(other=[str(check.name) for check in schema.checks]),
    )


def step_metadata(done: Done) -> dict[str, Any]:
    """What a step did for a host-day, and how long the parts of the step took."""
    return {**_report_metadata(done.report), **seconds_metadata(done.seconds)}


def _report_metadata(report: Report) -> dict[str, Any]:
    match report:
        case KeptRows():
            newest = report.newest_epoch
            return {
                "dagster/row_count": report.rows,
                "snapshots": report.snapshots,
                "machine_rows": report.machine_rows,
                "newest_snapshot": "none" if newest is None else bucket_iso(int(newest)),
                "bytes": report.file_bytes,
                **remarks_metadata(report.remarks),
            }
        case AccountedDay():
            return {
                "dagster/row_count": report.rows,
                "bytes": report.file_bytes,
                "cores": _chart(report.cores, report.window, "cores"),
                **_ledger_metadata(report.ledger),
            }
        case PublishedDay():
            return {
                "dagster/row_count": report.buckets,
                "documents_written": report.written.written,
                "documents_removed": report.written.removed,
                "documents_past_retention": report.written.expired,
                "bytes": report.written.written_bytes,
                "frame_bytes": report.written.frame_bytes,
                "cpu_core_seconds_attributed": report.ledger.attributed_cpu_seconds,
            }


def live_metadata(report: LiveReport, new_hosts: Sequence[str]) -> dict[str, Any]:
    """What a live refresh did, and which hosts got their first partition."""
    ledger, written = report.ledger, report.written
    newest = report.newest_epoch
    shown: dict[str, Any] = {
        "dagster/row_count": written.written,
        "window": str(report.window),
        "rows_read": ledger.rows_read,
        "hosts": len(report.hosts),
        "documents_written": written.written,
        "documents_removed": written.removed,
        "documents_kept_settled": written.kept_settled,
        "cpu_core_seconds_attributed": ledger.attributed_cpu_seconds,
        "cpu_core_seconds_gap": ledger.gap_cpu_seconds,
        **_oddities(ledger),
        "ledger": _class_table(ledger),
        "current_bucket": bucket_iso(bucket_start(report.live_until)),
        "newest_bucket_coverage": report.coverage_now,
        LIVE_UNTIL: report.live_until,
        **seconds_metadata(report.seconds),
    }
    shown |= remarks_metadata(report.remarks)
    if report.rows_without_host:
        shown["rows_without_host"] = report.rows_without_host
    if newest is not None:
        shown["newest_snapshot_age_seconds"] = round(report.live_until - newest, 3)
    if new_hosts:
        shown["new_hosts"] = ", ".join(new_hosts)
    if report.returned:
        shown["caught_up_hosts"] = culprit_table(
            [
                {"host": host, "since": bucket_iso(int(since))}
                for host, since in report.returned.items()
            ]
        )
    if report.late:
        shown["late_hosts"] = culprit_table(
            [{"host": host, "minutes": round(age / 60)} for host, age in report.late.items()]
        )
    if report.changes:
        shown["settings_changed"] = "; ".join(report.changes)
    if report.days_left_out:
        shown["days_to_backfill"] = ", ".join(map(str, report.days_left_out))
    return shown


def restore_metadata(report: RestoreReport) -> dict[str, Any]:
    """What a restore published to Redis."""
    return {
        "days": len(report.days),
        "host_days": report.host_days,
        "documents_written": report.written.written,
        "bytes": report.written.written_bytes,
    }


def _ledger_metadata(ledger: Ledger) -> dict[str, Any]:
    """The ledger as numbers that Dagster plots over partitions, and as a table."""
    return {
        "buckets": ledger.buckets,
        "coverage": _ratio(ledger.covered_seconds, ledger.buckets * BUCKET_SECONDS),
        "cpu_core_seconds_attributed": ledger.attributed_cpu_seconds,
        "cpu_core_seconds_gap": ledger.gap_cpu_seconds,
        "cpu_core_seconds_excluded": ledger.excluded_cpu_seconds,
        "rows_read": ledger.rows_read,
        **_oddities(ledger),
        "ledger": _class_table(ledger),
    }


def _oddities(ledger: Ledger) -> dict[str, Any]:
    """What the rows of the window had that they should not have, and what the kernel counted."""
    shown: dict[str, Any] = {
        "cpu_core_seconds_implausible": ledger.implausible_cpu_seconds,
        "rows_rejected": ledger.window_rows[RowClass.REJECTED.label],
        "rows_implausible": ledger.window_rows[RowClass.IMPLAUSIBLE.label],
        "odd_ages": ledger.odd_ages,
        "clock_offsets": ledger.clock_offsets,
        "shared_pids": ledger.shared_pids,
        "stamped_snapshots": ledger.stamped_snapshots,
    }
    if ledger.seen_share is not None:
        shown["cpu_core_seconds_machine"] = ledger.machine_cpu_seconds
        shown["seen_share_of_machine"] = ledger.seen_share
    samples = [
        dg.TableRecord({"class": label, "row": row})
        for label, rows in ledger.samples.items()
        for row in rows
    ]
    if samples:
        shown["samples"] = dg.MetadataValue.table(samples)
    return shown


def _class_table(ledger: Ledger) -> dg.MetadataValue:
    """The rows and core-seconds of each class."""
    cpu = {
        RowClass.ATTRIBUTED: ledger.attributed_cpu_seconds,
        RowClass.GAP: ledger.gap_cpu_seconds,
        RowClass.EXCLUDED: ledger.excluded_cpu_seconds,
        RowClass.IMPLAUSIBLE: ledger.implausible_cpu_seconds,
    }
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "class": row_class.label,
                    "rows_read": ledger.rows[row_class.label],
                    "rows_of_the_day": ledger.window_rows[row_class.label],
                    "cpu_core_seconds": round(cpu.get(row_class, 0.0), 3),
                }
            )
            for row_class in RowClass
        ]
    )


def seconds_metadata(seconds: Mapping[str, float]) -> dict[str, Any]:
    """Durations as ``seconds_<part>``."""
    return {f"seconds_{part}": round(spent, 4) for part, spent in seconds.items()}


def _chart(values: Mapping[int, float], window: Window, unit: str) -> dg.MetadataValue:
    """A picture with a bar for each bucket that has a value.

    It has about two kilobytes, as Dagster keeps one for each host-day.
    """
    top = max(values.values(), default=0.0) or 1.0
    buckets = window.buckets()
    path, y = [f"M0 {_CHART_HEIGHT}"], _CHART_HEIGHT
    for bucket in buckets:
        height = (
            max(round(values[bucket] / top * (_CHART_HEIGHT - 20)), 1) if bucket in values else 0
        )
        if _CHART_HEIGHT - height != y:
            y = _CHART_HEIGHT - height
            path.append(f"V{y}")
        path.append("h1")
    path.append(f"V{_CHART_HEIGHT}")
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_CHART_WIDTH}" height="{_CHART_HEIGHT}" '
        f'viewBox="0 0 {len(buckets)} {_CHART_HEIGHT}" preserveAspectRatio="none">'
        f'<rect width="100%" height="100%" fill="#f4f4f5"/>'
        f'<path fill="#2563eb" d="{"".join(path)}"/></svg>'
    )
    picture = b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(
        f"![{unit} by 5 minutes](data:image/svg+xml;base64,{picture})\n\n"
        f"up to {top:.2f} {unit}; empty: no data"
    )


def culprit_table(records: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """A table of what is wrong and where; the text "none" if nothing is wrong."""
    if not records:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord(dict(record)) for record in records])


def remarks_metadata(remarks: Sequence[str]) -> dict[str, Any]:
    """What is odd about the rows that were read; nothing if nothing is."""
    if not remarks:
        return {}
    return {REMARKS: culprit_table([{"remark": remark} for remark in remarks[:_REMARKS_SHOWN]])}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
