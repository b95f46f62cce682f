"""Inspect settled host-days: the files in the lake and the documents in Redis.

Each function reads the stored data, never what a settling had in memory, and returns what is wrong.
:mod:`snapshot_assets.pipeline.census` compares Redis with the lake, and
:mod:`snapshot_assets.pipeline.proof` compares Redis with the source.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from snapshot_assets.domain.accounting.rows import RejectedRowsError, require_usable
from snapshot_assets.domain.documents import sums_up
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.ledger import Imbalance, Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import RawProcessRows, SchemaError, validate
from snapshot_assets.domain.time import BUCKET_SECONDS, Window
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.store.reading.reader import Document, RedisReader

# Two counts of the same CPU-seconds agree up to this: ticks, and pauses between two readings.
_MOST_SEEN_SHARE: Final = 1.05
_LEAST_SEEN_SHARE: Final = 0.5
# Many collectors round each process' CPU to whole seconds, so less is no finding.
_ROUNDING_CPU_SECONDS: Final = 10.0
# A single late snapshot gives two clock offsets, there and back.
_MANY_OFFSETS_SHARE: Final = 0.05
_FEW_OFFSETS: Final = 2

# A document that expires during an inspection would be mistaken for a missing one.
_INSPECTION_SECONDS = 300


def rows_problem(lake: Lake, host_day: HostDay, rules: AccountingRules) -> str | None:
    """Return the problem of the rows that the lake keeps for a host-day, or None.

    Raises:
        LakeError: the file is missing or damaged.
    """
    rows, note = lake.read(RAW_ROWS, *host_day)
    try:
        validate(RawProcessRows, rows, str(host_day))
        require_usable(rows, host_day.window, str(host_day))
    except (SchemaError, RejectedRowsError) as error:
        return str(error)
    start, end = rules.read_range(host_day.window)
    if note.read_from is not None and note.read_until is not None:
        # A longer range does no harm: rows outside the range of the rules change no document.
        start, end = min(start, note.read_from), max(end, note.read_until)
    times = rows["snapshot_time_epoch"]
    strangers = int(((times < start) | (times >= end)).sum())
    strangers += int((rows["host"] != host_day.host).sum())
    return f"{strangers} rows of another host or time" if strangers else None


def imbalances(lake: Lake, host_day: HostDay) -> list[Imbalance]:
    """What does not add up between the rows, the aggregates and the ledger in the lake.

    Raises:
        LakeError: a file is missing or damaged.
    """
    aggregates, note = lake.read(AGGREGATES, *host_day)
    rows, _ = lake.read(RAW_ROWS, *host_day)
    return note.ledger.imbalances(len(rows), aggregates)


def invented_problem(ledger: Ledger) -> str | None:
    """Say that the snapshots show more CPU than the kernel counted; None if they do not."""
    seen, machine = ledger.seen_cpu_seconds, ledger.machine_cpu_seconds
    share = ledger.seen_share
    if share is None or share <= _MOST_SEEN_SHARE or seen - machine <= _ROUNDING_CPU_SECONDS:
        return None
    return (
        f"seen {share:.2f} times what the kernel counted ({seen:,.0f} of {machine:,.0f} "
        "core-seconds): numbers were invented; compare cputimes and the machines' table with the "
        "machine"
    )


def unseen_problem(ledger: Ledger) -> str | None:
    """Say that the snapshots show less than half of the kernel's count; None if they do not."""
    seen, machine = ledger.seen_cpu_seconds, ledger.machine_cpu_seconds
    share = ledger.seen_share
    if share is None or share >= _LEAST_SEEN_SHARE or machine - seen <= _ROUNDING_CPU_SECONDS:
        return None
    return (
        f"seen {share:.2f} of what the kernel counted ({seen:,.0f} of {machine:,.0f} "
        "core-seconds): the rest was used by processes that no snapshot saw; sample more often"
    )


def unusable_problems(ledger: Ledger) -> list[str]:
    """What is wrong with rows that were left out, with a sample for each class of rows."""
    reasons = {
        RowClass.REJECTED: "a value that is needed is missing or cannot be",
        RowClass.IMPLAUSIBLE: "the machine cannot have used that much CPU",
    }
    found = []
    for row_class, reason in reasons.items():
        if rows := ledger.window_rows[row_class.label]:
            sample = ledger.samples.get(row_class.label, [])
            shown = f", such as {sample[0]}" if sample else ""
            found.append(f"{rows:,} rows are {row_class.label} ({reason}){shown}")
    return found


def clock_problem(ledger: Ledger) -> str | None:
    """Say that the stamps of many snapshots are off; None if they are not."""
    offsets, snapshots = ledger.clock_offsets, ledger.snapshots
    if offsets <= max(_MANY_OFFSETS_SHARE * snapshots, _FEW_OFFSETS):
        return None
    return (
        f"the stamps of {offsets:,} of {snapshots:,} snapshots disagree with the ages of the "
        "processes: this host's clock or collector is late, or the column etimes is wrong"
    )


def wrong_sums(reader: RedisReader, host_day: HostDay) -> list[int]:
    """The buckets whose document's entries do not add up to its total, ascending.

    Raises:
        StoreError: Redis cannot be read.
    """
    found = kept_documents(reader, host_day.host, host_day.window)
    return sorted(bucket for bucket, document in found.items() if not sums_up(document))


def kept_documents(reader: RedisReader, host: str, window: Window) -> dict[int, Document]:
    """The documents of a host that Redis has in a window, by bucket.

    Raises:
        StoreError: Redis cannot be read, or a document is damaged.
    """
    if window.start == window.end:
        return {}
    return reader.get_data(
        host,
        dt.datetime.fromtimestamp(window.start, dt.UTC),
        dt.datetime.fromtimestamp(window.end - BUCKET_SECONDS, dt.UTC),
    )


def kept_window(reader: RedisReader, window: Window) -> Window:
    """The part of a window whose documents Redis keeps for at least five more minutes."""
    horizon = reader.clock() + _INSPECTION_SECONDS
    alive = [bucket for bucket in window.buckets() if reader.keys.document_expiry(bucket) > horizon]
    return Window(alive[0] if alive else window.end, window.end)
