"""Failures tell: one message per failed run, to a webhook or else to the log. Never a secret."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import dagster as dg
import requests
import sqlalchemy as sa
from redis.connection import parse_url

from snapshot_assets.settings import Settings

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10
_LONGEST_ERROR = 2_000


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that tells of every failed run of this code location."""

    @dg.run_failure_sensor(
        name="tell_failures",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=min(settings.watch_interval, 30),
        description="Tells of failed runs: to SNAPSHOT_WEBHOOK_URL if it is set, else to the log.",
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
            context.log.info("told the webhook")

    return tell_failures


def failure_message(
    run: dg.DagsterRun, errors: Iterable[str], settings: Settings
) -> dict[str, Any]:
    """What is told of a failed run.

    Returns:
        ``text`` for people, as chat webhooks show it, and the same in parts: ``job``, ``run_id``,
        ``assets``, ``partitions``, ``error`` and ``link``.
    """
    tags = run.tags
    first, last = (
        tags.get(f"dagster/asset_partition_range_{end}", tags.get("dagster/partition", ""))
        for end in ("start", "end")
    )
    partitions = first if first == last else f"{first} to {last}"
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    error = _without_secrets("\n".join(errors), settings)[:_LONGEST_ERROR]
    link = f"{settings.ui_url.rstrip('/')}/runs/{run.run_id}"
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


def post(url: str, message: dict[str, Any]) -> None:
    """Send the message as JSON.

    Raises:
        RuntimeError: the webhook does not take it. The URL is not told, it may hold a token.
    """
    # At DEBUG it logs paths and queries, where a token is.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    try:
        # A redirect makes a POST a GET, which nobody would read. The answer's body is not awaited.
        with requests.post(
            url, json=message, timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            code = answer.status_code
    except (requests.ConnectionError, requests.Timeout) as error:
        raise RuntimeError(f"the webhook{_at(url)} cannot be reached: {_reason(error)}") from None
    except (requests.RequestException, OSError, ValueError) as error:
        # What these say may hold the whole URL.
        told = f"{type(error).__name__}; is SNAPSHOT_WEBHOOK_URL right?"
        raise RuntimeError(f"the webhook{_at(url)} cannot be used: {told}") from None
    if not 200 <= code < 300:
        raise RuntimeError(f"the webhook{_at(url)} answers {code}")


def _reason(error: requests.RequestException) -> str:
    """What the system says of it. What is wrapped around that tells the path, and so the token."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and not isinstance(below, requests.RequestException):
            return str(below)
        below = below.__cause__ or below.__context__
    return type(error).__name__


def _at(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return f" at {host}" if host else ""


def _error(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    told = data.user_failure_data.description if data.user_failure_data else None
    if told is None and data.error is not None:
        cause = data.error
        while cause.cause is not None:
            cause = cause.cause
        told = cause.message.strip()
    return f"{event.step_key}: {told or event.message}"


def _without_secrets(text: str, settings: Settings) -> str:
    """Errors of ours never hold a password; those of others might."""
    hidden = {settings.webhook_url.get_secret_value()} if settings.webhook_url else set()
    for url in (settings.source_url.get_secret_value(), settings.redis_url.get_secret_value()):
        for password in _passwords(url):
            hidden |= {password, unquote(password), quote(password, safe="")}
    for secret in sorted(hidden - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _passwords(url: str) -> set[str]:
    """Every password that a parser of ours sees in the URL. Whatever it is, this does not raise."""
    found: set[str] = set()
    with suppress(ValueError, sa.exc.ArgumentError):
        found.add(str(sa.make_url(url).password or ""))
    with suppress(ValueError):
        options: dict[str, Any] = parse_url(url)
        found.add(str(options.get("password") or ""))
    with suppress(ValueError):
        found.add(urlsplit(url).password or "")
    return found
