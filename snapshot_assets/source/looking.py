"""Queries for a person who looks at the table: which hosts it has, and what its two times say.

They read little and find out about the whole table. No figure is made of them.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from snapshot_assets.source.kinds import LATEST_EPOCH
from snapshot_assets.source.narrowing import between
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import LOCAL_TIME
from snapshot_assets.source.values import text


def spans(source: ProcessSource) -> dict[str, tuple[float, float]]:
    """For each host the times of its oldest and its newest row, epoch seconds.

    The database looks at all rows, or at an index of all rows. A time that cannot be is left out.

    Raises:
        SourceOutageError, SourceError: as all queries of the source.
    """
    time, host = source.columns["snapshot_time_epoch"], source.columns["host"]
    # Grouped by bytes, because a case-insensitive collation would merge "web" with "WEB".
    query = (
        sa.select(sa.func.min(host), sa.func.min(time), sa.func.max(time))
        .where(*between(time, 0, LATEST_EPOCH), host.is_not(None))
        .group_by(sa.cast(host, sa.LargeBinary))
    )
    with source.connect() as connection:
        found = connection.execute(query).all()
    return {
        name: (float(first), float(last))
        for raw, first, last in found
        if (name := text(raw)) is not None
    }


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """How a host's local times compare with its epochs.

    Attributes:
        offsets: local time minus UTC, seconds, of each snapshot with a local time.
        epochs: of the same snapshots, epoch seconds.
        missing: number of rows without a local time.
        unreadable: a local time that is none, as text; None if there is none.
    """

    offsets: tuple[float, ...]
    epochs: tuple[float, ...]
    missing: int
    unreadable: str | None


def local_times(
    source: ProcessSource, hosts: Collection[str], since: float, until: float
) -> dict[str, LocalTimes]:
    """Compare both columns of time, for the snapshots in ``[since, until)``.

    This is the only query that selects the local time. The epoch alone chooses the rows.

    Args:
        source: where the rows are.
        hosts: only these.
        since: epoch seconds.
        until: epoch seconds.

    Returns:
        By host; empty if the table has no column of local times.

    Raises:
        SourceOutageError, SourceError: as all queries of the source.
    """
    columns = source.columns
    if LOCAL_TIME not in columns:
        return {}
    host, time, local = columns["host"], columns["snapshot_time_epoch"], columns[LOCAL_TIME]
    missing = sa.func.sum(sa.case((local.is_(None), 1), else_=0))
    query = (
        sa.select(sa.func.min(host), time, sa.func.min(local), sa.func.max(local), missing)
        .where(*between(time, since, until), source.is_any_host(hosts))
        .group_by(sa.cast(host, sa.LargeBinary), time)
    )
    with source.connect() as connection:
        found = connection.execute(query).all()
    by_host: dict[str, list[tuple[float, object, object, int]]] = defaultdict(list)
    for raw, epoch, first, last, none in found:
        if (name := text(raw)) is not None and name in hosts:
            by_host[name].append((float(epoch), first, last, int(none)))
    return {name: _compared(snapshots) for name, snapshots in by_host.items()}


def _compared(snapshots: list[tuple[float, object, object, int]]) -> LocalTimes:
    offsets: list[float] = []
    epochs: list[float] = []
    unreadable = None
    for epoch, first, last, _ in snapshots:
        for value in dict.fromkeys((first, last)):
            if value is None:
                continue
            utc = _as_utc(value)
            if utc is None:
                unreadable = str(value)
                continue
            offsets.append(utc - epoch)
            epochs.append(epoch)
    missing = sum(none for *_, none in snapshots)
    return LocalTimes(tuple(offsets), tuple(epochs), missing, unreadable)


def _as_utc(value: object) -> float | None:
    """The epoch seconds if the local time were UTC; None if it is no date with a time."""
    if isinstance(value, (str, bytes)):
        written = text(value)
        if written is None or len(written) <= len("2026-11-20"):
            return None
        try:
            value = dt.datetime.fromisoformat(written)
        except ValueError:
            return None
    if not isinstance(value, dt.datetime):
        return None
    return value.replace(tzinfo=dt.UTC).timestamp()
