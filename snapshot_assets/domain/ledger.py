"""The ledger: what became of every row read and of every CPU-second found.

It is published with every partition, so that anybody can see that the numbers are complete. How
rows get their class is decided in :mod:`snapshot_assets.domain.accounting`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Self

import pandas as pd

from snapshot_assets.errors import SnapshotAssetsError

# Sums over a day in another order differ by rounding only.
_RELATIVE_ROUNDING = 1e-9


class LedgerError(SnapshotAssetsError):
    """Rows or CPU-seconds were lost or counted twice: a bug of ours, and nothing is published."""


class Imbalance(NamedTuple):
    """Something that does not add up."""

    problem: str
    expected: float
    found: float


class RowClass(IntEnum):
    """The one class that each row read lands in."""

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
        rows_read: rows handed in, from the window and from the margins around it.
        rows: rows read by class; they sum to ``rows_read``.
        window_rows: the same for the rows whose snapshot lies in the window, so that the ledgers
            of consecutive days add up to the table.
        attributed_cpu_seconds: core-seconds of attributed spans that fall in the window.
        excluded_cpu_seconds: the same for excluded accounts, which no document shows.
        gap_cpu_seconds: core-seconds used across gaps by rows in the window; never spread.
        covered_seconds: time that snapshots speak for, summed over hosts.
        buckets: covered (bucket, host) pairs.
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

        That is the rule of :meth:`~snapshot_assets.domain.rules.AccountingRules.own_range`: a
        host-day of which this is untrue does not exist, although somebody asked for it.
        """
        return any(self.window_rows.values()) or self.covered_seconds > 0

    def imbalances(self, rows: int, aggregates: pd.DataFrame) -> list[Imbalance]:
        """What does not add up; nothing, unless there is a bug.

        Args:
            rows: how many were read.
            aggregates: a :class:`~snapshot_assets.domain.schemas.FiveMinuteAggregates` frame, which
                has to hold all attributed core-seconds.
        """
        found = []
        if not self.balanced or self.rows_read != rows:
            problem = "rows are lost or counted twice"
            found.append(Imbalance(problem, float(rows), float(sum(self.rows.values()))))
        held = float((aggregates["cpu_norm"] * aggregates["covered_seconds"]).sum())
        expected = self.attributed_cpu_seconds
        if abs(held - expected) > _RELATIVE_ROUNDING * max(expected, 1.0):
            problem = "core-seconds of the buckets are not those of the ledger"
            found.append(Imbalance(problem, expected, held))
        return found

    def require_balance(self, rows: int, aggregates: pd.DataFrame, subject: str) -> None:
        """Refuse what does not add up.

        Raises:
            LedgerError: with every imbalance of the subject.
        """
        if found := self.imbalances(rows, aggregates):
            told = "; ".join(f"{i.problem} ({i.expected:g} expected, {i.found:g})" for i in found)
            raise LedgerError(f"{subject}: {told}. Nothing was published; please report this")

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`."""
        return cls(**data)

    @classmethod
    def total(cls, ledgers: Iterable[Ledger]) -> Ledger:
        """The sum of several, for example of a day's hosts."""
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
