"""What a materialization tells in the UI: schemas, ledgers, durations, a small chart."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.time import BUCKET_SECONDS, Window

_CHART_WIDTH = 720
_CHART_HEIGHT = 120


def column_schema(stage: type[pa.DataFrameModel]) -> dg.TableSchema:
    """A stage's model as Dagster shows columns: type, meaning, constraints."""
    schema = stage.to_schema()
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


def ledger_metadata(ledger: Ledger) -> dict[str, Any]:
    """The ledger as numbers that Dagster plots over partitions, and as a table."""
    names = [row_class.label for row_class in RowClass]
    cpu = {
        "attributed": ledger.attributed_cpu_seconds,
        "gap": ledger.gap_cpu_seconds,
        "excluded": ledger.excluded_cpu_seconds,
    }
    records = [
        dg.TableRecord(
            {
                "class": name,
                "rows_read": ledger.rows[name],
                "rows_of_the_day": ledger.window_rows[name],
                "cpu_core_seconds": round(cpu.get(name, 0.0), 3),
            }
        )
        for name in names
    ]
    return {
        "buckets": ledger.buckets,
        "coverage": _ratio(ledger.covered_seconds, ledger.buckets * BUCKET_SECONDS),
        "cpu_core_seconds_attributed": ledger.attributed_cpu_seconds,
        "cpu_core_seconds_gap": ledger.gap_cpu_seconds,
        "cpu_core_seconds_excluded": ledger.excluded_cpu_seconds,
        "rows_read": ledger.rows_read,
        "ledger": dg.MetadataValue.table(records),
    }


def seconds_metadata(seconds: Mapping[str, float]) -> dict[str, Any]:
    """Durations as ``seconds_<step>``."""
    return {f"seconds_{step}": round(spent, 4) for step, spent in seconds.items()}


def cores_chart(aggregates: pd.DataFrame, window: Window) -> dg.MetadataValue:
    """Cores busy over the window as a picture; what was not covered stays empty."""
    cores = aggregates.groupby("bucket_start")["cpu_norm"].sum()
    starts = cores.index.as_unit("s").astype("int64")
    return _chart(dict(zip(starts.tolist(), cores.tolist(), strict=True)), window, "cores")


def _chart(values: Mapping[int, float], window: Window, unit: str) -> dg.MetadataValue:
    """A bar for each bucket. Kept with every materialization, so two kilobytes have to do."""
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
        f"up to {top:.2f} {unit}; empty: not seen"
    )


def culprit_table(records: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """A table of what is wrong where; says so if nothing is."""
    if not records:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord(dict(record)) for record in records])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
