"""The schemas: strict Pandera models of raw rows, aggregates and documents, and how to validate.

Column names carry their units. Every boundary of the pipeline calls :func:`validate`; a violation
raises a :class:`SchemaError` that says schema, rows, check and sample. No computation lives here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa

from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.errors import SnapshotAssetsError

# Rounding of a bucket's covered seconds when snapshot times are fractions.
_COVER_ROUNDING = 1e-6

UTC_BUCKET = pd.DatetimeTZDtype("us", "UTC")


class _Schema(pa.DataFrameModel):
    """What all schemas share: exactly these columns, in this order, with these dtypes."""

    class Config:
        strict = True
        ordered = True
        coerce = False


class RawProcessRows(_Schema):
    """One row per process per snapshot, as the source has it, including duplicates.

    Values may be missing, or be what no process has: the accounting decides row by row.
    Order: host, snapshot_time_epoch, pid, cputimes, rss.
    """

    host: pd.CategoricalDtype = pa.Field(nullable=True, description="Host name, any text")
    snapshot_time_epoch: np.float64 = pa.Field(
        nullable=True, description="When the row was stamped, seconds since 1970 UTC"
    )
    pid: np.float64 = pa.Field(nullable=True, description="Process id; the kernel reuses them")
    username: pd.CategoricalDtype = pa.Field(nullable=True, description="Owner of the process")
    comm: pd.CategoricalDtype = pa.Field(nullable=True, description="Command name")
    cputimes: np.float64 = pa.Field(
        nullable=True, description="CPU-seconds used since the process started"
    )
    rss: np.float64 = pa.Field(nullable=True, description="Resident memory in bytes")
    etimes: np.float64 = pa.Field(
        nullable=True,
        description="Seconds since the process started; missing where the source has none",
    )


class MachineRows(_Schema):
    """One row per host and snapshot: the kernel's own count.

    Order: host, snapshot_time_epoch.
    """

    host: pd.CategoricalDtype = pa.Field(nullable=True, description="Host name, any text")
    snapshot_time_epoch: np.float64 = pa.Field(
        nullable=True, description="When the kernel counted, seconds since 1970 UTC"
    )
    cores: np.float64 = pa.Field(nullable=True, description="Logical CPUs")
    cpu_seconds: np.float64 = pa.Field(
        nullable=True, description="CPU-seconds that all CPUs were busy since the boot"
    )
    memory_bytes: np.float64 = pa.Field(nullable=True, description="Memory of the machine, bytes")
    memory_used_bytes: np.float64 = pa.Field(
        nullable=True, description="Memory that is not available to new processes, bytes"
    )
    boot_epoch: np.float64 = pa.Field(
        nullable=True, description="When the machine booted, seconds since 1970 UTC"
    )


class FiveMinuteAggregates(_Schema):
    """One row per bucket, host, username and comm that used CPU or memory.

    A covered bucket without any use has a single row of zeros, without username and comm. A bucket
    that no snapshot covers has no row.
    Key and order: bucket_start, host, username, comm.
    """

    class Config:
        unique: ClassVar = ["bucket_start", "host", "username", "comm"]

    bucket_start: pd.DatetimeTZDtype = pa.Field(
        dtype_kwargs={"unit": "us", "tz": "UTC"}, description="Start of the 5-minute bucket, UTC"
    )
    host: pd.CategoricalDtype = pa.Field(description="Host name")
    username: pd.CategoricalDtype = pa.Field(
        nullable=True, description="Owner; missing in the one row of an idle bucket"
    )
    comm: pd.CategoricalDtype = pa.Field(
        nullable=True, description="Command name; missing in the one row of an idle bucket"
    )
    cpu_norm: np.float64 = pa.Field(
        ge=0, lt=np.inf, description="Average cores busy over the covered seconds"
    )
    rss_gb: np.float64 = pa.Field(
        ge=0, lt=np.inf, description="Average resident memory over the covered seconds, GB (1e9 B)"
    )
    covered_seconds: np.float64 = pa.Field(
        gt=0,
        le=BUCKET_SECONDS + _COVER_ROUNDING,
        description="Covered seconds of the bucket; the same in all rows of bucket and host",
    )
    snapshots: np.int64 = pa.Field(
        ge=1,
        description="Snapshots whose span overlaps the bucket; the same in all rows of bucket "
        "and host",
    )
    machine_cpu_norm: np.float64 = pa.Field(
        ge=0,
        lt=np.inf,
        nullable=True,
        description="Average cores busy as the kernel counts; missing without its count, as the "
        "columns below, and the same in all rows of bucket and host",
    )
    machine_cores: np.float64 = pa.Field(
        gt=0, lt=np.inf, nullable=True, description="Logical CPUs of the machine"
    )
    machine_used_gb: np.float64 = pa.Field(
        ge=0, lt=np.inf, nullable=True, description="Memory used as the kernel counts, GB (1e9 B)"
    )
    machine_gb: np.float64 = pa.Field(
        ge=0, lt=np.inf, nullable=True, description="Memory of the machine, GB (1e9 B)"
    )

    @pa.dataframe_check(name="bucket_start is a multiple of 300 s")
    def _aligned(cls, aggregates: pd.DataFrame) -> pd.Series:
        microseconds = aggregates["bucket_start"].dt.as_unit("us").astype("int64")
        return microseconds % (BUCKET_SECONDS * 1_000_000) == 0

    @pa.dataframe_check(name="one cover per bucket and host")
    def _one_cover(cls, aggregates: pd.DataFrame) -> pd.Series:
        cover = aggregates.groupby(["bucket_start", "host"], observed=True)["covered_seconds"]
        return cover.transform("nunique") == 1

    @pa.dataframe_check(name="no row without use, but for the one row of an idle bucket")
    def _idle_rows(cls, aggregates: pd.DataFrame) -> pd.Series:
        used = ((aggregates["cpu_norm"] != 0) | (aggregates["rss_gb"] != 0)).to_numpy()
        username = aggregates["username"].notna().to_numpy()
        comm = aggregates["comm"].notna().to_numpy()
        right = used & username & comm
        if not right.all():
            alone = ~aggregates.duplicated(["bucket_start", "host"], keep=False).to_numpy()
            right |= ~used & ~username & ~comm & alone
        return pd.Series(right, index=aggregates.index)


class SnapshotDocuments(_Schema):
    """One row per document, that is per bucket and host. Key and order: bucket_start, host."""

    class Config:
        unique: ClassVar = ["bucket_start", "host"]

    bucket_start: np.int64 = pa.Field(description="Start of the bucket, epoch seconds")
    host: object = pa.Field(description="Host name")
    cpu_norm: np.float64 = pa.Field(ge=0, lt=np.inf, description="Cores, all commands")
    cpu_norm_listed: np.float64 = pa.Field(ge=0, lt=np.inf, description="Cores of the entries")
    cpu_norm_other: np.float64 = pa.Field(lt=np.inf, description="Cores that no entry lists")
    rss_gb: np.float64 = pa.Field(ge=0, lt=np.inf, description="GB, all commands")
    rss_gb_listed: np.float64 = pa.Field(ge=0, lt=np.inf, description="GB of the entries")
    rss_gb_other: np.float64 = pa.Field(lt=np.inf, description="GB that no entry lists")
    entries: np.int64 = pa.Field(ge=0, description="Entries listed, of CPU and of memory")
    coverage: np.float64 = pa.Field(gt=0, le=1, description="Covered share of the bucket")
    body: object = pa.Field(description="The document: JSON text in UTF-8")

    @pa.dataframe_check(name="cpu: listed and other add up to the total")
    def _cpu_adds_up(cls, documents: pd.DataFrame) -> pd.Series:
        return _adds_up(documents, "cpu_norm")

    @pa.dataframe_check(name="mem: listed and other add up to the total")
    def _mem_adds_up(cls, documents: pd.DataFrame) -> pd.Series:
        return _adds_up(documents, "rss_gb")


def _adds_up(documents: pd.DataFrame, total: str) -> pd.Series:
    """Whether listed and other add up to the total, in millionths.

    Rounding changes each entry and the total by up to half a millionth. ``other`` absorbs these
    differences, so it can be below zero by their sum.
    """
    columns = (total, f"{total}_listed", f"{total}_other")
    micro = {column: (documents[column] * 1e6).round() for column in columns}
    closes = micro[f"{total}_listed"] + micro[f"{total}_other"] == micro[total]
    return closes & (micro[f"{total}_other"] >= -(documents["entries"] + 1) / 2)


# Pandera's names of structural checks, in plain words.
_PLAIN = {
    "column_in_schema": "unexpected column",
    "column_in_dataframe": "missing column",
    "column_ordered": "column out of order",
    "not_nullable": "must not be missing",
}


def numbers_of(schema: type[_Schema]) -> dict[str, np.dtype]:
    """The columns of numbers of a schema, and their types."""
    types = {name: column.dtype.type for name, column in schema.to_schema().columns.items()}
    return {str(n): t for n, t in types.items() if isinstance(t, np.dtype) and t.kind in "if"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a schema.

    Attributes:
        column: the column that the rule is about; empty for a rule about whole rows.
        check: the rule.
        rows: number of rows that break the rule; 0 for a rule about the whole table.
        sample: up to three of these rows as text, or up to five values.
    """

    column: str
    check: str
    rows: int
    sample: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.column}: " if self.column else ""
        shown = f", e.g. {'; '.join(self.sample)}" if self.sample else ""
        count = f"{self.rows:,} row{'s' if self.rows != 1 else ''}" if self.rows else "the table"
        return f"{where}{self.check} ({count}{shown})"


class SchemaError(SnapshotAssetsError):
    """A table that does not conform to its schema. Nothing was written.

    Attributes:
        schema: name of the schema.
        subject: what the table was about, for example a host and a day.
        rows: number of rows in the table.
        violations: the rules that the table breaks.
    """

    def __init__(self, schema: str, subject: str, rows: int, violations: list[Violation]) -> None:
        self.schema = schema
        self.subject = subject
        self.rows = rows
        self.violations = violations
        lines = "".join(f"\n  - {violation}" for violation in violations)
        super().__init__(
            f"{schema} of {subject}: {rows:,} rows break {len(violations)} "
            f"rule{'s' if len(violations) != 1 else ''}; nothing was written{lines}"
        )


def validate(schema: type[_Schema], table: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Return the table if it conforms to the schema.

    Args:
        schema: one of the schemas of this module.
        table: the table to validate; it is not changed.
        subject: what the table is about, for the error.

    Raises:
        SchemaError: every broken rule at once, with counts and a sample.
    """
    # Rows are counted and shown by position, because the table's labels need not be unique.
    rows = table if isinstance(table.index, pd.RangeIndex) else table.reset_index(drop=True)
    violations = _nullable_numbers(schema, rows)
    try:
        schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as errors:
        violations += _violations(rows, errors.failure_cases)
    if violations:
        raise SchemaError(schema.__name__, subject, len(table), violations)
    return table


def _nullable_numbers(schema: type[_Schema], table: pd.DataFrame) -> list[Violation]:
    """Columns of pandas' nullable types, which Pandera does not distinguish from NumPy's types."""
    found = []
    for name, column in schema.to_schema().columns.items():
        plain = getattr(column.dtype, "type", None)
        if name not in table.columns or not isinstance(plain, np.dtype):
            continue
        dtype = table[name].dtype
        if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype):
            found.append(Violation(str(name), f"dtype('{plain}')", 0, (str(dtype),)))
    return found


def _violations(table: pd.DataFrame, cases: pd.DataFrame) -> list[Violation]:
    # Pandera reports a rule about whole rows once for each column; here it counts once.
    column_of = cases["column"].where(cases["schema_context"] == "Column", "")
    found = []
    for (check, column), group in cases.groupby(
        [cases["check"], column_of], dropna=False, sort=False
    ):
        positions = pd.to_numeric(group["index"], errors="coerce").dropna().astype(int).unique()
        if len(positions):
            sample = tuple(_row_text(table, position) for position in positions[:3])
        else:
            sample = tuple(str(case) for case in group["failure_case"].unique()[:5])
        name = "" if pd.isna(column) or column == table.index.name else str(column)
        if name not in table.columns:
            name = ""
        found.append(Violation(name, _PLAIN.get(check, str(check)), len(positions), sample))
    return found


def _row_text(table: pd.DataFrame, position: int) -> str:
    row = table.iloc[position]
    values = {name: getattr(value, "item", lambda v=value: v)() for name, value in row.items()}
    return "{" + ", ".join(f"{k}={v!r}" for k, v in values.items() if k != "body") + "}"
