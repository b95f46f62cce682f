"""What a frame looks like at each stage: one strict Pandera model each, and one way to validate.

Column names carry their units. Every boundary of the pipeline calls :func:`validate`; a violation
is a :class:`SchemaError` that says stage, rows, check and sample. No computation lives here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa

from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.errors import SnapshotAssetsError

# Bounds that only a wrong unit can break: milliseconds taken for seconds, pages for bytes.
_EARLIEST_EPOCH = 946_684_800  # 2000-01-01
_LATEST_EPOCH = 4_102_444_800  # 2100-01-01
_LONGEST_UPTIME_SECONDS = 40 * 366 * 86_400
_LARGEST_RSS_BYTES = 2**50
# Rounding of a bucket's covered seconds when snapshot times are fractions.
_COVER_ROUNDING = 1e-6

UTC_BUCKET = pd.DatetimeTZDtype("us", "UTC")


class _Schema(pa.DataFrameModel):
    """What all stages share: exactly these columns, these dtypes, nothing coerced."""

    class Config:
        strict = True
        ordered = True
        coerce = False


class RawProcessRows(_Schema):
    """One row per process per snapshot, as the source has it; duplicates are still in.

    Order: host, snapshot_time_epoch, pid, cputimes, rss.
    """

    host: pd.CategoricalDtype = pa.Field(description="Host name, any text")
    snapshot_time_epoch: np.float64 = pa.Field(
        ge=_EARLIEST_EPOCH,
        lt=_LATEST_EPOCH,
        description="When the snapshot was taken, seconds since 1970 UTC",
    )
    pid: np.int64 = pa.Field(ge=0, description="Process id; the kernel reuses them")
    username: pd.CategoricalDtype = pa.Field(description="Owner of the process")
    comm: pd.CategoricalDtype = pa.Field(description="Command name")
    cputimes: np.float64 = pa.Field(
        ge=0, lt=np.inf, description="CPU seconds used since the process started"
    )
    rss: np.int64 = pa.Field(ge=0, lt=_LARGEST_RSS_BYTES, description="Resident memory in bytes")
    etimes: np.float64 = pa.Field(
        ge=0,
        lt=_LONGEST_UPTIME_SECONDS,
        nullable=True,
        description="Seconds since the process started; missing where the source has none",
    )


class FiveMinuteAggregates(_Schema):
    """One row per bucket, host, username and comm that used CPU or memory.

    A covered bucket in which nobody used anything has a single row without username and comm, so
    that an idle host is a zero; a bucket that was not covered has no row.
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
        ge=0, lt=np.inf, description="Average cores busy while the host was looked at"
    )
    rss_gb: np.float64 = pa.Field(
        ge=0, lt=np.inf, description="Average resident memory while looked at, GB (1e9 bytes)"
    )
    covered_seconds: np.float64 = pa.Field(
        gt=0,
        le=BUCKET_SECONDS + _COVER_ROUNDING,
        description="Seconds of the bucket that snapshots speak for; the same in all its rows",
    )
    snapshots: np.int64 = pa.Field(
        ge=1, description="Snapshots whose span overlaps the bucket; the same in all its rows"
    )

    @pa.dataframe_check(name="bucket_start is a multiple of 300 s")
    def _aligned(cls, frame: pd.DataFrame) -> pd.Series:
        microseconds = frame["bucket_start"].dt.as_unit("us").astype("int64")
        return microseconds % (BUCKET_SECONDS * 1_000_000) == 0

    @pa.dataframe_check(name="one cover per bucket and host")
    def _one_cover(cls, frame: pd.DataFrame) -> pd.Series:
        cover = frame.groupby(["bucket_start", "host"], observed=True)["covered_seconds"]
        return cover.transform("nunique") == 1

    @pa.dataframe_check(name="no row without use, but for the one row of an idle bucket")
    def _idle_rows(cls, frame: pd.DataFrame) -> pd.Series:
        used = ((frame["cpu_norm"] != 0) | (frame["rss_gb"] != 0)).to_numpy()
        username = frame["username"].notna().to_numpy()
        comm = frame["comm"].notna().to_numpy()
        right = used & username & comm
        if not right.all():
            alone = ~frame.duplicated(["bucket_start", "host"], keep=False).to_numpy()
            right |= ~used & ~username & ~comm & alone
        return pd.Series(right, index=frame.index)


class SnapshotDocuments(_Schema):
    """One document per bucket and host, as Redis gets it. Key and order: bucket_start, host."""

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
    coverage: np.float64 = pa.Field(gt=0, le=1, description="Share of the bucket looked at")
    body: object = pa.Field(description="The document: JSON text in UTF-8")

    @pa.dataframe_check(name="cpu: listed and other add up to the total")
    def _cpu_adds_up(cls, frame: pd.DataFrame) -> pd.Series:
        return _adds_up(frame, "cpu_norm")

    @pa.dataframe_check(name="mem: listed and other add up to the total")
    def _mem_adds_up(cls, frame: pd.DataFrame) -> pd.Series:
        return _adds_up(frame, "rss_gb")


def _adds_up(frame: pd.DataFrame, total: str) -> pd.Series:
    """Whether listed and other are the total, counted in millionths.

    Each rounded entry may differ from the truth by half a millionth, and so may the total;
    ``other`` absorbs the differences and can therefore fall below zero by as much.
    """
    micro = {
        name: (frame[name] * 1e6).round() for name in (total, f"{total}_listed", f"{total}_other")
    }
    closes = micro[f"{total}_listed"] + micro[f"{total}_other"] == micro[total]
    return closes & (micro[f"{total}_other"] >= -(frame["entries"] + 1) / 2)


# Pandera's names of structural checks, as a person would say them.
_PLAIN = {
    "column_in_schema": "unexpected column",
    "column_in_dataframe": "missing column",
    "column_ordered": "column out of order",
    "not_nullable": "must not be missing",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a stage: how many rows break it, and a few of them as text."""

    column: str
    check: str
    rows: int
    sample: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.column}: " if self.column else ""
        shown = f", e.g. {'; '.join(self.sample)}" if self.sample else ""
        count = f"{self.rows:,} row{'s' if self.rows != 1 else ''}" if self.rows else "the frame"
        return f"{where}{self.check} ({count}{shown})"


class SchemaError(SnapshotAssetsError):
    """A frame that is not what its stage promises. Nothing was written.

    Attributes:
        stage: name of the stage's model.
        subject: what the frame was about, for example a host and a day.
        rows: rows in the frame.
        violations: the rules that it breaks.
    """

    def __init__(self, stage: str, subject: str, rows: int, violations: list[Violation]) -> None:
        self.stage = stage
        self.subject = subject
        self.rows = rows
        self.violations = violations
        lines = "".join(f"\n  - {violation}" for violation in violations)
        super().__init__(
            f"{stage} of {subject}: {rows:,} rows break {len(violations)} "
            f"rule{'s' if len(violations) != 1 else ''}; nothing was written{lines}"
        )


def validate(stage: type[_Schema], frame: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Hand the frame back if it is what the stage promises.

    Args:
        stage: one of the models of this module.
        frame: the frame to look at; it is not changed.
        subject: what it is about, for the error.

    Raises:
        SchemaError: every broken rule at once, with counts and a sample.
    """
    # Rows are counted and shown by position, whatever labels the frame has put together.
    rows = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index(drop=True)
    violations = _nullable_numbers(stage, rows)
    try:
        stage.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as errors:
        violations += _violations(rows, errors.failure_cases)
    if violations:
        raise SchemaError(stage.__name__, subject, len(frame), violations)
    return frame


def _nullable_numbers(stage: type[_Schema], frame: pd.DataFrame) -> list[Violation]:
    """Columns of pandas' nullable types, which Pandera takes for the plain ones."""
    found = []
    for name, column in stage.to_schema().columns.items():
        plain = getattr(column.dtype, "type", None)
        if name not in frame.columns or not isinstance(plain, np.dtype):
            continue
        dtype = frame[name].dtype
        if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype):
            found.append(Violation(str(name), f"dtype('{plain}')", 0, (str(dtype),)))
    return found


def _violations(frame: pd.DataFrame, cases: pd.DataFrame) -> list[Violation]:
    # A rule of the whole row fails once, not once for each column that the row has.
    column_of = cases["column"].where(cases["schema_context"] == "Column", "")
    found = []
    for (check, column), group in cases.groupby(
        [cases["check"], column_of], dropna=False, sort=False
    ):
        positions = pd.to_numeric(group["index"], errors="coerce").dropna().astype(int).unique()
        if len(positions):
            sample = tuple(_row_text(frame, position) for position in positions[:3])
        else:
            sample = tuple(str(case) for case in group["failure_case"].unique()[:5])
        name = "" if pd.isna(column) or column == frame.index.name else str(column)
        if name not in frame.columns:
            name = ""
        found.append(Violation(name, _PLAIN.get(check, str(check)), len(positions), sample))
    return found


def _row_text(frame: pd.DataFrame, position: int) -> str:
    row = frame.iloc[position]
    values = {name: getattr(value, "item", lambda v=value: v)() for name, value in row.items()}
    return "{" + ", ".join(f"{k}={v!r}" for k, v in values.items() if k != "body") + "}"
