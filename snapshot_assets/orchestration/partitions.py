"""The partitions, UTC day times host. Only this module builds and reads partition keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.hosts import host_of_partition_key, partition_key

HOSTS = "hosts"
_DAY = "day"
_HOST = "host"


def dagster_key(host_day: HostDay) -> dg.MultiPartitionKey:
    """Dagster's key of a host-day; characters of the host that Dagster reserves are encoded."""
    return dg.MultiPartitionKey(
        {_DAY: host_day.day.isoformat(), _HOST: partition_key(host_day.host)}
    )


def host_day_partitions(start_date: dt.date) -> dg.MultiPartitionsDefinition:
    """Every UTC day that is over, from the start date on, times every known host."""
    return dg.MultiPartitionsDefinition(
        {
            _DAY: dg.DailyPartitionsDefinition(start_date=start_date.isoformat(), timezone="UTC"),
            _HOST: dg.DynamicPartitionsDefinition(name=HOSTS),
        }
    )


def host_day_of(key: str) -> HostDay:
    """The host-day of a partition key given as text, as in events and tags."""
    # Any start date does: reading a key needs only the names of the dimensions.
    return host_days([host_day_partitions(dt.date(2000, 1, 1)).get_partition_key_from_str(key)])[0]


def host_days(keys: Iterable[str]) -> list[HostDay]:
    """The host-days of these keys, sorted by day and host."""
    found = []
    for key in keys:
        if not isinstance(key, dg.MultiPartitionKey):
            raise TypeError(f"{key!r} is not a day x host partition")
        dimensions = key.keys_by_dimension
        day = dt.date.fromisoformat(dimensions[_DAY])
        found.append(HostDay(day, host_of_partition_key(dimensions[_HOST])))
    return sorted(found)


class Box(NamedTuple):
    """Days x hosts that one partition range of Dagster describes: hosts adjacent in its order."""

    first_day: dt.date
    last_day: dt.date
    hosts: tuple[str, ...]

    @property
    def partitions(self) -> int:
        """The number of partitions in the box."""
        return ((self.last_day - self.first_day).days + 1) * len(self.hosts)

    @property
    def tags(self) -> dict[str, str]:
        """The tags by which a run materializes exactly this box."""
        first = HostDay(self.first_day, self.hosts[0])
        last = HostDay(self.last_day, self.hosts[-1])
        return {
            "dagster/asset_partition_range_start": dagster_key(first),
            "dagster/asset_partition_range_end": dagster_key(last),
        }


def boxes(
    first: dt.date,
    last: dt.date,
    hosts: Iterable[str],
    known: Sequence[str],
    size: int,
) -> Iterator[Box]:
    """Divide days x hosts into few boxes, which contain no other host-day.

    Args:
        first: first day.
        last: last day, included.
        hosts: the hosts; each has partitions.
        known: all hosts that have partitions, in Dagster's order.
        size: the largest number of partitions in a box.
    """
    position = {host: i for i, host in enumerate(known)}
    runs: list[tuple[int, int]] = []  # first and last position, both included
    for place in sorted({position[host] for host in hosts}):
        if runs and place == runs[-1][1] + 1 and place - runs[-1][0] < size:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    for low, high in runs:
        members = tuple(known[low : high + 1])
        days = max(size // len(members), 1)
        start = first
        while start <= last:
            end = min(start + dt.timedelta(days=days - 1), last)
            yield Box(start, end, members)
            start = end + dt.timedelta(days=1)


def add_hosts(instance: dg.DagsterInstance, hosts: Iterable[str]) -> list[str]:
    """Make partitions for the hosts that have none yet, and return these hosts."""
    known = set(instance.get_dynamic_partitions(HOSTS))
    new = [host for host in sorted(set(hosts)) if partition_key(host) not in known]
    if new:
        instance.add_dynamic_partitions(HOSTS, [partition_key(host) for host in new])
    return new


def remove_hosts(instance: dg.DagsterInstance, hosts: Iterable[str]) -> list[str]:
    """Remove the partitions of these hosts, and return those that had some.

    Dagster keeps the records: :func:`add_hosts` brings the status of the partitions back.
    """
    known = set(instance.get_dynamic_partitions(HOSTS))
    doomed = [host for host in sorted(set(hosts)) if partition_key(host) in known]
    for host in doomed:
        instance.delete_dynamic_partition(HOSTS, partition_key(host))
    return doomed


def known_hosts(instance: dg.DagsterInstance) -> list[str]:
    """The hosts that have partitions, in Dagster's order, which partition ranges follow."""
    return [host_of_partition_key(key) for key in instance.get_dynamic_partitions(HOSTS)]
