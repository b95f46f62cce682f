"""The checks, by what they look at.

* ``settled``: rows, aggregates, documents and frames of settled days;
* ``proofs``: what the proof found, and the host-days that are still unproven;
* ``ledgers``: what the accounting left out, and what the kernel counted;
* ``changes``: settled days that were made with other settings;
* ``review``: the live path and the collectors, on a schedule of their own;
* ``covered``: what the checks share.
"""

from __future__ import annotations

import dagster as dg

from snapshot_assets.orchestration.checks.changes import change_checks
from snapshot_assets.orchestration.checks.ledgers import ledger_checks
from snapshot_assets.orchestration.checks.settled import data_checks


def settled_checks() -> list[dg.AssetChecksDefinition]:
    """All checks that a run of the settled path evaluates."""
    return [*data_checks(), *ledger_checks(), *change_checks()]
