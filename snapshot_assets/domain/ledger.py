"""The ledger: what became of every row read and of every CPU-second found.

Each partition is published with its ledger, so that anybody can check that the numbers are
complete. :mod:`snapshot_assets.domain.accounting` decides the class of each row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Self

import pandas as pd

from snapshot_assets.errors import SnapshotAssetsError

# Two sums of the same numbers in different orders differ by rounding only.
_RELATIVE_ROUNDING = 1e-9


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
        covered_seconds: covered time in the window, summed over hosts.
        buckets: number of covered (bucket, host) pairs.
    """

    rows_read: int = 0
    rows: dict[str, int] = field(default_factory=_zeros)
    window_rows: dict[str, int] = field(default_factory=_zeros)
    attributed_cpu_seconds: float = 0.0
    excluded_cpu_seconds: float = 0.0
    gap_cpu_seconds: float = 0.0
    covered_seconds: float = 0.0
    buckets: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every row read is in exactly one class."""
        return sum(self.rows.values()) == self.rows_read

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
        """The inverse of :meth:`as_dict`."""
        return cls(**data)

    @classmethod
    def total(cls, ledgers: Iterable[Ledger]) -> Ledger:
        """The sum of several ledgers, for example of all hosts of a day."""
        total = cls()
        for ledger in ledgers:
            total = cls(
                rows_read=total.rows_read + ledger.rows_read,
                rows={k: total.rows[k] + ledger.rows[k] for k in total.rows},
                window_rows={k: total.window_rows[k] + ledger.window_rows[k] for k in total.rows},
                attributed_cpu_seconds=total.attributed_cpu_seconds + ledger.attributed_cpu_seconds,
                excluded_cpu_seconds=total.excluded_cpu_seconds + ledger.excluded_cpu_seconds,
                gap_cpu_seconds=total.gap_cpu_seconds + ledger.gap_cpu_seconds,
                covered_seconds=total.covered_seconds + ledger.covered_seconds,
                buckets=total.buckets + ledger.buckets,
            )
        return total
