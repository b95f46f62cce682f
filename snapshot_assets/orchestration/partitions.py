"""The partitions: UTC day times host. The one place that builds and reads partition keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import dagster as dg

from snapshot_assets.domain.hosts import host_of_partition_key, partition_key
from snapshot_assets.domain.time import Window

HOSTS = "hosts"
_DAY = "day"
_HOST = "host"


class HostDay(NamedTuple):
    """One partition: a host's UTC day."""

    day: dt.date
    host: str

    @property
    def window(self) -> Window:
        """The buckets of the day."""
        return Window.of_day(self.day)

    @property
    def key(self) -> dg.MultiPartitionKey:
        """Dagster's key of this partition; the host is encoded where Dagster reserves letters."""
        return dg.MultiPartitionKey({_DAY: self.day.isoformat(), _HOST: partition_key(self.host)})

    def __str__(self) -> str:
        return f"{self.host} on {self.day}"


def host_day_partitions(start_date: dt.date) -> dg.MultiPartitionsDefinition:
    """Every UTC day that is over, from the start date on, times every known host."""
    return dg.MultiPartitionsDefinition(
        {
            _DAY: dg.DailyPartitionsDefinition(start_date=start_date.isoformat(), timezone="UTC"),
            _HOST: dg.DynamicPartitionsDefinition(name=HOSTS),
        }
    )


def host_day_of(key: str) -> HostDay:
    """The partition of a key that is plain text, as events and tags have it."""
    # Reading a key takes the dimensions; from which day on they run does not matter.
    return host_days([host_day_partitions(dt.date(2000, 1, 1)).get_partition_key_from_str(key)])[0]


def host_days(keys: Iterable[str]) -> list[HostDay]:
    """The partitions of a run, by day and host."""
    found = []
    for key in keys:
        if not isinstance(key, dg.MultiPartitionKey):
            raise TypeError(f"{key!r} is no day x host partition")
        dimensions = key.keys_by_dimension
        day = dt.date.fromisoformat(dimensions[_DAY])
        found.append(HostDay(day, host_of_partition_key(dimensions[_HOST])))
    return sorted(found)


def batches(partitions: Iterable[HostDay], size: int) -> Iterator[tuple[dt.date, list[str]]]:
    """The partitions as groups of at most ``size`` hosts of one day."""
    for day, group in groupby(sorted(partitions), key=lambda partition: partition.day):
        hosts = [partition.host for partition in group]
        for first in range(0, len(hosts), size):
            yield day, hosts[first : first + size]


def add_hosts(instance: dg.DagsterInstance, hosts: Iterable[str]) -> list[str]:
    """Make partitions for hosts that have none yet; returns those."""
    known = set(instance.get_dynamic_partitions(HOSTS))
    new = [host for host in sorted(set(hosts)) if partition_key(host) not in known]
    if new:
        instance.add_dynamic_partitions(HOSTS, [partition_key(host) for host in new])
    return new


def known_hosts(instance: dg.DagsterInstance) -> list[str]:
    """The hosts that have partitions, in the order in which Dagster ranges over them."""
    return [host_of_partition_key(key) for key in instance.get_dynamic_partitions(HOSTS)]
