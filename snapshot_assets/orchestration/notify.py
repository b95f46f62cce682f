"""Reports of failed runs: each is logged, and sent to the webhook if there is one.

:mod:`snapshot_assets.pipeline.webhook` sends the message, and
:mod:`snapshot_assets.orchestration.secrecy` removes secrets from it.
"""

import logging
from collections.abc import Iterable
from typing import Any

import dagster as dg

from snapshot_assets.orchestration.secrecy import without_secrets
from snapshot_assets.pipeline.webhook import post
from snapshot_assets.settings import Settings
from snapshot_assets.urls import without_login

log = logging.getLogger(__name__)

_LONGEST_ERROR = 2_000


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that reports every failed run of this code location."""

    @dg.run_failure_sensor(
        name="tell_failures",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=min(settings.watch_interval, 30),
        description="Reports failed runs: in the log, and to SNAPSHOT_WEBHOOK_URL if it is set.",
    )
    def tell_failures(context: dg.RunFailureSensorContext) -> None:
        current = Settings.load()
        errors = [_error(event) for event in context.get_step_failure_events()]
        message = failure_message(
            context.dagster_run, errors or [context.failure_event.message or ""], current
        )
        log.error("%s", message["text"])
        if current.webhook_url is not None:
            post(current.webhook_url.get_secret_value(), message)
            context.log.info("reported to the webhook")

    return tell_failures


def failure_message(
    run: dg.DagsterRun, errors: Iterable[str], settings: Settings
) -> dict[str, Any]:
    """The message that reports a failed run.

    Returns:
        ``text``, which chat webhooks show, and its parts: ``job``, ``run_id``, ``assets``,
        ``partitions``, ``error`` and ``link``.
    """
    tags = run.tags
    first, last = (
        tags.get(f"dagster/asset_partition_range_{end}", tags.get("dagster/partition", ""))
        for end in ("start", "end")
    )
    partitions = first if first == last else f"{first} to {last}"
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    error = without_secrets("\n".join(errors), settings)[:_LONGEST_ERROR]
    link = f"{without_login(settings.ui_url).rstrip('/')}/runs/{run.run_id}"
    lines = [
        f"Run of {run.job_name} failed",
        *([f"assets: {', '.join(assets)}"] if assets else []),
        *([f"partitions: {partitions}"] if partitions else []),
        error,
        link,
    ]
    return {
        "text": "\n".join(lines),
        "job": run.job_name,
        "run_id": run.run_id,
        "assets": assets,
        "partitions": partitions,
        "error": error,
        "link": link,
    }


def _error(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    problem = data.user_failure_data.description if data.user_failure_data else None
    if problem is None and data.error is not None:
        cause = data.error
        while cause.cause is not None:
            cause = cause.cause
        problem = cause.message.strip()
    return f"{event.step_key}: {problem or event.message}"
