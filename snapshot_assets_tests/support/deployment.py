"""The whole product as an operator runs it: webserver, daemon and code location, over GraphQL."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import dagster as dg

from snapshot_assets.cli.leash import LeashedProcess, free_port, wait_until
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.partitions import Box, add_hosts, dagster_key, known_hosts

# Once a year, at midnight of New Year's Day: in practice never during a test.
NEVER = "0 0 1 1 *"
_READY_SECONDS = 240.0
_REPOSITORY = {
    "repositoryLocationName": "snapshot_assets.definitions",
    "repositoryName": "__repository__",
}


class Deployment:
    """``snapshot-assets ui`` in a folder of its own; a context manager that ends it on exit.

    Args:
        folder: gets the instance and the log.
        environment: settings, by variable.
        instance_settings: a ``dagster.yaml``; if None, the product's file for one machine.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        instance_settings: Path | None = None,
    ) -> None:
        self.folder = folder
        self.home = folder / "dagster"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SNAPSHOT_")},
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            **environment,
        }
        self._instance_settings = instance_settings
        self._process: LeashedProcess | None = None

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        if self._instance_settings is not None:
            shutil.copy(self._instance_settings, self.home / "dagster.yaml")
        self._process = LeashedProcess(
            [sys.executable, "-m", "snapshot_assets.cli", "ui", "--port", str(self.port)],
            log=self.folder / "ui.log",
            environment=self.environment,
            folder=self.folder,
        )
        wait_until(self._is_ready, self._process, _READY_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _is_ready(self) -> bool:
        try:
            answer = self.graphql(
                """{ instance { daemonHealth { allDaemonStatuses { healthy required } } }
                workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
                __typename ... on PythonError { message } } } } } }"""
            )
        except (urllib.error.URLError, OSError):
            return False
        for entry in answer["workspaceOrError"]["locationEntries"]:
            location = entry["locationOrLoadError"]
            if location is None:
                return False
            assert location["__typename"] == "RepositoryLocation", location["message"]
        daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(daemon["healthy"] for daemon in daemons if daemon["required"])

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL query or mutation, and return the data of its answer."""
        request = urllib.request.Request(
            f"{self.address}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode())
            raise
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    def wait(
        self, what: str, done: Callable[[], Any], seconds: float = 240, pause: float = 0.3
    ) -> Any:
        """Wait until ``done`` returns a true value, and return it; else fail with runs and log."""
        deadline = time.monotonic() + seconds
        while True:
            if found := done():
                return found
            if time.monotonic() > deadline:
                runs = "\n".join(
                    f"{run['jobName']} {run['status']} {run['tags']}" for run in self.runs()
                )
                log = self._process.log_tail(60) if self._process else ""
                raise AssertionError(f"waited {seconds} s in vain for {what}\n{runs}\n{log}")
            time.sleep(pause)

    # --- what an operator sees ------------------------------------------------------------------

    def runs(self, job: str | None = None, **tags: str) -> list[dict[str, Any]]:
        """Runs, the newest first: runId, jobName, status, tags, startTime, endTime."""
        wanted = {"pipelineName": job} if job else {}
        answer = self.graphql(
            """query ($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results {
            runId jobName status startTime endTime tags { key value } } } } }""",
            filter={**wanted, "tags": [{"key": k, "value": v} for k, v in tags.items()]},
        )
        return [
            {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in answer["runsOrError"]["results"]
        ]

    def ended(self, run_id: str) -> str | None:
        """A run's status once it has ended."""
        answer = self.graphql(
            "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id
        )
        status: str = answer["runOrError"]["status"]
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

    def events(self, run_id: str, kind: str) -> list[dg.EventLogEntry]:
        """A run's events of a kind, such as STEP_START."""
        with self.instance() as instance:
            return list(instance.all_logs(run_id, of_type=dg.DagsterEventType(kind)))

    def checks(self, asset: str) -> dict[str, dict[str, Any]]:
        """The newest result of each check of an asset: success, severity, metadata."""
        answer = self.graphql(
            """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            assetChecksOrError { ... on AssetChecks { checks { name
            executionForLatestMaterialization { status evaluation { success severity
            metadataEntries { label
                ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
                ... on TextMetadataEntry { text }
                ... on TableMetadataEntry { table { records } } } } } } } } } } }""",
            key={"path": [asset]},
        )
        found = {}
        for check in answer["assetNodeOrError"]["assetChecksOrError"]["checks"]:
            execution = check["executionForLatestMaterialization"]
            if execution and execution["evaluation"]:
                evaluation = execution["evaluation"]
                found[check["name"]] = {
                    "success": evaluation["success"],
                    "severity": evaluation["severity"],
                    "metadata": {
                        entry["label"]: _value(entry) for entry in evaluation["metadataEntries"]
                    },
                }
        return found

    def partition_counts(self, asset: str) -> dict[str, int]:
        """How many partitions are materialized, failed and materializing."""
        answer = self.graphql(
            """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            partitionStats { numPartitions numMaterialized numFailed numMaterializing } } } }""",
            key={"path": [asset]},
        )
        stats: dict[str, int] = answer["assetNodeOrError"]["partitionStats"]
        return stats

    def hosts(self) -> list[str]:
        """The hosts that have partitions."""
        with self.instance() as instance:
            return known_hosts(instance)

    def instance(self) -> dg.DagsterInstance:
        """The instance itself, for facts that GraphQL does not have."""
        return dg.DagsterInstance.from_config(str(self.home))

    def add_hosts(self, hosts: Iterable[str]) -> None:
        """Make partitions for hosts, as a person does in the asset page's dialog."""
        with self.instance() as instance:
            add_hosts(instance, hosts)

    # --- what an operator does ------------------------------------------------------------------

    def backfill(self, assets: Iterable[str], partitions: Iterable[HostDay]) -> str:
        """Launch a backfill as the asset page does; returns its id."""
        answer = self.graphql(
            """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(
            backfillParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId }
            ... on PythonError { message stack } } }""",
            params={
                "assetSelection": [{"path": [asset]} for asset in assets],
                "partitionNames": [dagster_key(partition) for partition in partitions],
                "fromFailure": False,
            },
        )["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        backfill_id: str = answer["backfillId"]
        return backfill_id

    def backfill_status(self, backfill_id: str) -> str:
        """The status of a backfill, such as COMPLETED_SUCCESS."""
        answer = self.graphql(
            """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill { status } } }""",
            id=backfill_id,
        )
        status: str = answer["partitionBackfillOrError"]["status"]
        return status

    def backfill_counts(self, backfill_id: str, asset: str) -> dict[str, int]:
        """How many partitions of an asset a backfill targets, has materialized, and failed."""
        answer = self.graphql(
            """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill { assetBackfillData { assetBackfillStatuses {
            ... on AssetPartitionsStatusCounts { assetKey { path } numPartitionsTargeted
            numPartitionsMaterialized numPartitionsFailed } } } } } }""",
            id=backfill_id,
        )
        statuses = answer["partitionBackfillOrError"]["assetBackfillData"]["assetBackfillStatuses"]
        (counts,) = [status for status in statuses if status.pop("assetKey")["path"] == [asset]]
        return dict(counts)

    def cancel_backfill(self, backfill_id: str) -> None:
        """Cancel a backfill as its page does; it is CANCELED once its runs have ended."""
        answer = self.graphql(
            """mutation ($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename
            ... on PythonError { message stack } } }""",
            id=backfill_id,
        )["cancelPartitionBackfill"]
        assert answer["__typename"] == "CancelBackfillSuccess", answer

    def reexecute_backfill(self, backfill_id: str) -> str:
        """Launch a backfill of what another did not materialize, "from failure"; returns its id."""
        answer = self.graphql(
            """mutation ($params: ReexecutionParams!) { reexecutePartitionBackfill(
            reexecutionParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId }
            ... on PythonError { message stack } } }""",
            params={"parentRunId": backfill_id, "strategy": "FROM_FAILURE"},
        )["reexecutePartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        second_id: str = answer["backfillId"]
        return second_id

    def launch(self, job: str, tags: Mapping[str, str] | None = None) -> str:
        """Launch a job as its page does; returns the run's id."""
        answer = self.graphql(
            """mutation ($params: ExecutionParams!) { launchPipelineExecution(
            executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } }
            ... on PythonError { message } } }""",
            params={
                "selector": {**_REPOSITORY, "pipelineName": job},
                "mode": "default",
                "executionMetadata": {
                    "tags": [{"key": k, "value": v} for k, v in (tags or {}).items()]
                },
            },
        )["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run_id: str = answer["run"]["runId"]
        return run_id

    def settle(self, first: dt.date, last: dt.date, hosts: Sequence[str]) -> str:
        """Launch the job ``settle`` for hosts adjacent in Dagster's order; returns the run's id."""
        return self.launch("settle", Box(first, last, tuple(hosts)).tags)


def _value(entry: Mapping[str, Any]) -> Any:
    if "table" in entry:
        return [json.loads(record) for record in entry["table"]["records"]]
    for name in ("intValue", "floatValue", "text"):
        if entry.get(name) is not None:
            return entry[name]
    return None
