"""The knobs of the accounting, the documents and the live path, with their defaults and units.

Values only: where they are read from is the business of :mod:`snapshot_assets.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from snapshot_assets.domain.time import Window


@dataclass(frozen=True, slots=True)
class AccountingRules:
    """How rows become core-seconds and bytes.

    Attributes:
        max_gap_seconds: snapshots further apart than this leave a gap, of which nothing is said.
        slack_seconds: by how much ``etimes`` and the snapshot's time may disagree.
        excluded_users: account names, or shell patterns such as ``systemd-*``, that are counted
            in the ledger but left out of CPU and memory.
        drop_idle_memory: leave out the memory of rows whose own span, if not across a gap, used no
            CPU.
    """

    max_gap_seconds: float = 900
    slack_seconds: float = 30
    excluded_users: tuple[str, ...] = ()
    drop_idle_memory: bool = False

    def read_range(self, window: Window) -> tuple[float, float]:
        """The half-open range of snapshot times that can change the window's buckets.

        A span that reaches into the window ends less than ``max_gap`` after it. Before it, a row's
        predecessor must be seen as long as taking it for absent could turn a continued process
        into a born one, which two slacks beyond ``max_gap`` exclude.
        """
        before = self.max_gap_seconds + 2 * self.slack_seconds
        return window.start - before, window.end + self.max_gap_seconds

    @staticmethod
    def own_range(window: Window) -> tuple[float, float]:
        """The half-open range of snapshot times that make the window a host's own.

        This is the rule for which host-days exist: a row or a covered second lies in the day.
        Covered seconds lie between two snapshots at most ``max_gap`` apart, which is a day at most.
        So a day with a covered second also has a row: one of the two snapshots lies in the day.
        Rows that only touch the margins, which :meth:`read_range` adds, make no host-day.
        """
        return float(window.start), float(window.end)

    def excludes(self, username: str) -> bool:
        """Whether this account is left out of CPU and memory."""
        return any(fnmatchcase(username, pattern) for pattern in self.excluded_users)


@dataclass(frozen=True, slots=True)
class DocumentRules:
    """Which (username, comm) pairs a document lists by name; the rest adds up in ``other``.

    Attributes:
        cpu_threshold_cores: listed when the average cores are above this.
        mem_threshold_gb: listed when the memory is above this, in GB (1e9 bytes).
    """

    cpu_threshold_cores: float = 0.05
    mem_threshold_gb: float = 0.1


@dataclass(frozen=True, slots=True)
class LiveRules:
    """How far back a refresh reaches.

    Attributes:
        lookback_seconds: buckets this far before the last refresh are published again, for rows
            that come late.
        limit_seconds: never further back than this; what is older is the settled path's.
    """

    lookback_seconds: float = 1_800
    limit_seconds: float = 36 * 3_600
