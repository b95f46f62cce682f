"""What the product would publish of a table, and where the recount of the table differs from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.pipeline.proof.compare import (
    Difference,
    document_differences,
    ledger_differences,
)
from snapshot_assets.pipeline.proof.prove import limits_of
from snapshot_assets.pipeline.proof.recount import Recounted, recount

# Everything is listed, so that everything is compared.
ALL = DocumentRules(cpu_threshold_cores=0.0, mem_threshold_gb=0.0)


@dataclass(frozen=True)
class Table:
    """The rows of some hosts, the kernel's count of them, and how to account them."""

    rows: pd.DataFrame
    machines: pd.DataFrame | None
    window: Window
    rules: AccountingRules

    def recounted(self) -> Recounted:
        kernel = None if self.machines is None else arrow(self.machines)
        window = self.window
        return recount(arrow(self.rows), kernel, limits_of(self.rules), window.start, window.end)

    def differences(self, counted: Recounted) -> list[Difference]:
        """Where the accounting of each host differs from the recount of all hosts."""
        bodies: dict[str, dict[int, Any]] = {}
        found: list[Difference] = []
        for host in sorted(self.rows["host"].dropna().unique()):
            rows = self.rows[self.rows["host"] == host]
            kernel = None
            if self.machines is not None:
                kernel = self.machines[self.machines["host"] == host]
            result = account(rows, self.window, self.rules, kernel)
            found += ledger_differences(host, result.ledger.as_dict(), counted)
            frame = documents(usage_from_aggregates(result.aggregates, ALL, "settled"))
            bodies[host] = {
                int(bucket): orjson.loads(body)
                for bucket, body in zip(frame["bucket_start"], frame["body"], strict=True)
            }
        found += document_differences(bodies, counted, self.window.start, 0.0, 0.0)
        return found


def arrow(table: pd.DataFrame) -> pa.Table:
    """The table as a driver delivers it: NULL for what is missing."""
    columns = {}
    for name in table.columns:
        values = table[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            columns[str(name)] = pa.array(values.astype(object).where(values.notna(), None))
        else:
            columns[str(name)] = pa.array(values, from_pandas=True)
    return pa.table(columns)
