"""The rules of the accounting, the documents and the live path, with their defaults and units.

Values only: :mod:`snapshot_assets.settings` reads them from the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from snapshot_assets.domain.time import Window


@dataclass(frozen=True, slots=True)
class AccountingRules:
    """How rows become core-seconds and bytes.

    Attributes:
        max_gap_seconds: snapshots further apart than this leave a gap, which is not covered.
        slack_seconds: by how much ``etimes`` and the snapshot's time may disagree.
        excluded_users: account names, or shell patterns such as ``systemd-*``. The ledger counts
            their rows; CPU and memory leave them out.
        drop_idle_memory: leave out the memory of rows whose span is attributed and used no CPU. A
            row without an attributed span (first seen, or across a gap) keeps its memory.
        pass_seconds: rows of one snapshot are stamped at most this far apart, one after the other.
        pass_span_seconds: stamps further apart than this are several snapshots.
        min_cputimes: the collector hides processes until they have used this many CPU-seconds; 0
            if it hides none.
        capacity_cores: number of cores of hosts of which the source has no count of the kernel.
    """

    max_gap_seconds: float = 900
    slack_seconds: float = 30
    excluded_users: tuple[str, ...] = ()
    drop_idle_memory: bool = False
    pass_seconds: float = 5
    pass_span_seconds: float = 120
    min_cputimes: float = 0
    capacity_cores: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def near_seconds(self) -> float:
        """Rows further apart than this have nothing to do with each other."""
        return self.max_gap_seconds + 2 * self.slack_seconds

    def read_range(self, window: Window) -> tuple[float, float]:
        """The half-open range of snapshot times that can change the window's buckets.

        After the window, the range reaches ``max_gap`` further: a span that overlaps the window
        ends less than ``max_gap`` after the window. Before the window, the range reaches back by
        ``max_gap`` and two slacks. If a row's predecessor were missing, a continued process could
        be mistaken for a newly born one; further back than this, that can no longer happen. On both
        sides, the range has room for a snapshot with several stamps, and for the step to the stamp
        that shows that they are more than one snapshot.
        """
        room = self.pass_span_seconds + self.pass_seconds
        before = self.near_seconds + room
        return window.start - before, window.end + self.max_gap_seconds + room

    @staticmethod
    def own_range(window: Window) -> tuple[float, float]:
        """The half-open range of snapshot times by which a host-day exists: the window itself.

        A host-day exists if a row or a covered second lies in the day. Covered seconds lie between
        two snapshots at most ``max_gap`` apart, and ``max_gap`` is at most a day. So a day with a
        covered second also has a row, because one of the two snapshots lies in the day. A host with
        rows only in the margins that :meth:`read_range` adds has no host-day.
        """
        return float(window.start), float(window.end)

    def excludes(self, username: str) -> bool:
        """Whether this account is left out of CPU and memory."""
        return any(fnmatchcase(username, pattern) for pattern in self.excluded_users)


@dataclass(frozen=True, slots=True)
class DocumentRules:
    """Which (username, comm) pairs a document lists by name; the rest adds up in ``other``.

    Attributes:
        cpu_threshold_cores: a pair is listed if its average cores are above this.
        mem_threshold_gb: a pair is listed if its average memory is above this, GB (1e9 bytes).
    """

    cpu_threshold_cores: float = 0.05
    mem_threshold_gb: float = 0.1


@dataclass(frozen=True, slots=True)
class LiveRules:
    """How far back a live refresh reaches.

    Attributes:
        lookback_seconds: a refresh starts this long before the end of the last refresh, for rows
            that arrive late.
        limit_seconds: a refresh never reaches further back than this. The settled path publishes
            older buckets.
    """

    lookback_seconds: float = 1_800
    limit_seconds: float = 36 * 3_600
