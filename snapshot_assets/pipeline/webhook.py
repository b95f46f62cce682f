"""A message to a webhook.

:mod:`snapshot_assets.orchestration.notify` decides what is reported, and when.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

from snapshot_assets.urls import masked, secrets_of, split_url

_TIMEOUT_SECONDS = 10


def post(url: str, message: dict[str, Any]) -> None:
    """Send the message as JSON.

    Raises:
        RuntimeError: the webhook does not accept the message. The error's text leaves out the URL,
            which may hold a token.
    """
    # At DEBUG, urllib3 logs paths and queries, which may hold a token.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    try:
        # A redirect would turn the POST into a GET without the message. The answer's body is not
        # read.
        with requests.post(
            url, json=message, timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            code = answer.status_code
    except (requests.ConnectionError, requests.Timeout) as error:
        reason = masked(_reason(error), secrets_of(url))
        raise RuntimeError(f"the webhook{_at(url)} cannot be reached: {reason}") from None
    except (requests.RequestException, OSError, ValueError) as error:
        # The text of these errors may hold the whole URL.
        problem = f"{type(error).__name__}; is SNAPSHOT_WEBHOOK_URL right?"
        raise RuntimeError(f"the webhook{_at(url)} cannot be used: {problem}") from None
    if not 200 <= code < 300:
        raise RuntimeError(f"the webhook{_at(url)} answers {code}")


def _reason(error: requests.RequestException) -> str:
    """The operating system's message. The errors around it hold the path, and so the token."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and not isinstance(below, requests.RequestException):
            return str(below)
        below = below.__cause__ or below.__context__
    return type(error).__name__


def _at(url: str) -> str:
    """The webhook's host; nothing if an ``@`` is elsewhere, as a piece of a token may follow it."""
    try:
        split = split_url(url, "SNAPSHOT_WEBHOOK_URL", "https://host/path")
        parsed = urlsplit(url)
    except ValueError:
        return ""
    if not split.agrees(unquote(parsed.username or ""), unquote(parsed.password or "")):
        return ""
    return f" at {parsed.hostname}" if parsed.hostname else ""
