"""Columns that hold something else than they should: one sentence, with setting and fix.

A collector may write milliseconds where seconds belong, or a site may name the wrong column. One
odd row says nothing: the majority of a sample decides. Without an epoch no figure can be made, so a
wrong epoch stops the reading; all other misfits are warnings. Reading single values belongs to
:mod:`snapshot_assets.source.values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.sampling import likely_rss_unit
from snapshot_assets.source.columns import BYTES_PER_RSS_UNIT, Unreadable
from snapshot_assets.source.readable import DeclaredType
from snapshot_assets.source.table import SourceTable

# 2000-01-01 and 2100-01-01, seconds since 1970.
EARLIEST_EPOCH, LATEST_EPOCH = 946_684_800, 4_102_444_800
_EPOCH_UNITS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
# 32-bit floats of our century are 128 s apart; MySQL prints them with six digits.
_FLOAT_STEPS = (128, 10_000)
_FLOAT_TIMES = 5

_AGE_UNITS = {
    "minutes": 1 / 60,
    "hundredths of a second": 1e2,
    "milliseconds": 1e3,
    "microseconds": 1e6,
}
_CPU_UNITS = {"ticks of a hundredth of a second": 1e2, "milliseconds": 1e3, "microseconds": 1e6}
_MOST_CORES = 1_024
_LARGEST_PID = 2**22  # the kernel's limit
_SMALLEST_RSS_BYTES = 65_536  # a process that does anything has more

# Fewer rows, or fewer processes seen twice, have no majority to speak of.
_ENOUGH_ROWS = 20
_ENOUGH_PAIRS = 3
# Snapshots this far apart show how fast a column grows, even in whole minutes.
_PAIR_SECONDS, _LONGEST_PAIR_SECONDS = 600, 4 * 3_600
# Rows of one snapshot may be stamped one after the other.
_SNAPSHOT_SECONDS = 120
_HOSTS_SAMPLED = 20
_SAMPLE_ROWS = 5_000

_Floats = npt.NDArray[np.float64]


class _Pairs(NamedTuple):
    """Processes that two snapshots show: their host, and what they gained between the two."""

    host: list[str]
    seconds: _Floats
    etimes: _Floats
    cputimes: _Floats
    rss: _Floats


@dataclass(frozen=True, slots=True)
class Misfit:
    """A column of another kind.

    Attributes:
        column: the column, as in :data:`~snapshot_assets.source.table.COLUMNS`.
        sentence: what is wrong with which column, and the fix.
        stops: whether no figure can be made of it. Otherwise the figures are made, and this is a
            warning.
    """

    column: str
    sentence: str
    stops: bool = False

    def __str__(self) -> str:
        return self.sentence


def epoch_misfit(
    table: SourceTable, declared: DeclaredType, sample: Sequence[Any]
) -> Misfit | None:
    """What the column of the epoch holds instead of seconds since 1970; None if it holds those.

    Args:
        table: names of table and columns.
        declared: type of the column in the database.
        sample: some of its values, of any type. If they are numbers, other rows may be right.
    """
    values = [value for value in sample if value is not None]
    shown = f" (such as {_shown(values[0])})" if values else ""
    if declared in ("datetime", "date", "time of day"):
        return _no_epoch(table, f"has a type of dates and times{shown}", "its UNIX_TIMESTAMP()")
    if declared == "float32":
        return _float32(table)
    numbers = [float(value) for value in values if isinstance(value, (int, float, Decimal))]
    if values and (declared == "text" or len(numbers) < len(values) / 2):
        return _no_epoch(table, f"holds text{shown}", "the seconds as a number")
    found = np.array(numbers)
    for unit, per_second in _EPOCH_UNITS.items():
        if _mostly((found >= EARLIEST_EPOCH * per_second) & (found < LATEST_EPOCH * per_second)):
            return _no_epoch(table, f"holds {unit}{shown}", f"it divided by {per_second:,}")
    if _mostly(found >= LATEST_EPOCH):
        return _no_epoch(table, f"holds no time in seconds{shown}", "such a time")
    return None


def misfits(
    rows: pd.DataFrame,
    table: SourceTable,
    unreadable: Sequence[Unreadable] = (),
    cores: Mapping[str, float] | None = None,
) -> list[Misfit]:
    """What the columns of these rows hold that they should not; usually nothing.

    Args:
        rows: raw rows of one host or several, sorted by host and time.
        table: names of the columns, and the unit of ``rss``.
        unreadable: what could not be read of these rows.
        cores: number of cores of the hosts of which it is known.

    Returns:
        At most one misfit for each column.
    """
    pairs = _pairs(rows)
    sample = rows.iloc[:: len(rows) // _SAMPLE_ROWS + 1]
    found: dict[str, Misfit] = {}
    for misfit in (
        *_unreadable(rows, table, unreadable),
        *_of_ages(table, pairs),
        *_of_cpu_times(table, pairs, cores or {}),
        *_of_memory(sample, table, pairs),
        *_of_pids(sample, table),
    ):
        found.setdefault(misfit.column, misfit)
    return list(found.values())


def merged_hosts(rows: pd.DataFrame, table: SourceTable) -> dict[str, Misfit]:
    """The hosts whose times are those of 32-bit floats, so that their snapshots merge.

    Args:
        rows: raw rows of one host or several, sorted by host and time.
        table: names of the columns.
    """
    code, time = rows["host"].cat.codes.to_numpy(), rows["snapshot_time_epoch"].to_numpy()
    suspects = set(np.unique(code).tolist())
    suspects -= {-1, *code[~_is_step(time)].tolist()}
    hosts = rows["host"].cat.categories
    return {
        str(hosts[suspect]): _float32(table)
        for suspect in sorted(suspects)
        if _is_float32(time[code == suspect])
    }


# --- what the columns hold ------------------------------------------------------------------------


def _unreadable(
    rows: pd.DataFrame, table: SourceTable, unreadable: Sequence[Unreadable]
) -> Iterator[Misfit]:
    for column in dict.fromkeys(lost.column for lost in unreadable):
        mine = [lost for lost in unreadable if lost.column == column]
        if sum(lost.values for lost in mine) > len(rows) / 2:
            kind = mine[0].missing_kind
            yield _another(table, column, f"mostly holds {kind}, such as {mine[0].sample[0]}")


def _of_ages(table: SourceTable, pairs: _Pairs) -> Iterator[Misfit]:
    known = np.isfinite(pairs.etimes)
    grown, seconds = pairs.etimes[known], pairs.seconds[known]
    if len(grown) < _ENOUGH_PAIRS:
        return
    for unit, per_second in _AGE_UNITS.items():
        # Whole minutes are off by up to one at each end.
        tolerance = np.maximum(1.5, 0.05 * per_second * seconds)
        if _mostly(abs(grown - per_second * seconds) <= tolerance):
            yield _another(
                table,
                "etimes",
                f"holds {unit}: it grows by {per_second:,.3g} a second",
                f"it in seconds (divided by {per_second:,.0f})"
                if per_second > 1
                else "it in seconds (times 60)",
            )
            return
    if _mostly(grown == 0):
        yield _another(table, "etimes", "does not grow from snapshot to snapshot, so it is no age")
    elif _mostly(abs(grown - seconds) > 0.5 * seconds):
        pace = float(np.median(grown / seconds))
        yield _another(table, "etimes", f"grows by {pace:,.3g} a second, so it holds no seconds")


def _of_cpu_times(
    table: SourceTable, pairs: _Pairs, cores: Mapping[str, float]
) -> Iterator[Misfit]:
    pace = pairs.cputimes / pairs.seconds
    for unit, per_second in _CPU_UNITS.items():
        # A process of one thread that is always busy uses one second of CPU a second.
        busy = pace[pace > per_second / 2]
        if len(busy) >= _ENOUGH_PAIRS and _mostly(abs(busy - per_second) <= 0.03 * per_second):
            yield _another(
                table,
                "cputimes",
                f"holds {unit}: busy processes use {per_second:,.0f} a second",
                f"it divided by {per_second:,.0f}",
            )
            return
    used = pd.Series(np.maximum(np.nan_to_num(pace), 0)).groupby(pairs.host).sum()
    for host, busy_cores in used.items():
        most = cores.get(str(host), _MOST_CORES)
        if busy_cores > 1.1 * most:
            yield _another(
                table,
                "cputimes",
                f"shows {busy_cores:,.0f} cores at work on {host}, which has at most {most:,.0f}: "
                "it has another unit, or counts the time of children again",
            )
            return


def _of_memory(rows: pd.DataFrame, table: SourceTable, pairs: _Pairs) -> Iterator[Misfit]:
    unit = BYTES_PER_RSS_UNIT[table.rss_unit]
    rss = rows["rss"].to_numpy()
    if len(rows) >= _ENOUGH_ROWS and not np.nan_to_num(rss).any():
        yield _another(table, "rss", "is 0 in all rows")
        return
    held = rss > 0
    source = rss[held] / unit
    if len(source) < _ENOUGH_ROWS:
        return
    for other in ("pid", "etimes", "cputimes", "snapshot_time_epoch"):
        if float((source == rows[other].to_numpy()[held]).mean()) > 0.9:
            yield _another(table, "rss", f"holds the values of {other}")
            return
    grown = pairs.rss / unit
    if len(grown) >= _ENOUGH_PAIRS and _mostly(abs(grown - pairs.seconds) <= 0.05 * pairs.seconds):
        yield _another(table, "rss", "grows by 1 a second, as an age does: is it etimes?")
        return
    if len(np.unique(source)) < _ENOUGH_ROWS:
        return  # a few processes with round figures look like any unit
    likely = likely_rss_unit(rows.assign(rss=np.nan_to_num(rss)), table.rss_unit)
    if likely is not None and likely != table.rss_unit:
        yield Misfit(
            "rss",
            f"column {table.physical('rss')!r} of {table.name!r} (rss) looks like {likely}, but is "
            f"read as {table.rss_unit}: set SNAPSHOT_RSS_UNIT={likely} and settle again",
        )
    elif likely is None and float(np.median(source)) * unit < _SMALLEST_RSS_BYTES:
        typical = float(np.median(source)) * unit
        yield _another(table, "rss", f"gives a typical process {typical:,.0f} bytes of memory")


def _of_pids(rows: pd.DataFrame, table: SourceTable) -> Iterator[Misfit]:
    pid = rows["pid"].to_numpy()
    if len(rows) >= _ENOUGH_ROWS and _mostly(pid > _LARGEST_PID):
        yield _another(table, "pid", f"is above {_LARGEST_PID:,}, as no process id is")


def _pairs(rows: pd.DataFrame) -> _Pairs:
    """What processes of up to 20 hosts have gained between two snapshots."""
    codes = rows["host"].cat.codes.to_numpy()
    time = rows["snapshot_time_epoch"].to_numpy()
    hosts = rows["host"].cat.categories
    if not len(hosts):
        return _Pairs([], *np.empty((4, 0)))
    owner = rows["username"].cat.codes.to_numpy() * 1.0 * len(rows["comm"].cat.categories)
    # Pid, user and command as one number of two parts.
    process = rows["pid"].to_numpy() + 1j * (owner + rows["comm"].cat.codes.to_numpy())
    numbers = [rows[column].to_numpy() for column in ("etimes", "cputimes", "rss")]
    names: list[str] = []
    parts = [np.empty((4, 0))]
    for code in np.unique(np.linspace(0, len(hosts) - 1, _HOSTS_SAMPLED).astype(int)):
        first, last = np.searchsorted(codes, [code, code + 1])
        if first == last:
            continue
        times = time[first:last]
        times = times[: np.searchsorted(times, times[0] + _LONGEST_PAIR_SECONDS, "right")]
        if not times[-1] - times[0] >= _PAIR_SECONDS:
            continue
        early = np.searchsorted(times, times[0] + _SNAPSHOT_SECONDS)
        late = np.searchsorted(times, times[-1] - _SNAPSHOT_SECONDS, "right")
        _, one, two = np.intersect1d(
            process[first : first + early],
            process[first + late : first + len(times)],
            return_indices=True,
        )
        one, two = first + one, first + late + two
        names += [str(hosts[code])] * len(one)
        with np.errstate(invalid="ignore"):  # two infinite numbers have no difference
            parts.append(np.array([column[two] - column[one] for column in (time, *numbers)]))
    return _Pairs(names, *np.concatenate(parts, axis=1))


# --- the sentences --------------------------------------------------------------------------------


def _no_epoch(table: SourceTable, holds: str, view: str) -> Misfit:
    needed = "but the seconds since 1970 UTC are needed"
    return _another(table, "snapshot_time_epoch", f"{holds}, {needed}", view, stops=True)


def _float32(table: SourceTable) -> Misfit:
    return _another(
        table,
        "snapshot_time_epoch",
        "is a FLOAT, whose 32 bits are minutes apart, so that snapshots merge",
        "a BIGINT or DOUBLE that the collector writes",
        stops=True,
    )


def _another(
    table: SourceTable, column: str, holds: str, view: str = "", *, stops: bool = False
) -> Misfit:
    physical = table.physical(column)
    fix = f"name another column in SNAPSHOT_SOURCE_COLUMNS ({column}=your_name)"
    if view:
        fix += f", or set SNAPSHOT_SOURCE_TABLE to a view with {view}"
    return Misfit(column, f"column {physical!r} of {table.name!r} ({column}) {holds}: {fix}", stops)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, bytes)) else str(value)


def _is_float32(times: _Floats) -> bool:
    different = np.unique(times[times >= EARLIEST_EPOCH])
    if len(different) < _FLOAT_TIMES or not (different % 3_600).any():  # whole hours are chosen
        return False
    return any(bool((different % step == 0).all()) for step in _FLOAT_STEPS)


def _is_step(times: _Floats) -> npt.NDArray[np.bool_]:
    on_step = [times % step == 0 for step in _FLOAT_STEPS]
    return np.logical_or.reduce(on_step)


def _mostly(holds: npt.NDArray[np.bool_]) -> bool:
    return len(holds) > 0 and float(holds.mean()) > 0.5
