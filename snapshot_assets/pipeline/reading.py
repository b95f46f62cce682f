"""Rows of the source with all that is odd about them, for the settled and the live path alike.

How a value or a column is judged belongs to :mod:`snapshot_assets.source`, and which rows count to
:mod:`snapshot_assets.domain.accounting`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from snapshot_assets.domain.accounting.rows import (
    RejectedRowsError,
    refused_hosts,
    require_usable,
)
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import SnapshotAssetsError, SourceError
from snapshot_assets.source.columns import Unreadable, split_by_host, without_hosts
from snapshot_assets.source.kinds import merged_hosts, misfits
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import SourceTable

_MOST_REMARKS = 20


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a range.

    Attributes:
        rows: process rows, as the schema ``RawProcessRows``.
        machines: the kernel's count, as the schema ``MachineRows``.
        unreadable: values of ``rows`` that are no number or no text.
        table: names of the columns, for remarks.
    """

    rows: pd.DataFrame
    machines: pd.DataFrame
    unreadable: tuple[Unreadable, ...]
    table: SourceTable

    @property
    def without_host(self) -> int:
        """The number of rows that belong to no host."""
        return int(self.rows["host"].isna().sum())

    def by_host(self, hosts: Collection[str]) -> dict[str, Read]:
        """What reading each of these hosts alone would give."""
        names = list(hosts)
        rows, machines = split_by_host(self.rows, names), split_by_host(self.machines, names)
        return {
            host: Read(
                rows[host],
                machines[host],
                tuple(lost for lost in self.unreadable if lost.host == host),
                self.table,
            )
            for host in names
        }

    def without(self, hosts: Collection[str]) -> Read:
        """What reading all other hosts would give."""
        if not hosts:
            return self
        return Read(
            without_hosts(self.rows, hosts),
            without_hosts(self.machines, hosts),
            tuple(lost for lost in self.unreadable if lost.host not in hosts),
            self.table,
        )

    def remarks(self, capacity_cores: Mapping[str, float]) -> tuple[str, ...]:
        """What a person should know of these rows, one sentence each.

        That is columns that hold something else, and values that are no number or no text.

        Args:
            capacity_cores: number of cores of hosts of which the kernel's count is not known.
        """
        counted = self.machines.groupby("host", observed=True)["cores"].max().dropna()
        cores = {**capacity_cores, **{str(host): float(n) for host, n in counted.items()}}
        of_columns = misfits(self.rows, self.table, self.unreadable, cores)
        return (*map(str, of_columns), *map(str, self.unreadable[:_MOST_REMARKS]))

    def refused(self, capacity_cores: Mapping[str, float]) -> dict[str, SnapshotAssetsError]:
        """The hosts of which no figure can be made, each with the reason.

        Args:
            capacity_cores: as in :meth:`remarks`.
        """
        found: dict[str, SnapshotAssetsError] = dict(self._merged())
        for host, error in refused_hosts(self.rows).items():
            found.setdefault(host, self.by_host([host])[host]._explained(error, capacity_cores))
        return found

    def require_usable(
        self, window: Window, subject: str, capacity_cores: Mapping[str, float]
    ) -> None:
        """Raise an error if no figure can be made of a host's window.

        Args:
            window: rows in the margins around it are not counted.
            subject: the host-day, for the error.
            capacity_cores: as in :meth:`remarks`.

        Raises:
            SourceError: the times of the rows are not those of the snapshots.
            RejectedRowsError: too many rows cannot be used.
        """
        for error in self._merged().values():
            raise error
        try:
            require_usable(self.rows, window, subject)
        except RejectedRowsError as error:
            raise self._explained(error, capacity_cores) from None

    def _merged(self) -> dict[str, SourceError]:
        merged = merged_hosts(self.rows, self.table)
        return {host: SourceError(f"{host}: {misfit}") for host, misfit in merged.items()}

    def _explained(
        self, error: RejectedRowsError, capacity_cores: Mapping[str, float]
    ) -> RejectedRowsError:
        remarks = "".join(f"\n  - {remark}" for remark in self.remarks(capacity_cores))
        return RejectedRowsError(f"{error}{remarks}")


def read(
    source: ProcessSource, read_range: tuple[float, float], hosts: Collection[str] | None
) -> Read:
    """Read process rows and machines in a half-open range of epoch seconds.

    Args:
        source: where the rows are.
        read_range: first epoch second, included, and last, excluded.
        hosts: only these hosts; all if None.

    Raises:
        SourceOutageError: the database does not answer.
        SourceError: the source cannot be read.
    """
    found = source.read(*read_range, hosts)
    machines = source.read_machines(*read_range, hosts)
    return Read(found.rows, machines, found.unreadable, source.table)
