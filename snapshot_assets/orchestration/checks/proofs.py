"""The proof as the result of a check, and what earlier results say is still unproven.

A run proves its own host-days. What it had no time for, and what was settled by a run that did not
come to its checks, is proven first by the next nightly audit. No number is compared here:
:mod:`snapshot_assets.pipeline.proof` does that.
"""

from __future__ import annotations

import time
from typing import Any, Final

import dagster as dg

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.metadata import culprit_table
from snapshot_assets.orchestration.partitions import dagster_key, host_day_of
from snapshot_assets.pipeline.proof.prove import Proofs

# Metadata of the check: the keys of the partitions that got a verdict.
_PROVEN: Final = "partitions_proven"
# Older materializations are not searched. The audit has had its nights for them.
_SEARCHED_SECONDS: Final = 7 * 86_400
_RECORDS_PER_QUERY: Final = 1_000
_CULPRITS_SHOWN: Final = 100


def proof_result(proofs: Proofs) -> dg.AssetCheckResult:
    """The result of the check: an error on a mismatch, a warning on an inconclusive proof.

    Host-days that were not proven for lack of time are named, and do not fail the check.
    """
    by_verdict = {
        verdict: [pair for pair in proofs.found if pair[1].verdict == verdict]
        for verdict in ("match", "mismatch", "inconclusive")
    }
    worst = [*by_verdict["mismatch"], *by_verdict["inconclusive"]]
    found = [proof for _, proof in proofs.found]
    return dg.AssetCheckResult(
        passed=not worst,
        severity=dg.AssetCheckSeverity.ERROR
        if by_verdict["mismatch"]
        else dg.AssetCheckSeverity.WARN,
        metadata={
            "partitions_checked": len(found),
            **{f"partitions_{verdict}": len(pairs) for verdict, pairs in by_verdict.items()},
            "partitions_unproven": len(proofs.unproven),
            "cpu_core_seconds_source": round(sum(p.source_cpu_seconds for p in found), 3),
            "cpu_core_seconds_redis": round(sum(p.redis_cpu_seconds for p in found), 3),
            "mem_gb_seconds_source": round(sum(p.source_gb_seconds for p in found), 3),
            "mem_gb_seconds_redis": round(sum(p.redis_gb_seconds for p in found), 3),
            "culprits": culprit_table(
                [
                    {
                        "partition": str(host_day),
                        "problem": f"{proof.verdict}: {proof.why}",
                        "source_core_seconds": proof.source_cpu_seconds,
                        "redis_core_seconds": proof.redis_cpu_seconds,
                        "source_gb_seconds": proof.source_gb_seconds,
                        "redis_gb_seconds": proof.redis_gb_seconds,
                    }
                    for host_day, proof in worst[:_CULPRITS_SHOWN]
                ]
            ),
            "unproven": culprit_table(
                [
                    {
                        "partition": str(host_day),
                        "problem": "SNAPSHOT_PROOF_SECONDS were over: the next audit proves it",
                    }
                    for host_day in proofs.unproven
                ]
            ),
            _PROVEN: dg.MetadataValue.json([dagster_key(host_day) for host_day, _ in proofs.found]),
        },
    )


def unproven(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[HostDay]:
    """The host-days of the last seven days' runs that no proof was made for since, sorted.

    Args:
        instance: has the materializations and the results of the check.
        check: the check that :func:`proof_result` makes the results of.
    """
    since = time.time() - _SEARCHED_SECONDS
    proven = _proven(instance, check, since)
    made = _materialized(instance, check.asset_key, since)
    return sorted(host_day_of(key) for key, at in made.items() if proven.get(key, 0.0) < at)


def _materialized(
    instance: dg.DagsterInstance, asset: dg.AssetKey, since: float
) -> dict[str, float]:
    """When each partition was last materialized, epoch seconds."""
    found: dict[str, float] = {}
    chosen = dg.AssetRecordsFilter(asset, after_timestamp=since)
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(chosen, limit=_RECORDS_PER_QUERY, cursor=cursor)
        for record in page.records:
            if record.partition_key is not None:
                key = record.partition_key
                found[key] = max(found.get(key, 0.0), record.timestamp)
        if not page.has_more:
            return found
        cursor = page.cursor


def _proven(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, since: float
) -> dict[str, float]:
    """When each partition last got a verdict, epoch seconds."""
    found: dict[str, float] = {}
    history = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=_RECORDS_PER_QUERY
    )
    for record in history:
        if record.create_timestamp < since:
            break
        metadata: Any = getattr(record.evaluation, "metadata", {})
        if record.event is not None and _PROVEN in metadata:
            for key in metadata[_PROVEN].value:
                found[key] = max(found.get(key, 0.0), record.event.timestamp)
    return found
