"""The ledger: what became of every row read and of every CPU-second found.

Each partition is published with its ledger, so that anybody can check that the numbers are
complete. :mod:`snapshot_assets.domain.accounting` decides the class of each row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from typing import Any, NamedTuple, Self

import pandas as pd

from snapshot_assets.errors import SnapshotAssetsError

# Two sums of the same numbers in different orders differ by rounding only.
_RELATIVE_ROUNDING = 1e-9
_OF_EVERY_VERSION = {
    "rows_read",
    "rows",
    "window_rows",
    "attributed_cpu_seconds",
    "excluded_cpu_seconds",
    "gap_cpu_seconds",
    "covered_seconds",
    "buckets",
}
# A ledger names this many rows of a class.
_SAMPLE_ROWS = 3


class LedgerError(SnapshotAssetsError):
    """Rows or CPU-seconds were lost or counted twice, by a bug here. Nothing is published."""


class Imbalance(NamedTuple):
    """A sum that is not what it should be: the problem, the expected number, the number found."""

    problem: str
    expected: float
    found: float


class RowClass(IntEnum):
    """The classes of rows. Each row read has exactly one class."""

    ATTRIBUTED = 0
    GAP = 1
    FIRST_SEEN = 2
    DUPLICATE = 3
    EXCLUDED = 4
    IMPLAUSIBLE = 5
    REJECTED = 6

    @property
    def label(self) -> str:
        """Lower-case name, as in metadata and files."""
        return self.name.lower()


def _zeros() -> dict[str, int]:
    return {row_class.label: 0 for row_class in RowClass}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts and CPU of one window.

    Attributes:
        rows_read: rows that the accounting got, from the window and from the margins around it.
        rows: number of rows by class; the numbers add up to ``rows_read``.
        window_rows: number of rows by class, only rows whose snapshot lies in the window, so that
            the ledgers of consecutive days add up to the table.
        attributed_cpu_seconds: core-seconds of attributed spans, only the part in the window.
        excluded_cpu_seconds: the same for excluded accounts, which no document shows.
        gap_cpu_seconds: core-seconds that rows in the window used across gaps. No bucket gets any
            of them.
        implausible_cpu_seconds: CPU-seconds that rows in the window claim, but that their host
            could not have used. No bucket gets any of them.
        seen_cpu_seconds: attributed and excluded core-seconds of the buckets that the snapshots
            and the kernel's count both cover whole.
        machine_cpu_seconds: what the kernel counted in these buckets.
        covered_seconds: covered time in the window, summed over hosts.
        buckets: number of covered (bucket, host) pairs.
        snapshots: snapshots in the window.
        odd_ages: rows in the window whose age cannot be, duplicates included.
        clock_offsets: snapshots in the window whose stamp disagrees with the snapshot before.
        shared_pids: pids that several processes of a snapshot in the window have.
        stamped_snapshots: snapshots in the window whose rows have several stamps.
        samples: a few of the window's rejected and implausible rows as text, by class.
    """

    rows_read: int = 0
    rows: dict[str, int] = field(default_factory=_zeros)
    window_rows: dict[str, int] = field(default_factory=_zeros)
    attributed_cpu_seconds: float = 0.0
    excluded_cpu_seconds: float = 0.0
    gap_cpu_seconds: float = 0.0
    implausible_cpu_seconds: float = 0.0
    seen_cpu_seconds: float = 0.0
    machine_cpu_seconds: float = 0.0
    covered_seconds: float = 0.0
    buckets: int = 0
    snapshots: int = 0
    odd_ages: int = 0
    clock_offsets: int = 0
    shared_pids: int = 0
    stamped_snapshots: int = 0
    samples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether every row read is in exactly one class."""
        return sum(self.rows.values()) == self.rows_read

    @property
    def seen_share(self) -> float | None:
        """The share of the kernel's CPU-seconds that the snapshots saw; None without a count."""
        if self.machine_cpu_seconds <= 0:
            return None
        return self.seen_cpu_seconds / self.machine_cpu_seconds

    @property
    def rejected_share(self) -> float:
        """The share of the window's rows that are rejected; 0 without rows."""
        return self.window_rows["rejected"] / max(sum(self.window_rows.values()), 1)

    @property
    def touches_window(self) -> bool:
        """Whether a row or a covered second lies in the window.

        This is the rule of :meth:`~snapshot_assets.domain.rules.AccountingRules.own_range`. If it
        is false, the host-day does not exist, even if somebody requested that host and day.
        """
        return any(self.window_rows.values()) or self.covered_seconds > 0

    def imbalances(self, rows: int, aggregates: pd.DataFrame) -> list[Imbalance]:
        """Everything that does not add up; empty unless there is a bug.

        Args:
            rows: number of rows that were read.
            aggregates: as the schema :class:`~snapshot_assets.domain.schemas.FiveMinuteAggregates`;
                they have to hold all attributed core-seconds.
        """
        found = []
        if not self.balanced or self.rows_read != rows:
            problem = "rows are lost or counted twice"
            found.append(Imbalance(problem, float(rows), float(sum(self.rows.values()))))
        held = float((aggregates["cpu_norm"] * aggregates["covered_seconds"]).sum())
        expected = self.attributed_cpu_seconds
        if abs(held - expected) > _RELATIVE_ROUNDING * max(expected, 1.0):
            problem = "core-seconds of the buckets differ from those of the ledger"
            found.append(Imbalance(problem, expected, held))
        return found

    def require_balance(self, rows: int, aggregates: pd.DataFrame, subject: str) -> None:
        """Raise an error unless everything adds up.

        Args:
            rows: as in :meth:`imbalances`.
            aggregates: as in :meth:`imbalances`.
            subject: what was accounted, for the error.

        Raises:
            LedgerError: with every imbalance of the subject.
        """
        if found := self.imbalances(rows, aggregates):
            details = "; ".join(
                f"{i.problem} ({i.expected:g} expected, {i.found:g} found)" for i in found
            )
            raise LedgerError(f"{subject}: {details}. Nothing was published; please report this")

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`, and of that of other versions.

        Numbers that version 0.1 did not have are zero where they are missing; numbers of a later
        version are left out.

        Raises:
            TypeError: a number is missing that every version has.
        """
        if missing := sorted(_OF_EVERY_VERSION - data.keys()):
            raise TypeError(f"it has no {missing[0]!r}")
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for name in ("rows", "window_rows"):
            counts = known.get(name, {})
            known[name] = {label: counts.get(label, 0) for label in _zeros()}
        return cls(**known)

    @classmethod
    def total(cls, ledgers: Iterable[Ledger]) -> Ledger:
        """The sum of several ledgers, for example of all hosts of a day."""
        parts = list(ledgers)
        samples: dict[str, list[str]] = {}
        for part in parts:
            for label, sample in part.samples.items():
                samples[label] = [*samples.get(label, []), *sample][:_SAMPLE_ROWS]
        numbers = [f.name for f in fields(cls) if f.type in {"int", "float"}]
        sums: dict[str, Any] = {
            name: sum(getattr(part, name) for part in parts) for name in numbers
        }
        for name in ("rows", "window_rows"):
            sums[name] = {
                label: sum(getattr(part, name)[label] for part in parts) for label in _zeros()
            }
        return cls(**sums, samples=samples)
