"""What a run could not prove is named, and the next audit proves that first."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.orchestration.assets import SNAPSHOTS
from snapshot_assets.orchestration.checks.proofs import unproven
from snapshot_assets.orchestration.checks.settled import PROOF
from snapshot_assets.pipeline.proof import prove
from snapshot_assets_tests.support.pipelines import HOSTS, WatchedPipeline, checks


def left(site: WatchedPipeline) -> set[str]:
    found = unproven(site.instance, PROOF)
    assert {host_day.day for host_day in found} <= {site.day}
    return {host_day.host for host_day in found}


def proof(result: dg.ExecuteInProcessResult) -> tuple[dg.AssetCheckEvaluation, dict[str, Any]]:
    check = checks(result)[PROOF.name]
    return check, {name: value.value for name, value in check.metadata.items()}


def hosts_in(table: Any) -> set[str]:
    return set() if table == "none" else {r.data["partition"].split(" ")[0] for r in table.records}


def test_a_run_proves_all_its_host_days(settled: WatchedPipeline) -> None:
    assert left(settled) == set()
    check, found = proof(settled.run("audit"))
    assert check.passed
    assert found["partitions_match"] == len(HOSTS)
    assert found["cpu_core_seconds_redis"] == pytest.approx(found["cpu_core_seconds_source"])
    assert found["mem_gb_seconds_redis"] == pytest.approx(found["mem_gb_seconds_source"])


def test_what_a_run_has_no_time_for_the_audits_prove_first(
    settled: WatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPSHOT_PROOF_SECONDS", "0")
    monkeypatch.setattr(prove, "_BATCH_ROWS", 1)
    result = settled.settle(HOSTS, (settled.day, settled.day))
    check, found = proof(result)
    assert check.passed, "too little time is no wrong number"
    assert (found["partitions_checked"], found["partitions_unproven"]) == (1, 2)
    missing = left(settled)
    assert len(missing) == 2
    assert hosts_in(found["unproven"]) == missing
    for remaining in (1, 0):
        _, found = proof(settled.run("audit"))
        assert found["partitions_checked"] == 1
        assert len(left(settled)) == remaining
        assert left(settled) < missing


def test_what_was_settled_without_its_checks_is_unproven(settled: WatchedPipeline) -> None:
    assert settled.settle_day("bob", select=[SNAPSHOTS])
    assert left(settled) == {"bob"}
    proof(settled.run("audit"))
    assert left(settled) == set()


def test_the_audit_finds_a_document_that_changed(settled: WatchedPipeline) -> None:
    key = bucket_iso(settled.midnight + 36_300)
    with settled.redis.client() as client:
        body = bytes(client.hget(key, "bob") or b"")
        client.hset(key, "bob", body.replace(b'"coverage":1.0', b'"coverage":0.9'))
    check, found = proof(settled.run("audit"))
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert found["partitions_mismatch"] == 1
    (culprit,) = found["culprits"].records
    assert culprit.data["partition"] == f"bob on {settled.day}"
    assert culprit.data["problem"] == f"mismatch: {key}: coverage: 0.9 published, 1 recounted"
    assert left(settled) == set(), "it has its verdict"
