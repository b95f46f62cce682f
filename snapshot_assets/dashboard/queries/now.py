"""What each host does right now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Set
from dataclasses import dataclass

from snapshot_assets.dashboard.queries.intervals import HostInterval, bucket_interval
from snapshot_assets.domain.sampling import state_of
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_start
from snapshot_assets.store.reading.reader import RedisReader

# A host whose newest bucket began longer ago is silent.
NOW_SECONDS = 1_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The newest bucket of each host.

    Attributes:
        hosts: those with a recent bucket, sorted by name.
        silent: the other hosts of the last day, each with the start of its newest bucket, epoch
            seconds; None without one.
        late: those of the silent hosts that are not silent: their rows come, but old.
        newest: start of the newest bucket of all hosts, epoch seconds; None without one.
    """

    hosts: list[HostInterval]
    silent: list[tuple[str, int | None]]
    late: frozenset[str]
    newest: int | None


def right_now(reader: RedisReader, now: float) -> Now:
    """The newest bucket of each host, with its users and commands.

    Raises:
        StoreError: the reader's.
    """
    end = bucket_start(now) + BUCKET_SECONDS
    found = reader.get_data(None, _utc(end - NOW_SECONDS), _utc(end))
    newest: dict[str, HostInterval] = {}
    for start, documents in found.items():
        for host, document in documents.items():
            newest[host] = bucket_interval(host, start, document)
    silent = []
    for host in reader.hosts(_utc(end - DAY_SECONDS), _utc(end)):
        if host not in newest:
            last = reader.last_update(host)
            silent.append((host, None if last is None else int(last.timestamp())))
    starts = [one.start for one in newest.values()] + [at for _, at in silent if at is not None]
    return Now(
        hosts=[newest[host] for host in sorted(newest)],
        silent=silent,
        late=_late({host for host, _ in silent}, reader, now),
        newest=max(starts, default=None),
    )


def _late(hosts: Set[str], reader: RedisReader, now: float) -> frozenset[str]:
    if not hosts:
        return frozenset()
    known = reader.progress()
    return frozenset(
        host
        for host, newest in known.newest_epoch.items()
        if host in hosts
        and state_of(now, newest, known.arrived_epoch.get(host), NOW_SECONDS) == "late"
    )


def _utc(epoch_seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_seconds, dt.UTC)
