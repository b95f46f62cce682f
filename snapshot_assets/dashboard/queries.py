"""What pages need to know, asked of the reader and laid on an even grid of time.

Each function answers one page with plain numbers; nothing here is drawn or worded. Gaps are NaN
until they are drawn: a gap is not a zero.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.dashboard.time_range import TimeRange, month_range
from snapshot_assets.domain.measures import (
    MEASURES,
    STEP_SECONDS,
    Measure,
    Resolution,
    resolution_for,
)
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.summary import COLUMNS, OTHER
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start
from snapshot_assets.store.reading.reader import RedisReader

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Field: TypeAlias = Literal["username", "comm"]

SECONDS_PER_HOUR = 3_600
# Who is on a host now: what its newest bucket says, if that began no longer ago than this.
NOW_SECONDS = 1_800
UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Grid:
    """Even intervals that cover a range.

    Attributes:
        start: epoch second at which the first one starts.
        step: length of each, seconds.
        count: how many.
    """

    start: int
    step: int
    count: int

    @classmethod
    def over(cls, range_: TimeRange) -> Grid:
        """The grid of the resolution that suits the range's length."""
        step = STEP_SECONDS[resolution_for(range_.seconds)]
        first = range_.start // step * step
        return cls(first, step, -(-(range_.end - first) // step))

    @property
    def resolution(self) -> Resolution:
        """Its resolution, as the reader calls it."""
        (name,) = [name for name, step in STEP_SECONDS.items() if step == self.step]
        return name

    @property
    def end(self) -> int:
        """Where the last interval ends."""
        return self.start + self.count * self.step

    def positions(self, frame: pd.DataFrame) -> Ints:
        """In which interval each row of a frame lies."""
        starts = frame["start"].dt.as_unit("s").astype("int64").to_numpy()
        found: Ints = (starts - self.start) // self.step
        return found


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the intervals of a grid.

    Attributes:
        covered: whether anything was looked at.
        settled: whether all that was looked at is accounted for good.
        hosts: how many hosts were looked at.
        kept_from: epoch second before which nothing is kept any more.
        until: epoch second up to which something of every host should be there; what follows may
            be on its way.
    """

    covered: Bools
    settled: Bools
    hosts: Ints
    kept_from: int
    until: int

    def gaps(self, grid: Grid) -> Bools:
        """Which intervals were not looked at, though they are kept and over."""
        ends = grid.start + np.arange(1, grid.count + 1) * grid.step
        found: Bools = ~self.covered & (ends > self.kept_from) & (ends <= self.until)
        return found


@dataclass(frozen=True, slots=True)
class HostUse:
    """A host over time.

    Attributes:
        host: its name.
        use: by measure, the mean of each interval in cores or GB; NaN for a gap.
        peaks: by measure, the highest 5 minutes.
        known: of its intervals.
        unit_seconds: by measure, core-seconds or GB-seconds in the range.
        covered_seconds: how much of the range was looked at.
    """

    host: str
    use: dict[Measure, Floats]
    peaks: dict[Measure, float]
    known: Known
    unit_seconds: dict[Measure, float]
    covered_seconds: float

    def mean(self, measure: Measure) -> float:
        """The mean over the time that was looked at."""
        return self.unit_seconds[measure] / self.covered_seconds if self.covered_seconds else 0.0

    def newest(self, measure: Measure) -> float | None:
        """The newest value that is known."""
        values = self.use[measure]
        known = np.flatnonzero(~np.isnan(values))
        return float(values[known[-1]]) if len(known) else None


@dataclass(frozen=True, slots=True)
class Overview:
    """All hosts over time, by name."""

    range: TimeRange
    grid: Grid
    hosts: list[HostUse]


def overview(reader: RedisReader, range_: TimeRange, hosts: Sequence[str] = ()) -> Overview:
    """Each host's total CPU and memory.

    Raises:
        StoreError: as the reader's.
    """
    grid = Grid.over(range_)
    frames = _frames(reader, range_, grid, hosts, None)
    frame = frames["cpu"]
    kept_from, until = _kept_from(reader, grid), _until(frame, grid)
    # Both frames have the same rows: every covered interval, host by host.
    columns = {
        name: frame[name].to_numpy()
        for frame, names in (
            (frame, ("settled", "covered_seconds", *COLUMNS["cpu"])),
            (frames["mem"], COLUMNS["mem"]),
        )
        for name in names
    }
    positions = grid.positions(frame)
    found = []
    for host, rows in _rows_of_hosts(frame):
        at = positions[rows]
        covered = np.zeros(grid.count, dtype=np.bool_)
        covered[at] = True
        settled = np.zeros(grid.count, dtype=np.bool_)
        settled[at] = columns["settled"][rows]
        use, peaks, unit_seconds = {}, {}, {}
        for measure in MEASURES:
            mean, peak, seconds = COLUMNS[measure]
            values = np.full(grid.count, np.nan)
            values[at] = columns[mean][rows]
            use[measure] = values
            peaks[measure] = float(columns[peak][rows].max())
            unit_seconds[measure] = float(columns[seconds][rows].sum())
        known = Known(covered, settled, covered.astype(np.int64), kept_from, until)
        covered_seconds = float(columns["covered_seconds"][rows].sum())
        found.append(HostUse(host, use, peaks, known, unit_seconds, covered_seconds))
    return Overview(range_, grid, sorted(found, key=lambda use: use.host))


@dataclass(frozen=True, slots=True)
class Consumer:
    """One user or command over a range and some hosts.

    Attributes:
        name: of the user or the command; ``(other)`` for what is not listed by name.
        core_hours: CPU used.
        cores_mean: average while the hosts were looked at, added over them.
        cores_peak: highest 5 minutes on one host.
        gb_hours: memory held by time.
        gb_mean: as ``cores_mean``.
        gb_peak: as ``cores_peak``.
        hosts: on which it was, by name.
    """

    name: str
    core_hours: float
    cores_mean: float
    cores_peak: float
    gb_hours: float
    gb_mean: float
    gb_peak: float
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One layer of a stack: a mean for each interval, cores or GB; NaN in gaps."""

    name: str
    values: Floats


@dataclass(frozen=True, slots=True)
class Consumers:
    """Who used how much.

    Attributes:
        range: that was asked for.
        grid: of the series.
        field: what consumers are: users or commands.
        measure: of the series.
        series: the largest by name, the largest first, and last the rest; they add up to the total.
        table: all consumers, most core-hours first, the unlisted rest last.
        known: of the intervals, over all hosts.
        hosts: how many have anything in the range.
    """

    range: TimeRange
    grid: Grid
    field: Field
    measure: Measure
    series: list[Series]
    table: list[Consumer]
    known: Known
    hosts: int

    @property
    def total(self) -> Floats:
        """What the series add up to."""
        found: Floats = np.sum([one.values for one in self.series], axis=0)
        return found


def consumers(
    reader: RedisReader,
    range_: TimeRange,
    field_: Field,
    measure: Measure,
    *,
    hosts: Sequence[str] = (),
    only: tuple[Field, str] | None = None,
    top: int = 10,
) -> Consumers:
    """Users or commands over time and as a table.

    Args:
        reader: of the store.
        range_: when.
        field_: what is stacked and listed.
        measure: of the series.
        hosts: only these; all if empty.
        only: one user (whose commands are wanted) or one command (whose users are).
        top: how many layers have a name.

    Raises:
        StoreError: as the reader's.
    """
    grid = Grid.over(range_)
    by = ("username", "comm") if only else (field_,)
    frames = _frames(reader, range_, grid, hosts, by)
    known = _known_of_all(reader, frames["cpu"], grid)
    seconds_of_host = _covered_of_hosts(frames["cpu"])
    if only:
        frames = {m: frame[frame[only[0]] == only[1]] for m, frame in frames.items()}
    table = _table(frames, field_, seconds_of_host)
    key = "core_hours" if measure == "cpu" else "gb_hours"
    ranked = sorted(table, key=lambda row: (-getattr(row, key), row.name))
    names = [row.name for row in ranked if row.name != OTHER and getattr(row, key) > 0][:top]
    return Consumers(
        range_,
        grid,
        field_,
        measure,
        _stack(frames[measure], grid, field_, COLUMNS[measure][0], names, known.covered),
        table,
        known,
        len(seconds_of_host),
    )


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What one user used on one host with one command."""

    host: str
    command: str
    core_hours: float
    gb_hours: float
    cores_peak: float
    gb_peak: float


@dataclass(frozen=True, slots=True)
class Statement:
    """One user's month.

    Attributes:
        user: whose; None if nobody was asked for.
        month: ``2026-11``.
        range: the month, or what there is of it.
        zone: of the month's borders: the viewer's, or UTC where only whole UTC days are kept.
        lines: by host and command, most core-hours first.
        users: everybody listed by name in that month.
        settled: whether all of it is accounted for good.
        kept: whether all of the month is still kept.
    """

    user: str | None
    month: str
    range: TimeRange
    zone: ZoneInfo
    lines: list[StatementLine]
    users: list[str]
    settled: bool
    kept: bool


def statement(
    reader: RedisReader, user: str | None, month: str, zone: ZoneInfo, now: float
) -> Statement:
    """What a user used in a month, by host and command; adds up to the buckets.

    The month is the viewer's as long as its 5 minutes are kept. After that only whole UTC days are
    left, and the month is UTC's.

    Raises:
        StoreError: as the reader's.
    """
    retention = reader.keys.retention
    whole = month_range(month, zone)
    if whole.start < now - retention.frames:
        zone = UTC
        whole = month_range(month, UTC)
    until = bucket_start(now) + BUCKET_SECONDS
    if whole.start >= until:
        return Statement(user, month, whole, zone, [], [], False, True)
    range_ = TimeRange(whole.start, min(whole.end, until))
    frames = reader.get_frames(
        None,
        *range_.moments,
        by=("username", "comm"),
        resolution="day",
    )
    listed = {m: frame[frame["username"] != OTHER] for m, frame in frames.items()}
    users = sorted({str(u) for frame in listed.values() for u in frame["username"].unique()})
    mine = {m: frame[frame["username"] == user] for m, frame in listed.items()}
    sums: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for measure, frame in mine.items():
        _, peak, seconds = COLUMNS[measure]
        for *where, used, most in _sums(frame, ("host", "comm"), seconds, peak):
            mine_ = sums[where[0], where[1]]
            mine_[seconds], mine_[peak] = used, most
    lines = [
        StatementLine(
            str(host),
            str(comm),
            used["core_seconds"] / SECONDS_PER_HOUR,
            used["gb_seconds"] / SECONDS_PER_HOUR,
            used["cores_peak"],
            used["gb_peak"],
        )
        for (host, comm), used in sums.items()
    ]
    lines.sort(key=lambda line: (-line.core_hours, -line.gb_hours, line.host, line.command))
    return Statement(
        user,
        month,
        range_,
        zone,
        lines,
        users,
        settled=bool(frames["cpu"]["settled"].all()) and range_.end == whole.end,
        kept=whole.start >= now - retention.days,
    )


@dataclass(frozen=True, slots=True)
class Share:
    """What one user or command used in one bucket."""

    name: str
    cores: float
    gb: float
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """One interval of one host.

    Attributes:
        host: which.
        start: epoch second.
        step: length, seconds.
        cores: mean.
        gb: mean.
        coverage: share that was looked at.
        settled: whether it is accounted for good.
        users: by name, most cores first; ``of`` has their commands.
        commands: by name, most cores first; ``of`` has their users.
    """

    host: str
    start: int
    step: int
    cores: float
    gb: float
    coverage: float
    settled: bool
    users: list[Share]
    commands: list[Share]


def moment(reader: RedisReader, host: str, start: int, resolution: Resolution) -> Moment | None:
    """What happened on a host in one interval; None if it was not looked at.

    Raises:
        StoreError: as the reader's.
    """
    step = STEP_SECONDS[resolution]
    start = start // step * step
    last = start + step - BUCKET_SECONDS
    found = reader.get_data(host, _moment(start), _moment(last), resolution)
    return _moment_of(host, start, step, found[start]) if start in found else None


@dataclass(frozen=True, slots=True)
class Now:
    """The newest of each host.

    Attributes:
        hosts: those with something new, by name.
        silent: the others of the last day, with the start of their newest bucket.
        newest: start of the newest bucket of all; None if there is none.
    """

    hosts: list[Moment]
    silent: list[tuple[str, int | None]]
    newest: int | None


def right_now(reader: RedisReader, now: float) -> Now:
    """Who is on which host.

    Raises:
        StoreError: as the reader's.
    """
    end = bucket_start(now) + BUCKET_SECONDS
    found = reader.get_data(None, _moment(end - NOW_SECONDS), _moment(end))
    newest: dict[str, Moment] = {}
    for start, documents in found.items():
        for host, document in documents.items():
            newest[host] = _moment_of(host, start, BUCKET_SECONDS, document)
    known = reader.hosts(_moment(end - DAY_SECONDS), _moment(end))
    silent = []
    for host in known:
        if host not in newest:
            last = reader.last_update(host)
            silent.append((host, None if last is None else int(last.timestamp())))
    starts = [one.start for one in newest.values()] + [at for _, at in silent if at is not None]
    return Now([newest[host] for host in sorted(newest)], silent, max(starts, default=None))


# --- parts ------------------------------------------------------------------------------------


def _moment(epoch_seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_seconds, dt.UTC)


def _frames(
    reader: RedisReader,
    range_: TimeRange,
    grid: Grid,
    hosts: Sequence[str],
    by: tuple[str, ...] | None,
) -> dict[Measure, pd.DataFrame]:
    return reader.get_frames(
        list(hosts) or None,
        *range_.moments,
        by=by,
        resolution=grid.resolution,
    )


def _rows_of_hosts(frame: pd.DataFrame) -> list[tuple[str, slice]]:
    """Each host and where its rows are; a frame has them one host after the other."""
    codes = frame["host"].cat.codes.to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    names = frame["host"].cat.categories
    return [
        (str(names[codes[first]]), slice(first, last))
        for first, last in pairwise(edges)
        if last > first
    ]


def _sums(
    frame: pd.DataFrame, keys: tuple[str, str], seconds: str, peak: str
) -> Iterator[tuple[str, str, float, float]]:
    """For each pair of names: both names, the unit-seconds and the highest peak."""
    grouped = frame.groupby(list(keys), observed=True, sort=False)
    table = grouped.agg({seconds: "sum", peak: "max"})
    for (one, other), used, most in zip(
        table.index, table[seconds].tolist(), table[peak].tolist(), strict=True
    ):
        yield str(one), str(other), used, most


def _kept_from(reader: RedisReader, grid: Grid) -> int:
    """The first UTC day that is still kept at this resolution."""
    kept = reader.clock() - reader.keys.retention.of(grid.resolution)
    return int(kept // DAY_SECONDS * DAY_SECONDS)


def _until(frame: pd.DataFrame, grid: Grid) -> int:
    """The newest of any host, less the time by which hosts may lag behind one another."""
    newest = int(frame["start"].max().timestamp()) + grid.step if len(frame) else grid.start
    return newest - int(AccountingRules().max_gap_seconds)


def _known_of_all(reader: RedisReader, frame: pd.DataFrame, grid: Grid) -> Known:
    """What is known of the intervals over all hosts of a frame."""
    once = ~frame.duplicated(["host", "start"]).to_numpy()
    positions = grid.positions(frame)[once]
    hosts = np.bincount(positions, minlength=grid.count)
    settled = np.bincount(
        positions, weights=frame["settled"].to_numpy()[once], minlength=grid.count
    )
    return Known(
        hosts > 0,
        (hosts > 0) & (settled == hosts),
        hosts.astype(np.int64),
        _kept_from(reader, grid),
        _until(frame, grid),
    )


def _covered_of_hosts(frame: pd.DataFrame) -> dict[str, float]:
    """How long each host was looked at, seconds."""
    once = frame[~frame.duplicated(["host", "start"])]
    sums = once.groupby("host", observed=True)["covered_seconds"].sum()
    return {str(host): float(seconds) for host, seconds in sums.items()}


def _table(
    frames: dict[Measure, pd.DataFrame], field_: Field, seconds_of_host: dict[str, float]
) -> list[Consumer]:
    amounts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    hosts: dict[str, set[str]] = defaultdict(set)
    for measure, frame in frames.items():
        mean, peak, seconds = COLUMNS[measure]
        for name, host, used, most in _sums(frame, (field_, "host"), seconds, peak):
            mine = amounts[name]
            mine[seconds] += used
            mine[mean] += used / seconds_of_host[host]
            mine[peak] = max(mine[peak], most)
            if used > 0:
                hosts[name].add(host)
    table = [
        Consumer(
            name,
            used["core_seconds"] / SECONDS_PER_HOUR,
            used["cores_mean"],
            used["cores_peak"],
            used["gb_seconds"] / SECONDS_PER_HOUR,
            used["gb_mean"],
            used["gb_peak"],
            tuple(sorted(hosts[name])),
        )
        for name, used in amounts.items()
    ]
    table.sort(key=lambda row: (row.name == OTHER, -row.core_hours, -row.gb_hours, row.name))
    return table


def _stack(
    frame: pd.DataFrame, grid: Grid, field_: Field, mean: str, names: list[str], covered: Bools
) -> list[Series]:
    """The named ones and the rest, which is whatever is not one of them."""
    categories = [str(name) for name in frame[field_].cat.categories]
    layer_of = np.full(len(categories), len(names), dtype=np.int64)
    for layer, name in enumerate(names):
        layer_of[categories.index(name)] = layer
    layers = layer_of[frame[field_].cat.codes.to_numpy()]
    sums = np.bincount(
        layers * grid.count + grid.positions(frame),
        weights=frame[mean].to_numpy(),
        minlength=(len(names) + 1) * grid.count,
    ).reshape(len(names) + 1, grid.count)
    sums = sums.astype(np.float64)  # without any row numpy counts in whole numbers
    sums[:, ~covered] = np.nan
    return [Series(name, sums[i]) for i, name in enumerate([*names, OTHER])]


def _moment_of(host: str, start: int, step: int, document: dict[str, Any]) -> Moment:
    used: dict[str, dict[str, list[float]]] = {"username": {}, "comm": {}}
    others: dict[tuple[str, str], dict[str, float]] = {}
    for place, (measure, unit) in enumerate((("cpu", "cpu_norm"), ("mem", "rss"))):
        for entry in document[measure]["user"]:
            for field_, other in (("username", "comm"), ("comm", "username")):
                name = entry[field_]
                used[field_].setdefault(name, [0.0, 0.0])[place] += entry[unit]
                met = others.setdefault((field_, name), {})
                met[entry[other]] = met.get(entry[other], 0.0) + (
                    entry[unit] if measure == "cpu" else 0.0
                )
    shares = {
        field_: [
            Share(name, cores, gb, _ranked(others[field_, name]))
            for name, (cores, gb) in sorted(
                names.items(), key=lambda item: (-item[1][0], -item[1][1], item[0])
            )
        ]
        for field_, names in used.items()
    }
    meta = document["meta"]
    return Moment(
        host,
        start,
        step,
        document["cpu"]["command"]["cpu_norm"],
        document["mem"]["command"]["rss"],
        meta["coverage"],
        meta["stage"] == "settled",
        shares["username"],
        shares["comm"],
    )


def _ranked(amounts: dict[str, float]) -> tuple[str, ...]:
    return tuple(sorted(amounts, key=lambda name: (-amounts[name], name)))
