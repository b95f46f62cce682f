"""From process rows to 5-minute use: who used how many cores and how much memory.

The one public function is :func:`account`. It reads top to bottom in the order of the contract
(docs/accounting.md): duplicates, snapshots, process instances, CPU spans, buckets, memory, ledger.
Everything is computed on whole columns, in an order that depends on the data alone, so the same
rows give the same bits however they were shuffled or split into windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import UTC_BUCKET
from snapshot_assets.domain.time import BUCKET_SECONDS, Window

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

BYTES_PER_GB = 1e9
# A process that was born and measured within the same second did not use its CPU in no time.
_SHORTEST_SPAN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Account:
    """What the rows of a window come to.

    Attributes:
        aggregates: a :class:`~snapshot_assets.domain.schemas.FiveMinuteAggregates` frame.
        ledger: what became of every row and of every CPU-second.
    """

    aggregates: pd.DataFrame
    ledger: Ledger

    def bucket_starts(self) -> list[int]:
        """The covered buckets, epoch seconds, ascending."""
        starts = self.aggregates["bucket_start"].dt.as_unit("s").astype("int64")
        return sorted(starts.unique().tolist())


def account(rows: pd.DataFrame, window: Window, rules: AccountingRules) -> Account:
    """Attribute the CPU and memory of process rows to the window's buckets.

    Args:
        rows: a :class:`~snapshot_assets.domain.schemas.RawProcessRows` frame, in any order, of any
            number of hosts, holding at least ``rules.read_range(window)``. More rows than that do
            not change the aggregates.
        window: the buckets to publish.
        rules: gaps, slack, exclusions.

    Returns:
        The aggregates, sorted by their key, and the ledger. Conservation holds: the sum of
        ``cpu_norm * covered_seconds`` is the ledger's ``attributed_cpu_seconds``.
    """
    process = _sort_and_deduplicate(rows)
    snapshots = _snapshots(process, rules)
    spans = _cpu_spans(process, snapshots, rules)
    pieces = _split(
        snapshots.previous[snapshots.covered], snapshots.time[snapshots.covered], window
    )
    covered_snapshot = np.flatnonzero(snapshots.covered)
    cover = _cover(snapshots, covered_snapshot[pieces.owner], pieces)
    use = _use(process, snapshots, spans, covered_snapshot[pieces.owner], pieces, window)
    return Account(
        aggregates=_aggregates(rows, process, cover, use),
        ledger=_ledger(len(rows), process, spans, cover, window),
    )


# --- rows -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Process:
    """The rows kept, sorted by host, pid and time; the codes sort like the values they stand for.

    ``entry`` numbers the (host, username, comm) triples; ``dropped_time`` are the snapshot times
    of the duplicates that were left out.
    """

    host: _Ints
    pid: _Ints
    time: _Floats
    cputimes: _Floats
    rss: _Floats
    etimes: _Floats
    entry: _Ints
    entry_keys: _Ints
    users: int
    comms: int
    username: _Ints
    dropped_time: _Floats
    usernames: npt.NDArray[np.object_]


def _ordered_codes(values: npt.NDArray) -> tuple[_Ints, npt.NDArray]:
    """Number the distinct values so that the numbers sort like the values."""
    codes, uniques = pd.factorize(values)
    order = np.argsort(uniques, kind="stable")
    rank = np.empty(len(uniques), dtype=np.int64)
    rank[order] = np.arange(len(uniques))
    return rank[codes], uniques[order]


def _sums(codes: _Ints, values: _Floats, count: int) -> _Floats:
    """The sum of the values of each code, added in row order; floats also where there are none."""
    return np.bincount(codes, values, count).astype(np.float64, copy=False)


def _category_codes(column: pd.Series) -> tuple[_Ints, npt.NDArray[np.object_]]:
    """Codes of a categorical column that sort like its text, and the text for each code."""
    categories = np.asarray(column.cat.categories, dtype=object)
    order = np.argsort(categories, kind="stable")
    rank = np.empty(len(categories), dtype=np.int64)
    rank[order] = np.arange(len(categories))
    codes = column.cat.codes.to_numpy()
    return rank[codes] if len(categories) else codes.astype(np.int64), categories[order]


def _sort_and_deduplicate(rows: pd.DataFrame) -> _Process:
    """Sort by (host, pid, time); of equal ones keep the largest cputimes, then the largest rss."""
    host, _ = _category_codes(rows["host"])
    username, usernames = _category_codes(rows["username"])
    comm, comms = _category_codes(rows["comm"])
    time, times = _ordered_codes(rows["snapshot_time_epoch"].to_numpy())
    pid, pids = _ordered_codes(rows["pid"].to_numpy())
    cputimes = rows["cputimes"].to_numpy()
    rss = rows["rss"].to_numpy()
    etimes = rows["etimes"].to_numpy()

    # Below 2**63 for as many hosts, pids and times as fit into memory.
    key = (host * len(pids) + pid) * len(times) + time
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    repeated = np.zeros(len(key), dtype=bool)
    repeated[1:] = ordered[1:] == ordered[:-1]
    kept = np.ones(len(key), dtype=bool)
    if repeated.any():
        # Only within runs of equal keys does the order still depend on how the rows came in.
        # Sort those by what decides, and by the rest so that ties cannot depend on it either.
        run = repeated.copy()
        run[:-1] |= repeated[1:]
        members = order[run]
        etimes_or_none = np.nan_to_num(etimes[members], nan=-1.0)
        decisive = (comm[members], username[members], etimes_or_none, rss[members])
        order[run] = members[np.lexsort((*decisive, cputimes[members], key[members]))]
        kept[:-1] = ~repeated[1:]
    dropped = order[~kept]
    order = order[kept]

    entry_key = (host[order] * max(len(usernames), 1) + username[order]) * max(len(comms), 1)
    entry, entry_keys = _ordered_codes(entry_key + comm[order])
    return _Process(
        host=host[order],
        pid=pid[order],
        time=times[time[order]],
        cputimes=cputimes[order],
        rss=rss[order].astype(np.float64),
        etimes=etimes[order],
        entry=entry,
        entry_keys=entry_keys,
        users=max(len(usernames), 1),
        comms=max(len(comms), 1),
        username=username[order],
        dropped_time=times[time[dropped]],
        usernames=usernames,
    )


@dataclass(frozen=True, slots=True)
class _Snapshots:
    """A host's distinct times, sorted by host and time, and for each row the number of its own."""

    host: _Ints
    time: _Floats
    previous: _Floats  # NaN where the host's first
    covered: _Bools
    of_row: _Ints


def _snapshots(process: _Process, rules: AccountingRules) -> _Snapshots:
    time, times = _ordered_codes(process.time)
    of_row, keys = _ordered_codes(process.host * max(len(times), 1) + time)
    host, time_of_key = np.divmod(keys, max(len(times), 1))
    time_of_snapshot = times[time_of_key]
    previous = np.full(len(keys), np.nan)
    follows = host[1:] == host[:-1]
    previous[1:][follows] = time_of_snapshot[:-1][follows]
    covered = time_of_snapshot - previous <= rules.max_gap_seconds
    return _Snapshots(host, time_of_snapshot, previous, covered, of_row)


@dataclass(frozen=True, slots=True)
class _Spans:
    """For each row its class and, where it ends one, the CPU span ``(start, time]``."""

    row_class: npt.NDArray[np.int8]
    start: _Floats
    cpu_seconds: _Floats
    excluded_attributed: _Bools
    counts_for_memory: _Bools


def _cpu_spans(process: _Process, snapshots: _Snapshots, rules: AccountingRules) -> _Spans:
    time, cputimes, etimes = process.time, process.cputimes, process.etimes
    host_previous = snapshots.previous[snapshots.of_row]

    # The same process as in the row before? Comparisons with a missing etimes are False, and so
    # never speak against it.
    earlier = np.full(len(time), np.nan)
    earlier_cputimes = np.zeros(len(time))
    earlier_etimes = np.full(len(time), np.nan)
    same_pid = np.zeros(len(time), dtype=bool)
    same_pid[1:] = (process.pid[1:] == process.pid[:-1]) & (process.host[1:] == process.host[:-1])
    earlier[1:], earlier_cputimes[1:], earlier_etimes[1:] = time[:-1], cputimes[:-1], etimes[:-1]
    apart = time - earlier
    continued = (
        same_pid
        & (cputimes >= earlier_cputimes)
        & ~(etimes < apart - rules.slack_seconds)
        & ~(np.abs(etimes - earlier_etimes - apart) > rules.slack_seconds)
    )
    # Not continued, but young enough to have been born since the host was last looked at.
    since_previous = time - host_previous
    born = ~continued & (etimes <= since_previous + rules.slack_seconds)

    birth = np.minimum(time - etimes, time - _SHORTEST_SPAN_SECONDS)
    start = np.where(continued, earlier, np.maximum(birth, host_previous))
    cpu_seconds = np.where(continued, cputimes - earlier_cputimes, np.where(born, cputimes, 0.0))
    too_long = np.where(continued, apart, since_previous) > rules.max_gap_seconds

    attributed = (continued | born) & ~too_long
    row_class = np.full(len(time), RowClass.FIRST_SEEN, dtype=np.int8)
    row_class[continued | born] = RowClass.GAP
    row_class[attributed] = RowClass.ATTRIBUTED
    is_excluded = np.array([rules.excludes(name) for name in process.usernames], dtype=bool)
    excluded = is_excluded[process.username] if len(is_excluded) else np.zeros(len(time), bool)
    row_class[excluded] = RowClass.EXCLUDED

    counts_for_memory = ~excluded
    if rules.drop_idle_memory:
        # Not across gaps: whether such a row ends a span hangs on rows that may not be read.
        counts_for_memory &= ~(attributed & (cpu_seconds == 0))
    return _Spans(row_class, start, cpu_seconds, excluded & attributed, counts_for_memory)


# --- buckets ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Spans cut at bucket borders: whose piece, in which bucket, how many seconds of how many."""

    owner: _Ints
    bucket: _Ints
    seconds: _Floats
    share: _Floats


def _split(start: _Floats, end: _Floats, window: Window) -> _Pieces:
    """Cut spans ``(start, end]`` at bucket borders and keep the pieces that lie in the window."""
    first = np.maximum(np.floor_divide(start, BUCKET_SECONDS), window.start // BUCKET_SECONDS)
    last = np.minimum(np.ceil(end / BUCKET_SECONDS) - 1, window.end // BUCKET_SECONDS - 1)
    count = np.maximum(last - first + 1, 0).astype(np.int64)
    owner = np.repeat(np.arange(len(start)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    bucket = (first[owner].astype(np.int64) + step) * BUCKET_SECONDS
    length = (end - start)[owner]
    seconds = np.minimum(end[owner], bucket + BUCKET_SECONDS) - np.maximum(start[owner], bucket)
    return _Pieces(owner, bucket, seconds, seconds / length)


@dataclass(frozen=True, slots=True)
class _Cover:
    """For each covered (bucket, host), sorted by both: covered seconds and snapshots."""

    bucket: _Ints
    host: _Ints
    seconds: _Floats
    snapshots: _Ints
    of_piece: _Ints


def _cover(snapshots: _Snapshots, snapshot: _Ints, pieces: _Pieces) -> _Cover:
    hosts = int(snapshots.host.max(initial=0)) + 1
    of_piece, keys = _ordered_codes(pieces.bucket * hosts + snapshots.host[snapshot])
    bucket, host = np.divmod(keys, hosts)
    seconds = _sums(of_piece, pieces.seconds, len(keys))
    count = np.bincount(of_piece, minlength=len(keys))
    return _Cover(bucket, host, np.minimum(seconds, BUCKET_SECONDS), count, of_piece)


@dataclass(frozen=True, slots=True)
class _Use:
    """For each (bucket, entry) that used something: core-seconds and byte-seconds."""

    bucket: _Ints
    entry: _Ints
    cpu_seconds: _Floats
    byte_seconds: _Floats


def _use(
    process: _Process,
    snapshots: _Snapshots,
    spans: _Spans,
    piece_snapshot: _Ints,
    pieces: _Pieces,
    window: Window,
) -> _Use:
    """Sum CPU and memory by bucket and entry.

    Nearly all spans are exactly their snapshot's span. Those are summed by (snapshot, entry)
    first, and only the few sums are cut at bucket borders. The others, of processes born in
    between or missing from a snapshot, are cut one by one.
    """
    entries = max(len(process.entry_keys), 1)
    attributed = spans.row_class == RowClass.ATTRIBUTED
    with_cpu = attributed & (spans.cpu_seconds > 0)
    whole = with_cpu & (spans.start == snapshots.previous[snapshots.of_row])
    alone = np.flatnonzero(with_cpu & ~whole)

    group, group_keys = _ordered_codes(snapshots.of_row * entries + process.entry)
    cpu = _sums(group, np.where(whole, spans.cpu_seconds, 0.0), len(group_keys))
    rss = _sums(group, np.where(spans.counts_for_memory, process.rss, 0.0), len(group_keys))
    used = (cpu > 0) | (rss > 0)
    cpu, rss, group_keys = cpu[used], rss[used], group_keys[used]
    group_snapshot, group_entry = np.divmod(group_keys, entries)

    # Each group goes to every piece of its snapshot's span.
    pieces_of = np.bincount(piece_snapshot, minlength=len(snapshots.time))
    first_piece = np.cumsum(pieces_of) - pieces_of
    count = pieces_of[group_snapshot]
    repeat = np.repeat(np.arange(len(group_keys)), count)
    step = np.arange(len(repeat)) - np.repeat(np.cumsum(count) - count, count)
    piece = first_piece[group_snapshot[repeat]] + step

    single = _split(spans.start[alone], process.time[alone], window)
    single_row = alone[single.owner]

    bucket = np.concatenate([pieces.bucket[piece], single.bucket])
    entry = np.concatenate([group_entry[repeat], process.entry[single_row]])
    code, keys = _ordered_codes(bucket * entries + entry)
    cpu_pieces = [cpu[repeat] * pieces.share[piece], spans.cpu_seconds[single_row] * single.share]
    rss_pieces = [rss[repeat] * pieces.seconds[piece], np.zeros(len(single_row))]
    bucket_of_key, entry_of_key = np.divmod(keys, entries)
    return _Use(
        bucket=bucket_of_key,
        entry=entry_of_key,
        cpu_seconds=_sums(code, np.concatenate(cpu_pieces), len(keys)),
        byte_seconds=_sums(code, np.concatenate(rss_pieces), len(keys)),
    )


# --- results ----------------------------------------------------------------------------------


def _aggregates(rows: pd.DataFrame, process: _Process, cover: _Cover, use: _Use) -> pd.DataFrame:
    _, host_names = _category_codes(rows["host"])
    _, comm_names = _category_codes(rows["comm"])
    entry_host, user_comm = np.divmod(process.entry_keys[use.entry], process.users * process.comms)
    username, comm = np.divmod(user_comm, process.comms)

    # Which covered bucket each use belongs to; both are sorted by (bucket, host).
    hosts = max(len(host_names), 1)
    cover_key = cover.bucket * hosts + cover.host
    cover_of_use = np.searchsorted(cover_key, use.bucket * hosts + entry_host)
    idle = np.ones(len(cover_key), dtype=bool)
    idle[cover_of_use] = False
    idle_cover = np.flatnonzero(idle)

    of_cover = np.concatenate([cover_of_use, idle_cover])
    nobody = np.full(len(idle_cover), -1)
    zeros = np.zeros(len(idle_cover))
    username = np.concatenate([username, nobody])
    comm = np.concatenate([comm, nobody])
    order = np.lexsort((comm, username, of_cover))
    of_cover = of_cover[order]
    seconds = cover.seconds[of_cover]
    return pd.DataFrame(
        {
            "bucket_start": _bucket_times(cover.bucket[of_cover]),
            "host": _categorical(cover.host[of_cover], host_names),
            "username": _categorical(username[order], process.usernames),
            "comm": _categorical(comm[order], comm_names),
            "cpu_norm": np.concatenate([use.cpu_seconds, zeros])[order] / seconds,
            "rss_gb": np.concatenate([use.byte_seconds, zeros])[order] / seconds / BYTES_PER_GB,
            "covered_seconds": seconds,
            "snapshots": cover.snapshots[of_cover],
        }
    )


def _bucket_times(bucket: _Ints) -> pd.Series:
    return pd.Series(bucket.astype("datetime64[s]")).dt.tz_localize("UTC").astype(UTC_BUCKET)


def _categorical(codes: _Ints, names: npt.NDArray[np.object_]) -> pd.Categorical:
    """A categorical of the names that occur, so that equal data makes equal columns."""
    occurs = np.zeros(len(names), dtype=bool)
    occurs[codes[codes >= 0]] = True
    position = np.cumsum(occurs) - 1
    known = np.where(codes >= 0, position[codes], -1) if len(names) else codes
    return pd.Categorical.from_codes(known, pd.Index(names[occurs], dtype="str"))


def _ledger(
    rows_read: int, process: _Process, spans: _Spans, cover: _Cover, window: Window
) -> Ledger:
    time, row_class = process.time, spans.row_class
    inside = (time >= window.start) & (time < window.end)
    dropped = process.dropped_time
    dropped_inside = int(((dropped >= window.start) & (dropped < window.end)).sum())

    # The share of each span inside the window, on another path than the split into buckets.
    overlap = np.minimum(time, window.end) - np.maximum(spans.start, window.start)
    with np.errstate(invalid="ignore"):
        share = np.clip(overlap, 0, None) / (time - spans.start)
    attributed = row_class == RowClass.ATTRIBUTED
    gap = (row_class == RowClass.GAP) & inside

    def counts(classes: npt.NDArray[np.int8], duplicates: int) -> dict[str, int]:
        found = np.bincount(classes, minlength=len(RowClass))
        found[RowClass.DUPLICATE] = duplicates
        return {row_class.label: int(found[row_class]) for row_class in RowClass}

    return Ledger(
        rows_read=rows_read,
        rows=counts(row_class, len(dropped)),
        window_rows=counts(row_class[inside], dropped_inside),
        attributed_cpu_seconds=float((spans.cpu_seconds * share)[attributed].sum()),
        excluded_cpu_seconds=float((spans.cpu_seconds * share)[spans.excluded_attributed].sum()),
        gap_cpu_seconds=float(spans.cpu_seconds[gap].sum()),
        covered_seconds=float(cover.seconds.sum()),
        buckets=len(cover.bucket),
    )
