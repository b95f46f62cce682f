"""The host-day: the unit that is settled and that the lake keeps in one file.

:mod:`snapshot_assets.orchestration.partitions` decides how Dagster names a host-day, and
:mod:`snapshot_assets.lake.lake` decides the name of the file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from snapshot_assets.domain.time import Window


class HostDay(NamedTuple):
    """A host's UTC day. Host-days sort by day, then by host."""

    day: dt.date
    host: str

    @property
    def window(self) -> Window:
        """The buckets of the day."""
        return Window.of_day(self.day)

    def __str__(self) -> str:
        return f"{self.host} on {self.day}"


def batches(host_days: Iterable[HostDay], size: int) -> Iterator[tuple[dt.date, list[str]]]:
    """Host-days as groups of at most ``size`` hosts of one day, by day and host."""
    for day, group in groupby(sorted(host_days), key=lambda host_day: host_day.day):
        hosts = [host_day.host for host_day in group]
        for first in range(0, len(hosts), size):
            yield day, hosts[first : first + size]
